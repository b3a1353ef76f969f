"""The client's end, and what it makes of servers that misbehave."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano.errors import ProtocolError
from nano.protocol.client import Accepted, ClientConnection, Heartbeat, Kicked
from nano.protocol.packets import (
    HEADER_SIZE,
    HEARTBEAT_PACKET,
    PacketType,
    encode_packet,
)

from .wire import cut_lists, ways


def answer(body: bytes) -> bytes:
    return encode_packet(PacketType.HANDSHAKE, body)


def test_the_greeting_announces_that_errors_are_understood() -> None:
    packet = ClientConnection().greet()
    assert json.loads(packet[HEADER_SIZE:]) == {
        "sys": {"type": "nano-python", "version": "1", "errors": True}
    }


def test_the_greeting_carries_the_user_even_if_it_is_false() -> None:
    packet = ClientConnection().greet(0)
    assert json.loads(packet[HEADER_SIZE:])["user"] == 0


@pytest.mark.parametrize("token", ["", "token"])
def test_the_greeting_asks_for_a_session_to_come_back_to(token: str) -> None:
    packet = ClientConnection().greet(resume=token)
    assert json.loads(packet[HEADER_SIZE:])["sys"]["resume"] == token


def test_requests_are_numbered_from_one() -> None:
    client = ClientConnection()
    assert [client.request("r", b"")[0] for _ in range(3)] == [1, 2, 3]


def test_a_refusal_is_an_answer_and_lets_nobody_in() -> None:
    client = ClientConnection()
    body = b'{"code":501}'
    assert client.receive(answer(body)) == [Accepted(501, 0, body)]
    assert not client.accepted


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"code":"\xff"}',
        b'{"code":200,"x":' + b"[" * 30_000,
        b'{"code":200,"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"code":200,"sys":{"dict":{"a":1,"b":1}}}',
        b'{"code":200,"sys":{"dict":{"a":65536}}}',
        b'{"code":200,"sys":{"dict":{"\xff":1}}}',
    ],
)
def test_an_answer_that_cannot_be_read_is_a_protocol_error(body: bytes) -> None:
    client = ClientConnection()
    with pytest.raises(ProtocolError, match="cannot be read"):
        client.receive(answer(body))
    assert not client.accepted


def test_a_server_does_not_acknowledge() -> None:
    with pytest.raises(ProtocolError, match="does not acknowledge"):
        ClientConnection().receive(encode_packet(PacketType.HANDSHAKE_ACK))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"reason":"too slow"}', "too slow"),
        (b'{"reason":"odd","reconnect":1}', "odd"),
        (b"{}", ""),
        (b"", ""),
        (b"bye", "bye"),
        (b'{"reason":"\xff"}', '{"reason":"\ufffd"}'),
        (b"[" * 3000, "[" * 3000),
    ],
)
def test_a_kick_is_understood_whatever_its_body_is(body: bytes, reason: str) -> None:
    packet = encode_packet(PacketType.KICK, body)
    assert ClientConnection().receive(packet) == [Kicked(reason)]


def test_a_kick_may_ask_to_come_back() -> None:
    body = b'{"reason":"restart","reconnect":true}'
    packet = encode_packet(PacketType.KICK, body)
    assert ClientConnection().receive(packet) == [Kicked("restart", reconnect=True)]


@given(cut_lists)
def test_heartbeats_arrive_however_they_are_cut(cuts: list[int]) -> None:
    for chunks in ways(HEARTBEAT_PACKET * 3, cuts):
        client = ClientConnection()
        events = [event for chunk in chunks for event in client.receive(chunk)]
        assert events == [Heartbeat()] * 3


@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(encode_packet, st.sampled_from(PacketType), st.binary(max_size=60)),
    ),
    cut_lists,
)
def test_garbage_is_a_protocol_error_at_most(wire: bytes, cuts: list[int]) -> None:
    for chunks in ways(wire, cuts):
        client = ClientConnection()
        for chunk in chunks:
            try:
                client.receive(chunk)
            except ProtocolError:
                break
