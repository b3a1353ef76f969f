"""How many may come in, and how fast they may be."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import InvalidStatus
from websockets.frames import Close, Opcode

from nano.protocol.client import Accepted, Kicked
from nano.protocol.messages import Message
from nano.transports.admission import Admission, Arrivals, Bucket, Meter
from nano.transports.arrival import MOST_FAREWELLS

from .room import HEARTBEAT, Hall, Wire, notify, turns, until
from .test_websocket import WebSocketWire

# --------------------------------------------------------------- connections


def test_connections_are_counted_in_all_and_by_address() -> None:
    admission = Admission(3, 2)
    answers = [admission.enter("a", 0) for _ in range(3)]
    assert answers == ["", "", "too-many-of-address"]
    assert [admission.enter(it, 0) for it in "bc"] == ["", "too-many-connections"]
    admission.leave("a")
    assert admission.enter("a", 0) == ""
    for address in "aab":
        admission.leave(address)
    assert not admission._addresses


async def test_one_connection_too_many_is_kicked_and_may_come_back() -> None:
    hall = Hall(connections=1)
    first, second = Wire(hall), Wire(hall)
    assert second.events() == [Kicked("too many connections", reconnect=True)]
    await turns()
    assert second.ended == "lost"
    first.greet()
    first.lose()
    Wire(hall).greet()
    assert hall.counts("wire").closed == {"too-many-connections": 1, "client-closed": 1}


async def test_one_connection_of_an_address_too_many_is_kicked_for_good() -> None:
    hall = Hall(per_address=1)
    first, second = Wire(hall), Wire(hall)
    assert second.events() == [Kicked("too many connections from your address")]
    first.lose()
    await turns()
    assert hall.is_empty()
    Wire(hall).greet()
    assert hall.counts("wire").closed["too-many-of-address"] == 1


@pytest.mark.process
async def test_one_websocket_too_many_is_answered_503() -> None:
    hall = Hall(connections=1)
    listener = await hall.listener("websocket")
    url = f"ws://{listener.address}/"
    async with connect_websocket(url, proxy=None):
        with pytest.raises(InvalidStatus) as refused:
            await connect_websocket(url, proxy=None)
    response = refused.value.response
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert response.body == b"too many connections\n"
    await until(hall.is_empty)
    assert hall.counts("websocket").closed["too-many-connections"] == 1
    await listener.stop()


# ------------------------------------------------------------ new connections


def test_new_connections_come_at_a_rate() -> None:
    admission = Admission(100, 0, rate=2)
    assert [admission.enter("a", 0) for _ in range(5)] == [""] * 4 + ["too-many-new"]
    assert [admission.enter("b", 1) for _ in range(3)] == [""] * 2 + ["too-many-new"]


def test_new_connections_of_an_address_come_at_a_rate() -> None:
    admission = Admission(100, 0, rate_per_address=1)
    answers = [admission.enter("a", 0) for _ in range(3)]
    assert answers == ["", "", "too-many-new-of-address"]
    assert admission.enter("b", 0) == ""
    assert [admission.enter("", 0) for _ in range(9)] == [""] * 9
    assert admission.identify("a", 0.5) == "too-many-new-of-address"
    assert admission.identify("a", 2) == ""


def test_who_floods_from_one_address_leaves_room_for_others() -> None:
    admission = Admission(100, 0, rate=5, rate_per_address=1)
    for _ in range(1000):
        admission.enter("flood", 0)
    assert admission.enter("somebody", 0) == ""


def test_addresses_are_forgotten_when_their_time_is_over() -> None:
    arrivals = Arrivals(1)
    for number in range(50):
        assert arrivals.allow(f"a{number}", 0)
    assert len(arrivals) == 50
    assert arrivals.allow("late", 2.5)
    assert len(arrivals) == 1


def test_there_are_never_more_addresses_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nano.transports.admission.MOST_ADDRESSES", 10)
    arrivals = Arrivals(0.1)
    for number in range(100):
        assert arrivals.allow(f"a{number}", 0)
    assert len(arrivals) == 10
    assert not arrivals.allow("a99", 0)  # the latest are known still


def test_a_connection_that_was_nobodys_counts_as_whose_it_is() -> None:
    admission = Admission(3, 1)
    assert [admission.enter("", 0) for _ in range(3)] == ["", "", ""]
    assert admission.enter("", 0) == "too-many-connections"
    assert admission.identify("a", 0) == ""
    assert admission.identify("a", 0) == "too-many-of-address"
    admission.leave("a")
    assert admission.identify("a", 0) == ""
    for address in ("a", ""):
        admission.leave(address)
    assert (admission._open, dict(admission._addresses)) == (0, {})


async def test_connections_over_the_rate_are_sent_away_and_may_come_back() -> None:
    hall = Hall(rate=1)
    for _ in range(2):
        Wire(hall).greet()
    late = Wire(hall)
    text = "too many new connections at this moment"
    assert late.events() == [Kicked(text, reconnect=True)]
    hall.pass_time(1.1)
    Wire(hall).greet()
    await turns()
    assert hall.counts("wire").closed == {"too-many-new": 1}


async def test_a_flood_of_refused_connections_gets_no_farewell() -> None:
    """Each of them holds a socket for as long as it may read why it is refused."""
    hall = Hall(connections=1)
    Wire(hall)
    refused = [Wire(hall) for _ in range(MOST_FAREWELLS + 2)]
    ends = [wire.ended for wire in refused]
    assert ends == ["close"] * MOST_FAREWELLS + ["abort"] * 2
    for wire in refused:
        wire.lose()
    assert hall.counts("wire").closed == {"too-many-connections": len(refused)}


@pytest.mark.parametrize("kind", [Wire, WebSocketWire])
async def test_a_stranger_cannot_keep_us_busy_with_what_means_nothing(
    kind: type[Wire],
) -> None:
    hall = Hall()
    wire = kind(hall)
    if isinstance(wire, WebSocketWire):
        wire.upgrade()
        nothing = bytes.fromhex("8280 00000000") * 1000  # empty frames
    else:
        nothing = HEARTBEAT * 1500
    for _ in range(10):
        assert wire.protocol.session is None
        wire.deliver(nothing)
    assert not wire.ended
    wire.deliver(nothing)
    (kicked,) = (it for it in wire.events() if isinstance(it, Kicked))
    assert kicked.reason == "too much was sent before the handshake"
    known = kind(hall)
    known.greet()
    for _ in range(20):
        known.deliver(nothing)
    assert not known.ended


# ---------------------------------------------------------------- handshakes


async def test_handshakes_over_the_rate_are_kicked_and_may_come_back() -> None:
    hall = Hall(handshakes=2, heartbeat=100)
    for _ in range(4):  # two seconds' worth
        Wire(hall).greet()
    late = WebSocketWire(hall)
    late.upgrade()
    late.say(late.client.greet())
    text = "too many handshakes at this moment"
    assert late.events() == [Kicked(text, reconnect=True)]
    assert Close.parse(bytes(late.frames[-1].data)) == Close(1013, text)
    await turns()
    assert hall.counts("wire").closed == {"too-many-handshakes": 1}
    assert len(hall.sessions) == 4
    hall.pass_time(0.6)
    Wire(hall).greet()


# ------------------------------------------------------------------ messages


def test_a_bucket_saves_two_seconds_worth_and_gives_credit() -> None:
    bucket = Bucket(10, 0.0)
    assert bucket.spend(20, 0.0) == 0.0
    assert bucket.spend(5, 0.0) == pytest.approx(0.5)
    assert bucket.spend(0, 0.5) == 0.0
    assert not bucket.allow(0.55)
    assert bucket.allow(0.61)
    assert bucket.spend(20, 100.0) == 0.0
    assert bucket.spend(1, 100.0) > 0


def test_who_is_calm_for_a_while_is_forgiven() -> None:
    meter = Meter(10, 0.0)
    assert not meter.spend(20, 0.0)
    assert meter.spend(50, 0.0)
    assert meter.until == pytest.approx(5.0)
    assert meter.spend(50, 5.1)
    assert meter.until == pytest.approx(10.0)  # not 10.1: by then it is over
    assert meter.exhausted(10.0)
    assert meter.spend(90, 20.0)
    assert not meter.exhausted(27.0)


async def test_who_sends_too_fast_is_read_when_its_time_has_come() -> None:
    hall = Hall(messages=10, heartbeat=1)
    wire = Wire(hall)
    wire.greet()
    for number in range(90):
        wire.deliver(notify("Room.Fast", b"%d" % number))
    assert hall.room.seen == list(range(20))
    assert not wire.reading
    for _ in range(8):  # its heartbeats are not read either
        assert wire.ended == ""
        hall.pass_time(1)
        await turns()
    assert hall.room.seen == list(range(90))
    assert wire.reading


async def test_who_sends_too_fast_for_long_is_kicked() -> None:
    hall = Hall(messages=10, heartbeat=100)
    wire = Wire(hall)
    session = wire.greet()
    noise = notify("Room.Fast", b"1") * 15
    for _ in range(99):
        wire.deliver(noise)
        hall.pass_time(0.1)
        await turns()
    assert wire.ended == ""
    assert len(hall.room.seen) <= 10 * 10 + 20 + 15
    hall.pass_time(2)
    assert wire.events() == [Kicked("too many messages for too long")]
    await turns()
    assert session.closed == "too-many-messages"
    assert hall.is_empty()


async def test_who_keeps_to_the_rate_is_never_paused() -> None:
    hall = Hall(messages=10, heartbeat=100)
    wire = Wire(hall)
    wire.greet()
    for number in range(300):
        wire.deliver(notify("Room.Fast", b"%d" % number))
        assert wire.reading
        hall.pass_time(0.1)
        await asyncio.sleep(0)
    assert hall.room.seen == list(range(300))


async def test_who_goes_while_it_is_not_read_leaves_nothing_behind() -> None:
    hall = Hall(messages=1)
    wire = Wire(hall)
    session = wire.greet()
    wire.deliver(notify("Room.Fast", b"1") * 5)
    assert hall.front.throttled
    wire.lose()
    hall.pass_time(20)
    assert session.closed == "client-closed"
    assert hall.is_empty()


async def test_a_stranger_cannot_make_us_keep_more_than_a_greeting() -> None:
    hall = Hall(packet=1 << 20)
    wire = Wire(hall)
    wire.deliver(bytes.fromhex("01 0040 01"))  # a greeting of 16 KiB and a byte
    (kicked,) = wire.events()
    assert isinstance(kicked, Kicked)
    assert "at most 16384" in kicked.reason
    assert hall.counts("wire").closed == {} or wire.ended
    known = Wire(hall)
    known.greet()
    known.request("Room.Raw", b"x" * 100_000)
    assert len(known.events()) == 1


async def test_the_same_holds_for_frames() -> None:
    hall = Hall(packet=1 << 20)
    wire = WebSocketWire(hall)
    wire.upgrade()
    wire.deliver(bytes.fromhex("82ff 0000000000005000 00000000"))  # 20 KiB to come
    (frame,) = wire.take()
    assert frame.opcode == Opcode.CLOSE
    assert Close.parse(bytes(frame.data)).code == 1009
    known = WebSocketWire(hall)
    known.greet()
    _, packet = known.client.request("Room.Raw", b"x" * 100_000)
    known.say(packet)
    assert len(known.events()) == 1


async def test_a_long_frame_may_come_in_one_read_with_the_greeting() -> None:
    hall = Hall(packet=1 << 20)
    wire = WebSocketWire(hall)
    wire.upgrade()
    wire.browser.send_binary(wire.client.greet() + wire.client.acknowledge())
    _, packet = wire.client.request("Room.Raw", b"x" * 100_000)
    wire.browser.send_binary(packet)
    wire.deliver(b"".join(wire.browser.data_to_send()))
    accepted, response = wire.events()
    assert isinstance(accepted, Accepted)
    assert isinstance(response, Message)
    assert response.payload == b"raw:" + b"x" * 100_000
    again = WebSocketWire(hall)
    again.greet()
    _, packet = again.client.request("Room.Raw", b"x" * (1 << 20))
    again.say(packet)  # over the limit, and nothing is going to raise it
    await turns()
    assert hall.counts("wire").closed == {"packet-too-large": 1}
