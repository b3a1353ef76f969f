"""What one listener asks of its clients and offers them: path, origins, dictionary."""

from __future__ import annotations

import asyncio

import pytest
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.uri import parse_uri

from nano.metrics import Metrics
from nano.protocol.dictionary import RouteDictionary
from nano.protocol.messages import PUSH, Message
from nano.transports.broadcast import broadcast
from nano.transports.context import Doorway, Terms
from nano.transports.websocket import WebSocketTransport

from .room import Hall, Wire

CODES = RouteDictionary({"Room.Hello": 1, "onNoise": 300})


def door(hall: Hall, terms: Terms) -> Doorway:
    return Doorway(hall.front, hall.counts("door"), terms)


def knock(terms: Terms, path: str, *origins: str) -> Response:
    """Ask for an upgrade; return the answer."""
    wire = Wire(hall := Hall(), WebSocketTransport, door(hall, terms))
    browser = ClientProtocol(parse_uri(f"ws://here{path}"))
    request = browser.connect()
    headers = Headers(request.headers)
    for origin in origins:
        headers["Origin"] = origin
    request.headers = headers
    browser.send_request(request)
    wire.deliver(b"".join(browser.data_to_send()))
    browser.receive_data(b"".join(wire.writes))
    browser.receive_eof()
    (answer, *_) = browser.events_received()
    assert isinstance(answer, Response)
    refused = int(answer.status_code != 101)
    assert hall.counts("door").handshakes.get("no-upgrade", 0) == refused
    return answer


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nano", 101), ("/nano?token=1", 101), ("/", 404), ("/nano/", 404)],
)
async def test_a_path_is_served_and_no_other(path: str, status: int) -> None:
    answer = knock(Terms(path="/nano"), path)
    assert answer.status_code == status
    if status == 404:
        assert b"at /nano; connect there" in (answer.body or b"")


@pytest.mark.parametrize(
    ("origins", "status"),
    [
        ((), 101),
        (("https://game.example",), 101),
        (("https://Game.Example",), 101),
        (("https://game.example.evil",), 403),
        (("null",), 403),
        (("https://game.example", "https://evil"), 403),
    ],
)
async def test_pages_of_other_origins_are_refused(
    origins: tuple[str, ...], status: int
) -> None:
    terms = Terms(origins=frozenset({"https://game.example"}))
    answer = knock(terms, "/", *origins)
    assert answer.status_code == status
    if status == 403:
        assert b"lists those that may" in (answer.body or b"")


async def test_two_listeners_of_one_node_send_one_push_each_in_its_own_code() -> None:
    hall = Hall()
    coded = Wire(hall, door=door(hall, Terms(dictionary=CODES)))
    named = Wire(hall)
    sessions = [coded.greet(), named.greet()]
    for session in sessions:
        session.push("onNoise", 1)
    broadcast(Metrics(), sessions, "onNoise", b"2")
    await asyncio.sleep(0)
    coded_bytes, named_bytes = b"".join(coded.writes), b"".join(named.writes)
    assert coded_bytes == bytes.fromhex("0400000407012c31" + "0400000407012c32")
    assert b"onNoise" in named_bytes
    expected = [Message(PUSH, 0, "onNoise", b"1"), Message(PUSH, 0, "onNoise", b"2")]
    assert coded.events() == named.events() == expected


async def test_a_client_may_ask_by_code_and_by_name() -> None:
    hall = Hall()
    wire = Wire(hall, door=door(hall, Terms(dictionary=CODES)))
    wire.greet()
    by_code = bytes.fromhex("04000006000500017b7d")
    wire.deliver(by_code + b"\x04\0\0\x0f\0\x06\x0aRoom.Hello{}")
    assert len(wire.events()) == 2
