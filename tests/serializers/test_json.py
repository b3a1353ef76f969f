"""Payloads in JSON: what handlers may ask for, and how refusals read."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano.errors import PayloadError, RequestError
from nano.serializers import JsonSerializer, Serializer

JSON = JsonSerializer()


class Said(msgspec.Struct):
    text: str
    times: int = 1


@dataclasses.dataclass
class Point:
    x: float
    y: float


class Named(TypedDict):
    name: str


def test_json_is_a_serializer() -> None:
    serializer: Serializer = JSON
    assert serializer.encode([1]) == b"[1]"


@pytest.mark.parametrize(
    ("wanted", "payload", "value"),
    [
        (Any, b'{"a":[1,null]}', {"a": [1, None]}),
        (Said, b'{"text":"hi"}', Said("hi")),
        (Said, b'{"text":"hi","times":3,"more":0}', Said("hi", 3)),
        (Point, b'{"x":1,"y":2.5}', Point(1.0, 2.5)),
        (Named, b'{"name":"ann"}', {"name": "ann"}),
        (list[int], b"[1,2]", [1, 2]),
        (dict, b"{}", {}),
        (str, b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (str, '"\N{GRINNING FACE}"'.encode(), "\N{GRINNING FACE}"),
        (int | None, b"", None),
        (Any, b"", None),
        (Literal["a"], b'"a"', "a"),
    ],
)
def test_a_payload_becomes_what_the_handler_declares(
    wanted: Any, payload: bytes, value: object
) -> None:
    assert JSON.decoder(wanted)(payload) == value


def test_bytes_are_the_payload_as_it_came() -> None:
    assert JSON.decoder(bytes)(b"\xff\x00") == b"\xff\x00"


@pytest.mark.parametrize("wanted", [None, type(None)])
def test_none_means_that_the_payload_does_not_matter(wanted: object) -> None:
    assert JSON.decoder(wanted)(b"\xff") is None


@pytest.mark.parametrize(
    ("wanted", "payload", "complaint"),
    [
        (Said, b"{}", "missing required field `text`"),
        (Said, b'{"text":1}', r"Expected `str`, got `int` - at `\$.text`"),
        (Said, b"", "Expected `object`, got `null`"),
        (Any, b"{", "truncated"),
        (Any, b"1 2", "trailing"),
        (str, b'"\xff"', "(?i)utf-8"),
        (str, b'"\xed\xa0\xbd"', "(?i)utf-8"),  # half of a character
        (Any, b"[" * 100_000, "recursion|levels"),
        (int, b"9" * 5000, "out of range"),
    ],
)
def test_a_refused_payload_is_a_payload_error_that_says_why(
    wanted: Any, payload: bytes, complaint: str
) -> None:
    with pytest.raises(PayloadError, match=complaint):
        JSON.decoder(wanted)(payload)


@given(st.binary(max_size=60))
def test_garbage_is_a_payload_error_at_most(payload: bytes) -> None:
    for wanted in (Any, Said, list[int], dict[str, Said]):
        decode = JSON.decoder(wanted)
        try:
            decode(payload)
        except PayloadError:
            continue


def test_a_type_that_cannot_be_decoded_is_refused_at_once() -> None:
    with pytest.raises(TypeError):
        JSON.decoder(dict[Point, int] | Point | Said)


def test_a_field_of_an_unknown_type_is_refused_at_once() -> None:
    lost = msgspec.defstruct("Lost", [("text", "Nowhere")])
    with pytest.raises(TypeError, match="'Nowhere' is not defined"):
        JSON.decoder(lost)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), 1 << 63) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(json_values)
def test_what_is_encoded_is_decoded(value: object) -> None:
    assert JSON.decoder(Any)(JSON.encode(value)) == value


def test_bytes_stay_as_they_are() -> None:
    assert JSON.encode(b"\xff") == b"\xff"
    assert JSON.encode(Said("hi")) == b'{"text":"hi","times":1}'


@pytest.mark.parametrize("value", [object(), {(1, 2): 3}, 1j])
def test_what_has_no_form_in_json_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        JSON.encode(value)


def test_an_error_is_written_in_pitayas_shape() -> None:
    body = JSON.encode_error(RequestError(404, "nobody serves 'Room.x'"))
    assert body == b'{"code":"NANO-404","msg":"nobody serves \'Room.x\'","status":404}'


@given(st.integers(100, 599), st.text(), st.text(min_size=1))
def test_an_error_arrives_as_it_was(status: int, message: str, code: str) -> None:
    error = JSON.decode_error(JSON.encode_error(RequestError(status, message, code)))
    assert (error.status, error.message, error.code) == (status, message, code)


@pytest.mark.parametrize(
    ("payload", "seen"),
    [
        (b"", (500, "", "NANO-500")),
        (b"down", (500, "down", "NANO-500")),
        (b"\xff", (500, "\ufffd", "NANO-500")),
        (b'{"code":"PIT-404","msg":"no"}', (500, "no", "PIT-404")),
        (b'{"status":"x"}', (500, '{"status":"x"}', "NANO-500")),
        (b"[" * 5000, (500, "[" * 200, "NANO-500")),
    ],
)
def test_an_error_of_another_shape_is_still_an_error(
    payload: bytes, seen: tuple[int, str, str]
) -> None:
    error = JSON.decode_error(payload)
    assert (error.status, error.message, error.code) == seen
