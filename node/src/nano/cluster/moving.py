"""Streams that move to another connection while a link is on them.

Nothing is lost or overtakes, and the link does not notice.  Each side ends what it
writes on the old connection with a batch that says it is the last, goes on on the new
one, and reads the old one up to the other's last batch.  Which connections these are,
and who may move what, is :mod:`nano.cluster.streams`' business.
"""

from __future__ import annotations

from typing import Final, Generic, Protocol, TypeVar

from nano.cluster.pb import link_pb2 as pb
from nano.errors import ClusterError

__all__ = ["Movable", "Way"]

LAST: Final = pb.Batch(last=True).SerializeToString()


class Way(Protocol):
    """One gRPC call, dialled or served, that carries a stream or a part of it."""

    async def read(self) -> pb.Batch | None:
        """Return the next batch, or ``None`` at the end."""

    async def write(self, batch: bytes) -> None:
        """Send *batch*, encoded."""


WayT = TypeVar("WayT", bound=Way)


class Movable(Generic[WayT]):
    """A stream on one way after the other.

    Reader and writer are one task each, so that a switch needs no lock: each makes
    it between two batches.
    """

    def __init__(self, way: WayT) -> None:
        self._reading = self._writing = way
        self._next: WayT | None = None  # where the peer may go on
        self._may_write = False  # on it, for the peer expects us there

    async def read(self) -> pb.Batch | None:
        """Return the next batch, or ``None`` at the end."""
        batch = await self._reading.read()
        while batch is not None and batch.last:
            self._go_on_reading()
            batch = await self._reading.read()
        return batch

    async def write(self, batch: bytes) -> None:
        """Send *batch*, encoded; waits while the peer does not read."""
        if self._may_write:
            await self._go_on_writing()
        await self._writing.write(batch)

    def _go_on_reading(self) -> None:
        if self._next is None or self._reading is self._next:
            raise ClusterError("the peer goes on nobody knows where")
        self._reading = self._next
        self._settle()

    async def _go_on_writing(self) -> None:
        assert self._next is not None
        old, self._may_write = self._writing, False
        await old.write(LAST)
        self._writing = self._next
        self._settle()

    def _settle(self) -> None:
        """End the move if both directions have moved."""
        if self._reading is self._writing:
            self._next = None
            self._moved()

    def _moved(self) -> None:
        """Let the old way end."""
        raise NotImplementedError
