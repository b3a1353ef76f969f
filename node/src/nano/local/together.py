"""The nodes of one process, with links in memory and without a master.

Everything else of a node (listeners, clocks, components) is as ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from nano.cluster.links import Dial
from nano.cluster.pb import link_pb2 as pb
from nano.errors import ClusterError
from nano.node.meeting import Meeting, MeetingWorld
from nano.node.world import Security

__all__ = ["OneProcess", "Together"]

ROOM: Final = 4  # batches that may lie between a writer and its reader


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


class Together(Meeting):
    """All nodes of the process."""

    def dial(self, target: str) -> _End:
        """Open a stream for a link.

        Raises:
            ClusterError: Nobody is there.
        """
        serve = self.reached(target)
        near, far = _End(), _End()
        near.join(far)
        far.join(near)
        self.attend(serve, far, lambda: None)
        return near


class OneProcess(MeetingWorld):
    """The machine, but for other nodes, which are in this process.

    Args:
        together: Where they are.
    """

    def __init__(self, together: Together) -> None:
        super().__init__(together)
        self._together = together

    def dialler(self, source: str, security: Security) -> Dial:
        """Return what opens streams to the other nodes."""
        del source, security
        return self._together.dial
