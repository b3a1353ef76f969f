"""The outer layer of the wire: packets, each with a type and a length.

::

    offset  size  content
         0     1  type
         1     3  length of the body, unsigned, big-endian
         4     n  body

This module knows how packets are cut out of a stream and put into one.  What a
body means is the business of :mod:`~nano.protocol.messages` and
:mod:`~nano.protocol.handshake`.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from nano.errors import EncodeError, PacketTooLarge, ProtocolError

__all__ = [
    "DEFAULT_LIMIT",
    "HEADER_SIZE",
    "HEARTBEAT_PACKET",
    "LARGEST_BODY",
    "Packet",
    "PacketReader",
    "PacketType",
    "encode_packet",
]

HEADER_SIZE: Final = 4
LARGEST_BODY: Final = (1 << 24) - 1  # what three bytes of length can say
DEFAULT_LIMIT: Final = 65536  # nano's receive limit: 64 KiB inclusive

HEADER: Final = Struct(">I")


class PacketType(IntEnum):
    """What a packet is for; the numbers are pomelo's."""

    HANDSHAKE = 1
    HANDSHAKE_ACK = 2
    HEARTBEAT = 3
    DATA = 4
    KICK = 5


class Packet(NamedTuple):
    """One packet as it was cut out of the stream."""

    type: PacketType
    body: bytes


def encode_packet(kind: PacketType, body: bytes = b"") -> bytes:
    """Put *body* behind the header that announces it.

    Raises:
        EncodeError: *body* is longer than three bytes of length can say.  nano
            wraps the length silently and corrupts the stream.
    """
    size = len(body)
    if size > LARGEST_BODY:
        message = (
            f"a packet body holds at most {LARGEST_BODY} bytes, this one has {size}"
        )
        raise EncodeError(message)
    return HEADER.pack(kind << 24 | size) + body


HEARTBEAT_PACKET: Final = encode_packet(PacketType.HEARTBEAT)


class PacketReader:
    """Cuts packets out of a stream that arrives in pieces.

    Owned by one connection.  It holds at most one incomplete packet, so its
    memory is bounded by *limit* and the size of one read.

    Args:
        limit: The longest body that is accepted, in bytes, inclusive.

    Attributes:
        rest: The bytes that wait for the rest of their packet.
    """

    __slots__ = ("_needed", "limit", "rest")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        self.rest = bytearray()
        self._needed = HEADER_SIZE  # bytes that rest must reach to be looked at again

    def join(self, data: bytes) -> bytes | None:
        """Return all bytes that wait to be cut, or ``None`` if no packet is whole.

        Pieces of a large packet are collected without being copied at each
        arrival: nothing is looked at before the announced length is there.
        """
        rest = self.rest
        if not rest:
            return data
        rest += data
        if len(rest) < self._needed:
            return None
        joined = bytes(rest)
        rest.clear()
        return joined

    def keep(self, data: bytes, offset: int, needed: int) -> None:
        """Hold back what follows *offset* until *needed* bytes of it are there."""
        self.rest += data[offset:] if offset else data
        self._needed = needed

    def check(self, kind: int, size: int) -> None:
        """Refuse a header that cannot begin a packet.

        Raises:
            ProtocolError: The type is unknown.
            PacketTooLarge: The length exceeds the limit; seen before the body
                arrives, so that nobody makes us buffer it.
        """
        if not 1 <= kind <= 5:
            message = f"packet type {kind} does not exist"
            raise ProtocolError(message)
        if size > self.limit:
            message = f"a packet of {size} bytes, and at most {self.limit} are accepted"
            raise PacketTooLarge(message)

    def receive(self, data: bytes) -> list[Packet]:
        """Return the packets that *data* completes, in order.

        Raises:
            ProtocolError: As :meth:`check`; packets in front of the bad header
                are lost with it.
        """
        packets: list[Packet] = []
        joined = self.join(data)
        if joined is None:
            return packets
        offset, end = 0, len(joined)
        needed = HEADER_SIZE
        while end - offset >= HEADER_SIZE:
            (header,) = HEADER.unpack_from(joined, offset)
            kind, size = header >> 24, header & LARGEST_BODY
            self.check(kind, size)
            stop = offset + HEADER_SIZE + size
            if stop > end:
                needed = HEADER_SIZE + size
                break
            packets.append(
                Packet(PacketType(kind), joined[offset + HEADER_SIZE : stop])
            )
            offset = stop
        if offset < end:
            self.keep(joined, offset, needed)
        return packets
