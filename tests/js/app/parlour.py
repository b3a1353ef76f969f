"""What the JavaScript clients talk to."""

from __future__ import annotations

import asyncio
from typing import Any

from nano import Component, RequestError, Session, handler


class Parlour(Component):
    """Answers, refuses, pushes and sends away."""

    @handler
    def echo(self, session: Session, message: Any) -> Any:
        return message

    @handler
    def raw(self, session: Session, payload: bytes) -> bytes:
        return payload

    @handler
    def fail(self, session: Session, message: dict[str, str]) -> None:
        raise RequestError(409, message["why"], "PARLOUR-FULL")

    @handler
    async def slow(self, session: Session, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "at last"

    @handler
    def shout(self, session: Session, message: Any) -> None:
        session.push("onShout", message)

    @handler
    def leave(self, session: Session, reason: str) -> None:
        session.kick(reason)

    @handler("join")
    def come_in(self, session: Session, name: str) -> None:
        session.bind(name)

    @handler
    def enter(self, session: Session, name: str) -> bool:
        session.bind(name)
        return True

    @handler
    def who(self, session: Session, _: None) -> dict[str, str]:
        return {"uid": session.uid, "id": str(session.id)}
