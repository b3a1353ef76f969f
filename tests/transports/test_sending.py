"""What happens to what is sent while a client reads too slowly, class by class."""

from __future__ import annotations

import pytest

from nano import Delivery, Session
from nano.protocol.client import ClientEvent
from nano.protocol.messages import Message
from nano.transports.websocket import WebSocketTransport

from .room import HIGH_WATER, UPGRADE, Hall, Wire, masked, turns

BACKLOG = 200_000


class Slow:
    """A client that reads or does not, and what its application pushes to it."""

    def __init__(self, backlog: int = BACKLOG) -> None:
        self.hall = Hall(backlog=backlog)
        self.wire = Wire(self.hall)
        self.session: Session = self.wire.greet()

    async def lag(self) -> None:
        """Stop to read, and be sent more than a socket takes."""
        self.wire.taking = False
        self.session.push("onFill", "x" * HIGH_WATER)
        await turns()
        self.events()

    async def push(self, route: str, value: object, delivery: Delivery) -> None:
        self.session.push(route, value, delivery=delivery)
        await turns()

    async def catch_up(self) -> list[tuple[str, bytes]]:
        """Read everything; return what came after the lag."""
        self.wire.catch_up()
        await turns()
        return self.events()

    def events(self) -> list[tuple[str, bytes]]:
        events: list[ClientEvent] = self.wire.events()
        return [(it.route, it.payload) for it in events if isinstance(it, Message)]

    def dropped(self, why: str) -> int:
        return self.hall.metrics.dropped["push", why]


@pytest.mark.parametrize("delivery", ["must", "latest", "drop"])
async def test_all_classes_are_alike_while_the_client_keeps_up(
    delivery: Delivery,
) -> None:
    slow = Slow()
    for number in range(3):
        slow.session.push("onNews", number, delivery=delivery)
    await turns()
    assert slow.events() == [("onNews", b"%d" % number) for number in range(3)]
    assert not slow.hall.metrics.dropped


async def test_of_the_latest_only_the_newest_of_each_route_is_sent() -> None:
    slow = Slow()
    await slow.lag()
    for number in range(5):
        await slow.push("onMove", number, "latest")
        await slow.push("onTurn", number, "latest")
    assert slow.events() == []
    assert await slow.catch_up() == [("onMove", b"4"), ("onTurn", b"4")]
    assert slow.dropped("superseded") == 8
    await slow.push("onMove", 5, "latest")
    assert slow.events() == [("onMove", b"5")]


async def test_the_latest_are_bounded_by_half_the_backlog() -> None:
    slow = Slow()
    await slow.lag()
    for number in range(5):
        await slow.push(f"onMap{number}", "x" * 40_000, "latest")
    assert slow.dropped("slow-client") == 3
    await slow.push("onMap0", "small", "latest")
    await slow.push("onMap4", "x" * 40_000, "latest")
    await slow.push("onMap1", "x" * 90_000, "latest")
    assert slow.dropped("slow-client") == 4
    caught = await slow.catch_up()
    assert [route for route, _ in caught] == ["onMap0", "onMap4"]


async def test_what_may_be_dropped_is_once_half_the_backlog_waits() -> None:
    slow = Slow()
    await slow.lag()
    for _ in range(50):
        await slow.push("onNoise", "x" * 1_000, "drop")
    assert 30 <= len(slow.events()) <= 35
    assert 15 <= slow.dropped("slow-client") <= 20
    assert not slow.session.closed
    await slow.push("onNews", "x", "must")
    assert slow.events() == [("onNews", b'"x"')]


async def test_dropping_leaves_the_client_connected_however_much_is_sent() -> None:
    slow = Slow()
    await slow.lag()
    for _ in range(1000):
        await slow.push("onNoise", "x" * 1_000, "drop")
        await slow.push("onMove", "x" * 1_000, "latest")
    assert not slow.session.closed
    assert not slow.wire.ended


async def test_responses_and_must_close_a_client_over_its_backlog() -> None:
    slow = Slow()
    await slow.lag()
    while not slow.session.closed:
        slow.session.home.respond(1, b"x" * 10_000, False)
        await turns()
    assert slow.session.closed == "slow-client"
    assert slow.wire.door.counts.closed == {"slow-client": 1}


async def test_what_waits_is_bounded_within_one_turn_too() -> None:
    slow = Slow()
    slow.wire.taking = False
    sent = 0
    while not slow.wire.ended:
        slow.session.push("onFlood", "x" * 10_000)
        sent += 10_000
        assert sent < 4 * BACKLOG
    assert slow.wire._waiting <= 3 * BACKLOG
    await turns()
    assert slow.session.closed == "slow-client"


async def test_a_client_that_reads_may_be_sent_any_amount_in_one_turn() -> None:
    slow = Slow()
    for number in range(100):
        slow.session.push("onFlood", f"{number}" + "x" * 10_000)
    await turns()
    numbers = [int(payload[1:].split(b"x")[0]) for _, payload in slow.events()]
    assert numbers == list(range(100))


async def test_what_was_kept_is_forgotten_with_the_client() -> None:
    slow = Slow()
    await slow.lag()
    await slow.push("onMove", 1, "latest")
    slow.wire.protocol.kick("enough")
    slow.wire.protocol.resume_writing()
    slow.wire.lose()
    slow.wire.protocol.resume_writing()
    assert slow.hall.is_empty()


async def test_a_class_that_there_is_not_is_refused() -> None:
    slow = Slow()
    with pytest.raises(ValueError, match="must, latest or drop, not 'maybe'"):
        slow.session.push("onNews", 1, delivery="maybe")  # type: ignore[arg-type]


async def test_over_websocket_the_latest_come_in_frames_of_their_own() -> None:
    hall = Hall(backlog=BACKLOG)
    wire = Wire(hall, WebSocketTransport)
    wire.deliver(UPGRADE)
    wire.deliver(masked(wire.client.greet()) + masked(wire.client.acknowledge()))
    wire.writes.clear()
    wire.taking = False
    wire.protocol.forward(bytes(HIGH_WATER + 1))
    await turns()
    wire.writes.clear()
    wire.protocol.push("onMove", b"1", "latest")
    wire.protocol.push("onMove", b"2", "latest")
    wire.catch_up()
    await turns()
    assert wire.writes == [b"\x82\x0d\x04\x00\x00\x09\x06\x06onMove2"]
