"""A client's connection over a wire that shows every write, with time as a value."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano import Session
from nano.errors import EncodeError
from nano.protocol.client import Accepted, Heartbeat, Kicked
from nano.protocol.messages import NOTIFY, PUSH, RESPONSE, Message, encode_message
from nano.protocol.packets import PacketType, encode_packet
from nano.transports.context import CLOSING_TIME

from .room import Hall, Wire, turns, until

HANDSHAKE = encode_packet(PacketType.HANDSHAKE)
ACK = encode_packet(PacketType.HANDSHAKE_ACK)
HEARTBEAT = encode_packet(PacketType.HEARTBEAT)


def notify(route: str, payload: bytes) -> bytes:
    return encode_message(Message(NOTIFY, 0, route, payload))


# ---------------------------------------------------------------- the greeting


async def test_a_greeting_is_answered_and_makes_a_session() -> None:
    hall = Hall(heartbeat=1.5)
    wire = Wire(hall)
    assert len(hall.sessions) == 0
    wire.deliver(wire.client.greet())
    (accepted,) = wire.events()
    assert isinstance(accepted, Accepted)
    assert accepted.heartbeat == 1.5
    (session,) = hall.sessions
    assert session.remote_address == "127.0.0.1:4711"
    assert 1 << 62 <= session.id < 1 << 63
    assert hall.counts("wire").handshakes == {"accepted": 1}


async def test_everything_may_come_in_one_piece_and_is_answered_in_one_write() -> None:
    wire = Wire(Hall())
    _, hello = wire.client.request("Room.Hello", b'{"name":"ann"}')
    wire.deliver(wire.client.greet() + wire.client.acknowledge() + hello)
    assert len(wire.writes) == 1
    _, response = wire.events()
    assert response == Message(RESPONSE, 1, "", b'{"name":"hello ann","n":1}')


async def test_a_second_greeting_keeps_the_session() -> None:
    hall = Hall()
    wire = Wire(hall)
    session = wire.greet()
    assert wire.greet() is session
    assert list(hall.sessions) == [session]


async def test_greetings_without_end_are_cut_off() -> None:
    hall = Hall()
    wire = Wire(hall)
    wire.deliver(HANDSHAKE * 16_000)
    *accepted, kicked = wire.events()
    assert len(accepted) == 16
    assert isinstance(kicked, Kicked)
    assert "handshakes" in kicked.reason
    await turns()
    assert hall.is_empty()


async def test_whoever_does_not_greet_in_time_is_sent_away() -> None:
    hall = Hall(heartbeat=30, handshake=10)
    wire = Wire(hall)
    hall.pass_time(9.9)
    assert wire.writes == []
    hall.pass_time(0.2)
    assert wire.events() == [Kicked("no handshake came in time")]
    assert wire.ended == "close"
    await turns()
    assert hall.counts("wire").closed == {"handshake-timeout": 1}
    assert hall.counts("wire").handshakes == {"timeout": 1}
    assert hall.is_empty()


async def test_heartbeats_do_not_stand_for_a_greeting() -> None:
    hall = Hall(heartbeat=1, handshake=5)
    wire = Wire(hall)
    for _ in range(6):
        wire.deliver(HEARTBEAT)
        hall.pass_time(0.9)
    assert wire.events()[-1] == Kicked("no handshake came in time")


async def test_whoever_was_greeted_has_time() -> None:
    hall = Hall(heartbeat=30, handshake=10)
    wire = Wire(hall)
    wire.greet()
    hall.pass_time(40)
    assert wire.ended == ""


# ------------------------------------------------------------------ heartbeats


async def test_a_silent_client_is_told_why_and_its_session_ends() -> None:
    hall = Hall(heartbeat=1)
    wire = Wire(hall)
    session = wire.greet()
    for _ in range(3):
        hall.pass_time(1.01)
        await turns()
    reason = "no heartbeat came for two intervals"
    assert wire.events() == [Heartbeat(), Heartbeat(), Kicked(reason)]
    assert session.closed == "heartbeat-timeout"
    assert hall.counts("wire").closed == {"heartbeat-timeout": 1}
    assert hall.is_empty()


@pytest.mark.parametrize("size", [1, len(HEARTBEAT)])
async def test_any_byte_is_a_sign_of_life(size: int) -> None:
    hall = Hall(heartbeat=1)
    wire = Wire(hall)
    wire.greet()
    wire_data = HEARTBEAT * 3
    for start in range(0, len(wire_data), size):
        hall.pass_time(1.9)
        wire.deliver(wire_data[start : start + size])
        await turns()
    assert wire.ended == ""


async def test_a_heartbeat_is_not_answered() -> None:
    wire = Wire(Hall())
    wire.greet()
    wire.deliver(HEARTBEAT)
    await turns()
    assert wire.writes == []


# --------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("data", "reason", "complaint"),
    [
        (bytes.fromhex("00000000"), "protocol-error", "packet type 0"),
        (bytes.fromhex("06000000"), "protocol-error", "packet type 6"),
        (bytes.fromhex("04010001"), "packet-too-large", "65537 bytes"),
        (bytes.fromhex("0400000100"), "protocol-error", "at least two bytes"),
        (bytes.fromhex("04000003080000"), "protocol-error", "message type 4"),
        (HANDSHAKE + notify("a", b""), "protocol-error", "data while greeted"),
    ],
)
async def test_an_error_is_told_by_a_kick_and_then_the_connection_closes(
    data: bytes, reason: str, complaint: str
) -> None:
    hall = Hall()
    wire = Wire(hall)
    session = wire.greet()
    wire.deliver(data)
    *_, kicked = wire.events()
    assert isinstance(kicked, Kicked)
    assert complaint in kicked.reason
    assert wire.ended == "close"
    await turns()
    assert session.closed == reason
    assert hall.counts("wire").closed == {reason: 1}
    assert hall.is_empty()


async def test_what_came_in_front_of_an_error_is_answered() -> None:
    wire = Wire(Hall())
    wire.greet()
    _, hello = wire.client.request("Room.Hello", b"{}")
    wire.deliver(hello + bytes.fromhex("09000000") + hello)
    response, kicked = wire.events()
    assert isinstance(response, Message)
    assert isinstance(kicked, Kicked)


@pytest.mark.parametrize(
    ("route", "payload", "status"),
    [
        ("Room", b"{}", 404),
        ("Room.Nope", b"{}", 404),
        ("Room.Fail", b"{}", 403),
        ("Room.Panic", b"{}", 500),
        ("Room.Poke", b"{}", 500),  # it answers nothing
        ("Room.Hello", b"{", 400),
        ("Room.Hello", b'"\xff"', 400),
        ("Room.Hello", b'{"n":"x"}', 400),
    ],
)
async def test_every_request_is_answered(
    route: str, payload: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    wire = Wire(Hall())
    wire.greet()
    number = wire.request(route, payload)
    response = wire.events()[-1]
    assert isinstance(response, Message)
    assert (response.id, response.failed) == (number, True)
    assert f'"status":{status}'.encode() in response.payload
    assert wire.ended == ""


@given(st.binary(max_size=300), st.booleans())
async def test_no_bytes_raise_anything(data: bytes, greeted: bool) -> None:
    hall = Hall(packet=1024)
    wire = Wire(hall)
    if greeted:
        wire.greet()
    wire.deliver(data)
    await turns()
    wire.lose()
    assert hall.is_empty()


# --------------------------------------------------------------------- writing


async def test_pushes_of_one_turn_leave_in_one_write_and_in_order() -> None:
    wire = Wire(Hall())
    session = wire.greet()
    for number in range(100):
        session.push("onNumber", number)
    assert wire.writes == []
    await turns()
    assert len(wire.writes) == 1
    expected = [Message(PUSH, 0, "onNumber", b"%d" % number) for number in range(100)]
    assert wire.events() == expected


async def test_what_handlers_send_leaves_when_the_read_is_done() -> None:
    wire = Wire(Hall())
    wire.greet()
    _, hello = wire.client.request("Room.Hello", b"{}")
    wire.deliver(notify("Room.Poke", b"{}") + hello + notify("Room.Poke", b"{}"))
    assert len(wire.writes) == 1
    routes = [event.route for event in wire.events() if isinstance(event, Message)]
    assert routes == ["onPoke", "", "onPoke"]


async def test_a_push_that_cannot_be_sent_is_the_handlers_error() -> None:
    wire = Wire(Hall())
    session = wire.greet()
    for route in ("r" * 256, "\ud800"):
        with pytest.raises(EncodeError):
            session.push(route, 1)
    await turns()
    assert wire.writes == []


async def test_push_heads_are_kept_for_a_bounded_number_of_routes() -> None:
    wire = Wire(Hall())
    session = wire.greet()
    for number in range(600):
        session.push(f"route.{number}", None)
    await turns()
    assert len(wire.events()) == 600


async def test_a_client_that_does_not_read_is_cut_at_its_backlog() -> None:
    hall = Hall(backlog=200_000)
    slow, other = Wire(hall), Wire(hall)
    session, _ = slow.greet(), other.greet()
    slow.taking = False
    sent = 0
    while not slow.ended:
        session.push("onNoise", "x" * 1000)
        await turns()
        sent += 1
        assert sent < 300
    assert slow.ended == "lost"
    assert 190 <= sent <= 210
    assert session.closed == "slow-client"
    other.request("Room.Hello")
    assert len(other.events()) == 1


async def test_one_turns_output_may_exceed_the_backlog() -> None:
    hall = Hall(backlog=200_000)
    wire = Wire(hall)
    session = wire.greet()
    wire.taking = False
    session.push("onMap", "x" * 1_000_000)
    await turns()
    assert wire.ended == ""
    wire.catch_up()
    session.push("onMap", "x" * 1_000_000)
    await turns()
    assert len(wire.events()) == 2
    wire.taking = False
    session.push("onMap", "x" * 1_000_000)
    await turns()
    session.push("onMap", "x")
    await turns()
    assert session.closed == "slow-client"


async def test_a_client_that_catches_up_is_not_cut() -> None:
    hall = Hall(backlog=200_000)
    wire = Wire(hall)
    session = wire.greet()
    for _ in range(5):
        wire.taking = False
        for _ in range(150):
            session.push("onNoise", "x" * 1000)
            await turns()
        wire.catch_up()
    assert wire.ended == ""
    assert len(wire.events()) == 750


async def test_what_is_sent_to_somebody_who_has_gone_is_counted() -> None:
    hall = Hall()
    wire = Wire(hall)
    session = wire.greet()
    wire.lose()
    session.push("onNoise", 1)
    session.home.respond(1, b"", False)
    session.kick("again")
    session.home.pause()
    session.home.resume()
    wire.protocol.abort()
    wire.protocol.stop()
    await turns()
    assert wire.writes == []
    assert hall.metrics.dropped["client", "closed"] == 2
    assert wire.protocol.peer == "gone"


# -------------------------------------------------------------------- the kick


async def test_a_kick_says_why_and_closes() -> None:
    hall = Hall()
    wire = Wire(hall)
    session = wire.greet()
    session.push("onNoise", 1)
    session.kick("too loud")
    push, kicked = wire.events()
    assert isinstance(push, Message)
    assert kicked == Kicked("too loud")
    assert wire.ended == "close"
    await turns()
    assert session.closed == "kicked"
    assert hall.counts("wire").closed == {"kicked": 1}


async def test_a_kick_within_a_handler_stops_what_was_read_with_it() -> None:
    hall = Hall()
    wire = Wire(hall)
    wire.greet()
    fast = [notify("Room.Fast", b"%d" % number) for number in range(4)]
    wire.deliver(fast[0] + fast[1] + notify("Room.Close", b"") + fast[2] + fast[3])
    assert hall.room.seen == [0, 1]
    assert wire.events() == [Kicked("closed by the handler")]
    await turns()
    assert hall.room.seen == [0, 1]
    assert hall.is_empty()


async def test_whoever_does_not_read_a_farewell_is_cut_off_in_the_end() -> None:
    hall = Hall(heartbeat=100)
    wire = Wire(hall)
    session = wire.greet()
    wire.taking = False
    session.kick("bye")
    hall.pass_time(CLOSING_TIME - 0.1)
    assert wire.ended == "close"
    hall.pass_time(0.2)
    assert wire.ended == "abort"
    await turns()
    assert session.closed == "kicked"
    assert hall.is_empty()


async def test_only_the_first_reason_counts() -> None:
    hall = Hall()
    wire = Wire(hall)
    session = wire.greet()
    session.kick("first")
    session.kick("second")
    wire.protocol.stop()
    wire.protocol.lose()
    assert wire.events() == [Kicked("first")]
    await turns()
    assert session.closed == "kicked"


async def test_a_session_learns_why_it_ended() -> None:
    for error, reason in ((None, "client-closed"), (OSError(), "connection-lost")):
        hall = Hall()
        wire = Wire(hall)
        session = wire.greet()
        ended: list[Session] = []
        hall.sessions.on_closed(ended.append)
        wire.lose(error)
        assert ended == [session]
        assert session.closed == reason
        assert hall.counts("wire").closed == {reason: 1}
        assert hall.counts("wire").open == 0


# ------------------------------------------------------------ pause and resume


async def test_slow_handlers_pause_the_client_and_nothing_is_lost_or_overtakes() -> (
    None
):
    hall = Hall()
    wire = Wire(hall)
    wire.greet()
    numbers = list(range(6000))
    routes = ["Room.Slow" if number % 3 else "Room.Fast" for number in numbers]
    data = b"".join(
        notify(route, b"%d" % number)
        for route, number in zip(routes, numbers, strict=True)
    )
    wire.deliver(data[:5000])
    assert not wire.reading
    wire.deliver(data[5000:])
    await turns(20)
    assert hall.room.waits == 1
    assert hall.room.seen == [0]
    hall.room.gate.set()
    await until(lambda: len(hall.room.seen) == 6000)
    assert hall.room.seen == numbers
    assert wire.reading


async def test_a_client_that_goes_while_paused_leaves_nothing_behind() -> None:
    hall = Hall()
    wire = Wire(hall)
    wire.greet()
    wire.deliver(b"".join(notify("Room.Slow", b"%d" % it) for it in range(100)))
    assert not wire.reading
    await turns()
    wire.lose(ConnectionResetError())
    hall.room.gate.set()
    await turns(10)
    assert hall.room.seen == [0]  # it was running already
    assert hall.is_empty()
    assert not hall.dispatcher.tasks


async def test_a_kick_while_paused_stops_what_waits() -> None:
    hall = Hall()
    wire = Wire(hall)
    session = wire.greet()
    wire.deliver(b"".join(notify("Room.Slow", b"%d" % it) for it in range(100)))
    await turns()
    session.kick("enough")
    hall.room.gate.set()
    await turns(10)
    assert hall.room.seen == [0]
    assert wire.events() == [Kicked("enough")]


async def test_an_error_behind_a_pause_ends_the_connection_in_its_turn() -> None:
    hall = Hall()
    wire = Wire(hall)
    wire.greet()
    slow = b"".join(notify("Room.Slow", b"%d" % it) for it in range(100))
    wire.deliver(slow + bytes.fromhex("09000000"))
    await turns()
    assert wire.ended == ""
    hall.room.gate.set()
    await until(lambda: bool(wire.ended))
    (kicked,) = wire.events()
    assert isinstance(kicked, Kicked)
    assert "packet type 9" in kicked.reason


async def test_a_greeting_behind_a_pause_is_answered_in_its_turn() -> None:
    hall = Hall()
    wire = Wire(hall)
    wire.greet()
    slow = b"".join(notify("Room.Slow", b"%d" % it) for it in range(50))
    wire.deliver(slow + HANDSHAKE + ACK + notify("Room.Fast", b"50"))
    await turns()
    assert wire.writes == []
    hall.room.gate.set()
    await until(lambda: len(hall.room.seen) == 51)
    assert hall.room.seen == list(range(51))
    await turns()
    assert [type(event) for event in wire.events()] == [Accepted]


async def test_what_is_read_in_spite_of_a_pause_waits_its_turn() -> None:
    """TLS may hand on what it has already decrypted."""
    hall = Hall()
    wire = Wire(hall)
    session = wire.greet()
    session.home.pause()
    for number in range(3):
        wire.protocol.data_received(notify("Room.Fast", b"%d" % number))
    assert hall.room.seen == []
    session.home.resume()
    assert hall.room.seen == [0, 1, 2]


async def test_pausing_and_resuming_twice_is_harmless() -> None:
    wire = Wire(Hall())
    session = wire.greet()
    session.home.resume()
    session.home.pause()
    session.home.pause()
    assert not wire.reading
    session.home.resume()
    session.home.resume()
    assert wire.reading


async def test_a_change_of_a_session_counts_its_version() -> None:
    session = Wire(Hall()).greet()
    before = session.version
    session.bind("ann")
    session.set("level", 3)
    assert session.version == before + 2
