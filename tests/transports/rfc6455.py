"""The cases of the Autobahn test suite for servers, by their numbers, as a table.

The suite itself (``autobahntestsuite``) runs on Python 2 only, and wants a server that
echoes every message.  Ours does not: behind the frames it finds one stream of pomelo's
packets.  So where a case wants its message echoed, a frame of ours goes in front of it
that holds the beginning of a packet: the head of an echo request whose payload is as
long as the message.  The frames of the case follow as the suite sends them, what they
hold is that payload, and the answer must be the message, byte for byte.  Only the type
of the echo is not compared: we always send binary.

The end is the suite's too: a case that ends well sends a close frame, which must be
answered; one that breaks a rule must get a close frame with the code of the rule.
Whatever follows the frame that breaks it must have no answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from websockets.utils import apply_mask

__all__ = [
    "ALL",
    "COMPRESSION_OFFERS",
    "INFORMATIONAL",
    "LIMIT",
    "NON_STRICT",
    "TOO_LARGE",
    "FrameCase",
    "wire",
]

NORMAL: Final = 1000
PROTOCOL_ERROR: Final = 1002
INVALID_DATA: Final = 1007
MESSAGE_TOO_BIG: Final = 1009

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

LIMIT: Final = (1 << 24) - 1024  # of a frame, in bytes: below the 16 MiB of 9.1.6
MASK: Final = b"\x37\xfa\x21\x3d"  # of the examples in RFC 6455
HELLO: Final = b"Hello, world!"

# what the suite calls non-strict, and why we are
NON_STRICT: Final = dict.fromkeys(
    ("6.4.3", "6.4.4"),
    "a frame is looked at when it is whole, so bad UTF-8 in the middle of one is "
    "noticed at its end; a frame is bounded by the limit of a packet",
)
# cases without a right outcome: what ours is
INFORMATIONAL: Final = {
    "7.1.6": "what came in front of the close frame is answered in front of it",
    "7.13.1": "refused as every code that RFC 6455 gives to nobody: 1002",
    "7.13.2": "the same",
}
# the only cases that do not end as the suite wants
TOO_LARGE: Final = dict.fromkeys(
    ("9.1.6", "9.2.6"),
    "16 MiB do not fit a packet of the protocol (2**24-1 bytes), so no limit lets such "
    "a frame in: 1009",
)


def wire(
    opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0
) -> bytes:
    """Return a frame as the suite's client sends it, also one that it may not send."""
    head = bytes((fin << 7 | reserved << 4 | opcode,))
    size = len(payload)
    if size < 126:
        head += bytes((0x80 | size,))
    elif size < 65536:
        head += b"\xfe" + size.to_bytes(2)
    else:
        head += b"\xff" + size.to_bytes(8)
    return head + MASK + apply_mask(payload, MASK)


@dataclass(frozen=True, slots=True)
class FrameCase:
    """One case.

    Attributes:
        number: The suite's.
        frames: What is sent, frame by frame.
        chop: Octets that are sent at once; 0 for a frame, -1 for everything.
        echo: The message that must come back; ``None`` if none may.
        pongs: The payloads of the pongs that must come, in order.
        close: The code of the close frame that must come.
    """

    number: str
    frames: tuple[bytes, ...]
    chop: int = -1
    echo: bytes | None = None
    pongs: tuple[bytes, ...] = ()
    close: int = NORMAL

    def __str__(self) -> str:
        return self.number

    def chunks(self, front: bytes = b"") -> Iterator[bytes]:
        """Yield what is sent at once, with *front* in front of the first."""
        if self.chop == 0:
            yield from (front, *self.frames) if front else self.frames
            return
        data = b"".join(self.frames)
        if self.chop < 0:
            yield front + data
            return
        if front:
            yield front
        for start in range(0, len(data), self.chop):
            yield data[start : start + self.chop]


CLOSED: Final = wire(CLOSE, NORMAL.to_bytes(2))


def _good(
    number: str,
    *frames: bytes,
    chop: int = -1,
    echo: bytes | None = None,
    pongs: tuple[bytes, ...] = (),
) -> FrameCase:
    return FrameCase(number, (*frames, CLOSED), chop, echo, pongs)


def _bad(
    number: str,
    *frames: bytes,
    chop: int = -1,
    echo: bytes | None = None,
    close: int = PROTOCOL_ERROR,
) -> FrameCase:
    return FrameCase(number, frames, chop, echo, (), close)


def _fragments(opcode: int, payload: bytes, size: int) -> list[bytes]:
    """Cut a message into frames of *size* bytes."""
    starts = range(0, len(payload), size)
    return [
        wire(
            0 if start else opcode,
            payload[start : start + size],
            fin=start + size >= len(payload),
        )
        for start in starts
    ]


def _framing() -> Iterator[FrameCase]:
    sizes = ((0, -1), (125, -1), (126, -1), (127, -1), (128, -1), (65535, -1))
    for group, opcode, octet in (("1.1", TEXT, b"*"), ("1.2", BINARY, b"\xfe")):
        for at, (size, chop) in enumerate((*sizes, (65536, -1), (65536, 997)), 1):
            message = octet * size
            yield _good(f"{group}.{at}", wire(opcode, message), chop=chop, echo=message)


def _pings() -> Iterator[FrameCase]:
    odd = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
    long = b"\xfe" * 125
    yield _good("2.1", wire(PING), pongs=(b"",))
    yield _good("2.2", wire(PING, HELLO), pongs=(HELLO,))
    yield _good("2.3", wire(PING, odd), pongs=(odd,))
    yield _good("2.4", wire(PING, long), pongs=(long,))
    yield _bad("2.5", wire(PING, b"\xfe" * 126))
    yield _good("2.6", wire(PING, long), chop=1, pongs=(long,))
    yield _good("2.7", wire(PONG))
    yield _good("2.8", wire(PONG, b"unsolicited pong payload"))
    pong = wire(PONG, b"unsolicited pong payload")
    yield _good("2.9", pong, wire(PING, b"ping payload"), pongs=(b"ping payload",))
    ten = tuple(b"payload-%d" % it for it in range(10))
    yield _good("2.10", *(wire(PING, it) for it in ten), pongs=ten)
    yield _good("2.11", *(wire(PING, it) for it in ten), chop=1, pongs=ten)


def _reserved_bits() -> Iterator[FrameCase]:
    hello = wire(TEXT, HELLO)
    yield _bad("3.1", wire(TEXT, HELLO, reserved=1))
    for number, reserved, chop in (("3.2", 2, -1), ("3.3", 3, 0), ("3.4", 4, 1)):
        wrong = wire(TEXT, HELLO, reserved=reserved)
        yield _bad(number, hello, wrong, wire(PING), chop=chop, echo=HELLO)
    yield _bad("3.5", wire(BINARY, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", reserved=5))
    yield _bad("3.6", wire(PING, HELLO, reserved=6))
    yield _bad("3.7", wire(CLOSE, reserved=7))


def _opcodes() -> Iterator[FrameCase]:
    hello, ping = wire(TEXT, HELLO), wire(PING)
    for group, first in (("4.1", 3), ("4.2", 11)):
        yield _bad(f"{group}.1", wire(first))
        yield _bad(f"{group}.2", wire(first + 1, b"reserved opcode payload"))
        yield _bad(f"{group}.3", hello, wire(first + 2), ping, echo=HELLO)
        yield _bad(f"{group}.4", hello, wire(first + 3, HELLO), ping, echo=HELLO)
        wrong = wire(first + 4, HELLO)
        yield _bad(f"{group}.5", hello, wrong, ping, chop=1, echo=HELLO)


def _fragmentation() -> Iterator[FrameCase]:
    one, two, three, four, five = (b"fragment%d" % it for it in range(1, 6))
    first, last = wire(TEXT, one, fin=False), wire(0, two)
    yield _bad("5.1", wire(PING, one, fin=False), wire(0, two))
    yield _bad("5.2", wire(PONG, one, fin=False), wire(0, two))
    for number, chop in (("5.3", -1), ("5.4", 0), ("5.5", 1)):
        yield _good(number, first, last, chop=chop, echo=one + two)
    for number, chop in (("5.6", -1), ("5.7", 0), ("5.8", 1)):
        ping = wire(PING, b"ping payload")
        pongs = (b"ping payload",)
        yield _good(number, first, ping, last, chop=chop, echo=one + two, pongs=pongs)
    for at, fin in enumerate((True, True, True, False, False, False)):
        lonely = wire(0, b"non-continuation payload", fin=fin)
        yield _bad(f"5.{9 + at}", lonely, wire(TEXT, HELLO), chop=(-1, 0, 1)[at % 3])
    more = wire(0, three, fin=False)
    yield _bad("5.15", first, last, more, wire(TEXT, four), echo=one + two)
    for number, fin in (("5.16", False), ("5.17", True)):
        triple = (wire(0, one, fin=fin), wire(TEXT, two, fin=False), wire(0, three))
        yield _bad(number, *triple, *triple)
    yield _bad("5.18", first, wire(TEXT, two))
    pings = (b"pongme 1!", b"pongme 2!")
    for number, chop in (("5.19", -1), ("5.20", 0)):
        yield _good(
            number,
            first,
            wire(0, two, fin=False),
            wire(PING, pings[0]),
            more,
            wire(0, four, fin=False),
            wire(PING, pings[1]),
            wire(0, five),
            chop=chop,
            echo=one + two + three + four + five,
            pongs=pings,
        )


GREEK: Final = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"
BEYOND: Final = b"\xf4\x90\x80\x80"  # what would be U+110000
SURROGATE: Final = b"\xed\xa0\x80"

_CUT_OFF: Final = [
    *(b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80"),
    *(b"\xfc\x80\x80\x80\x80", b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf"),
    *(b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf"),
]
_NON_CHARACTERS: Final = [b"\xef\xbf\xbe", b"\xef\xbf\xbf"] + [
    chr(plane << 16 | last).encode()
    for plane in range(1, 17)
    for last in (0xFFFE, 0xFFFF)
]

# 6.5 to 6.23: Markus Kuhn's sequences; Python's decoder says which are valid
SEQUENCES: Final[list[list[bytes]]] = [
    [
        *(b"hello\x24world", b"hello\xc2\xa2world", b"hello\xe2\x82\xacworld"),
        *(b"hello\xf0\xa4\xad\xa2world", GREEK),
    ],
    [GREEK[:end] for end in range(1, len(GREEK) + 1)],
    [b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"],
    [b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"],
    [b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"],
    [b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"],
    [
        *(b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf"),
        BEYOND,
    ],
    [
        *(b"\x80", b"\xbf", b"\x80\xbf", b"\x80\xbf\x80", b"\x80\xbf\x80\xbf"),
        *(b"\x80\xbf\x80\xbf\x80", b"\x80\xbf\x80\xbf\x80\xbf"),
        bytes(range(0x80, 0xBF)),
    ],
    [
        b"".join(bytes((it, 0x20)) for it in range(*bounds))
        for bounds in ((0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB))
    ]
    + [b"\xfc\x20"],
    _CUT_OFF,
    [b"".join(_CUT_OFF)],
    [b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"],
    [
        *(b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf"),
        b"\xfc\x80\x80\x80\x80\xaf",
    ],
    [
        *(b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf"),
        b"\xfc\x83\xbf\xbf\xbf\xbf",
    ],
    [
        *(b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80"),
        b"\xfc\x80\x80\x80\x80\x80",
    ],
    [
        *(SURROGATE, b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf"),
        *(b"\xed\xb0\x80", b"\xed\xbe\x80", b"\xed\xbf\xbf"),
    ],
    [
        first + second
        for first in (SURROGATE, b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf")
        for second in (b"\xed\xb0\x80", b"\xed\xbf\xbf")
    ],
    _NON_CHARACTERS,
    [bytes((0xEF, 0xBF, last)) for last in range(0xB9, 0xC0)],
]


def _utf8() -> Iterator[FrameCase]:
    middle = b"middle frame payload"
    parts = (
        wire(TEXT, fin=False),
        wire(0, middle, fin=False),
        wire(0),
    )
    yield _good("6.1.1", wire(TEXT), echo=b"")
    yield _good("6.1.2", wire(TEXT, fin=False), wire(0, fin=False), wire(0), echo=b"")
    yield _good("6.1.3", *parts, echo=middle)
    front, back = "Hello-µ@ßöä".encode(), "üàá-UTF-8!!".encode()
    text = front + back
    yield _good("6.2.1", wire(TEXT, text), echo=text)
    halves = wire(TEXT, front, fin=False), wire(0, back)
    yield _good("6.2.2", *halves, echo=text)
    yield _good("6.2.3", *_fragments(TEXT, text, 1), echo=text)
    yield _good("6.2.4", *_fragments(TEXT, GREEK, 1), echo=GREEK)
    wrong = GREEK + SURROGATE + b"edited"
    yield _bad("6.3.1", wire(TEXT, wrong), close=INVALID_DATA)
    yield _bad("6.3.2", *_fragments(TEXT, wrong, 1), close=INVALID_DATA)
    # fail fast: the suite's third part is never sent, the connection must fail without
    begun, beyond = wire(TEXT, GREEK, fin=False), wire(0, BEYOND, fin=False)
    yield _bad("6.4.1", begun, beyond, chop=0, close=INVALID_DATA)
    begun = wire(TEXT, GREEK + BEYOND[:1], fin=False)
    beyond = wire(0, BEYOND[1:2], fin=False)
    yield _bad("6.4.2", begun, beyond, chop=0, close=INVALID_DATA)
    whole = wire(TEXT, GREEK + BEYOND + b"edited")
    head = len(whole) - len(GREEK + BEYOND + b"edited")
    for number, ends in (("6.4.3", (11, 15)), ("6.4.4", (12, 13))):
        first, second = (head + end for end in ends)
        chops = whole[:first], whole[first:second], whole[second:]
        yield _bad(number, *chops, chop=0, close=INVALID_DATA)
    for group, sequences in enumerate(SEQUENCES, 5):
        for at, sequence in enumerate(sequences, 1):
            number = f"6.{group}.{at}"
            frame = wire(TEXT, sequence)
            try:
                sequence.decode()
            except UnicodeDecodeError:
                yield _bad(number, frame, close=INVALID_DATA)
            else:
                yield _good(number, frame, echo=sequence)


def _closes() -> Iterator[FrameCase]:
    hello = b"Hello World!"

    def ended(number: str, payload: bytes, answer: int = NORMAL) -> FrameCase:
        return FrameCase(number, (wire(CLOSE, payload),), close=answer)

    def code(number: int) -> bytes:
        return number.to_bytes(2)

    yield _good("7.1.1", wire(TEXT, hello), echo=hello)
    yield FrameCase("7.1.2", (CLOSED, wire(CLOSE)))
    yield FrameCase("7.1.3", (CLOSED, wire(PING)))
    yield FrameCase("7.1.4", (CLOSED, wire(TEXT, hello)))
    parts = wire(TEXT, b"fragment1", fin=False), wire(0, b"fragment2")
    yield FrameCase("7.1.5", (parts[0], CLOSED, parts[1]))
    large = b"BAsd7&jh" * 32_768
    frames = (wire(TEXT, large), wire(TEXT, hello), CLOSED, wire(PING))
    yield FrameCase("7.1.6", frames, echo=large + hello)
    yield ended("7.3.1", b"")
    yield ended("7.3.2", b"a", PROTOCOL_ERROR)
    yield ended("7.3.3", code(1000))
    yield ended("7.3.4", code(1000) + b"Hello World!")
    yield ended("7.3.5", code(1000) + b"*" * 123)
    yield ended("7.3.6", code(1000) + b"*" * 124, PROTOCOL_ERROR)
    wrong = code(1000) + GREEK + SURROGATE + b"edited"
    yield ended("7.5.1", wrong, INVALID_DATA)
    valid = (*range(1000, 1004), *range(1007, 1012), 3000, 3999, 4000, 4999)
    for at, number in enumerate(valid, 1):
        yield ended(f"7.7.{at}", code(number), number)
    invalid = (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999)
    for at, number in enumerate(invalid, 1):
        yield ended(f"7.9.{at}", code(number), PROTOCOL_ERROR)
    yield ended("7.13.1", code(5000), PROTOCOL_ERROR)
    yield ended("7.13.2", code(65535), PROTOCOL_ERROR)


def _limits() -> Iterator[FrameCase]:
    kinds = ((0, TEXT, b"BAsd7&jh"), (1, BINARY, b"\x00\xfe\x23\xfa\xf0\x00\xff\x00"))
    mebi = 1 << 20
    for odd, opcode, eight in kinds:
        sizes = (mebi // 16, mebi // 4, mebi, 4 * mebi, 8 * mebi, 16 * mebi)
        for at, size in enumerate(sizes, 1):
            number, message = f"9.{1 + odd}.{at}", eight * (size // 8)
            if number in TOO_LARGE:
                yield _bad(number, wire(opcode, message), close=MESSAGE_TOO_BIG)
            else:
                yield _good(number, wire(opcode, message), echo=message)
        message = eight * (mebi // 2)
        for at in range(9):
            frames = _fragments(opcode, message, 64 << 2 * at)
            yield _good(f"9.{3 + odd}.{at + 1}", *frames, echo=message)
        message = eight * (mebi // 8)
        for at in range(6):
            frame = wire(opcode, message)
            yield _good(f"9.{5 + odd}.{at + 1}", frame, chop=64 << at, echo=message)


def _auto_fragmentation() -> Iterator[FrameCase]:
    message = b"*" * 65536
    yield _good("10.1.1", *_fragments(TEXT, message, 1300), echo=message)


def _all() -> Iterator[FrameCase]:
    for cases in (
        *(_framing, _pings, _reserved_bits, _opcodes, _fragmentation, _utf8, _closes),
        *(_limits, _auto_fragmentation),
    ):
        yield from cases()


ALL: Final = {case.number: case for case in _all()}

# 12 and 13 offer these and send compressed messages once they are accepted; whoever
# does not accept them has done with those 216 cases ("unimplemented")
COMPRESSION_OFFERS: Final = (
    "permessage-deflate",  # 12.* and 13.1
    "permessage-deflate; client_no_context_takeover; client_max_window_bits",
    "permessage-deflate; server_no_context_takeover",
    "permessage-deflate; server_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=15",
    "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
    "permessage-deflate; server_no_context_takeover; server_max_window_bits=15",
    (
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=9, "
        "permessage-deflate; server_no_context_takeover, permessage-deflate"  # 13.7
    ),
)
