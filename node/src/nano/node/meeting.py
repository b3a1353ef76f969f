"""Where nodes of one process meet, without a master and without sockets.

A node that starts is a member at once, one that stops is none, and all are told in the
same order.  How a link's two ends lie between them is the subclass's.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias

from nano.cluster.drivers import Change
from nano.cluster.gopeers import MessagePeer
from nano.cluster.link import Stream
from nano.cluster.members import Member
from nano.cluster.membership import MemberAdded, MemberChanged, MemberRemoved
from nano.cluster.services import MemberCalls
from nano.cluster.strangers import Strangers
from nano.errors import ClusterError
from nano.metrics import Metrics
from nano.node.options import NodeOptions
from nano.node.world import Cluster, Security, World

__all__ = ["Ending", "Meeting", "MeetingWorld", "Serve"]

Serve: TypeAlias = Callable[[Stream], Awaitable[object]]
"""What a node does with a stream that another one has opened to it."""


class Ending(Stream, Protocol):
    """A stream that can be closed."""

    async def close(self) -> None:
        """End it for both sides."""


class _Place:
    """A node's place in a meeting; see :class:`nano.node.world.Cluster`."""

    def __init__(
        self,
        meeting: Meeting,
        me: Member,
        on_change: Callable[[Change], None],
        serve: Serve,
    ) -> None:
        self._meeting = meeting
        self.me = me
        self.on_change = on_change
        self.serve = serve

    @property
    def address(self) -> str:
        return self.me.address

    @property
    def members(self) -> Mapping[str, Member]:
        return self._meeting.members | {self.address: self.me}

    @property
    def list_version(self) -> int:
        return 0  # there is no master: the meeting tells who is there

    @property
    def is_master_reachable(self) -> bool:
        return True

    def peer(self, address: str) -> MessagePeer:
        raise ClusterError(f"{address} cannot be a Go node: it would have no socket")

    async def start(self) -> None:
        self._meeting.open(self)

    async def join(self) -> None:
        self._meeting.join(self)

    def update(self, me: Member) -> None:
        self._meeting.update(self, me)

    async def stop(self, grace: float) -> None:
        del grace
        self._meeting.leave(self)


class Meeting:
    """All nodes of a process, and the links that are served."""

    def __init__(self) -> None:
        self._places: dict[str, _Place] = {}  # those that can be dialled
        self._members: dict[str, Member] = {}
        self._served: set[asyncio.Task[None]] = set()
        self._incarnations = 0

    @property
    def members(self) -> dict[str, Member]:
        """Those that have joined, by address."""
        return dict(self._members)

    def place(
        self, me: Member, on_change: Callable[[Change], None], serve: Serve
    ) -> Cluster:
        """Return a place for the node *me*."""
        self._incarnations += 1
        me = dataclasses.replace(me, incarnation=self._incarnations)
        return _Place(self, me, on_change, serve)

    def open(self, place: _Place) -> None:
        """Let others dial *place*."""
        self._places[place.address] = place

    def join(self, place: _Place) -> None:
        """Make *place* a member; it is told of the others, and they of it."""
        for address in self._members:
            place.on_change(MemberAdded(self._members[address]))
            self._places[address].on_change(MemberAdded(place.me))
        self._members[place.address] = place.me

    def update(self, place: _Place, me: Member) -> None:
        """Let *place* say something new about itself; the others are told."""
        before, place.me = place.me, me
        if place.address in self._members:
            self._members[place.address] = me
            for address in self._members:
                self._places[address].on_change(MemberChanged(before, me))

    def leave(self, place: _Place) -> None:
        """Take *place* out; the others are told."""
        self._places.pop(place.address, None)
        if self._members.pop(place.address, None) is not None:
            for address in self._members:
                self._places[address].on_change(MemberRemoved(place.me))

    def reached(self, address: str) -> Serve:
        """Return what serves links at *address*.

        Raises:
            ClusterError: Nobody is there.
        """
        place = self._places.get(address)
        if place is None:
            raise ClusterError(f"nobody listens at {address}")
        return place.serve

    def attend(self, serve: Serve, stream: Ending, ended: Callable[[], None]) -> None:
        """Have *serve* take care of *stream*; *ended* is called behind its end."""
        task = asyncio.create_task(_attend(serve, stream, ended))
        self._served.add(task)
        task.add_done_callback(self._served.discard)

    async def stop(self) -> None:
        """End the links that are still served."""
        served = list(self._served)
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)


class MeetingWorld(World):
    """What is around one node of a meeting; subclasses say how it dials.

    Args:
        meeting: Where it meets the others.
    """

    def __init__(self, meeting: Meeting) -> None:
        self._meeting = meeting

    def security(
        self, options: NodeOptions, cluster: str, metrics: Metrics
    ) -> Security:
        """Need no certificates between nodes: nothing leaves the process."""
        return Security(None, Strangers(metrics.refusals))

    def cluster(
        self,
        me: Member,
        *,
        master: str | None,
        heartbeat: float,
        on_change: Callable[[Change], None],
        serve: Serve,
        security: Security,
        calls: MemberCalls,
    ) -> Cluster:
        """Make the node's place in the meeting, which knows who is there."""
        del master, heartbeat, security, calls  # it has no strangers and no Go nodes
        return self._meeting.place(me, on_change, serve)


async def _attend(serve: Serve, stream: Ending, ended: Callable[[], None]) -> None:
    try:
        with contextlib.suppress(ClusterError):  # no greeting; who dialled will say so
            await serve(stream)
    finally:
        ended()
        await stream.close()
