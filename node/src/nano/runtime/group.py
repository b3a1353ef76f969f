"""Groups, as handlers see them.

A :class:`Group` is a name for a set of sessions, the same set on every node of the
cluster.  The members are kept by the gates, where their clients are connected, so a
group outlives the backends that use it.  This module is the handle that a component
holds; what stands behind it is :mod:`nano.runtime.groups` on this node and
:mod:`nano.cluster.groups` on the others.

What changes a group or speaks to it (:meth:`Group.add`, :meth:`Group.remove`,
:meth:`Group.publish`, :meth:`Group.close`) is said and done: it never waits.  What
asks about it (:meth:`Group.count`, :meth:`Group.uids`, :meth:`Group.find`) is awaited,
on gates as on backends: no node knows the members of the others, and a number that is
only this node's would be wrong as soon as there are two gates.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from nano.errors import ConnectionClosed, EncodeError, GroupClosed, UsageError
from nano.protocol.messages import LONGEST_ROUTE
from nano.protocol.packets import LARGEST_BODY
from nano.runtime.session import (
    DELIVERIES,
    Delivery,
    Session,
    too_large,
    unknown_delivery,
)

if TYPE_CHECKING:
    from nano.runtime.groups import Groups

__all__ = ["ANSWER_TIME", "LONGEST_NAME", "Group", "Publication"]

ANSWER_TIME: Final = 5.0  # seconds that the gates have to answer a question
LONGEST_NAME: Final = 255  # bytes of a group's name

Without = Session | int | Iterable[Session | int] | None


class Publication(msgspec.Struct, frozen=True):
    """One message for the members of a group, encoded.

    Attributes:
        group: The group's name.
        route: As in a push.
        payload: The value, encoded once for all members.
        without: Ids of sessions that do not get it.
        where: What a session's data must hold for it to be meant.
        delivery: What may happen to it at members that read too slowly.
    """

    group: str
    route: str
    payload: bytes
    without: frozenset[int] = frozenset()
    where: Mapping[str, Any] = {}
    delivery: Delivery = "must"

    def is_for(self, session: Session) -> bool:
        """Whether *session*, if it is a member, is meant."""
        if session.id in self.without:
            return False
        data = session.data
        return all(
            key in data and data[key] == value for key, value in self.where.items()
        )


class Group:
    """A named set of sessions; made by ``self.node.group("name")``.

    A handle is cheap and holds no members: make as many for one name as you like, on
    as many nodes.  A session leaves all its groups when it ends.

    Attributes:
        name: What it is called; the same name is the same group on every node.
    """

    __slots__ = ("_closed", "_groups", "name")

    def __init__(self, name: str, groups: Groups) -> None:
        if not 0 < _size(name) <= LONGEST_NAME:
            message = f"a group's name has 1 to {LONGEST_NAME} bytes: {name[:40]!r}"
            raise UsageError(message)
        self.name = name
        self._groups = groups
        self._closed = False

    def add(self, session: Session) -> None:
        """Make *session* a member; no harm if it is one.

        What this node publishes afterwards reaches it.

        Raises:
            ConnectionClosed: The session has ended.
            GroupClosed: :meth:`close` was called.
            UsageError: The session has not begun, as in a handshake.
        """
        self._check()
        if session.closed:
            message = (
                f"{session!r} has ended ({session.closed}) "
                f"and cannot join the group {self.name!r}"
            )
            raise ConnectionClosed(message)
        self._groups.join(self.name, session)

    def remove(self, session: Session) -> None:
        """Let *session* be a member no longer; no harm if it is none.

        Raises:
            GroupClosed: :meth:`close` was called.
        """
        self._check()
        self._groups.leave(self.name, session)

    def publish(
        self,
        route: str,
        value: Any,
        *,
        without: Without = None,
        where: Mapping[str, Any] | None = None,
        delivery: Delivery = "must",
    ) -> None:
        """Push *value* to every member, on whichever gate; never waits.

        A member that has gone, or reads too slowly, is no concern of the publisher:
        the others get theirs, and the gate counts what it could not deliver.

        Args:
            route: As in :meth:`Session.push`.
            value: Encoded once for all.
            without: A session, or its id, or several of either, to leave out.
            where: Only members whose :attr:`Session.data` has these values.  It is
                data, compared at each member's gate: a function could not travel.
            delivery: As in :meth:`Session.push`.

        Raises:
            GroupClosed: :meth:`close` was called.
            TypeError: *value* or *where* cannot be encoded.
            EncodeError: *route* or the encoded value do not fit a packet.
            ValueError: There is no such *delivery*.
        """
        self._check()
        if delivery not in DELIVERIES:
            raise ValueError(unknown_delivery(delivery))
        publication = Publication(
            self.name,
            route,
            self._groups.encode(value),
            _ids(without),
            _conditions(where),
            delivery,
        )
        size, largest = len(publication.payload), self._groups.largest
        if size > min(largest, LARGEST_BODY - LONGEST_ROUTE - 2):
            raise too_large(size, largest)
        if _size(route) > LONGEST_ROUTE:
            message = f"the route {route[:40]!r} is not text of {LONGEST_ROUTE} bytes"
            raise EncodeError(message)
        self._groups.publish(publication)

    async def count(self, *, timeout: float = ANSWER_TIME) -> int:
        """Ask every gate that has members how many.

        Args:
            timeout: Seconds that the gates have to answer.

        Raises:
            GroupClosed: :meth:`close` was called.
            TimeoutError: A gate did not answer in time.
        """
        self._check()
        return await self._groups.count(self.name, timeout)

    async def uids(self, *, timeout: float = ANSWER_TIME) -> list[str]:
        """Ask who the members are.

        Those that are bound to no uid are left out, and of several sessions with one
        uid it is named once; the list is sorted.

        Args:
            timeout: Seconds that the gates have to answer.

        Raises:
            GroupClosed: :meth:`close` was called.
            TimeoutError: A gate did not answer in time.
        """
        self._check()
        return await self._groups.uids(self.name, timeout)

    async def find(
        self, uid: str | int, *, timeout: float = ANSWER_TIME
    ) -> Session | None:
        """Ask for a member that is bound to *uid*; any, if there are several.

        What comes back can be pushed to and kicked, wherever its client is.

        Args:
            uid: As in :meth:`Session.bind`.
            timeout: Seconds that the gates have to answer.

        Raises:
            GroupClosed: :meth:`close` was called.
            TimeoutError: A gate did not answer in time.
        """
        self._check()
        return await self._groups.find(self.name, str(uid), timeout)

    def clear(self) -> None:
        """Let all members go, on every gate; the handle stays in use.

        Raises:
            GroupClosed: :meth:`close` was called.
        """
        self._check()
        self._groups.dissolve(self.name)

    def close(self) -> None:
        """Let all members go, on every gate, and use this handle no more.

        Other handles go on: for them the group is empty, and a new
        ``node.group(name)`` begins it again.  A second time is harmless.
        """
        if not self._closed:
            self._closed = True
            self._groups.dissolve(self.name)

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called on this handle."""
        return self._closed

    def _check(self) -> None:
        if self._closed:
            message = (
                f"the group {self.name!r} was closed here; "
                f"begin a new one with node.group({self.name!r})"
            )
            raise GroupClosed(message)

    def __repr__(self) -> str:
        return f"<Group {self.name}{' closed' if self._closed else ''}>"


def _size(text: str) -> int:
    """Return the bytes of *text*; more than any limit if it has no form in UTF-8."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return sys.maxsize


def _ids(without: Without) -> frozenset[int]:
    if without is None:
        return frozenset()
    if isinstance(without, Session | int):
        without = (without,)
    return frozenset(it.id if isinstance(it, Session) else it for it in without)


def _conditions(where: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return *where* as it would arrive at another node."""
    if where is None:
        return {}
    if not isinstance(where, Mapping):
        raise TypeError(
            "where is a mapping, compared with each member's session data, as in "
            "where={'team': 'red'}; a function cannot travel to the members' gates"
        )
    return msgspec.json.decode(msgspec.json.encode(where), type=dict[str, Any])
