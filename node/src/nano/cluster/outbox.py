"""What waits to be sent on a link, in batches.

Everything that one turn of the loop has to say goes into one batch; a batch that
has grown to a mebibyte is closed and the next one begun.  The box is bounded, and
says so when asked: what to do about it is decided by whoever wants to send.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from nano.cluster.pb import link_pb2 as pb
from nano.protocol.packets import LARGEST_BODY
from nano.runtime.session import Delivery

__all__ = ["BATCH_SIZE", "CAPACITY", "DELIVERY_CODES", "Outbox", "delivery_of"]

DELIVERY_CODES: Final[dict[Delivery, pb.Delivery.ValueType]] = {
    "must": pb.MUST,
    "latest": pb.LATEST,
    "drop": pb.DROP,
}
_DELIVERIES: Final = {code: word for word, code in DELIVERY_CODES.items()}

BATCH_SIZE: Final = 1 << 20  # bytes at which a batch is closed
CAPACITY: Final = LARGEST_BODY + (8 << 20)
"""Bytes that may wait before the box is full; the largest message leaves room."""
PATIENCE: Final = 2  # capacities that may wait of what must not be dropped
OVERHEAD: Final = 48  # bytes of an envelope besides route and payload, about


class Outbox:
    """Collects envelopes in order and hands them out in batches.

    Args:
        capacity: Bytes from which on :attr:`full` is true.

    Attributes:
        waiting: Bytes that are not sent yet, about.
        full: At least the capacity waits.
    """

    __slots__ = ("_capacity", "_closed", "_open", "_size", "full", "waiting")

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._closed: deque[tuple[int, pb.Batch]] = deque()
        self._open = pb.Batch()
        self._size = 0  # bytes in the open batch
        self.waiting = 0
        self.full = False

    def message(
        self,
        kind: pb.Kind.ValueType,
        session: int,
        number: int,
        route: str,
        payload: bytes,
        flags: int = 0,
        delivery: pb.Delivery.ValueType = pb.MUST,
    ) -> None:
        """Add an envelope of a message; the path that all traffic takes."""
        self._open.envelopes.add(
            kind=kind,
            session=session,
            id=number,
            route=route,
            payload=payload,
            flags=flags,
            delivery=delivery,
        )
        self._count(len(payload) + len(route) + OVERHEAD)

    def add(self, envelope: pb.Envelope) -> None:
        """Add any other envelope."""
        self._open.envelopes.append(envelope)
        self._count(envelope.ByteSize() + 4)

    def _count(self, size: int) -> None:
        self.waiting += size
        self._size += size
        if self.waiting >= self._capacity:
            self.full = True
        if self._size >= BATCH_SIZE:
            self._closed.append((self._size, self._open))
            self._open = pb.Batch()
            self._size = 0

    def takes(self, delivery: Delivery) -> bool:
        """Tell whether a push may still go; a ``must`` may for twice as long."""
        if delivery == "must":
            return self.waiting < self._capacity * PATIENCE
        return not self.full

    def take(self) -> tuple[int, pb.Batch] | None:
        """Return the next batch and its size, or ``None`` if nothing waits.

        The size still counts as waiting until :meth:`sent` is told of it.
        """
        if self._closed:
            return self._closed.popleft()
        if not self._size:
            return None
        batch, size = self._open, self._size
        self._open = pb.Batch()
        self._size = 0
        return size, batch

    def sent(self, size: int) -> None:
        """Note that a batch of *size* has been handed to the stream."""
        self.waiting -= size
        self.full = self.waiting >= self._capacity

    def close(self) -> None:
        """Be full from now on; what waits can still be taken."""
        self._capacity = 0
        self.full = True

    def clear(self) -> None:
        """Forget what waits: nobody takes it any more."""
        self._closed.clear()
        self._open = pb.Batch()
        self._size = self.waiting = 0


def delivery_of(envelope: pb.Envelope | pb.UidPush) -> Delivery:
    """Return what may happen to the push in *envelope*; of a newer peer's, nothing."""
    return _DELIVERIES.get(envelope.delivery, "must")
