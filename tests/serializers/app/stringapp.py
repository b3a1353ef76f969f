"""Components of clusters whose payloads are not JSON."""

from __future__ import annotations

import msgspec
from google.protobuf.wrappers_pb2 import StringValue

from nano import Component, RequestError, Session, handler


class Words(Component):
    """Payloads are Protocol Buffers."""

    @handler
    def upper(self, session: Session, said: StringValue) -> StringValue:
        return StringValue(value=said.value.upper())

    @handler
    async def later(self, session: Session, said: StringValue) -> StringValue:
        session.push("onLater", said)
        return said

    @handler
    def refuse(self, session: Session, said: StringValue) -> StringValue:
        raise RequestError(403, f"not {said.value}")

    @handler
    def wrong(self, session: Session, said: StringValue) -> dict[str, str]:
        return {"text": said.value}

    @handler
    def garble(self, session: Session, said: None) -> bytes:
        return b"\xff"


class Octets(Component):
    """Payloads are bytes."""

    @handler
    def reverse(self, session: Session, said: bytes) -> bytes:
        return said[::-1]

    @handler
    def refuse(self, session: Session, said: bytes) -> bytes:
        raise RequestError(403, "not you")


class Said(msgspec.Struct):
    """What only JSON can become."""

    text: str


class Plain(Component):
    """Payloads are JSON."""

    @handler
    def echo(self, session: Session, said: Said) -> Said:
        return said
