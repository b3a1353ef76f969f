"""A chat in a single node, with its page: nano's example ``demo/chat``."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Final

from aiohttp import web
from msgspec import Meta, Struct

from nano import Component, Message, RequestError, Session, handler
from nano.errors import UsageError

logger = logging.getLogger(__name__)

HERE: Final = Path(__file__).parent
# in an image beside this file, and in a checkout where it lives
CLIENTS: Final = (HERE / "client", HERE.parent.parent / "clients" / "js")
PAGE_PORT: Final = 8081
LISTENER: Final = "ws"
ROOM: Final = "1"
MINUTE: Final = 60.0


class Words(Struct):
    """What a client says; ``onMessage`` tells it to all in the room."""

    name: Annotated[str, Meta(max_length=64)]
    content: Annotated[str, Meta(max_length=500)]


class RoomManager(Component):
    """One room; whoever joins is in it."""

    service = "room"

    async def start(self) -> None:
        """Count bytes on their way, and say each minute how many there were."""
        self.bytes = {"in": 0, "out": 0}
        pipeline = self.node.pipeline(LISTENER)
        pipeline.inbound.push_back(self._count_in)
        pipeline.outbound.push_back(self._count_out)
        self.room = self.node.group(f"room {ROOM}")
        self.node.every(MINUTE, self.report)

    @handler
    async def join(self, session: Session, _: None) -> dict[str, int | str]:
        """Let a client in, under its session's id."""
        members = await self.room.uids()
        uid = str(session.id)  # a text, since a number would lose digits in JavaScript
        session.bind(uid)
        session.set("room", ROOM)
        session.push("onMembers", {"members": members})
        self.room.publish("onNewUser", {"content": f"New user: {uid}"}, without=session)
        self.room.add(session)
        return {"code": 0, "result": "success"}

    @handler
    def message(self, session: Session, words: Words) -> dict[str, int]:
        """Tell everybody in the room."""
        if "room" not in session.data:
            raise RequestError(403, "you are in no room: ask for room.join first")
        self.room.publish("onMessage", words)
        return {"code": 0}

    def session_closed(self, session: Session) -> None:
        """Announce who has left."""
        if "room" in session.data:
            content = f"User left: {session.uid}"
            self.room.publish("onLeave", {"uid": session.uid, "content": content})

    async def report(self) -> None:
        """Say how much there was since the last time."""
        users = await self.room.count()
        told = (ROOM, users, self.bytes["in"], self.bytes["out"])
        logger.info("room %s: %d users; %d bytes in, %d bytes out", *told)
        self.bytes = {"in": 0, "out": 0}

    def _count_in(self, session: Session, message: Message) -> None:
        self.bytes["in"] += len(message.payload)

    def _count_out(self, session: Session, message: Message) -> None:
        self.bytes["out"] += len(message.payload)


class PageService(Component):
    """Serves the page at ``/web/``, on the port ``DEMO_PAGE_PORT``."""

    async def start(self) -> None:
        """Bind the port.

        Raises:
            UsageError: It is in use.
        """
        app = web.Application()
        app.router.add_static("/web/client", next(filter(Path.is_dir, CLIENTS)))
        app.router.add_get("/web/", self._index)
        app.router.add_static("/web", HERE / "page")
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        local = self.node.name.startswith("127.")
        host = "127.0.0.1" if local else "0.0.0.0"
        port = int(os.environ.get("DEMO_PAGE_PORT") or PAGE_PORT)
        site = web.TCPSite(self._runner, host, port, reuse_port=True)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            message = f"{host}:{port} is in use; choose another DEMO_PAGE_PORT: {error}"
            raise UsageError(message) from error
        logger.info("the page is at http://127.0.0.1:%d/web/", port)

    async def stop(self) -> None:
        """Let the port go."""
        await self._runner.cleanup()

    async def _index(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(HERE / "page" / "index.html")
