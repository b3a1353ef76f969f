"""One of our nodes as Go nodes see it: its cluster port, in the test's process.

No clients and no routes: what is tried with it is membership, on real sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from nano.cluster.members import Member
from nano.cluster.membership import MemberAdded, MemberChanged, MemberRemoved
from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.server import ClusterServer
from nano.errors import ClusterError

from .process import PATIENCE, free_address

__all__ = ["OurNode", "OurNodes"]

HEARTBEAT: Final = 0.5  # seconds between heartbeats of our nodes

Change = MemberAdded | MemberRemoved | MemberChanged


class _NoServices:
    """Takes no message: these nodes run nothing."""

    async def handle_request(self, message: pb.RequestMessage, sender: str) -> None:
        raise ClusterError(f"service not found in current node: {message.route}")

    async def handle_notify(self, message: pb.NotifyMessage) -> None:
        raise ClusterError(f"service not found in current node: {message.route}")

    async def handle_push(self, message: pb.PushMessage) -> None:
        raise ClusterError(f"session not found: {message.sessionId}")

    async def handle_response(self, message: pb.ResponseMessage) -> None:
        raise ClusterError(f"session not found: {message.sessionId}")

    async def session_closed(self, session_id: int, sender: str) -> None:
        pass

    async def close_session(self, session_id: int) -> None:
        pass


class OurNode:
    """A :class:`ClusterServer` and the changes that it reported.

    Attributes:
        changes: What happened to the member list, in order.
    """

    def __init__(self, me: Member, master: str | None) -> None:
        self.changes: list[Change] = []
        self._changed = asyncio.Event()
        self.server = ClusterServer(
            me,
            master=master,
            heartbeat=HEARTBEAT,
            on_change=self._on_change,
            calls=_NoServices(),
        )

    @property
    def address(self) -> str:
        """Its cluster address."""
        return self.server.address

    def _on_change(self, change: Change) -> None:
        self.changes.append(change)
        self._changed.set()

    async def start(self) -> None:
        """Bind, and register unless it is the master."""
        await self.server.start()
        if self.server.me.role != "master":
            async with asyncio.timeout(PATIENCE):
                await self.server.join()

    async def sees(self, address: str) -> Member:
        """Wait until *address* is in the list; return what is known of it."""
        await self._until(lambda: address in self.server.members, f"sees {address}")
        return self.server.members[address]

    async def misses(self, address: str) -> None:
        """Wait until *address* is not in the list, and its end was reported."""

        def gone() -> bool:
            removed = {
                change.member.address
                for change in self.changes
                if isinstance(change, MemberRemoved)
            }
            return address in removed and address not in self.server.members

        await self._until(gone, f"misses {address}")

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            message = f"{self.address} never {what}; it was told {self.changes}"
            raise AssertionError(message) from None

    async def stop(self) -> None:
        """Leave the cluster."""
        await self.server.stop(grace=1)


class OurNodes:
    """Starts nodes of ours and stops them with the test, the master last."""

    def __init__(self) -> None:
        self._nodes: list[OurNode] = []

    async def start(
        self,
        role: str,
        *services: str,
        master: str | None = None,
        address: str | None = None,
    ) -> OurNode:
        """Start a node; one without *master* is the master."""
        me = Member(address=address or free_address(), role=role, services=services)
        node = OurNode(me, master)
        self._nodes.append(node)
        await node.start()
        return node

    async def stop(self) -> None:
        """Stop every node that still runs."""
        for node in reversed(self._nodes):
            await node.stop()
