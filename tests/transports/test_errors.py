"""Who is told that a request failed: whoever cannot take it for an answer."""

from __future__ import annotations

import msgspec
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from nano import Component, Session, handler
from nano.errors import RequestError
from nano.protocol.messages import Message
from nano.protocol.packets import PacketType, encode_packet
from nano.serializers import SerializerName, by_name

from .protobuf_room import ProtobufRoom
from .room import Hall, Room, Wire, turns

MUTE = ("answer", "errors-not-announced")
PING = StringValue(value="ann").SerializeToString()


class Bytes(Component):
    """The same requests for those who send bytes."""

    service = "Room"

    @handler("Ping")
    def ping(self, _: Session, said: bytes) -> bytes:
        return said

    @handler("Fail")
    def fail(self, _: Session, _said: bytes) -> bytes:
        raise RequestError(403, "not you")


ROOMS: dict[SerializerName, type[Component]] = {
    "json": Room,
    "protobuf": ProtobufRoom,
    "raw": Bytes,
}


def hall_of(serializer: SerializerName) -> Hall:
    return Hall(serializer=serializer, component=ROOMS[serializer]())


def greet_as_old(wire: Wire, body: object = None) -> None:
    """Shake hands without announcing anything, unless *body* does."""
    hello = msgspec.json.encode(body or {"sys": {"type": "js-websocket"}})
    wire.deliver(
        encode_packet(PacketType.HANDSHAKE, hello)
        + encode_packet(PacketType.HANDSHAKE_ACK)
    )
    wire.events()


def messages(wire: Wire) -> list[Message]:
    return [event for event in wire.events() if isinstance(event, Message)]


@pytest.mark.parametrize("name", ROOMS)
@pytest.mark.parametrize("route", ["Room.Fail", "Room.Nowhere"])
async def test_a_client_that_announces_errors_is_told(
    name: SerializerName, route: str
) -> None:
    hall = hall_of(name)
    wire = Wire(hall)
    wire.greet()
    number = wire.request(route, b"{}" if name == "json" else b"")
    (answer,) = messages(wire)
    assert (answer.id, answer.failed) == (number, True)
    error = by_name(name).decode_error(answer.payload)
    assert error.status in (403, 404)
    assert hall.metrics.failures == {error.status: 1}
    assert not hall.metrics.dropped


@pytest.mark.parametrize("name", ["protobuf", "raw"])
@pytest.mark.parametrize(
    ("route", "status"), [("Room.Fail", 403), ("Room.Nowhere", 404)]
)
async def test_an_old_client_is_not_sent_what_it_would_misread(
    name: SerializerName, route: str, status: int
) -> None:
    hall = hall_of(name)
    wire = Wire(hall)
    greet_as_old(wire)
    wire.request(route, b"")
    number = wire.request("Room.Ping", PING)
    (answer,) = messages(wire)  # the next request is served all the same
    assert (answer.id, answer.failed) == (number, False)
    assert hall.metrics.failures == {status: 1}
    assert hall.metrics.dropped == {MUTE: 1}


async def test_a_payload_that_is_no_message_is_refused_under_protobuf() -> None:
    hall = hall_of("protobuf")
    wire = Wire(hall)
    wire.greet()
    wire.request("Room.Ping", b"\xff\xff")
    (answer,) = messages(wire)
    error = by_name("protobuf").decode_error(answer.payload)
    assert (error.status, error.code) == (400, "NANO-400")
    assert "google.protobuf.StringValue" in error.message


async def test_an_old_client_is_told_in_json() -> None:
    hall = hall_of("json")
    wire = Wire(hall)
    greet_as_old(wire)
    wire.request("Room.Fail")
    (answer,) = messages(wire)
    assert answer.failed
    assert b'"status":403' in answer.payload
    assert not hall.metrics.dropped


async def test_what_a_second_handshake_announces_holds_from_then_on() -> None:
    wire = Wire(hall_of("raw"))
    greet_as_old(wire)
    wire.request("Room.Fail", b"")
    assert messages(wire) == []
    greet_as_old(wire, {"sys": {"errors": True}})
    await turns()
    wire.request("Room.Fail", b"")
    (answer,) = messages(wire)
    assert answer.failed
