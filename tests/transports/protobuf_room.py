"""The handlers of the Go server whose conversation under protobuf was recorded."""

from __future__ import annotations

from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue

from nano import Component, RequestError, Session, handler
from tests.serializers.messages import PONG


class ProtobufRoom(Component):
    """Answers a Ping, which is on the wire what a StringValue is, with a Pong."""

    service = "Room"

    @handler("Ping")
    def ping(self, _: Session, said: StringValue) -> Message:
        return PONG(content=f"pong {said.value}")

    @handler("Poke")
    def poke(self, session: Session, said: StringValue) -> None:
        session.push("onPoke", PONG(content=said.value))

    @handler("Empty")
    def empty(self, _: Session, _said: StringValue) -> Message:
        return PONG()

    @handler("Close")
    def close(self, session: Session, _: None) -> None:
        session.kick("closed by the handler")

    @handler("Fail")
    def fail(self, _: Session, _said: StringValue) -> None:
        raise RequestError(403, "not you")
