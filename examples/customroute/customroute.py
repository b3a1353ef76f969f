"""Who is served where is decided by code: nano's example ``customerroute``."""

from __future__ import annotations

import itertools
from typing import Annotated

from msgspec import Meta, Struct

from nano import Component, Group, RequestError, Session, handler

SERVICE = "ChatRoomService"


class Hello(Struct):
    """What a client logs in with."""

    nickname: Annotated[str, Meta(min_length=1, max_length=64)]


class Newcomer(Struct):
    """Who comes into a room, as the gate tells it."""

    nickname: str
    gateUid: str
    masterUid: str


class Words(Struct):
    """What a client says; ``onMessage`` tells it to all in the room."""

    name: Annotated[str, Meta(max_length=64)]
    content: Annotated[str, Meta(max_length=500)]


class RegisterService(Component):
    """On the gate: numbers the users, and deals them out to the room backends."""

    async def start(self) -> None:
        """Begin with number one."""
        self._numbers = itertools.count(1)

    @handler("Login")
    async def login(self, session: Session, hello: Hello) -> dict[str, int]:
        """Bind a user to the backend that its number chooses."""
        members = session.router.members(SERVICE)
        if not members:
            raise RequestError(503, "no room is open now; try again in a moment")
        number = next(self._numbers)
        session.bind(number)
        session.router.bind(SERVICE, members[number % len(members)])  # the whole rule
        newcomer = Newcomer(hello.nickname, session.uid, session.uid)
        await self.node.call(f"{SERVICE}.JoinRoom", newcomer, session=session)
        return {"code": 0}


class ChatRoomService(Component):
    """One room on each backend: those whom the gate has sent there hear each other."""

    @handler("JoinRoom", internal=True)
    def join_room(self, session: Session, _: Newcomer) -> None:
        """Let a user into the room of this backend, and out of any other."""
        before = session.data.get("room")
        if before not in (None, self.node.name):
            self._room(before).remove(session)
        session.set("room", self.node.name)
        self._room(self.node.name).add(session)

    @handler("SyncMessage")
    def say(self, session: Session, words: Words) -> dict[str, int]:
        """Tell everybody in the room."""
        if not session.uid:
            raise RequestError(401, "log in first: RegisterService.Login")
        if session.data.get("room") != self.node.name:  # the backend before is gone
            self.join_room(session, Newcomer(words.name, session.uid, session.uid))
        self._room(self.node.name).publish("onMessage", words)
        return {"code": 0}

    def _room(self, member: str) -> Group:
        return self.node.group(f"room of {member}")
