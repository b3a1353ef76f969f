"""The component of the tiny cluster that ``helm test`` makes."""

from __future__ import annotations

from nano import Component, Session, handler


class Smoke(Component):
    """Says what it is told."""

    @handler
    def echo(self, session: Session, message: dict[str, str]) -> dict[str, str]:
        """Answer with the message."""
        return message
