"""What the HTTP servers need to know of the node that they speak for."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Subject"]


class Subject(Protocol):
    """A node, as its administrators see it; nothing here waits."""

    def not_ready(self) -> str | None:
        """Say why clients should not be sent here now; ``None``: they should."""

    def metrics(self) -> bytes:
        """Return all metrics in Prometheus' text format."""

    def status(self) -> dict[str, object]:
        """Return role, address, members, routes and counts, JSON-able."""

    def sessions(self, limit: int) -> list[dict[str, object]]:
        """Return at most *limit* of the sessions that live here, JSON-able."""

    def drain(self) -> str | None:
        """Begin to drain, unless it does already; say why not if it cannot."""

    def kick(self, session_id: int, reason: str) -> bool:
        """End a session; ``False`` if there is none of that id."""
