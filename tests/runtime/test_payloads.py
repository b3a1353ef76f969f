"""What a handler's annotation makes of the payload, and of a wrong one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypedDict

import msgspec
import pytest

from nano import Component, Session, handler

from .clients import World


class Words(msgspec.Struct):
    text: str


@dataclass
class Point:
    x: int
    y: int = 0


class Name(TypedDict):
    name: str


class Types(Component):
    @handler
    def struct(self, session: Session, payload: Words) -> str:
        return payload.text

    @handler
    def data(self, session: Session, payload: Point) -> dict[str, int]:
        return asdict(payload)

    @handler
    def typed(self, session: Session, payload: Name) -> str:
        return payload["name"]

    @handler
    def mapping(self, session: Session, payload: dict[str, int]) -> int:
        return sum(payload.values())

    @handler
    def raw(self, session: Session, payload: bytes) -> str:
        return payload.hex()

    @handler
    def nothing(self, session: Session, payload: None) -> str:
        return repr(payload)

    @handler
    def optional(self, session: Session, payload: Words | None) -> str:
        return payload.text if payload else "none"

    @handler
    def anything(self, session: Session, payload: Any) -> list[Any]:
        return [payload]

    @handler
    def echo_raw(self, session: Session, payload: bytes) -> bytes:
        return payload


@pytest.mark.parametrize(
    ("method", "payload", "result"),
    [
        ("struct", b'{"text":"hi","more":1}', "hi"),
        ("data", b'{"x":3}', {"x": 3, "y": 0}),
        ("typed", b'{"name":"ann"}', "ann"),
        ("mapping", b'{"a":1,"b":2}', 3),
        ("raw", b"\x00\xff", "00ff"),
        ("raw", b"", ""),
        ("nothing", b"whatever \xff", "None"),
        ("nothing", b"", "None"),
        ("optional", b"", "none"),
        ("optional", b'{"text":"hi"}', "hi"),
        ("anything", b"[1,2]", [[1, 2]]),
        ("anything", b"", [None]),
        ("echo_raw", b'{"as":"it is"}', {"as": "it is"}),
    ],
)
async def test_a_payload_arrives_as_declared(
    method: str, payload: bytes, result: object
) -> None:
    answer = await World(Types()).client().request(f"Types.{method}", payload)
    assert answer == (result, False)


@pytest.mark.parametrize(
    ("method", "payload"),
    [
        ("struct", b'{"text":1}'),
        ("struct", b"{}"),
        ("struct", b""),
        ("struct", b"{"),
        ("struct", b'{"text":"\xff"}'),
        ("struct", b'{"text":"\\ud800"}'),
        ("data", b'{"x":"3"}'),
        ("typed", b"[]"),
        ("mapping", b'{"a":"b"}'),
        ("anything", b"[" * 100_000),
        ("anything", b"\xff"),
    ],
)
async def test_a_payload_of_another_form_is_answered_400(
    method: str, payload: bytes
) -> None:
    world = World(Types())
    answer = await world.client().request(f"Types.{method}", payload)
    assert answer.status == 400
    assert answer.value["code"] == "NANO-400"
    assert answer.value["msg"]
    assert world.metrics.failures == {400: 1}
