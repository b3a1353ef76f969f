"""What the gates do: they look at tickets, announce who has left, and tell how busy."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from nano import Component, Handshake, HandshakeRefused, RequestError, Session, handler

from . import tickets
from .rates import Minute
from .terms import GUEST, ROOMS, Entered, Traffic, check_name, check_room, group_of

__all__ = ["BindService"]

SECRET_FILE = Path(__file__).parents[1] / ".secret"
LOOK_SECONDS = 1.0


class Hello(Struct):
    """What a client logs in with; with a ticket, it may say nothing at all.

    Attributes:
        nickname: Who it wants to be.
        room: Where it wants to be.
    """

    nickname: str = ""
    room: str = ROOMS[0]


class BindService(Component):
    """Lets clients in.

    A session without a ticket is a guest, and its name begins so: nano's own page does
    exactly that.  Any other name is for those who have a ticket for it.
    """

    async def start(self) -> None:
        """Know what tickets are signed with, and begin to watch the node's metrics."""
        self.secret = tickets.find_secret(self.node.name, SECRET_FILE)
        now = asyncio.get_running_loop().time()
        self.came = Minute(now, self._came())
        self.went = Minute(now, self._went())
        self.node.every(LOOK_SECONDS, self._look)

    def handshake(self, session: Session, said: Handshake) -> Any:
        """Believe a ticket that we have signed, and refuse any other."""
        user = said.user if isinstance(said.user, dict) else {}
        if "ticket" not in user:
            return None
        try:
            name = tickets.read(user["ticket"], self.secret, time.time())
        except tickets.TicketError as error:
            raise HandshakeRefused(401, {"msg": str(error)}) from None
        session.bind(name)
        return {"name": name}

    @handler("Login")
    async def login(self, session: Session, hello: Hello) -> Entered:
        """Bring a client into a room."""
        room = check_room(hello.room)
        if session.uid:
            if hello.nickname not in ("", session.uid):
                message = f"nickname: you are {session.uid} here; leave it out"
                raise RequestError(403, message)
        else:
            session.bind(await self._guest(hello.nickname))
        user = {"nickname": session.uid, "gateUid": str(session.id), "room": room}
        entered = await self.node.call(
            "TopicService.NewUser", user, session=session, wanted=Entered
        )
        entered.gate = self.node.name
        return entered

    @handler("Traffic", internal=True)
    def traffic(self, _: None) -> Traffic:
        """Tell what goes on here."""
        self._look()
        users = int(self.node.count("nano_sessions", place="home"))
        return Traffic(users, self.came.growth, self.went.growth)

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        self.came.look(now, self._came())
        self.went.look(now, self._went())

    def _came(self) -> float:
        """Return what a gate counts of its clients, whichever backend serves them."""
        said = "RoomService.SyncMessage"
        return self.node.count("nano_messages_total", direction="in", route=said)

    def _went(self) -> float:
        return self.node.count("nano_messages_total", type="push", route="onMessage")

    async def _guest(self, nickname: str) -> str:
        name = check_name(nickname)
        if not name.startswith(GUEST):
            message = f"nickname: without a ticket, a name that begins with {GUEST}"
            raise RequestError(401, message)
        if await self.node.online(name):
            raise RequestError(409, f"nickname: {name} is here already")
        return name

    def session_closed(self, session: Session) -> None:
        """Announce it: the gate is what is certain to know, whatever backend died."""
        room = session.data.get("room")
        if room:
            self.node.after(0.0, partial(self._left, session.uid, room))

    async def _left(self, name: str, room: str) -> None:
        group = self.node.group(group_of(room))
        if await group.find(name) is None:  # by no other window either
            said = {"name": name, "room": room, "content": f"{name} has left"}
            group.publish("onLeave", said)
