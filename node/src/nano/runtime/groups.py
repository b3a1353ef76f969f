"""The groups of one node: who of its own clients is in which.

Each gate keeps the memberships of the sessions that are at home there, and nothing
else is kept anywhere.  :class:`Roll` is that table, pure.  :class:`Groups` is what
:class:`~nano.runtime.group.Group` speaks to: it does here what concerns this node's
own sessions and hands everything else to :class:`Elsewhere`, behind which the cluster
stands, and on a single node nobody.

How a push is put into bytes for many clients at once is the transports' business: they
give the function that does it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from nano.errors import UsageError
from nano.metrics import Gauge, Metrics
from nano.protocol.packets import LARGEST_BODY
from nano.runtime.group import Group, Publication
from nano.runtime.session import Delivery, Session
from nano.runtime.sessions import Sessions
from nano.serializers import Serializer

__all__ = ["Deliver", "Elsewhere", "Groups", "Roll", "deliver_singly"]

logger = logging.getLogger(__name__)

Deliver = Callable[[Sequence[Session], str, bytes, Delivery], int]
"""Pushes route and payload to each session; returns how many took it."""


class Roll:
    """Which sessions are in which groups.

    A group is there from its first member to its last.  Whoever wants to know of both
    sets :attr:`changed`.

    Attributes:
        changed: Called with a group's name when it gets its first member (true) or
            has lost its last (false).
    """

    def __init__(self) -> None:
        self.changed: Callable[[str, bool], None] = lambda name, present: None
        self._members: dict[str, dict[int, Session]] = {}
        self._groups: dict[int, set[str]] = {}

    def join(self, name: str, session: Session) -> None:
        """Enter *session*; a second time is harmless."""
        groups = self._groups.setdefault(session.id, set())
        if name in groups:
            return
        groups.add(name)
        members = self._members.setdefault(name, {})
        members[session.id] = session
        if len(members) == 1:
            self.changed(name, True)

    def leave(self, name: str, session: Session) -> None:
        """Strike *session*; it need not be there."""
        groups = self._groups.get(session.id)
        if groups is None or name not in groups:
            return
        groups.discard(name)
        if not groups:
            del self._groups[session.id]
        members = self._members[name]
        del members[session.id]
        if not members:
            del self._members[name]
            self.changed(name, False)

    def leave_all(self, session: Session) -> None:
        """Strike *session* everywhere."""
        for name in list(self._groups.get(session.id, ())):
            self.leave(name, session)

    def dissolve(self, name: str) -> None:
        """Strike all members of *name*."""
        for session in self.members(name):
            self.leave(name, session)

    def members(self, name: str) -> list[Session]:
        """Return the members of *name*, in the order in which they came."""
        return list(self._members.get(name, {}).values())

    def count(self, name: str) -> int:
        """Return how many members *name* has."""
        return len(self._members.get(name, ()))

    def __contains__(self, name: object) -> bool:
        return name in self._members

    @property
    def names(self) -> list[str]:
        """The groups that have members."""
        return list(self._members)

    @property
    def memberships(self) -> int:
        """Members of all groups; a session counts once for each of its groups."""
        return sum(map(len, self._members.values()))


class Elsewhere(Protocol):
    """What the other nodes are for groups.

    The questions raise :class:`TimeoutError` when a node does not answer in time.
    """

    def join(self, name: str, session: Session) -> bool:
        """Have *session* join at its home; false if it is at home here."""

    def leave(self, name: str, session: Session) -> bool:
        """Have *session* leave at its home; false if it is at home here."""

    def publish(self, publication: Publication) -> None:
        """Pass *publication* to every other node that has members."""

    def dissolve(self, name: str) -> None:
        """Have all members leave on every other node."""

    async def count(self, name: str, timeout: float) -> int:
        """Return the number of members at other nodes."""

    async def uids(self, name: str, timeout: float) -> set[str]:
        """Return the uids of members at other nodes."""

    async def find(self, name: str, uid: str, timeout: float) -> Session | None:
        """Return a member at another node that is bound to *uid*."""


class _Nowhere:
    """There are no other nodes."""

    def join(self, name: str, session: Session) -> bool:
        """Nobody is at home elsewhere."""
        return False

    def leave(self, name: str, session: Session) -> bool:
        """Nobody is at home elsewhere."""
        return False

    def publish(self, publication: Publication) -> None:
        """Nobody is to be told."""

    def dissolve(self, name: str) -> None:
        """Nobody is to be told."""

    async def count(self, name: str, timeout: float) -> int:
        """Nobody is a member."""
        return 0

    async def uids(self, name: str, timeout: float) -> set[str]:
        """Nobody is a member."""
        return set()

    async def find(self, name: str, uid: str, timeout: float) -> Session | None:
        """Nobody is a member."""
        return None


def deliver_singly(
    sessions: Sequence[Session], route: str, payload: bytes, delivery: Delivery
) -> int:
    """Push to one session after the other; what a node without sockets does."""
    delivered = 0
    for session in sessions:
        try:
            session.home.push(route, payload, delivery)
        except Exception:
            logger.exception("a publish to %s failed for %r", route, session)
        else:
            delivered += 1
    return delivered


class Groups:
    """All groups, as one node sees them.

    Args:
        sessions: Whose end makes them leave.
        serializer: Encodes what is published.
        metrics: Where publishes and deliveries are counted.
        deliver: Pushes one payload to many of this node's own clients.
        largest: Bytes of the largest payload that a client is sent.

    Attributes:
        roll: The memberships of this node's own sessions.
        elsewhere: The other nodes.
    """

    def __init__(
        self,
        sessions: Sessions,
        serializer: Serializer,
        metrics: Metrics,
        deliver: Deliver = deliver_singly,
        largest: int = LARGEST_BODY,
    ) -> None:
        self.largest = largest
        self.roll = Roll()
        self.elsewhere: Elsewhere = _Nowhere()
        self._sessions = sessions
        self._metrics = metrics
        self._deliver = deliver
        self.encode: Callable[[Any], bytes] = serializer.encode
        sessions.on_closed(self.roll.leave_all)
        metrics.gauges.append(self._gauges)

    def group(self, name: str) -> Group:
        """Return a handle of the group *name*.

        Raises:
            UsageError: *name* is empty or longer than 255 bytes.
        """
        return Group(name, self)

    # ------------------------------------------------------ used by the handles

    def join(self, name: str, session: Session) -> None:
        """Make *session* a member, wherever it is at home.

        Raises:
            UsageError: It has not begun: nobody would say when it is over.
        """
        if self.elsewhere.join(name, session):
            return
        if self._sessions.get(session.id) is not session:
            message = f"{session!r} has not begun; add it to groups in session_opened"
            raise UsageError(message)
        self.roll.join(name, session)

    def leave(self, name: str, session: Session) -> None:
        """Let *session* leave, wherever it is at home."""
        if not self.elsewhere.leave(name, session):
            self.roll.leave(name, session)

    def publish(self, publication: Publication) -> None:
        """Send to all members, wherever they are."""
        self._metrics.group_publishes += 1
        self.deliver(publication)
        self.elsewhere.publish(publication)

    def dissolve(self, name: str) -> None:
        """Let everybody leave, everywhere."""
        self.roll.dissolve(name)
        self.elsewhere.dissolve(name)

    async def count(self, name: str, timeout: float) -> int:
        """Return how many members there are in all.

        Raises:
            TimeoutError: A node did not answer in time.
        """
        return await self.elsewhere.count(name, timeout) + self.roll.count(name)

    async def uids(self, name: str, timeout: float) -> list[str]:
        """Return the uids of all members.

        Raises:
            TimeoutError: A node did not answer in time.
        """
        return sorted(await self.elsewhere.uids(name, timeout) | self.uids_here(name))

    async def find(self, name: str, uid: str, timeout: float) -> Session | None:
        """Return a member that is bound to *uid*, own clients first.

        Raises:
            TimeoutError: A node did not answer in time.
        """
        found = self.find_here(name, uid)
        if found is None and uid:
            found = await self.elsewhere.find(name, uid, timeout)
        return found

    # ----------------------------------------- about this node's own clients only

    def deliver(self, publication: Publication) -> None:
        """Send to the members that are at home here."""
        members = self.roll.members(publication.group)
        if publication.without or publication.where:
            members = [it for it in members if publication.is_for(it)]
        if members:
            delivered = self._deliver(
                members,
                publication.route,
                publication.payload,
                publication.delivery,
            )
            self._metrics.group_deliveries += delivered

    def uids_here(self, name: str) -> set[str]:
        """Return the uids of members that are at home here."""
        return {it.uid for it in self.roll.members(name) if it.uid}

    def find_here(self, name: str, uid: str) -> Session | None:
        """Return a member at home here that is bound to *uid*; nobody is to ``""``."""
        members = self.roll.members(name)
        return next((it for it in members if uid and it.uid == uid), None)

    def _gauges(self) -> list[Gauge]:
        groups = "Groups that have members at this node."
        members = "Members of groups at this node, once for each of their groups."
        return [
            ("nano_groups", groups, {}, len(self.roll.names)),
            ("nano_group_members", members, {}, self.roll.memberships),
        ]
