"""Payloads that are Protocol Buffers, or bytes and nothing else."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Final

import msgspec
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import Int32Value, StringValue
from hypothesis import given
from hypothesis import strategies as st

from nano import Component, NodeInfo, handler
from nano.errors import PayloadError, RequestError, UsageError
from nano.metrics import Metrics
from nano.runtime.calls import Calls
from nano.runtime.component import collect_handlers
from nano.runtime.dispatch import Dispatcher
from nano.serializers import Serializer, by_name
from nano.serializers.pb.error_pb2 import Error

from .messages import PONG

PROTOBUF: Final = by_name("protobuf")
RAW: Final = by_name("raw")
BINARY: Final = pytest.mark.parametrize("serializer", [PROTOBUF, RAW])


class Said(msgspec.Struct):
    text: str


# ------------------------------------------------------------------ by name


def test_each_name_gives_another_serializer() -> None:
    names = [type(by_name(name)).__name__ for name in ("json", "protobuf", "raw")]
    assert names == ["JsonSerializer", "ProtobufSerializer", "RawSerializer"]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'xml'; take json, protobuf or raw"):
        by_name("xml")  # type: ignore[arg-type]


def test_only_json_describes_its_errors() -> None:
    assert by_name("json").self_describing
    assert not PROTOBUF.self_describing
    assert not RAW.self_describing


def test_json_alone_imports_no_protocol_buffers() -> None:
    program = (
        "import sys, nano.serializers as s; s.by_name('json'); s.by_name('raw'); "
        "sys.exit('google.protobuf' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# ------------------------------------------------------------------ both


@BINARY
@pytest.mark.parametrize("wanted", [bytes, Any])
def test_bytes_are_the_payload_as_it_came(serializer: Serializer, wanted: Any) -> None:
    assert serializer.decoder(wanted)(b"\xff\x00") == b"\xff\x00"
    assert serializer.decoder(wanted)(b"") == b""


@BINARY
@pytest.mark.parametrize("wanted", [None, type(None)])
def test_none_means_that_the_payload_does_not_matter(
    serializer: Serializer, wanted: Any
) -> None:
    assert serializer.decoder(wanted)(b"\xff") is None


@BINARY
@given(st.binary())
def test_bytes_stay_as_they_are(serializer: Serializer, data: bytes) -> None:
    assert serializer.encode(data) == data


@BINARY
@pytest.mark.parametrize("value", [None, "text", 1, {"a": 1}, Said("hi"), Said])
def test_what_has_no_form_is_a_type_error_that_names_what_has(
    serializer: Serializer, value: object
) -> None:
    expected = rf"bytes.*got {type(value).__qualname__}"
    with pytest.raises(TypeError, match=expected):
        serializer.encode(value)


@BINARY
@given(st.integers(100, 599), st.text(), st.text(min_size=1))
def test_an_error_arrives_as_it_was(
    serializer: Serializer, status: int, message: str, code: str
) -> None:
    body = serializer.encode_error(RequestError(status, message, code))
    error = serializer.decode_error(body)
    assert (error.status, error.message, error.code) == (status, message, code)


@BINARY
def test_an_error_is_written_even_if_its_text_is_none(serializer: Serializer) -> None:
    body = serializer.encode_error(RequestError(403, "\ud800"))
    error = serializer.decode_error(body)
    assert (error.status, error.message) == (403, r"'\ud800'")


@BINARY
@given(st.binary(max_size=40))
def test_whatever_comes_as_an_error_is_one(serializer: Serializer, data: bytes) -> None:
    assert isinstance(serializer.decode_error(data).message, str)


# ------------------------------------------------------------------ protobuf


def test_a_message_arrives_as_it_was_sent() -> None:
    sent = PROTOBUF.encode(StringValue(value="héllo"))
    assert sent == b"\x0a\x06h\xc3\xa9llo"
    assert PROTOBUF.decoder(StringValue)(sent) == StringValue(value="héllo")


def test_an_empty_payload_is_a_message_of_defaults() -> None:
    assert PROTOBUF.decoder(StringValue)(b"") == StringValue()
    assert PROTOBUF.encode(StringValue()) == b""


@pytest.mark.parametrize(
    "payload", [b"\x0a\x05a", b"\x0a\x01\xff", b"\xff" * 12, b"\x0b"]
)
def test_what_is_no_message_is_refused_with_the_messages_name(payload: bytes) -> None:
    with pytest.raises(PayloadError, match=r"protobuf google\.protobuf\.StringValue: "):
        PROTOBUF.decoder(StringValue)(payload)


@given(st.binary(max_size=60))
def test_garbage_is_a_payload_error_at_most(payload: bytes) -> None:
    for wanted in (StringValue, Int32Value, Struct, PONG):
        try:
            PROTOBUF.decoder(wanted)(payload)
        except PayloadError:
            continue


@pytest.mark.parametrize(
    "wanted",
    [Said, dict[str, int], str, Message, StringValue | None, StringValue(), "x"],
)
def test_protobuf_refuses_what_no_message_becomes(wanted: Any) -> None:
    with pytest.raises(TypeError, match="declare the class of a message"):
        PROTOBUF.decoder(wanted)


def test_a_message_without_what_it_requires_is_not_sent() -> None:
    lacking = descriptor_pb2.UninterpretedOption.NamePart(name_part="a")
    with pytest.raises(TypeError, match=r"NamePart cannot be encoded: .*is_extension"):
        PROTOBUF.encode(lacking)


def test_an_error_has_pitayas_fields() -> None:
    body = PROTOBUF.encode_error(RequestError(404, "who?"))
    assert body == b"\x0a\x08NANO-404\x12\x04who?\x18\x94\x03"
    assert Error.DESCRIPTOR.full_name == "nano.Error"


def test_an_error_of_pitaya_is_read() -> None:
    # code, msg and metadata {"a": "b"}, which is a message in field 3
    body = b"\x0a\x07PIT-404\x12\x02no\x1a\x06\x0a\x01a\x12\x01b"
    error = PROTOBUF.decode_error(body)
    assert (error.status, error.message, error.code) == (500, "no", "PIT-404")


@pytest.mark.parametrize("status", [-(1 << 40), 1 << 31, "x", None])
def test_a_status_that_is_none_becomes_500(status: Any) -> None:
    error = PROTOBUF.decode_error(PROTOBUF.encode_error(RequestError(status, "no")))
    assert error.status == 500


# ------------------------------------------------------------------ raw


@pytest.mark.parametrize("wanted", [str, dict, Said, StringValue, list[bytes]])
def test_raw_refuses_what_is_not_bytes(wanted: Any) -> None:
    with pytest.raises(TypeError, match="declare bytes"):
        RAW.decoder(wanted)


def test_an_error_under_raw_is_the_one_of_json() -> None:
    body = RAW.encode_error(RequestError(404, "who?"))
    assert body == b'{"code":"NANO-404","msg":"who?","status":404}'


# ------------------------------------------------------------------ json's side


@pytest.mark.parametrize("wanted", [StringValue, Message, Serializer])
def test_json_refuses_classes_that_it_never_becomes(wanted: Any) -> None:
    with pytest.raises(TypeError):
        by_name("json").decoder(wanted)


# ------------------------------------------------------------------ calls of nodes


class Speaker(Component):
    """Whom nodes call in Protocol Buffers."""

    @handler(internal=True)
    def shout(self, said: StringValue) -> StringValue:
        return StringValue(value=said.value.upper())

    @handler(internal=True)
    def nothing(self, payload: None) -> None: ...


async def test_nodes_call_each_other_in_protocol_buffers() -> None:
    dispatcher = Dispatcher(PROTOBUF, Metrics(), 1.0)
    calls = Calls(dispatcher)
    calls.add(collect_handlers([Speaker()]))
    info = NodeInfo("a:1", "backend", "", "c", calls=calls)
    said = StringValue(value="hi")
    result = await info.call("Speaker.shout", said, wanted=StringValue)
    assert result == StringValue(value="HI")
    assert await info.call("Speaker.shout", wanted=StringValue) == StringValue()
    assert await info.call("Speaker.nothing", wanted=None) is None
    with pytest.raises(TypeError, match="expected a protobuf message or bytes"):
        await info.call("Speaker.shout", "hi")
    with pytest.raises(RequestError, match="expected a protobuf"):
        await info.call("Speaker.shout", b"\xff")
