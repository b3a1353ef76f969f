"""A conversation with a live Go nano that had a route dictionary, both ends."""

from __future__ import annotations

import pytest

from nano.protocol.client import Accepted, ClientConnection
from nano.protocol.connection import Connection, HandshakeRequested
from nano.protocol.dictionary import RouteDictionary
from nano.protocol.handshake import ServerHello
from nano.protocol.messages import Message, encode_message

from .vectors import NANO

STEPS = NANO.live["tcp_json_dict"]["transcript"]
CODES = RouteDictionary({"Room.Hello": 1, "Room.Poke": 2, "onPoke": 300})


def bytes_of(direction: str) -> list[bytes]:
    return [bytes.fromhex(it["bytes_hex"]) for it in STEPS if it["dir"] == direction]


def test_what_nano_sent_is_understood_and_would_be_sent_the_same() -> None:
    client = ClientConnection()
    accepted, *others = [
        event for chunk in bytes_of("server->client") for event in client.receive(chunk)
    ]
    assert isinstance(accepted, Accepted)
    assert (accepted.code, accepted.heartbeat) == (200, 1.5)
    for event, packet in zip(others, bytes_of("server->client")[1:], strict=True):
        assert isinstance(event, Message)
        assert encode_message(event, CODES) == packet
    assert [it.route for it in others if isinstance(it, Message)] == [
        "",
        "",
        "onPoke",
        "",
    ]


@pytest.mark.parametrize("whole", [True, False])
def test_what_nanos_client_sent_is_understood_and_answered_the_same(
    whole: bool,
) -> None:
    sent = bytes_of("client->server")
    server = Connection(CODES)
    events = server.receive(b"".join(sent) if whole else sent[0])
    (greeting,) = events
    assert isinstance(greeting, HandshakeRequested)
    answer = server.accept(ServerHello(1.5, 1795231218, CODES))
    assert answer == bytes_of("server->client")[0]
    chunks = [b""] if whole else sent[1:]
    messages = [event for chunk in chunks for event in server.receive(chunk)]
    assert [(it.id, it.route) for it in messages if isinstance(it, Message)] == [
        (1, "Room.Hello"),
        (2, "Room.Hello"),
        (0, "Room.Poke"),
        (3, "Room.Raw"),
        (0, "Room.Close"),
    ]
