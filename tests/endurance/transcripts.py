"""What clients send: transcripts that are valid, and mutations that hardly are.

Everything is a function of a seed and a number, so that a case which breaks something
can be made again.  No socket is near: the same cases are fed to a gate by
:mod:`~tests.endurance.fuzz` and to the protocol alone by :mod:`~tests.endurance.feed`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from nano.protocol.dictionary import RouteDictionary
from nano.protocol.messages import (
    NOTIFY,
    PUSH,
    REQUEST,
    RESPONSE,
    Message,
    encode_message,
)
from nano.protocol.packets import PacketType, encode_packet
from tests.protocol.vectors import NANO

from .gate import CODES
from .guest import ACK, HANDSHAKE, UPGRADE, frame

__all__ = ["CORPUS", "DICTIONARY", "Case", "Transcript", "make_case", "mutated"]

DICTIONARY: Final = RouteDictionary(CODES)
HEARTBEAT: Final = encode_packet(PacketType.HEARTBEAT)


@dataclass(frozen=True, slots=True)
class Transcript:
    """What one client sends that does as it should.

    Attributes:
        greeting: The packets up to the acknowledgement.
        rest: The packets behind it.
    """

    greeting: tuple[bytes, ...]
    rest: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """What one connection sends.

    Attributes:
        number: Which it is of its seed.
        transport: ``tcp`` or ``websocket``.
        upgrade: The request to upgrade; empty on TCP.
        intact: The upgrade is as it should be.
        wire: What follows it.
        cuts: Where the sender pauses, as offsets into all of it.
        ending: ``eof``, ``close`` or ``reset``.
    """

    number: int
    transport: str
    upgrade: bytes
    intact: bool
    wire: bytes
    cuts: tuple[int, ...]
    ending: str

    @property
    def chunks(self) -> list[bytes]:
        """All that is sent, piece by piece."""
        data = self.upgrade + self.wire
        places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in self.cuts)})
        return [data[start:stop] for start, stop in pairwise(places)]


# ---------------------------------------------------------------------- the corpus


def _request(number: int, route: str, payload: bytes, plain: bool = False) -> bytes:
    message = Message(REQUEST, number, route, payload)
    return encode_message(message, RouteDictionary() if plain else DICTIONARY)


def _notify(route: str, payload: bytes) -> bytes:
    return encode_message(Message(NOTIFY, 0, route, payload), DICTIONARY)


def _made() -> list[Transcript]:
    """Conversations with the routes of ``app/yard.py``."""
    hello = b'{"name":"ann","n":1}'
    emoji = '{"name":"gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{GRINNING FACE}"}'
    ids = (1, 127, 128, 300, 16_383, 16_384, 1 << 31, (1 << 64) - 1)
    short = (HANDSHAKE, ACK)
    user = b'{"sys":{"type":"js","version":"1","errors":true},"user":{"a":[1,null]}}'
    again = b'{"sys":{"resume":""}}'
    long = (encode_packet(PacketType.HANDSHAKE, user), HEARTBEAT, ACK)
    odd = (encode_packet(PacketType.HANDSHAKE, b"\xff{"), ACK)
    return [
        Transcript(short, tuple(_request(it, "Yard.hello", hello) for it in ids)),
        Transcript(
            long,
            (
                _request(1, "Yard.hello", hello, plain=True),
                _notify("Yard.push", b'"x"'),
                HEARTBEAT,
                _request(2, "Yard.echo", b"\x00\xff" * 40),
                _request(3, "Yard.hello", emoji.encode()),
            ),
        ),
        Transcript(
            odd,
            (
                _request(1, "Yard.nowhere", b""),
                _request(2, "Yard.fail", b""),
                _request(3, "Yard.hello", b"{"),
                _request(4, "r" * 255, b""),
                _request(0, "Yard.hello", hello),
                _request(5, "Yard.echo", b""),
            ),
        ),
        Transcript(
            (encode_packet(PacketType.HANDSHAKE, again), ACK),
            (
                HANDSHAKE,
                ACK,
                _request(1, "Yard.echo", b"again"),
                encode_packet(PacketType.KICK, b"{}"),
                ACK,
                encode_message(Message(PUSH, 0, "onPush", b"{}"), DICTIONARY),
                encode_message(Message(RESPONSE, 9, "", b"{}")),
                _request(2, "Yard.echo", b"last"),
            ),
        ),
        Transcript(
            short,
            (
                _request(7, "Yard.echo", b"x" * 65_000),
                _request(8, "Yard.echo", b"y" * 300),
                *(_notify("Yard.push", b"%d" % it) for it in range(20)),
            ),
        ),
        Transcript(
            short,
            (
                *(_request(it, "Yard.late", b"%d" % it) for it in range(1, 60)),
                _request(60, "Yard.hello", hello),
            ),
        ),
        Transcript(
            short,
            (
                _request(1, "Yard.hello", hello),
                _notify("Yard.leave", b""),
                _request(2, "Yard.hello", hello),
            ),
        ),
    ]


def _packets(data: bytes) -> list[bytes]:
    """Cut a recorded stream into packets; what is none stays as it is."""
    packets = []
    while len(data) >= 4:
        size = 4 + int.from_bytes(data[1:4])
        packets.append(data[:size])
        data = data[size:]
    return [*packets, data] if data else packets


def _recorded() -> list[Transcript]:
    """What nano's clients were recorded to send, but for what nano refused."""
    found: list[Transcript] = []
    for name in ("tcp_json", "tcp_json_dict", "tcp_protobuf", "ws_json", "ws_stream"):
        talk: dict[str, Any] = NANO.live[name]
        packets = _packets(
            b"".join(
                bytes.fromhex(step.get("bytes_hex", ""))
                for step in talk["transcript"]
                if step["dir"] == "client->server"
            )
        )
        behind = packets.index(ACK) + 1
        found.append(Transcript(tuple(packets[:behind]), tuple(packets[behind:])))
    messages = [
        encode_packet(PacketType.DATA, bytes.fromhex(sample.message_hex))
        for sample in NANO.message_encode_uncompressed
        if sample.message_hex and not sample.error and len(sample.message_hex) < 2000
    ]
    found.append(Transcript((HANDSHAKE, ACK), tuple(messages)))
    return found


CORPUS: Final = [*_made(), *_recorded()]

# -------------------------------------------------------------------- the mutations

_TELLING: Final = (0, 1, 2, 4, 5, 6, 0x1F, 0x20, 0x7F, 0x80, 0xFE, 0xFF)
_SIZES: Final = (0, 1, 2, 3, 4, 255, 256, 65_535, 65_536, 65_537, (1 << 24) - 1)


def _flip(chance: random.Random, data: bytearray) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set(chance: random.Random, data: bytearray) -> None:
    data[chance.randrange(len(data))] = chance.choice(_TELLING)


def _insert(chance: random.Random, data: bytearray) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.randbytes(chance.randrange(1, 9))


def _remove(chance: random.Random, data: bytearray) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.randrange(1, 9)]


def _double(chance: random.Random, data: bytearray) -> None:
    at = chance.randrange(len(data))
    data[at:at] = data[at : at + chance.randrange(1, 40)]


def _truncate(chance: random.Random, data: bytearray) -> None:
    del data[chance.randrange(len(data)) :]


def _resize(chance: random.Random, data: bytearray) -> None:
    at = chance.randrange(len(data))
    data[at : at + 3] = chance.choice(_SIZES).to_bytes(3)


def _swap(chance: random.Random, data: bytearray) -> None:
    one, other = sorted(chance.randrange(len(data)) for _ in range(2))
    data[:] = data[one:other] + data[:one] + data[other:]


_BYTES: Final[tuple[Callable[[random.Random, bytearray], None], ...]] = (
    *(_flip, _set, _insert, _remove, _double, _truncate, _resize, _swap),
)


def mutated(chance: random.Random, data: bytes, times: int = 1) -> bytes:
    """Return *data* changed in *times* places."""
    changed = bytearray(data)
    for _ in range(times):
        if changed:
            chance.choice(_BYTES)(chance, changed)
    return bytes(changed)


def _another(chance: random.Random) -> bytes:
    """Return a packet that nobody expects here."""
    match chance.randrange(4):
        case 0:
            return chance.choice(chance.choice(CORPUS).rest)
        case 1:
            return chance.choice((HANDSHAKE, ACK, HEARTBEAT))
        case 2:
            body = chance.randbytes(chance.randrange(12))
            return encode_packet(chance.choice(list(PacketType)), body)
    return bytes((chance.randrange(8), 0, 0, chance.randrange(6)))


def _mutate_packets(chance: random.Random, packets: list[bytes]) -> list[bytes]:
    """Return packets of which one to three are not what they were."""
    changed = list(packets)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0:
                changed.insert(at, _another(chance))
            case 1 if at < len(changed):
                del changed[at]
            case 2 if at < len(changed):
                changed[at:at] = [changed[at]] * chance.randrange(1, 20)
            case _ if at < len(changed):
                times = chance.randrange(1, 4)
                changed[at] = mutated(chance, changed[at], times)
    return changed


def _framed(chance: random.Random, packets: list[bytes]) -> bytes:
    """Return *packets* as frames, one each or several or cut, with pings between."""
    wire = bytearray()
    for packet in packets:
        match chance.randrange(8):
            case 0 if packet:
                at = chance.randrange(len(packet))
                wire += frame(packet[:at], fin=False)
                wire += frame(b"?", 9) if at & 1 else b""
                wire += frame(packet[at:], 0)
            case 1:
                wire += frame(b"ping", 9) + frame(packet) + frame(b"", 10)
            case _:
                wire += frame(packet)
    if chance.random() < 0.2:
        wire += frame(chance.choice((b"", b"\x03\xe8", b"\x03\xe8bye")), 8)
    return bytes(wire)


def make_case(seed: int, number: int) -> Case:
    """Return case *number* of *seed*.

    Three of four leave the greeting alone, so that most of them reach the state in
    which there is something to break.
    """
    chance = random.Random(f"{seed}:{number}")
    transcript = chance.choice(CORPUS)
    spared = chance.random() < 0.75
    greeting, rest = list(transcript.greeting), list(transcript.rest)
    if spared:
        rest = _mutate_packets(chance, rest)
    else:
        greeting = _mutate_packets(chance, greeting)
    ending = chance.choices(("eof", "close", "reset"), (90, 5, 5))[0]
    cuts = tuple(chance.randrange(1 << 20) for _ in range(chance.randrange(4)))
    if number % 2:
        wire = b"".join(greeting + rest)
        return Case(number, "tcp", b"", True, wire, cuts, ending)
    start, end = _framed(chance, greeting), _framed(chance, rest)
    if chance.random() < 0.4:  # break the frames too
        if spared:
            end = mutated(chance, end, chance.randrange(1, 3))
        else:
            start = mutated(chance, start, chance.randrange(1, 3))
    intact = chance.random() < 0.96
    upgrade = UPGRADE if intact else mutated(chance, UPGRADE, 2)
    intact = upgrade == UPGRADE
    return Case(number, "websocket", upgrade, intact, start + end, cuts, ending)
