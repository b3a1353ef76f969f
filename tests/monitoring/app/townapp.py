"""What the nodes run that Prometheus looks at."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
from typing import Any

from nano import Component, Group, RequestError, Session, handler


class Town(Component):
    async def start(self) -> None:
        self.square: Group = self.node.group("square")

    @handler
    def echo(self, session: Session, payload: Any) -> Any:
        return payload

    @handler
    async def ask(self, session: Session, _: Any) -> Any:
        return await self.node.call("Hall.who", session=session)

    @handler
    def enter(self, session: Session, _: Any) -> int:
        self.square.add(session)
        return 1

    @handler
    def shout(self, session: Session, payload: Any) -> None:
        self.square.publish("onShout", payload)

    @handler
    def refuse(self, session: Session, _: Any) -> None:
        raise RequestError(403, "no")

    @handler
    def fail(self, session: Session, _: Any) -> None:
        raise RuntimeError("on purpose")

    @handler
    def block(self, session: Session, seconds: float) -> int:
        time.sleep(seconds)
        return 1

    @handler
    async def dawdle(self, session: Session, seconds: float) -> int:
        await asyncio.sleep(seconds)
        return 1

    @handler
    def wander(self, session: Session, _: Any) -> int:
        router = session.router
        others = set(router.members("Hall")) - {router.find("Hall")}
        router.bind("Hall", min(others))
        return 1

    @handler
    def flood(self, session: Session, size: int) -> int:
        for _ in range(200):
            session.push("onFlood", "x" * size)
        return 1


class Hall(Component):
    @handler(internal=True)
    def who(self, session: Session, _: Any) -> str:
        return self.node.name

    async def handover(self, session: Session) -> bytes:
        return b"the coat"

    async def takeover(self, session: Session, state: bytes) -> None:
        assert state == b"the coat"


class Shop(Component):
    @handler
    def buy(self, session: Session, _: Any) -> int:
        return 1


class Mill(Component):
    def __init__(self) -> None:
        self._over = threading.Event()

    @handler
    def grind(self, session: Session, threads: int) -> int:
        """Use whatever the machine has, until told to rest; return whose process."""
        for _ in range(threads):
            threading.Thread(target=self._grind, daemon=True).start()
        return os.getpid()

    @handler
    def rest(self, session: Session, _: Any) -> int:
        self._over.set()
        return 1

    def _grind(self) -> None:
        while not self._over.is_set():
            # without the interpreter's lock, so that the node still answers
            hashlib.pbkdf2_hmac("sha256", b"flour", b"salt", 100_000)
