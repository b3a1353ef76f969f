"""What the examples of docs/python.md talk to."""

from __future__ import annotations

from typing import Any

from nano import Component, Session, handler


class Chat(Component):
    @handler
    def hello(self, session: Session, payload: dict[str, Any]) -> dict[str, Any]:
        return payload

    @handler
    def news(self, session: Session, number: int) -> None:
        for item in range(number):
            session.push("onNews", item)
