"""Where the nodes of one process meet, with links in memory and without a master.

A node that starts is a member at once, one that stops is none, and all are told in the
same order.  Everything else of a node (listeners, clocks, components) is as ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from nano.cluster.drivers import Change
from nano.cluster.gopeers import MessagePeer
from nano.cluster.link import Stream
from nano.cluster.links import Dial
from nano.cluster.members import Member
from nano.cluster.membership import MemberAdded, MemberChanged, MemberRemoved
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.services import MemberCalls
from nano.cluster.strangers import Strangers
from nano.errors import ClusterError
from nano.metrics import Metrics
from nano.node.options import NodeOptions
from nano.node.world import Cluster, Security, World

__all__ = ["Meeting", "OneProcess"]

ROOM: Final = 4  # batches that may lie between a writer and its reader

Serve = Callable[[Stream], Awaitable[object]]


class _End:
    """One end of a stream; a batch is copied by its bytes, as over a socket."""

    def __init__(self) -> None:
        self._peer: _End
        self._inbox: deque[bytes] = deque()
        self._ended = False
        self._moved = asyncio.Condition()

    def join(self, peer: _End) -> None:
        """Be the other end of *peer*."""
        self._peer = peer

    async def read(self) -> pb.Batch | None:
        """Return the next batch, or ``None`` at the end."""
        try:
            async with self._moved:
                await self._moved.wait_for(lambda: self._inbox or self._ended)
                batch = self._inbox.popleft() if self._inbox else None
                self._moved.notify_all()
        except asyncio.CancelledError:
            await self.close()
            raise
        return None if batch is None else pb.Batch.FromString(batch)

    async def write(self, batch: bytes) -> None:
        """Send *batch*, encoded; waits while the peer does not read.

        Raises:
            ClusterError: The stream has ended.
        """
        peer = self._peer
        async with peer._moved:
            await peer._moved.wait_for(lambda: len(peer._inbox) < ROOM or peer._ended)
            if peer._ended:
                raise ClusterError("the stream has ended")
            peer._inbox.append(batch)
            peer._moved.notify_all()

    async def close(self) -> None:
        """End the stream for both; what was written is still read."""
        for end in (self, self._peer):
            if not end._ended:
                async with end._moved:
                    end._ended = True
                    end._moved.notify_all()


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
        return 0  # nobody numbers it

    @property
    def is_master_reachable(self) -> bool:
        return True

    def peer(self, address: str) -> MessagePeer:
        raise ClusterError(f"{address} is no Go node: there is no port for one")

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
    """All nodes of the process."""

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
        for address, member in self._members.items():
            place.on_change(MemberAdded(member))
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

    def dial(self, target: str) -> _End:
        """Open a stream for a link.

        Raises:
            ClusterError: Nobody is there.
        """
        place = self._places.get(target)
        if place is None:
            raise ClusterError(f"nobody is at {target}")
        near, far = _End(), _End()
        near.join(far)
        far.join(near)
        task = asyncio.create_task(_serve(place.serve, far), name=f"link to {target}")
        self._served.add(task)
        task.add_done_callback(self._served.discard)
        return near

    async def stop(self) -> None:
        """End the links that are still served."""
        served = list(self._served)
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)


async def _serve(serve: Serve, stream: _End) -> None:
    try:
        with contextlib.suppress(ClusterError):  # who has dialled will say so
            await serve(stream)
    finally:
        await stream.close()


class OneProcess(World):
    """The machine, but for other nodes, which are in this process.

    Args:
        meeting: Where they are.
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
        del master, heartbeat, security, calls
        return self._meeting.place(me, on_change, serve)

    def dialler(self, source: str, security: Security) -> Dial:
        """Return what opens streams to the other nodes."""
        del source, security
        return self._meeting.dial
