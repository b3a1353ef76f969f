"""Connections of clients without a socket.

:func:`connect` joins a protocol, which is what a listener makes for each connection,
with a stream such as :class:`nano.client.Client` speaks on.  Between them lie two
transports of asyncio's form, so both ends are what they are over TCP: nothing that is
written arrives at once, a reader can pause, a writer is told when too much waits and
can ask how much, and each side can end its half, close, or abort.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from nano.client.streams import SocketStream
from nano.protocol.packets import HEADER, HEADER_SIZE, LARGEST_BODY
from nano.testing.faults import Course, Line

__all__ = ["END", "ROOM", "Pipe", "PipeTransport", "connect"]

ROOM: Final = 64 * 1024
"""Bytes on the way that a writer does not see, as those in a kernel's buffers."""

MOST_AT_ONCE: Final = 256 * 1024  # bytes of one read, as asyncio's
HIGH_WATER: Final = 64 * 1024  # of asyncio's transports, and so of these
READ_LIMIT: Final = 64 * 1024  # of asyncio's streams
END: Final = b""  # travels behind everything else


class Pipe:
    """What is on its way along a course, in order.

    Args:
        course: What may go wrong.
        deliver: Takes what has arrived.

    Attributes:
        size: Bytes on the way.
        number: Things on the way.
        open: The receiver takes more.
    """

    def __init__(self, course: Course, deliver: Callable[[list[bytes]], None]) -> None:
        self.size = 0
        self.open = True
        self._course = course
        self._deliver = deliver
        self._items: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        course.attach(self.pump)

    @property
    def number(self) -> int:
        """Things on the way."""
        return len(self._items)

    def put(self, item: bytes) -> None:
        """Send *item* on its way; :meth:`pump` moves it."""
        now = asyncio.get_running_loop().time()
        due = self._course.due(now) if item else now
        if self._items:
            due = max(due, self._items[-1][0])  # nothing overtakes
        for _ in range(self._course.copies() if item else 1):
            self._items.append((due, item))
            self.size += len(item)

    def pump(self) -> None:
        """Deliver what has arrived, and look again when more is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._course.frozen or not self.open:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        arrived: list[bytes] = []
        size = 0
        while self._items and self._items[0][0] <= now and size < MOST_AT_ONCE:
            arrived.append(self._items.popleft()[1])
            size += len(arrived[-1])
        self.size -= size
        if self._items:
            self._timer = loop.call_at(self._items[0][0], self.pump)
        if arrived:
            self._deliver(arrived)

    def clear(self) -> None:
        """Lose what is on its way."""
        self._items.clear()
        self.size = 0

    def close(self) -> None:
        """Move nothing any more."""
        self.clear()
        self.open = False
        self._course.detach(self.pump)
        if self._timer is not None:
            self._timer.cancel()


class PipeTransport(asyncio.Transport):
    """One end of a connection in memory.

    Args:
        protocol: Whose it is.
        course: The way from here to the other end.
        peername: The other end's address.
    """

    def __init__(
        self, protocol: asyncio.Protocol, course: Course, peername: tuple[str, int]
    ) -> None:
        super().__init__({"peername": peername})
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._peer: PipeTransport
        self._over: Callable[[], None]
        self._out = Pipe(course, self._arrived)
        self._high, self._low = HIGH_WATER, HIGH_WATER // 4
        self._pumping = False  # a pump is scheduled
        self._paused = False  # the protocol was told to write no more
        self._ended = False  # our half is over
        self._closing = False
        self._lost = False

    def join(self, peer: PipeTransport, over: Callable[[], None]) -> None:
        """Be the other end of *peer*; *over* is called when both have ended."""
        self._peer = peer
        self._over = over

    # ---------------------------------------------------------------- writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send *data*; whole packets in it meet each their own fate."""
        if self._ended and not self._closing:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not data:
            return
        for item in _cut(bytes(data)):
            self._out.put(item)
        self._pump_soon()
        if not self._paused and self.get_write_buffer_size() > self._high:
            self._paused = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        """End our half once everything is written."""
        if self._closing or self._ended:
            return
        self._ended = True
        self._out.put(END)
        self._pump_soon()

    def can_write_eof(self) -> bool:
        """It can, as TCP."""
        return True

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait, besides those that are on the way already."""
        return max(0, self._out.size - ROOM)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return when the protocol is told to go on, and when to write no more."""
        return self._low, self._high

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        """Set when the protocol is told to write no more, and when to go on."""
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        self._high, self._low = high, high // 4 if low is None else low

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        self._out.pump()

    def _arrived(self, items: list[bytes]) -> None:
        """Hand what has arrived to the other end, and see what follows here."""
        ended = END in items
        data = b"".join(items)
        if data and not self._peer._lost:
            self._peer._protocol.data_received(data)
        if ended and not self._peer._lost and not self._peer._protocol.eof_received():
            self._peer.close()
        waiting = self.get_write_buffer_size()
        if self._paused and waiting <= self._low and not self._lost:
            self._paused = False
            self._protocol.resume_writing()
        if self._closing and not waiting:
            self._lose(None)

    # ---------------------------------------------------------------- reading

    def pause_reading(self) -> None:
        """Take nothing until :meth:`resume_reading`."""
        self._peer._out.open = False

    def resume_reading(self) -> None:
        """Take what has come meanwhile, and what comes."""
        if not self._lost:
            self._peer._out.open = True
            self._peer._pump_soon()

    def is_reading(self) -> bool:
        """Whether what comes is taken."""
        return self._peer._out.open and not self._closing

    # ------------------------------------------------------------------ the end

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._closing

    def close(self) -> None:
        """Close once everything is written; a second time is harmless."""
        if self._closing:
            return
        self.write_eof()
        self._closing = True
        if not self.get_write_buffer_size():
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        """Close at once; what was not on the way yet is lost."""
        if self._lost:
            return
        if self.get_write_buffer_size():
            self._out.clear()
            self._ended = False
        if not self._ended:
            self._ended = True
            self._out.put(END)
            self._pump_soon()
        self._closing = True
        self._loop.call_soon(self._lose, None)

    def reset(self) -> None:
        """End both sides as a reset does: what is on its way is lost."""
        for end in (self, self._peer):
            end._out.close()
            end._closing = True
            self._loop.call_soon(end._lose, ConnectionResetError("reset by peer"))

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._peer._out.clear()  # nobody reads it any more
        self._peer._out.open = True
        if self._peer._lost:
            self._out.close()
            self._peer._out.close()
            self._over()
        elif not self._peer._closing and self._peer._paused:
            self._loop.call_soon(self._peer._broken)
        self._protocol.connection_lost(error)

    def _broken(self) -> None:
        """Notice that nobody reads what is written here."""
        self._closing = True
        self._lose(BrokenPipeError("the other side has closed"))


def _cut(data: bytes) -> Iterator[bytes]:
    """Return the packets that *data* consists of; or all of it, if it is no packets."""
    packets: list[bytes] = []
    offset, end = 0, len(data)
    while end - offset >= HEADER_SIZE:
        (header,) = HEADER.unpack_from(data, offset)
        stop = offset + HEADER_SIZE + (header & LARGEST_BODY)
        if stop > end or not 1 <= header >> 24 <= 5:
            break
        packets.append(data[offset:stop])
        offset = stop
    return iter(packets if offset == end else [data])


def connect(
    protocol: asyncio.Protocol, line: Line, peername: tuple[str, int]
) -> SocketStream:
    """Connect with *protocol*, as a socket does with what a listener's server makes.

    Args:
        protocol: The accepting end.
        line: What may go wrong between them; ``up`` leads to *protocol*.
        peername: The connecting end's address, as the protocol sees it.

    Returns:
        The connecting end.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(READ_LIMIT)
    near_protocol = asyncio.StreamReaderProtocol(reader)
    near = PipeTransport(near_protocol, line.up, ("memory", 0))
    far = PipeTransport(protocol, line.down, peername)
    forget = line.on_cut(far.reset)
    near.join(far, forget)
    far.join(near, forget)
    near_protocol.connection_made(near)
    writer = asyncio.StreamWriter(near, near_protocol, reader, loop)
    protocol.connection_made(far)
    return SocketStream(reader, writer)
