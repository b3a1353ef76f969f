"""What an application does to the payloads of a listener."""

from __future__ import annotations

import pytest

from nano import Message, RequestError, Session
from nano.errors import UsageError
from nano.protocol.client import ClientConnection
from nano.protocol.messages import PUSH, RESPONSE
from nano.runtime.pipeline import Pipeline, Pipelines
from nano.transports.broadcast import broadcast
from nano.transports.connection import TcpTransport
from nano.transports.context import Doorway, Terms

from .room import Hall, Wire, turns


class Place:
    """A wire whose listener has a pipeline."""

    def __init__(self) -> None:
        self.hall = Hall()
        self.pipeline = Pipeline()
        self.door = Doorway(
            self.hall.front, self.hall.counts("wire"), Terms(pipeline=self.pipeline)
        )
        self.wire = Wire(self.hall, TcpTransport, self.door)

    def messages(self) -> list[Message]:
        return [it for it in self.wire.events() if isinstance(it, Message)]


def upside_down(_: Session, message: Message) -> None:
    message.payload = message.payload[::-1]


async def test_inbound_functions_change_what_handlers_get() -> None:
    place = Place()
    place.pipeline.inbound.push_back(upside_down)
    place.wire.greet()
    place.wire.request("Room.Raw", b"abc")
    (response,) = place.messages()
    assert response.payload == b"raw:cba"


async def test_outbound_functions_change_responses_and_pushes() -> None:
    place = Place()
    seen: list[tuple[int, str]] = []

    def stage(session: Session, message: Message) -> None:
        assert session is place.wire.protocol.session
        seen.append((message.type, message.route))
        message.payload = message.payload.upper()

    place.pipeline.outbound.push_back(stage)
    session = place.wire.greet()
    place.wire.request("Room.Raw", b"abc")
    place.wire.request("Room.Unknown", b"abc")
    session.push("onNews", "hello")
    await turns()
    response, failure, push = place.messages()
    assert (response.payload, push.payload) == (b"RAW:ABC", b'"HELLO"')
    assert failure.failed
    assert b"NOBODY SERVES" in failure.payload
    assert seen == [(RESPONSE, ""), (RESPONSE, ""), (PUSH, "onNews")]


async def test_functions_run_in_the_order_in_which_they_were_put() -> None:
    place = Place()
    order: list[str] = []
    channel = place.pipeline.inbound
    channel.push_back(lambda *_: order.append("second"))
    channel.push_back(lambda *_: order.append("third"))
    channel.push_front(lambda *_: order.append("first"))
    place.wire.greet()
    place.wire.request("Room.Raw", b"")
    assert order == ["first", "second", "third"]


async def test_an_inbound_function_may_refuse_a_message() -> None:
    place = Place()

    def stage(_: Session, message: Message) -> None:
        if message.payload == b"bad":
            raise RequestError(400, "cannot be decrypted")
        if message.payload == b"broken":
            raise ValueError("a bug")

    place.pipeline.inbound.push_back(stage)
    place.wire.greet()
    for payload in (b"bad", b"broken", b"good"):
        place.wire.request("Room.Raw", payload)
    bad, broken, good = place.messages()
    assert b'"status":400' in bad.payload
    assert b'"status":500' in broken.payload
    assert b"a bug" not in broken.payload
    assert good.payload == b"raw:good"


async def test_an_outbound_function_that_fails_drops_its_message_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = Place()

    def stage(_: Session, message: Message) -> None:
        if message.route == "onBad":
            message.payload = "no bytes"  # type: ignore[assignment]

    place.pipeline.outbound.push_back(stage)
    session = place.wire.greet()
    session.push("onBad", 1)
    session.push("onGood", 2)
    await turns()
    assert [it.route for it in place.messages()] == ["onGood"]
    assert place.hall.metrics.dropped == {("client", "pipeline"): 1}
    assert place.hall.metrics.pushes == {"onGood": 1}
    assert "payload of type str" in caplog.text


async def test_a_publish_passes_the_pipeline_of_each_client() -> None:
    place = Place()

    def stage(session: Session, message: Message) -> None:
        message.payload = session.uid.encode()

    place.pipeline.outbound.push_back(stage)
    sessions = []
    wires = [Wire(place.hall, TcpTransport, place.door) for _ in range(2)]
    for wire, uid in zip(wires, ("ann", "bob"), strict=True):
        session = wire.greet()
        session.bind(uid)
        sessions.append(session)
    assert broadcast(place.hall.metrics, sessions, "onNews", b"all") == 2
    await turns()
    payloads = []
    for wire in wires:
        (push,) = wire.events()
        assert isinstance(push, Message)
        payloads.append(push.payload)
    assert payloads == [b"ann", b"bob"]


async def test_what_was_held_by_a_pause_passes_it_too() -> None:
    place = Place()
    place.pipeline.inbound.push_back(upside_down)
    session = place.wire.greet()
    session.hold("test")
    client = ClientConnection()
    _, packet = client.request("Room.Raw", b"abc")
    place.wire.protocol.feed(packet)
    assert place.messages() == []
    session.release("test")
    await turns()
    (response,) = place.messages()
    assert response.payload == b"raw:cba"


def test_a_node_has_pipelines_for_its_listeners_and_no_others() -> None:
    pipelines = Pipelines(["ws", "tcp"])
    assert pipelines.of("ws") is pipelines.of("ws")
    with pytest.raises(UsageError, match="no listener 'wss' here; there are: ws, tcp"):
        pipelines.of("wss")
    with pytest.raises(UsageError, match="only gates have listeners"):
        Pipelines().of("ws")
