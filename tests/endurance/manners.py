"""Every manner in which a client can leave a gate, or be made to.

Each is a coroutine that comes, does something, and returns when its connection is over.
Those without a way in their name are tried on all, but for those that clients by TLS
cannot do.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from nano.protocol.messages import NOTIFY, REQUEST, Message, encode_message
from nano.protocol.packets import PacketType, encode_packet

from .gate import Gate
from .guest import ACK, GREETING, HANDSHAKE, UPGRADE, Guest, frame

__all__ = [
    "MANNERS",
    "REASONS",
    "SETTINGS",
    "Crowd",
    "Manner",
    "notify",
    "request",
    "visit_of",
]

# of a gate at which the clock ends connections too, and soon
SETTINGS: Final[dict[str, float]] = {
    "client_heartbeat_seconds": 1.5,
    "handshake_timeout_seconds": 2.0,
    "request_timeout_seconds": 1.0,
    "backlog_bytes": 65_536,
    "max_connections_per_address": 40,
    "messages_per_second": 10_000,
    "resume_seconds": 1.0,
}
# why a gate counts connections as over, if clients leave in all these manners
REASONS: Final = frozenset(
    {
        "client-closed",
        "connection-lost",
        "handshake-timeout",
        "heartbeat-timeout",
        "kicked",
        "no-tls",
        "no-upgrade",
        "packet-too-large",
        "protocol-error",
        "refused",
        "resumed",
        "slow-client",
        "too-many-of-address",
    }
)
CROWDED: Final = "127.9.9.9"  # the address of which there are as many as may be
HELLO: Final = b"\x16\x03\x01\x02\0\x01"  # of a client's first record of TLS
ACCEPTED: Final = b'"code":200'
SMALL: Final = 4096  # bytes; what a client's kernel takes in that reads slowly


def notify(route: str, payload: bytes = b"null") -> bytes:
    """Return the packet of a notify."""
    return encode_message(Message(NOTIFY, 0, route, payload))


def request(route: str, payload: bytes = b"null") -> bytes:
    """Return the packet of a request, with id 1."""
    return encode_message(Message(REQUEST, 1, route, payload))


Way = Literal["tcp", "websocket", "tls"]


@dataclass(slots=True)
class Visit:
    """One connection about to be made.

    Attributes:
        gate: Where to.
        way: By what.
        source: From which address.
    """

    gate: Gate
    way: Way
    source: str

    @property
    def websocket(self) -> bool:
        """By WebSocket."""
        return self.way == "websocket"

    async def come(self, receive_buffer: int = 0) -> Guest:
        """Connect, and no more."""
        gate = self.gate
        address = {"tcp": gate.tcp, "websocket": gate.websocket, "tls": gate.tls}
        trusting = gate.trusting if self.way == "tls" else None
        return await Guest.come(
            address[self.way], self.source, receive_buffer, trusting
        )

    def packed(self, packets: bytes) -> bytes:
        """Return *packets* as they travel."""
        return frame(packets) if self.websocket else packets

    async def work(self, receive_buffer: int = 0) -> Guest:
        """Connect, upgrade, and greet."""
        guest = await self.come(receive_buffer)
        guest.say((UPGRADE if self.websocket else b"") + self.packed(GREETING))
        await guest.hear(ACCEPTED)
        return guest

    async def introduced(self, hello: bytes) -> Guest:
        """Connect, upgrade, and greet with *hello*; the answer may take its time."""
        guest = await self.come()
        greeting = self.packed(encode_packet(PacketType.HANDSHAKE, hello))
        guest.say((UPGRADE if self.websocket else b"") + greeting)
        return guest

    async def resumable(self, token: bytes = b"") -> tuple[Guest, bytes]:
        """Connect as a client that may come back, or does by *token*.

        Returns:
            The connection, and the token by which its session can be taken up.
        """
        guest = await self.introduced(b'{"sys":{"resume":"%s"}}' % token)
        await guest.hear(ACCEPTED)
        guest.say(self.packed(ACK))
        found = re.search(rb'"resume":"(.+?)"', guest.heard)
        assert found is not None, bytes(guest.heard)
        return guest, found[1]

    async def ask(self, guest: Guest, packet: bytes, answer: bytes) -> None:
        """Send *packet* and wait for *answer*."""
        guest.say(self.packed(packet))
        await guest.hear(answer)


Manner = Callable[[Visit], Awaitable[None]]


# ------------------------------------------------------------- the client goes


async def close(visit: Visit) -> None:
    (await visit.work()).close()


async def close_after_an_answer(visit: Visit) -> None:
    guest = await visit.work()
    await visit.ask(guest, request("Yard.hello", b'{"name":"ann"}'), b"hello ann")
    guest.close()


async def close_before_the_greeting(visit: Visit) -> None:
    (await visit.come()).close()


async def close_within_the_greeting(visit: Visit) -> None:
    guest = await visit.come()
    guest.say((UPGRADE if visit.websocket else b"") + visit.packed(GREETING)[:9])
    guest.close()


async def reset(visit: Visit) -> None:
    (await visit.work()).reset()


async def reset_with_answers_under_way(visit: Visit) -> None:
    guest = await visit.work()
    guest.say(visit.packed(request("Yard.echo", b"x" * 20_000)) * 20)
    await guest.hear(b"xxx")
    guest.reset()


async def half_close(visit: Visit) -> None:
    guest = await visit.work()
    guest.say(visit.packed(request("Yard.hello", b'{"name":"bob"}')))
    guest.say_no_more()
    assert b"hello bob" in await guest.ended()


async def half_close_within_a_packet(visit: Visit) -> None:
    guest = await visit.work()
    guest.say(visit.packed(request("Yard.hello"))[:-3])
    guest.say_no_more()
    await guest.ended()


async def go_with_a_handler_running(visit: Visit) -> None:
    guest = await visit.work()
    await visit.ask(guest, request("Yard.forever"), b"onWait")
    guest.reset()


async def go_with_a_queue(visit: Visit) -> None:
    """More than the session holds: it is not read when it goes."""
    guest = await visit.work()
    guest.say(visit.packed(request("Yard.forever")))
    guest.say(visit.packed(notify("Yard.late")) * 100)
    await guest.hear(b"onWait")
    guest.reset()


async def go_with_a_promise(visit: Visit) -> None:
    guest = await visit.work()
    await visit.ask(guest, request("Yard.promise"), b"onWait")
    guest.close()


async def go_from_a_group(visit: Visit) -> None:
    guest = await visit.work()
    await visit.ask(guest, notify("Yard.join"), b"onJoin")
    guest.close()


async def go_from_a_group_while_it_speaks(visit: Visit) -> None:
    guest = await visit.work()
    await visit.ask(guest, notify("Yard.join"), b"onJoin")
    guest.say(visit.packed(notify("Yard.shout", b"z" * 500)) * 20)
    await guest.hear(b"zzz")
    guest.reset()


async def go_during_pushes(visit: Visit) -> None:
    guest = await visit.work()
    await visit.ask(guest, notify("Yard.flood", b"1000"), b"onNoise")
    guest.reset()


async def go_while_it_is_decided(visit: Visit) -> None:
    guest = await visit.introduced(b'{"user":"undecided"}')
    guest.say(visit.packed(notify("Yard.push")))
    await asyncio.sleep(0.01)  # for it to be asked; whether it was makes no difference
    guest.reset()


async def go_once_it_was_decided(visit: Visit) -> None:
    guest = await visit.introduced(b'{"user":"somebody"}')
    await guest.hear(ACCEPTED)
    guest.close()


async def break_and_come_back(visit: Visit) -> None:
    guest, token = await visit.resumable()
    await visit.ask(guest, notify("Yard.join"), b"onJoin")
    guest.reset()
    guest, _ = await visit.resumable(token)
    await visit.ask(guest, request("Yard.hello", b'{"name":"ann"}'), b"hello ann")
    guest.close()


async def break_and_never_come_back(visit: Visit) -> None:
    guest, _ = await visit.resumable()
    await visit.ask(guest, request("Yard.promise"), b"onWait")
    guest.reset()


async def break_while_pushes_come(visit: Visit) -> None:
    """They are kept for its return until they are too many."""
    guest, _ = await visit.resumable()
    await visit.ask(guest, notify("Yard.flood", b"5000"), b"onNoise")
    guest.reset()


async def come_back_in_place_of_oneself(visit: Visit) -> None:
    guest, token = await visit.resumable()
    again, _ = await visit.resumable(token)
    await _sent_away(guest, b"goes on by another connection")
    again.reset()


async def go_with_the_latest_kept(visit: Visit) -> None:
    guest = await visit.work(SMALL)
    guest.stop_reading()
    guest.say(visit.packed(notify("Yard.scene", b"20000")))
    await asyncio.sleep(0.05)  # for some of it to be kept; more or less is as good
    guest.reset()


# --------------------------------------------------------- the server ends it


async def _sent_away(guest: Guest, why: bytes) -> None:
    assert why in await guest.ended(), bytes(guest.heard)


async def kicked_in_a_handler(visit: Visit) -> None:
    guest = await visit.work()
    guest.say(visit.packed(notify("Yard.leave")))
    await _sent_away(guest, b"you wanted to go")


async def kicked_by_the_server(visit: Visit) -> None:
    guest = await visit.work()
    guest.say(visit.packed(notify("Yard.sent")))
    await _sent_away(guest, b"somebody sent you away")


async def kicked_and_does_not_hear_it(visit: Visit) -> None:
    guest = await visit.work()
    guest.say(visit.packed(notify("Yard.leave")))
    guest.reset()


async def breaking_the_protocol(visit: Visit) -> None:
    guest = await visit.work()
    guest.say(visit.packed(b"\x09\0\0\0"))
    await _sent_away(guest, b"packet type 9")


async def working_too_early(visit: Visit) -> None:
    guest = await visit.come()
    early = visit.packed(HANDSHAKE + request("Yard.hello"))
    guest.say((UPGRADE if visit.websocket else b"") + early)
    await _sent_away(guest, b"data while greeted")


async def too_large(visit: Visit) -> None:
    guest = await visit.work()
    guest.say(visit.packed(b"\x04\x01\0\x01"))
    await _sent_away(guest, b"a packet of 65537 bytes")


async def refused_by_the_application(visit: Visit) -> None:
    guest = await visit.introduced(b'{"user":"nobody"}')
    await _sent_away(guest, b"nobody comes in")


async def decided_too_late(visit: Visit) -> None:
    guest = await visit.introduced(b'{"user":"undecided"}')
    await _sent_away(guest, b"no handshake came in time")


async def greeting_too_late(visit: Visit) -> None:
    guest = await visit.come()
    guest.say(UPGRADE if visit.websocket else b"\x03\0\0\0")
    await _sent_away(guest, b"no handshake came in time")


async def silent(visit: Visit) -> None:
    guest = await visit.work()
    await _sent_away(guest, b"no heartbeat came")


async def reading_too_slowly(visit: Visit) -> None:
    guest = await visit.work(SMALL)
    guest.stop_reading()
    guest.say(visit.packed(notify("Yard.flood", b"20000")))
    await guest.nag(visit.packed(b"\x03\0\0\0"))


async def one_of_an_address_too_many(visit: Visit) -> None:
    guest = await Visit(visit.gate, visit.way, CROWDED).come()
    await _sent_away(guest, b"too many connections from your address")


# ------------------------------------------------------- by WebSocket alone


async def websocket_close_frame(visit: Visit) -> None:
    guest = await visit.work()
    guest.say(frame(b"\x03\xe9", 8))
    await _sent_away(guest, b"\x88\x02\x03\xe9")


async def websocket_breaking_frames(visit: Visit) -> None:
    guest = await visit.work()
    guest.say(b"\x82\x01x")
    await _sent_away(guest, b"masked")


async def websocket_half_an_upgrade(visit: Visit) -> None:
    guest = await visit.come()
    guest.say(UPGRADE[:60])
    guest.reset()


async def websocket_no_upgrade(visit: Visit) -> None:
    guest = await visit.come()
    guest.say(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    await _sent_away(guest, b"426 Upgrade Required")


async def websocket_never_upgrading(visit: Visit) -> None:
    guest = await visit.come()
    guest.say(UPGRADE[:60])
    assert await guest.ended() == b""


async def websocket_pinging_to_the_end(visit: Visit) -> None:
    guest = await visit.work()
    guest.say(frame(b"?" * 100, 9) * 50)
    await guest.hear(b"???")
    guest.reset()


async def tls_that_never_was(visit: Visit) -> None:
    guest = await Guest.come(visit.gate.tls, visit.source)
    guest.say(GREETING)
    await guest.ended()


async def tls_half_agreed(visit: Visit) -> None:
    guest = await Guest.come(visit.gate.tls, visit.source)
    guest.say(HELLO)
    guest.close()


async def tls_with_a_broken_record(visit: Visit) -> None:
    guest = await visit.work()
    guest.say_below(b"\x17\x03\x03\0\x20" + bytes(32))
    await guest.ended()


# in a thousand: those that wait for the clock, or move megabytes, come more rarely
_OFTEN: Final[tuple[Manner, ...]] = (
    *(close, close_after_an_answer, close_before_the_greeting),
    *(close_within_the_greeting, reset, reset_with_answers_under_way, half_close),
    *(half_close_within_a_packet, go_with_a_promise, go_from_a_group),
    *(go_from_a_group_while_it_speaks, go_during_pushes, go_with_a_handler_running),
    *(go_with_a_queue, kicked_in_a_handler, kicked_by_the_server),
    *(kicked_and_does_not_hear_it, breaking_the_protocol, working_too_early, too_large),
    *(one_of_an_address_too_many, refused_by_the_application),
    *(go_while_it_is_decided, go_once_it_was_decided, go_with_the_latest_kept),
    *(break_and_come_back, break_and_never_come_back, break_while_pushes_come),
    come_back_in_place_of_oneself,
)
_SELDOM: Final[tuple[Manner, ...]] = (
    *(greeting_too_late, decided_too_late, silent, reading_too_slowly),
)
_WEBSOCKET: Final[tuple[Manner, ...]] = (
    *(websocket_close_frame, websocket_breaking_frames, websocket_half_an_upgrade),
    *(websocket_no_upgrade, websocket_pinging_to_the_end),
)
_WEBSOCKET_SELDOM: Final[tuple[Manner, ...]] = (websocket_never_upgrading,)
_TLS: Final[tuple[Manner, ...]] = (
    *(tls_that_never_was, tls_half_agreed, tls_with_a_broken_record),
)
# asyncio's clients know no end of one direction under TLS, and whoever is one too many
# is not even shaken hands with
_NEVER_BY_TLS: Final = {
    *(half_close, half_close_within_a_packet, one_of_an_address_too_many),
}


def _by(manners: Sequence[Manner], *ways: Way) -> list[tuple[Manner, Way]]:
    return [
        (manner, way)
        for manner in manners
        for way in ways
        if way != "tls" or manner not in _NEVER_BY_TLS
    ]


def _round() -> list[tuple[Manner, Way]]:
    """Return a thousand visits, as manner and way, in an order."""
    often = _by(_OFTEN, "tcp", "websocket", "tls")
    often += _by(_WEBSOCKET, "websocket") + _by(_TLS, "tls")
    seldom = _by(_SELDOM, "tcp", "websocket", "tls")
    seldom += _by(_WEBSOCKET_SELDOM, "websocket")
    rare = seldom * 10
    return rare + [often[at % len(often)] for at in range(1000 - len(rare))]


MANNERS: Final = _round()


class Crowd:
    """As many connections of one address as a gate lets in; a context manager."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._guests: list[Guest] = []
        self._living: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        most = int(SETTINGS["max_connections_per_address"])
        for _ in range(most):
            self._guests.append(await Visit(self._gate, "tcp", CROWDED).work())
        self._living = asyncio.create_task(self._live())

    async def _live(self) -> None:
        while True:
            for guest in self._guests:
                guest.say(b"\x03\0\0\0")
            await asyncio.sleep(0.5)

    async def __aexit__(self, *_: object) -> None:
        if self._living is not None:
            self._living.cancel()
        for guest in self._guests:
            guest.close()


def visit_of(gate: Gate, number: int, way: Way) -> Visit:
    """Return visit *number*, from an address that few others of its time have."""
    return Visit(gate, way, f"127.0.{number % 200 + 1}.{number // 200 % 200 + 1}")
