"""A component that counts for each client, and hands its counts over."""

from __future__ import annotations

import asyncio
from typing import Any

from nano import Component, Session, handler


class Tally(Component):
    """Counts what each client asks; the count goes where the client goes."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def _next(self, session: Session) -> int:
        self.counts[session.id] = number = self.counts.get(session.id, 0) + 1
        return number

    @handler
    def count(self, session: Session, _: Any) -> list[Any]:
        return [self.node.name, self._next(session)]

    @handler
    async def slowly(self, session: Session, _: Any) -> list[Any]:
        number = self._next(session)
        await asyncio.sleep(0.05)
        return [self.node.name, number]

    @handler
    def later(self, session: Session, _: Any) -> None:
        promise = session.defer()
        answer = [self.node.name, self._next(session)]
        self.node.after(0.05, lambda: promise.respond(answer))

    async def handover(self, session: Session) -> bytes:
        return str(self.counts.pop(session.id)).encode()

    async def takeover(self, session: Session, state: bytes) -> None:
        self.counts[session.id] = int(state)
