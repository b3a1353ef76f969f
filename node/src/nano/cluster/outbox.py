"""What waits to be sent on a link, in batches.

Everything that one turn of the loop has to say goes into one batch; a batch that
has grown to a mebibyte is closed and the next one begun.  The box is bounded, and
says so when asked: what to do about it is decided by whoever wants to send.

Envelopes of messages are written by hand, in the form of protobuf's wire: filling
an object of its library costs three times as much.  Numbers of a length known before
let one format do for all of them, so lengths are varints of two bytes even where one
would do, as every reader of the format accepts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

from nano.cluster.pb import link_pb2 as pb
from nano.protocol.packets import LARGEST_BODY
from nano.runtime.session import Delivery

__all__ = [
    "BATCH_SIZE",
    "CAPACITY",
    "DELIVERY_CODES",
    "Outbox",
    "Packed",
    "delivery_of",
    "numbered",
    "packed",
]

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

# Tag and value of Batch.envelopes, and of these fields of Envelope: kind, session, id,
# flags, delivery, payload.  Payload and route are behind it.
HEAD: Final = Struct("<BHBBBQBQBBBBBH")
REST: Final = HEAD.size - 3  # what of it belongs to the envelope
LONGEST: Final = (1 << 14) - 1  # bytes of an envelope whose length has two bytes
NUMBER: Final = Struct("<HQ")  # tag and value of Batch.number
NUMBER_TAG: Final = 0x03E1
MOST_ROUTES: Final = 4096  # whose fields are remembered


class Packed(NamedTuple):
    """A batch as it lies in the stream.

    Attributes:
        data: Its bytes.
        envelopes: How many are in it.
    """

    data: bytes
    envelopes: int


def packed(*envelopes: pb.Envelope) -> Packed:
    """Return a batch of *envelopes*."""
    return Packed(pb.Batch(envelopes=envelopes).SerializeToString(), len(envelopes))


def numbered(batch: bytes, number: int) -> bytes:
    """Return *batch*, encoded, with its number on the link."""
    return batch + NUMBER.pack(NUMBER_TAG, number)


def _nobody() -> None:
    """Wake nobody."""


class Outbox:
    """Collects envelopes in order and hands them out in batches.

    Args:
        capacity: Bytes from which on :attr:`full` is true.
        wake: Called when the first envelope of a batch is there.

    Attributes:
        waiting: Bytes that are not sent yet.
        full: At least the capacity waits.
    """

    __slots__ = (
        "_capacity",
        "_closed",
        "_open",
        "_routes",
        "_size",
        "_wake",
        "full",
        "waiting",
    )

    def __init__(
        self, capacity: int = CAPACITY, wake: Callable[[], None] = _nobody
    ) -> None:
        self._capacity = capacity
        self._wake = wake
        self._closed: deque[Packed] = deque()
        self._open: list[bytes] = []
        self._routes: dict[str, bytes] = {"": b""}  # the field of each, as it is sent
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
        field = self._routes.get(route)
        if field is None:
            field = self._field(route)
        size = len(payload)
        length = REST + size + len(field)
        if length > LONGEST:
            self._add_long(kind, session, number, route, payload, flags, delivery)
            return
        # n + (n & 0x3F80) + 0x80 is n as a varint of two bytes, low byte first
        data = (
            HEAD.pack(
                0x0A, length + (length & 0x3F80) + 0x80,
                0x08, kind,
                0x11, session,
                0x19, number,
                0x30, flags,
                0x38, delivery,
                0x2A, size + (size & 0x3F80) + 0x80,
            )
            + payload
            + field
        )  # fmt: skip
        if not self._open:
            self._wake()
        self._open.append(data)
        size = len(data)
        self.waiting += size
        self._size += size
        if self.waiting >= self._capacity or self._size >= BATCH_SIZE:
            self._grown()

    def _field(self, route: str) -> bytes:
        """Return the field of *route*, and remember it."""
        field = pb.Envelope(route=route).SerializeToString()
        if len(self._routes) < MOST_ROUTES:
            self._routes[route] = field
        return field

    def _add_long(
        self,
        kind: pb.Kind.ValueType,
        session: int,
        number: int,
        route: str,
        payload: bytes,
        flags: int,
        delivery: pb.Delivery.ValueType,
    ) -> None:
        self.add(
            pb.Envelope(
                kind=kind,
                session=session,
                id=number,
                route=route,
                payload=payload,
                flags=flags,
                delivery=delivery,
            )
        )

    def add(self, envelope: pb.Envelope) -> None:
        """Add any other envelope."""
        data = packed(envelope).data
        if not self._open:
            self._wake()
        self._open.append(data)
        self.waiting += len(data)
        self._size += len(data)
        self._grown()

    def _grown(self) -> None:
        """See whether the box is full now, or the batch large enough."""
        if self.waiting >= self._capacity:
            self.full = True
        if self._size >= BATCH_SIZE:
            self._closed.append(self._closing())

    def _closing(self) -> Packed:
        """End the open batch, and return it."""
        batch = Packed(b"".join(self._open), len(self._open))
        self._open.clear()
        self._size = 0
        return batch

    def takes(self, delivery: Delivery) -> bool:
        """Tell whether a push may still go; a ``must`` may for twice as long."""
        if delivery == "must":
            return self.waiting < self._capacity * PATIENCE
        return not self.full

    def take(self) -> Packed | None:
        """Return the next batch, or ``None`` if nothing waits.

        Its size still counts as waiting until :meth:`sent` is told of it.
        """
        if self._closed:
            return self._closed.popleft()
        return self._closing() if self._open else None

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
        self._open.clear()
        self._size = self.waiting = 0


def delivery_of(envelope: pb.Envelope | pb.UidPush) -> Delivery:
    """Return what may happen to the push in *envelope*; of a newer peer's, nothing."""
    return _DELIVERIES.get(envelope.delivery, "must")
