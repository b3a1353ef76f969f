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
from collections.abc import Callable
from typing import Final

from nano.cluster.pb import link_pb2 as pb
from nano.errors import ClusterError
from nano.testing.faults import Course, Line
from nano.testing.pipes import END, Pipe

__all__ = ["MemoryStream", "stream_pair"]

ROOM: Final = 4  # batches that may lie between writer and reader
MARK: Final = b"\0"  # in front of each batch, for an empty one is no end


class MemoryStream:
    """One of two ends; made by :func:`stream_pair`."""

    def __init__(self, room: int, course: Course) -> None:
        self._room = room
        self._peer: MemoryStream
        self._out = Pipe(course, lambda items: self._peer._arrived(items))
        self._inbox: deque[bytes] = deque()
        self._ended = False
        self._cut = False
        self._waiting: list[asyncio.Future[None]] = []

    def join(self, peer: MemoryStream) -> None:
        """Be the other end of *peer*."""
        self._peer = peer

    async def read(self) -> pb.Batch | None:
        """Return the next batch, or ``None`` at the end.

        Raises:
            ClusterError: The stream was cut.
        """
        try:
            await self._wait(lambda: bool(self._inbox) or self._ended)
        except asyncio.CancelledError:
            await self.close()
            raise
        if self._cut:
            raise ClusterError("the stream was cut")
        if not self._inbox:
            return None
        data = self._inbox.popleft()
        self._peer._look()
        return pb.Batch.FromString(data.removeprefix(MARK))

    async def write(self, batch: bytes) -> None:
        """Send *batch*, encoded; waits while the peer does not read.

        Raises:
            ClusterError: The stream has ended.
        """
        await self._wait(lambda: self._ended or self._has_room())
        if self._ended:
            raise ClusterError("the stream has ended")
        self._out.put(MARK + batch)
        self._out.pump()

    async def close(self) -> None:
        """End the stream for both."""
        if not self._ended:
            self._end()
            self._out.put(END)
            self._out.pump()

    def cut(self) -> None:
        """End the stream for both as a reset does: what was under way is lost."""
        for end in (self, self._peer):
            end._cut = True
            end._inbox.clear()
            end._out.close()
            end._end()

    def _has_room(self) -> bool:
        return self._out.number + len(self._peer._inbox) < self._room

    def _arrived(self, items: list[bytes]) -> None:
        self._inbox.extend(item for item in items if item != END)
        if END in items:
            self._peer._out.close()
            self._out.close()
            self._end()
        self._look()
        self._peer._look()

    def _end(self) -> None:
        self._ended = True
        self._look()

    async def _wait(self, condition: Callable[[], bool]) -> None:
        while not condition():
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            finally:
                self._waiting.remove(future)

    def _look(self) -> None:
        """Let who waits at this end look again."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


def stream_pair(
    room: int = ROOM, line: Line | None = None
) -> tuple[MemoryStream, MemoryStream]:
    """Return the two ends of a stream.

    Args:
        room: Batches that may be under way before a writer waits.
        line: What may go wrong between them; ``up`` leads to the second.
    """
    line = line or Line()
    one, other = MemoryStream(room, line.up), MemoryStream(room, line.down)
    one.join(other)
    other.join(one)
    return one, other
