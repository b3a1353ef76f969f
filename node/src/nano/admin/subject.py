"""What the HTTP servers need to know of the node that they speak for."""

from __future__ import annotations

from typing import Any, Protocol

from nano.runtime.session import Delivery
from nano.runtime.users import Online, Reached, SessionCounts
from nano.serializers import SerializerName

__all__ = ["Reach", "Subject"]


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


class Reach(Protocol):
    """The users of a cluster, as a gate or a backend reaches them.

    Everything but :attr:`serializer` asks the gates, and waits for a few seconds at
    most.  Wrong arguments raise ``ValueError``, ``UsageError`` or ``EncodeError``, and
    too much at once ``RequestError``.
    """

    @property
    def serializer(self) -> SerializerName:
        """What payloads are written in; for all but ``json`` they are bytes here."""

    async def push(
        self, uids: list[str], route: str, value: Any, delivery: Delivery
    ) -> Reached:
        """Send *value* to all sessions of *uids*."""

    async def push_to_all(
        self, route: str, value: Any, delivery: Delivery
    ) -> SessionCounts:
        """Send *value* to every client; return how many took it."""

    async def publish(
        self, group: str, route: str, value: Any, delivery: Delivery
    ) -> int | None:
        """Send *value* to a group; return its members, ``None`` if not all answered."""

    async def kick(self, uids: list[str], reason: str, reconnect: bool) -> Reached:
        """Send all sessions of *uids* away."""

    async def online(self, uid: str) -> Online:
        """Tell where *uid* has sessions."""

    async def counts(self) -> SessionCounts:
        """Tell how many clients there are."""
