"""The game's components: the door of the gates, and the backends that keep matches."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections import OrderedDict
from functools import partial
from typing import Annotated, Any, Final
from weakref import WeakValueDictionary

from msgspec import Meta, Struct
from msgspec.structs import replace

from nano import Component, Handshake, HandshakeRefused, RequestError, Session, handler

from .match import Column, Deed, Match, Name, Room, View, step, view

__all__ = ["DoorService", "GameService"]

logger = logging.getLogger(__name__)

MOST_MATCHES: Final = 10_000  # kept; the one that was idle the longest goes first
ATTEMPTS: Final = 4
REPLICA_SECONDS: Final = 2.0  # that a backend gets to take a copy
PAUSE: Final = 0.3  # seconds before the next attempt
PASSING: Final = (404, 503)  # the decider has gone, or serves nothing yet
TOLD: Final = ("play", "again")  # told to the players anew when asked for again
SHORTEST_KEY: Final = 16
LONGEST_KEY: Final = 64


def group_of(room: str) -> str:
    """Return the name of the group of the players of a match."""
    return f"match:{room}"


class DoorService(Component):
    """On the gates: who has the key of a player is that player."""

    def handshake(self, session: Session, said: Handshake) -> Any:
        """Let in whoever shows a key, which a client makes at random and keeps."""
        key = said.user.get("key") if isinstance(said.user, dict) else None
        if not isinstance(key, str) or not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
            message = f"key: {SHORTEST_KEY} to {LONGEST_KEY} random characters, please"
            raise HandshakeRefused(401, {"msg": message})
        # others may come to know a uid, so it is not the key itself
        session.bind(hashlib.sha256(key.encode()).hexdigest())

    def session_closed(self, session: Session) -> None:
        """Tell the other player."""
        if "room" in session.data:
            self.node.after(0.0, partial(self._left, session.uid, dict(session.data)))

    async def _left(self, uid: str, data: dict[str, Any]) -> None:
        group = self.node.group(group_of(data["room"]))
        if await group.find(uid) is None:  # not back already
            group.publish("onPresence", {"seat": data["seat"], "here": False})


class Creation(Struct):
    """Asks for a match."""

    name: Name


class Entrance(Struct):
    """Asks for a seat."""

    room: Room
    name: Name


class Move(Struct):
    """A piece; *ply* is how many were there before."""

    column: Column
    ply: Annotated[int, Meta(ge=0)]


class Again(Struct):
    """Asks for the round after *round*."""

    round: int


class Seated(Struct):
    """Where a player sits, and the match."""

    seat: int
    match: View
    here: list[bool]


class GameService(Component):
    """Keeps the matches: each backend has all of them.

    One backend decides about a match at a time, chosen by the number of its room. It
    answers when every backend that can be reached has the change, so the next one to
    decide, after a rollout or a death, goes on from there.
    """

    async def start(self) -> None:
        """Begin without matches."""
        self._matches: OrderedDict[str, Match] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def started(self) -> None:
        """Take over the matches of the other backends."""
        try:
            replies = await self.node.call_all(
                "GameService.recall", "", wanted=list[Match]
            )
        except RequestError as error:
            logger.info("no matches from others: %s", error)
            return
        for matches in replies.results.values():
            for match in matches:
                self._keep(match)

    @handler
    async def create(self, session: Session, asked: Creation) -> Seated:
        """Make a match, and sit down."""
        room = f"{secrets.randbelow(1_000_000):06}"
        deed = Deed("create", room, session.uid, asked.name)
        return await self._sit(session, deed)

    @handler
    async def join(self, session: Session, asked: Entrance) -> Seated:
        """Take the other seat of a match, or one's own again."""
        deed = Deed("join", asked.room, session.uid, asked.name)
        return await self._sit(session, deed)

    @handler
    async def play(self, session: Session, move: Move) -> View:
        """Drop a piece."""
        deed = Deed("play", _room(session), session.uid, column=move.column)
        return view(await self._do(session, replace(deed, ply=move.ply)))

    @handler
    async def again(self, session: Session, asked: Again) -> View:
        """Begin the next round."""
        deed = Deed("again", _room(session), session.uid, round=asked.round)
        return view(await self._do(session, deed))

    # ------------------------------------------------------------ among backends

    @handler(internal=True)
    async def decide(self, deed: Deed) -> Match:
        """Do what a player does, if it may be done, here and on all backends."""
        lock = self._locks.setdefault(deed.room, asyncio.Lock())
        async with lock:
            match = self._matches.get(deed.room) or await self._newest(deed.room)
            for _ in range(ATTEMPTS):
                after = step(match, deed)
                if after is match:
                    if deed.what in TOLD:  # who did it may have died before this
                        self._show(match)
                    return match
                after = replace(after, stamp=secrets.randbits(48))
                if await self._tell(after):
                    self._show(after)
                    return after
                match = await self._newest(deed.room)  # somebody knows better
        raise RequestError(503, "the match is being moved; try again")

    @handler(internal=True)
    def remember(self, match: Match) -> bool:
        """Keep a match, unless what is here is as new; say which."""
        return self._keep(match)

    @handler(internal=True)
    def recall(self, room: str) -> list[Match]:
        """Return the match of a room, or all."""
        if not room:
            return list(self._matches.values())
        return [self._matches[room]] if room in self._matches else []

    def _show(self, match: Match) -> None:
        """Push a match to its players."""
        self.node.group(group_of(match.room)).publish("onMatch", view(match))

    def _keep(self, match: Match) -> bool:
        known = self._matches.get(match.room)
        if known is not None and _age(known) >= _age(match):
            return known == match
        self._matches[match.room] = match
        self._matches.move_to_end(match.room)
        if len(self._matches) > MOST_MATCHES:
            self._matches.popitem(last=False)
        return True

    async def _tell(self, match: Match) -> bool:
        """Have all backends keep *match*; whether none knows a newer one."""
        replies = await self.node.call_all(
            "GameService.remember", match, timeout=REPLICA_SECONDS, wanted=bool
        )
        return all(replies.results.values())

    async def _newest(self, room: str) -> Match | None:
        """Return the newest that any backend has, which all have then."""
        replies = await self.node.call_all(
            "GameService.recall", room, timeout=REPLICA_SECONDS, wanted=list[Match]
        )
        found = [match for one in replies.results.values() for match in one]
        if not found:
            return None
        newest = max(found, key=_age)
        await self._tell(newest)
        return newest

    async def _do(self, session: Session, deed: Deed) -> Match:
        """Have the backend decide that decides about the match.

        If it has just gone another one does; what was done already is not done twice.
        """
        for attempt in range(1, ATTEMPTS + 1):
            members = {*session.router.members("GameService"), self.node.name}
            decider = max(members, key=lambda it: _rank(deed.room, it))
            try:
                return await self.node.call(
                    "GameService.decide", deed, member=decider, wanted=Match
                )
            except RequestError as error:
                if error.status not in PASSING or attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(PAUSE)
        raise AssertionError("the last attempt returns or raises")

    async def _sit(self, session: Session, deed: Deed) -> Seated:
        match = await self._do(session, deed)
        seat = match.uids.index(session.uid)
        before = session.data.get("room")
        if before not in (None, match.room):
            self.node.group(group_of(before)).remove(session)
        session.update({"room": match.room, "seat": seat})
        group = self.node.group(group_of(match.room))
        group.publish("onPresence", {"seat": seat, "here": True}, without=session)
        group.add(session)
        there = set(await group.uids())
        # in the group by now; what was pushed before that, all backends have
        match = self._matches.get(match.room, match)
        return Seated(seat, view(match), [uid in there for uid in match.uids])


def _age(match: Match) -> tuple[int, int]:
    return match.version, match.stamp


def _rank(room: str, member: str) -> bytes:
    return hashlib.sha256(f"{room} {member}".encode()).digest()


def _room(session: Session) -> str:
    room = session.data.get("room")
    if not isinstance(room, str):
        raise RequestError(403, "you are in no match: create or join one")
    return room
