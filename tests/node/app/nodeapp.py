"""Components of the clusters that these tests start."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, ClassVar

import msgspec

from nano import Component, RequestError, Session, handler
from nano.errors import QueueFull, UsageError


class Words(msgspec.Struct):
    text: str


class Talk(Component):
    @handler
    def echo(self, session: Session, words: Words) -> dict[str, str]:
        return {"text": words.text, "node": self.node.name}

    @handler
    def shout(self, session: Session, words: Words) -> None:
        session.push("onShout", {"text": words.text.upper()})

    @handler
    def login(self, session: Session, name: str) -> str:
        session.bind(name)
        session.set("name", name)
        return session.uid

    @handler
    def refuse(self, session: Session, _: None) -> str:
        raise RequestError(402, "no money", "SHOP-1")

    @handler
    def fail(self, session: Session, _: None) -> str:
        raise LookupError("the secret word")

    @handler
    async def forever(self, session: Session, _: None) -> str:
        session.push("onWait", self.node.name)
        await asyncio.Event().wait()
        return "never"


class Hall(Component):
    """Lets users in, each into the lobby."""

    @handler
    def enter(self, session: Session, name: str) -> bool:
        session.bind(name)
        self.node.group("lobby").add(session)
        return True


class Local(Component):
    """Served by the gates themselves."""

    @handler
    def where(self, session: Session, _: Any) -> str:
        return self.node.role


class Visits(Component):
    """Has no handler, and writes down who comes and goes."""

    lines: ClassVar[list[tuple[str, str, str]]] = []

    def session_opened(self, session: Session) -> None:
        self.lines.append((self.node.role, "opened", session.uid))
        session.push("onWelcome", self.node.role)

    def session_closed(self, session: Session) -> None:
        self.lines.append((self.node.role, session.closed, session.uid))


class Clock(Component):
    """Ticks as long as its node runs, and blocks while it stops."""

    ticks: ClassVar[list[str]] = []

    async def start(self) -> None:
        self.node.every(0.002, self._tick)

    async def _tick(self) -> None:
        self.ticks.append(await self.node.run_blocking(str, self.node.role))

    async def stop(self) -> None:
        self.ticks.append(await self.node.run_blocking(str, "stopped"))

    @handler
    def ticked(self, session: Session, _: Any) -> int:
        return len(self.ticks)


class Hooks(Component):
    """Writes down when its hooks are called."""

    lines: ClassVar[list[str]] = []
    failing: ClassVar[set[str]] = set()
    service: ClassVar[str] = "Hooks"

    @handler
    def any(self, session: Session, _: None) -> str:
        return "any"

    def note(self, hook: str) -> None:
        line = f"{self.service}.{hook}"
        self.lines.append(line)
        if line in self.failing:
            raise LookupError(line)

    async def start(self) -> None:
        self.note("start")

    async def started(self) -> None:
        self.note("started")

    async def stopping(self) -> None:
        self.note("stopping")

    async def stop(self) -> None:
        self.note("stop")


class More(Hooks):
    service = "More"


class Mover(Component):
    """Moves its clients about, closes them, and calls from a thread."""

    @handler
    def where(self, session: Session, _: None) -> str:
        return self.node.name

    @handler
    def move(self, session: Session, member: str) -> str | None:
        session.router.bind("Mover", member)
        return session.router.find("Mover")

    @handler
    def members(self, session: Session, _: None) -> list[str]:
        return session.router.members("Mover")

    @handler
    def close(self, session: Session, reason: str) -> None:
        session.respond("closing")
        session.close(reason)

    @handler
    async def from_a_thread(self, session: Session, word: str) -> str:
        return await self.node.run_blocking(self._ask_all, word)

    def _ask_all(self, word: str) -> str:
        self.node.call_soon(self.heard, word)
        return self.node.from_thread(self._ask, word)

    async def _ask(self, word: str) -> str:
        return await self.node.call("Mover.shout", word, wanted=str)

    @handler(internal=True)
    def shout(self, word: str) -> str:
        return word.upper() + "".join(self.words)

    def heard(self, word: str) -> None:
        self.words.append(word)

    async def start(self) -> None:
        self.words: list[str] = []


class Restless(Component):
    """Has threads of its own that use the node as long as it runs."""

    counted: ClassVar[int] = 0
    ends: ClassVar[list[str]] = []
    threads: ClassVar[list[threading.Thread]] = []

    async def start(self) -> None:
        for work in (self._post, self._wait):
            thread = threading.Thread(target=work, daemon=True)
            self.threads.append(thread)
            thread.start()

    def _post(self) -> None:
        while True:
            try:
                self.node.call_soon(self._count)
            except QueueFull:
                time.sleep(0.001)
            except UsageError as error:
                self.ends.append(str(error))
                return

    def _wait(self) -> None:
        try:
            self.node.from_thread(asyncio.Event().wait, timeout=60.0)
        except UsageError as error:
            self.ends.append(str(error))

    def _count(self) -> None:
        type(self).counted += 1

    @handler
    def count(self, session: Session, _: None) -> int:
        return self.counted
