"""A component with a bit of everything, for nodes in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from nano import Component, RequestError, Session, handler
from nano.runtime.answers import Deferred


class Move(msgspec.Struct):
    card: int


class Parlour(Component):
    def __init__(self) -> None:
        self.hooks: list[str] = []
        self.ticks = 0
        self.promises: list[Deferred] = []

    async def start(self) -> None:
        self.hooks.append("start")
        self.node.every(1.0, self.tick)

    async def started(self) -> None:
        self.hooks.append("started")

    async def stopping(self) -> None:
        self.hooks.append("stopping")

    async def stop(self) -> None:
        self.hooks.append("stop")

    def tick(self) -> None:
        self.ticks += 1

    def session_closed(self, session: Session) -> None:
        self.node.group("room").publish("onLeave", session.uid)

    @handler
    def join(self, session: Session, name: str) -> int:
        session.bind(name)
        session.set("seat", len(name))
        room = self.node.group("room")
        room.publish("onJoin", name)
        room.add(session)
        return len(name)

    @handler
    def say(self, session: Session, text: str) -> None:
        self.node.group("room").publish("onSay", f"{session.uid}: {text}")

    @handler
    def who(self, session: Session, _: None) -> dict[str, Any]:
        return {"uid": session.uid, **session.data}

    @handler
    def play(self, session: Session, move: Move) -> int:
        if move.card > 52:
            raise RequestError(422, "no such card")
        return move.card

    @handler
    def promise(self, session: Session, _: None) -> None:
        self.promises.append(session.defer())

    @handler
    async def ponder(self, session: Session, seconds: float) -> float:
        begun = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
        return round(asyncio.get_running_loop().time() - begun, 6)

    @handler
    async def compute(self, session: Session, number: int) -> int:
        return await self.node.run_blocking(pow, number, 2)

    @handler
    def flood(self, session: Session, number: int) -> None:
        for _ in range(number):
            session.push("onFlood", "x" * 1000)
