"""What one listener asks of its clients and offers them: path, origins, dictionary."""

from __future__ import annotations

import asyncio

import pytest
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from nano.metrics import Metrics
from nano.protocol.dictionary import RouteDictionary
from nano.protocol.messages import PUSH, Message
from nano.transports.addresses import Proxies
from nano.transports.broadcast import broadcast
from nano.transports.context import Doorway, Terms
from nano.transports.websocket import WebSocketTransport

from .room import Hall, Wire, turns
from .test_websocket import WebSocketWire

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


# -------------------------------------------------------- whom a proxy asks for

BEHIND = Terms(proxies=Proxies(["127.0.0.1", "10.0.0.0/8"]))


def forwarded(
    hall: Hall, *values: str, terms: Terms = BEHIND, greet: bool = True
) -> WebSocketWire:
    """Come by a wire from 127.0.0.1, with headers of the name X-Forwarded-For."""
    wire = WebSocketWire(hall, door(hall, terms))
    request = wire.browser.connect()
    headers = Headers(request.headers)
    for value in values:
        headers["X-Forwarded-For"] = value
    request.headers = headers
    wire.browser.send_request(request)
    wire.flush()
    wire.take()
    if greet:
        wire.greet()
    return wire


@pytest.mark.parametrize(
    ("terms", "values", "address"),
    [
        (BEHIND, ["203.0.113.9"], "203.0.113.9"),
        (BEHIND, ["198.51.100.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (BEHIND, ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (BEHIND, ["2001:db8::9"], "[2001:db8::9]"),
        (BEHIND, [], "127.0.0.1:4711"),
        (BEHIND, ["garbage"], "127.0.0.1:4711"),
        (Terms(), ["203.0.113.9"], "127.0.0.1:4711"),
        (Terms(proxies=Proxies(["10.0.0.0/8"])), ["203.0.113.9"], "127.0.0.1:4711"),
    ],
)
async def test_a_proxy_that_is_trusted_tells_whose_the_session_is(
    terms: Terms, values: list[str], address: str
) -> None:
    hall = Hall()
    wire = forwarded(hall, *values, terms=terms)
    assert wire.protocol.session is not None
    assert wire.protocol.session.remote_address == wire.protocol.peer == address
    wire.lose()
    assert hall.is_empty()


async def test_websockets_are_limited_by_the_address_that_the_proxy_tells() -> None:
    hall = Hall(per_address=2)
    wires = [forwarded(hall, f"203.0.113.{it}") for it in (1, 1, 2)]
    late = forwarded(hall, "10.9.9.9, 203.0.113.1, 10.0.0.2", greet=False)
    assert late.browser.state is not State.OPEN
    await turns()
    assert hall.counts("door").closed == {"too-many-of-address": 1}
    assert hall.front.admission._addresses == {"203.0.113.1": 2, "203.0.113.2": 1}
    for wire in wires:
        wire.lose()
    assert hall.is_empty()


async def test_a_proxys_own_connections_are_nobodys() -> None:
    hall = Hall(per_address=1)
    for wire in [forwarded(hall) for _ in range(3)]:
        wire.lose()
    assert hall.is_empty()


async def test_a_stranger_cannot_pass_for_somebody_else() -> None:
    hall = Hall(per_address=2)
    strangers = Terms(proxies=Proxies(["10.0.0.0/8"]))
    for number in range(2):
        forwarded(hall, f"203.0.113.{number}", terms=strangers)
    with pytest.raises(AssertionError):
        forwarded(hall, "203.0.113.99", terms=strangers)
    assert hall.counts("door").closed == {}
    assert hall.front.admission._addresses == {"127.0.0.1": 2}
