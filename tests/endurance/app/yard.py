"""What a gate serves while it is mistreated, and the one who counts what is left.

Only plain handlers answer at once, so that the order of all answers is known.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec

from nano import (
    Component,
    Group,
    Handshake,
    HandshakeRefused,
    RequestError,
    Session,
    handler,
)
from nano.runtime.answers import Deferred
from nano.runtime.session import Delivery

# what a connection is made of; by name, since asyncio's transports have uvloop's types
WATCHED: Final = frozenset(
    {
        "Session",
        "TcpTransport",
        "WebSocketTransport",
        "TCPTransport",
        "TlsEntry",
        "TlsTransport",
        "SSLSocket",
        "Connection",
        "FrameReader",
        "ServerProtocol",
        "Meter",
        "Deferred",
        "Task",
    }
)
NEED_NOT_ARRIVE: Final[tuple[Delivery, ...]] = ("latest", "drop")
PAGE: Final = 4096  # bytes of a page in /proc


class Hello(msgspec.Struct):
    name: str = ""
    n: int = 0


class Yard(Component):
    """Handlers for every manner of staying and leaving."""

    async def start(self) -> None:
        self.crowd: Group = self.node.group("crowd")
        self.promises: list[Deferred] = []

    def handshake(self, _: Session, handshake: Handshake) -> Any:
        """Let everybody in at once, but for those who ask for something else."""
        match handshake.user:
            case "nobody":
                raise HandshakeRefused(403, {"msg": "nobody comes in"})
            case "somebody":
                return asyncio.sleep(0.01)
            case "undecided":
                return asyncio.Event().wait()
        return None

    @handler
    def hello(self, _: Session, said: Hello) -> Hello:
        return Hello(f"hello {said.name}", said.n + 1)

    @handler
    def echo(self, _: Session, data: bytes) -> bytes:
        return data

    @handler
    def push(self, session: Session, data: bytes) -> None:
        session.push("onPush", data)

    @handler
    def fail(self, _: Session, _data: bytes) -> None:
        raise RequestError(403, "not you")

    @handler
    async def late(self, _: Session, data: bytes) -> bytes:
        await asyncio.sleep(0)
        return data

    @handler
    async def forever(self, session: Session, _: None) -> None:
        session.push("onWait", None)
        await asyncio.Event().wait()

    @handler
    def promise(self, session: Session, _: None) -> None:
        session.defer()  # and forget it
        session.push("onWait", None)

    @handler
    def leave(self, session: Session, _: None) -> None:
        session.push("onPush", None)
        session.kick("you wanted to go")

    @handler
    def sent(self, session: Session, _: None) -> None:
        self.node.after(0.001, lambda: session.kick("somebody sent you away"))

    @handler
    def join(self, session: Session, _: None) -> None:
        self.crowd.add(session)
        self.crowd.publish("onJoin", None)

    @handler
    def shout(self, _: Session, data: bytes) -> None:
        self.crowd.publish("onShout", data)

    @handler
    def flood(self, session: Session, size: int) -> None:
        """Push *size* bytes at a time, as long as the client stays."""
        noise = b" " * size

        def more() -> None:
            if session.closed:
                timer.cancel()
            else:
                session.push("onNoise", noise)

        timer = self.node.every(0.001, more)

    @handler
    def scene(self, session: Session, size: int) -> None:
        """Push as :meth:`flood`, but what need not arrive."""
        noise = b" " * size

        def more() -> None:
            if session.closed:
                timer.cancel()
                return
            for delivery in NEED_NOT_ARRIVE:
                session.push(f"on.{delivery}", noise, delivery=delivery)

        timer = self.node.every(0.001, more)

    @handler
    async def census(self, _: Session, _data: None) -> dict[str, int]:
        """Count what there is of each kind, members and bytes of memory too."""
        return {**_counted(), "members": await self.crowd.count()}


def _counted() -> dict[str, int]:
    gc.collect()
    found = Counter(type(it).__name__ for it in gc.get_objects())
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {name: found[name] for name in WATCHED} | {"rss": pages * PAGE}
