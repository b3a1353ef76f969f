"""For tests: nodes without sockets, time that obeys, faults on demand.

::

    async def test_a_room_counts_its_members() -> None:
        async with MemoryNode(RoomService) as node:
            ann, bob = await node.connect(), await node.connect()
            assert await ann.request("RoomService.join", "ann") == 1
            assert await bob.request("RoomService.join", "bob") == 2
            assert await ann.next_push("onJoin") == "bob"
            ann.line.freeze()
            await node.clock.advance(90)  # three heartbeats later, and at once
            assert await bob.next_push("onLeave") == "ann"

:class:`MemoryNode` is one node with the components of a test, :class:`MemoryCluster` a
manifest as nodes that are linked in memory; both go by a :class:`ManualClock`, and each
connection has a :class:`Line` on which things can go wrong.  :class:`LocalCluster` is a
manifest as nodes with real sockets, in real time.  ``docs/testing.md`` shows them all.
"""

from __future__ import annotations

from nano.testing.clients import MemoryClient
from nano.testing.clock import ManualClock, NothingHappens
from nano.testing.faults import Course, Line
from nano.testing.local import LocalCluster
from nano.testing.nodes import MemoryCluster, MemoryNode

__all__ = [
    "Course",
    "Line",
    "LocalCluster",
    "ManualClock",
    "MemoryClient",
    "MemoryCluster",
    "MemoryNode",
    "NothingHappens",
]
