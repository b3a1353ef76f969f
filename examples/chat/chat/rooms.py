"""The room backends: who is where, what is said there, and what was said before."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import Final

from msgspec import Struct

from nano import Component, RequestError, Session, handler

from .history import History
from .rates import Bucket
from .terms import (
    ROOMS,
    START_BALANCE,
    Entered,
    Line,
    check_id,
    check_room,
    check_text,
    group_of,
)

__all__ = ["RoomService"]

logger = logging.getLogger(__name__)

AT_ONCE: Final = 8  # messages of one user
INTERVAL: Final = 1.0  # seconds between further ones
CATCH_UP_SECONDS: Final = 3.0


class Newcomer(Struct):
    """Who comes, as a topic backend tells it."""

    nickname: str
    gateUid: str
    masterUid: str
    room: str


class Place(Struct):
    """Which room is meant."""

    room: str


class Words(Struct):
    """What a client says.

    Attributes:
        content: The text.
        name: As nano's clients send it; the session knows better, so it is not used.
        id: Of the client's choice: what is sent again after a failure is said once.
    """

    content: str
    name: str = ""
    id: str = ""


class RoomService(Component):
    """Serves any user in any room: members are in groups, and those are on the gates.

    Each room backend has the history of all rooms: it tells the others what is said,
    and asks them what was said before when it starts.  A user keeps to one backend as
    long as that lives, and goes on with another after.
    """

    async def start(self) -> None:
        """Begin with nothing."""
        self.history = History()
        self.caught_up = False

    async def started(self) -> None:
        """Ask the others what was said."""
        await self._catch_up()

    @handler("JoinRoom", internal=True)
    async def join_room(self, session: Session, newcomer: Newcomer) -> Entered:
        """Let a user in who has logged in."""
        return await self._enter(session, newcomer.room)

    @handler("ChangeRoom")
    async def change_room(self, session: Session, place: Place) -> Entered:
        """Let a user go from one room into another."""
        name, before = _present(session)
        room = check_room(place.room)
        if before != room:
            group = self.node.group(group_of(before))
            group.remove(session)
            said = {"name": name, "room": before, "content": f"{name} has left"}
            group.publish("onLeave", said)
        return await self._enter(session, room)

    @handler("Members")
    async def members(self, session: Session, place: Place) -> dict[str, list[str]]:
        """Say who is in a room."""
        _present(session)
        return {"members": await self._group_members(check_room(place.room))}

    @handler("SyncMessage")
    def say(self, session: Session, words: Words) -> dict[str, int]:
        """Say something to everybody in the room of the session.

        A request is answered when it was said; of a notify's refusal ``onRefused``
        tells.
        """
        try:
            self._say(session, words)
        except RequestError as error:
            if session.last_id:
                raise
            told = {"status": error.status, "msg": error.message}
            session.push("onRefused", told, delivery="latest")
        return {"code": 0}

    @handler("Remember", internal=True)
    def remember(self, line: Line) -> None:
        """Keep what another room backend has taken."""
        self.history.add(line)

    @handler("Recall", internal=True)
    def recall(self, _: None) -> list[Line]:
        """Tell a room backend that has just started."""
        return self.history.all()

    @handler("Last", internal=True)
    def last(self, _: None) -> dict[str, int]:
        """Tell when something was said last, by room."""
        return {room: self.history.last(room) for room in ROOMS}

    def _say(self, session: Session, words: Words) -> None:
        name, room = _present(session)
        text, number = check_text(words.content), check_id(words.id)
        now = asyncio.get_running_loop().time()
        bucket: Bucket = session.local.setdefault(
            "bucket", Bucket(AT_ONCE, INTERVAL, now)
        )
        wait = bucket.take(now)
        if wait:
            message = f"content: too much at once; wait {wait:.1f} s and send it again"
            raise RequestError(429, message)
        if number and self.history.has(room, name, number):
            return  # its answer was lost, and the client has sent it again
        line = Line(
            name=name,
            content=text,
            room=room,
            id=number or secrets.token_hex(8),
            at=int(time.time() * 1000),
            node=self.node.name,
        )
        self.history.add(line)
        self.node.group(group_of(room)).publish("onMessage", line)
        self.node.notify_all("RoomService.Remember", line)
        self.node.notify("TopicService.Stats", {"uid": session.uid}, session=session)

    async def _enter(self, session: Session, room: str) -> Entered:
        if not self.caught_up:
            await self._catch_up()
        group = self.node.group(group_of(room))
        name = session.uid
        if await group.find(name) is None:  # no other window of the same user
            content = f"User user join: {name}"  # nano's very words
            said = {"name": name, "room": room, "content": content}
            group.publish("onNewUser", said)
        group.add(session)
        session.set("room", room)
        return Entered(
            name=name,
            room=room,
            members=await self._group_members(room),
            history=self.history.of(room),
            balance=session.data.get("balance", START_BALANCE),
        )

    async def _group_members(self, room: str) -> list[str]:
        return list(await self.node.group(group_of(room)).uids())

    async def _catch_up(self) -> None:
        """Take over what the other room backends remember."""
        try:
            replies = await self.node.call_all(
                "RoomService.Recall", timeout=CATCH_UP_SECONDS, wanted=list[Line]
            )
        except RequestError as error:
            logger.info("no history from others: %s", error)
            return
        for lines in replies.results.values():
            self.history.merge(lines)
        self.caught_up = not replies.failures


def _present(session: Session) -> tuple[str, str]:
    """Return who *session* is, and in which room.

    Raises:
        RequestError: 401: it is in none.
    """
    room = session.data.get("room")
    if not session.uid or not room:
        raise RequestError(401, "log in first: BindService.Login")
    return session.uid, room
