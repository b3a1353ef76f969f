"""How a node's control port reaches users: by the links to the gates.

This is the :class:`nano.admin.Reach` of gates and backends.
"""

from __future__ import annotations

from typing import Any, Final

from nano.runtime.groups import Groups
from nano.runtime.session import Delivery
from nano.runtime.users import Online, Reached, SessionCounts, Users
from nano.serializers import SerializerName

__all__ = ["ByLinks"]

SECONDS: Final = 5.0  # for the gates to answer; less than a request over HTTP may take


class ByLinks:
    """The users of the cluster, by uid, by group, or all.

    Args:
        users: By uid, or all.
        groups: By group.
        serializer: What payloads are written in.
    """

    def __init__(
        self, users: Users, groups: Groups, serializer: SerializerName
    ) -> None:
        self.serializer = serializer
        self._users = users
        self._groups = groups

    async def push(
        self, uids: list[str], route: str, value: Any, delivery: Delivery
    ) -> Reached:
        """Send *value* to all sessions of *uids*."""
        return await self._users.push(uids, route, value, delivery, SECONDS)

    async def push_to_all(
        self, route: str, value: Any, delivery: Delivery
    ) -> SessionCounts:
        """Send *value* to every client; return how many took it."""
        return await self._users.push_to_all(route, value, delivery, SECONDS)

    async def publish(
        self, group: str, route: str, value: Any, delivery: Delivery
    ) -> int | None:
        """Send *value* to a group; return its members, ``None`` if not all answered."""
        handle = self._groups.group(group)
        handle.publish(route, value, delivery=delivery)
        try:
            return await handle.count(timeout=SECONDS)
        except TimeoutError:
            return None

    async def kick(self, uids: list[str], reason: str, reconnect: bool) -> Reached:
        """Send all sessions of *uids* away."""
        return await self._users.kick(uids, reason, reconnect, SECONDS)

    async def online(self, uid: str) -> Online:
        """Tell where *uid* has sessions."""
        return await self._users.online(uid, SECONDS)

    async def counts(self) -> SessionCounts:
        """Tell how many clients there are."""
        return await self._users.counts(SECONDS)
