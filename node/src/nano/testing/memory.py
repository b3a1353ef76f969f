"""Link streams without a network.

::

    ours, theirs = stream_pair()
    await ours.write(batch)
    assert await theirs.read() == batch

A :class:`MemoryStream` behaves as a stream of gRPC does where that matters: batches
are copied by their bytes, a writer waits while the peer does not read, whatever was
written before the end is still read, and a read that is cancelled ends the stream.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from nano.cluster.pb import link_pb2 as pb
from nano.errors import ClusterError

__all__ = ["MemoryStream", "stream_pair"]

ROOM: Final = 4  # batches that may lie between writer and reader


class _Pipe:
    """Batches on their way from one end to the other."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._batches: deque[bytes] = deque()
        self._ended = False
        self._changed = asyncio.Condition()

    async def put(self, batch: pb.Batch) -> None:
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._ended or len(self._batches) < self._room
            )
            if self._ended:
                raise ClusterError("the stream has ended")
            self._batches.append(batch.SerializeToString())
            self._changed.notify_all()

    async def get(self) -> pb.Batch | None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._ended or self._batches)
            if not self._batches:
                return None
            data = self._batches.popleft()
            self._changed.notify_all()
        return pb.Batch.FromString(data)

    async def end(self) -> None:
        async with self._changed:
            self._ended = True
            self._changed.notify_all()


class MemoryStream:
    """One of two ends; made by :func:`stream_pair`."""

    def __init__(self, inward: _Pipe, outward: _Pipe) -> None:
        self._inward = inward
        self._outward = outward

    async def read(self) -> pb.Batch | None:
        """Return the next batch, or ``None`` at the end."""
        try:
            return await self._inward.get()
        except asyncio.CancelledError:
            await self.close()
            raise

    async def write(self, batch: pb.Batch) -> None:
        """Send *batch*; waits while the peer does not read.

        Raises:
            ClusterError: The stream has ended.
        """
        await self._outward.put(batch)

    async def close(self) -> None:
        """End the stream for both."""
        await self._inward.end()
        await self._outward.end()


def stream_pair(room: int = ROOM) -> tuple[MemoryStream, MemoryStream]:
    """Return the two ends of a stream.

    Args:
        room: Batches that may be under way before a writer waits.
    """
    one, other = _Pipe(room), _Pipe(room)
    return MemoryStream(one, other), MemoryStream(other, one)
