"""A client's connection over a wire that shows every write, with time as a value."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano.protocol.client import Accepted, Heartbeat, Kicked
from nano.protocol.messages import RESPONSE, Message

from .room import HANDSHAKE, HEARTBEAT, Hall, Wire, notify, turns

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
    assert wire.events() == [Kicked("no handshake came in time", reconnect=True)]
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
    assert wire.events()[-1] == Kicked("no handshake came in time", reconnect=True)


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
    assert wire.events() == [Heartbeat(), Heartbeat(), Kicked(reason, reconnect=True)]
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
