"""WebSocket data frames, RFC 6455 section 5, without the socket.

Only what happens after the upgrade: the opening handshake is done by the
``websockets`` library.  Clients of nano see a stream of bytes behind the frames
(nano ignores where messages begin and end), so the reader joins the payloads of
one read into one string and the rest of the server does not know of frames.

The library's own reader costs several times as much for each message; the two are
held equal by property tests in ``tests/transports``.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from struct import Struct
from typing import Final

from msgspec import Struct as Record
from websockets.exceptions import ProtocolError as CloseError
from websockets.frames import Close

from nano.errors import detached

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform for which websockets has no compiled wheel
    from websockets.utils import apply_mask

__all__ = [
    "GOING_AWAY",
    "INVALID_DATA",
    "MESSAGE_TOO_BIG",
    "NORMAL",
    "POLICY_VIOLATION",
    "PROTOCOL_ERROR",
    "TRY_AGAIN_LATER",
    "WHOLE",
    "FrameError",
    "FrameReader",
    "Frames",
    "close_frame",
    "data_frame",
    "pong_frame",
]

# RFC 6455 section 7.4.1
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
INVALID_DATA: Final = 1007
POLICY_VIOLATION: Final = 1008
MESSAGE_TOO_BIG: Final = 1009
TRY_AGAIN_LATER: Final = 1013

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

FIN: Final = 0x80
WHOLE: Final = FIN | BINARY
RESERVED: Final = 0x70
MASKED: Final = 0x80
LARGEST_CONTROL: Final = 125
SHORTEST: Final = 6  # bytes of a client's frame around a payload

_short: Final = Struct(">BB")
_medium: Final = Struct(">BBH")
_long: Final = Struct(">BBQ")
_u16: Final = Struct(">H")
_u64: Final = Struct(">Q")


class FrameError(Exception):
    """The client's frames break RFC 6455; *code* goes into our close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Frames(Record, frozen=True, gc=False):
    """What one read held.

    Attributes:
        data: The payloads of all data frames, joined.
        pings: The payloads that want a pong, in order.
        close: The client's close code, or ``None``; 1005 if it gave none.
        error: What is wrong with the frame behind all these, or ``None``.
    """

    data: bytes
    pings: Sequence[bytes] = ()
    close: int | None = None
    error: FrameError | None = None


class FrameReader:
    """Takes frames out of a client's stream.

    Owned by one connection.  It holds at most one incomplete frame.

    Args:
        limit: The longest frame payload that is accepted, in bytes; may be changed.
    """

    __slots__ = ("_needed", "_open", "_rest", "_text", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rest = bytearray()
        self._needed = 2
        self._open = False  # a message is fragmented and not yet complete
        self._text: codecs.IncrementalDecoder | None = None  # checks its UTF-8

    def plain(self, data: bytes) -> bytes | None:
        """Return the payload of *data* if that is all it is: one of the usual frames.

        ``None`` if it is anything else, which is for :meth:`receive` then.
        """
        size = len(data) - SHORTEST
        if (
            0 < size < 126
            and data[0] == WHOLE
            and data[1] == MASKED + size
            and not self._rest
            and not self._open
            and size <= self.limit
        ):
            return apply_mask(data[SHORTEST:], data[2:SHORTEST])
        return None

    def receive(self, data: bytes) -> Frames:
        """Take bytes from the client and return what is complete.

        A broken frame is returned, not raised: what came in front of it counts.
        Neither it nor a close frame may be followed by another call; but a frame that
        is only too long is looked at anew by ``receive(b"")`` under another limit.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return Frames(b"")
            data = bytes(self._rest)
            self._rest.clear()
        parts: list[bytes] = []
        end = len(data)
        offset = 0 if self._open else _read_plain(data, self.limit, parts)
        if offset == end:
            return Frames(parts[0] if len(parts) == 1 else b"".join(parts))
        pings: list[bytes] = []
        close: int | None = None
        broken: FrameError | None = None
        try:
            while close is None and offset < end:
                stop, start = self._bounds(data, offset, end)
                if stop > end:
                    self._rest += data[offset:]
                    self._needed = stop - offset
                    break
                head = data[offset]
                payload = data[start:stop]
                if start < stop:
                    payload = apply_mask(payload, data[start - 4 : start])
                offset = stop
                opcode = head & 0x0F
                if opcode <= BINARY:
                    self._data(opcode, head & FIN, payload)
                    parts.append(payload)
                elif opcode == PING:
                    pings.append(payload)
                elif opcode == CLOSE:
                    close = _close_code(payload)
        except FrameError as error:
            broken = detached(error)
            if error.code == MESSAGE_TOO_BIG:
                self._rest += data[offset:]
                self._needed = 0
        joined = parts[0] if len(parts) == 1 else b"".join(parts)
        return Frames(joined, pings, close, broken)

    def _bounds(self, data: bytes, offset: int, end: int) -> tuple[int, int]:
        """Return where the frame at *offset* ends and where its payload begins.

        An incomplete header ends as far behind *end* as is known to be missing.
        """
        if end - offset < 2:
            return offset + 2, offset
        head, second = data[offset], data[offset + 1]
        size = second & 0x7F
        start = offset + 6  # two bytes and the mask
        if size >= 126:
            extra = 2 if size == 126 else 8
            start += extra
            if end < start - 4:
                return start - 4, start  # the size says enough, mask or not
            read = _u16 if extra == 2 else _u64
            (size,) = read.unpack_from(data, offset + 2)
        self._check(head, second, size)
        return start + size, start

    def _check(self, head: int, second: int, size: int) -> None:
        if head & RESERVED:
            raise FrameError(PROTOCOL_ERROR, "no extension was agreed upon")
        if not second & MASKED:
            raise FrameError(PROTOCOL_ERROR, "a client's frames are masked")
        opcode = head & 0x0F
        if opcode >= CLOSE:
            if opcode > PONG:
                raise FrameError(PROTOCOL_ERROR, f"opcode {opcode} does not exist")
            if not head & FIN or size > LARGEST_CONTROL:
                raise FrameError(PROTOCOL_ERROR, "control frames are short and whole")
        elif opcode > BINARY:
            raise FrameError(PROTOCOL_ERROR, f"opcode {opcode} does not exist")
        elif size > self.limit:
            reason = f"a frame of {size} bytes, and at most {self.limit} are accepted"
            raise FrameError(MESSAGE_TOO_BIG, reason)

    def _data(self, opcode: int, final: int, payload: bytes) -> None:
        """Follow the fragments of a message, and check text as it arrives."""
        if (opcode == CONTINUATION) is not self._open:
            raise FrameError(PROTOCOL_ERROR, "fragments are out of order")
        self._open = not final
        if opcode == TEXT:
            self._text = codecs.getincrementaldecoder("utf-8")()
        if self._text is not None:
            try:
                self._text.decode(payload, bool(final))
            except UnicodeDecodeError:
                raise FrameError(INVALID_DATA, "text is not valid UTF-8") from None
            if final:
                self._text = None


def _read_plain(data: bytes, limit: int, payloads: list[bytes]) -> int:
    """Take the frames of the commonest form off the front of *data*.

    That form is a whole message in one binary frame of less than 64 KiB.  At anything
    else, right or wrong, this stops: it is for the reader's long way, which it equals.

    Args:
        data: Bytes that begin with a frame.
        limit: The longest payload that is accepted, in bytes.
        payloads: Where what the frames held is added.

    Returns:
        The offset of the first frame that was not taken.
    """
    offset, end = 0, len(data)
    while end - offset > SHORTEST and data[offset] == WHOLE:
        size = data[offset + 1] - MASKED
        start = offset + SHORTEST
        if size == 126:
            size = data[offset + 2] << 8 | data[offset + 3]
            start += 2
        elif size == 127:
            break
        stop = start + size
        if not 0 < size <= limit or stop > end:
            break
        payloads.append(apply_mask(data[start:stop], data[start - 4 : start]))
        offset = stop
    return offset


def _close_code(payload: bytes) -> int:
    try:
        return int(Close.parse(payload).code)
    except CloseError as error:
        raise FrameError(PROTOCOL_ERROR, str(error)) from None
    except UnicodeDecodeError:
        raise FrameError(INVALID_DATA, "the close reason is not UTF-8") from None


def data_frame(packet: bytes) -> bytes:
    """Return *packet* as a binary frame of its own, as nano's clients expect."""
    size = len(packet)
    if size < 126:
        return _short.pack(FIN | BINARY, size) + packet
    if size < 65536:
        return _medium.pack(FIN | BINARY, 126, size) + packet
    return _long.pack(FIN | BINARY, 127, size) + packet


def pong_frame(payload: bytes) -> bytes:
    """Return the answer to a ping."""
    return _short.pack(FIN | PONG, len(payload)) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame; the reason is cut to what a control frame holds."""
    text = reason.encode()[: LARGEST_CONTROL - 2].decode(errors="ignore")
    payload = Close(code, text).serialize()
    return _short.pack(FIN | CLOSE, len(payload)) + payload
