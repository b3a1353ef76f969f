"""What a handler's annotation makes of the payload, and of a wrong one."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

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


class Move(msgspec.Struct, tag=True):
    x: int


class Say(msgspec.Struct, tag=True):
    words: str


class Colour(enum.Enum):
    RED = "red"


class Pair(NamedTuple):
    left: int
    right: str


@dataclass
class Path:
    points: list[Point]
    name: str | None = None
    colour: Colour = Colour.RED


class Types(Component):
    @handler
    def listed(self, session: Session, payload: list[Words]) -> list[str]:
        return [it.text for it in payload]

    @handler
    def either(self, session: Session, payload: Move | Say) -> str:
        return type(payload).__name__

    @handler
    def plain(self, session: Session, payload: int | str | None) -> str:
        return type(payload).__name__

    @handler
    def nested(self, session: Session, payload: Path) -> dict[str, Any]:
        return asdict(payload)

    @handler
    def pair(self, session: Session, payload: Pair) -> str:
        return payload.left * payload.right

    @handler
    def literal(self, session: Session, payload: Literal["up", "down"]) -> str:
        return payload

    @handler
    def limited(
        self, session: Session, payload: Annotated[str, msgspec.Meta(max_length=3)]
    ) -> str:
        return payload

    @handler
    def of_time(self, session: Session, payload: datetime) -> int:
        return payload.year

    @handler
    async def later(self, session: Session, payload: Words) -> Words:
        return payload

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
        ("listed", b'[{"text":"a"},{"text":"b"}]', ["a", "b"]),
        ("either", b'{"type":"Move","x":1}', "Move"),
        ("either", b'{"type":"Say","words":"hi"}', "Say"),
        ("plain", b"1", "int"),
        ("plain", b'"1"', "str"),
        ("plain", b"", "NoneType"),
        (
            "nested",
            b'{"points":[{"x":1}],"colour":"red"}',
            {"points": [{"x": 1, "y": 0}], "name": None, "colour": "red"},
        ),
        ("pair", b'[2,"a"]', "aa"),
        ("literal", b'"up"', "up"),
        ("limited", b'"abc"', "abc"),
        ("of_time", b'"2026-02-26T12:00:00Z"', 2026),
        ("later", b'{"text":"hi"}', {"text": "hi"}),
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
    ("method", "payload", "text"),
    [
        ("struct", b'{"text":1}', "Expected `str`, got `int` - at `$.text`"),
        ("struct", b"{}", "missing required field `text`"),
        ("listed", b'[{"text":"a"},{}]', "field `text` - at `$[1]`"),
        ("either", b'{"type":"Fly"}', "Invalid value 'Fly' - at `$.type`"),
        ("either", b"{}", "missing required field `type`"),
        ("plain", b"[]", "Expected `int | str | null`, got `array`"),
        ("nested", b'{"points":[{"x":"1"}]}', "at `$.points[0].x`"),
        ("nested", b'{"points":[],"colour":"blue"}', "'blue' - at `$.colour`"),
        ("pair", b"[1]", "Expected `array` of length 2"),
        ("literal", b'"left"', "Invalid enum value 'left'"),
        ("limited", b'"abcd"', "length <= 3"),
        ("of_time", b'"yesterday"', "Invalid RFC3339"),
        ("later", b"1", "Expected `object`, got `int`"),
    ],
)
async def test_a_refusal_names_the_field_and_says_what_it_takes(
    method: str, payload: bytes, text: str
) -> None:
    answer = await World(Types()).client().request(f"Types.{method}", payload)
    assert answer.status == 400
    assert text in answer.value["msg"]


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
