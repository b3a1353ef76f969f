"""The inner layer: nano's messages, byte for byte."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nano.errors import EncodeError, ProtocolError
from nano.protocol.client import ClientConnection, ClientEvent
from nano.protocol.dictionary import EMPTY, RouteDictionary
from nano.protocol.handshake import ServerHello, write_hello
from nano.protocol.messages import (
    NOTIFY,
    PUSH,
    REQUEST,
    RESPONSE,
    Message,
    decode_message,
    encode_message,
    encode_push,
    encode_response,
    head_of_push,
)
from nano.protocol.packets import HEADER_SIZE, PacketType, encode_packet

from .vectors import NANO, NANO_CODES, MessageSample
from .wire import cut_lists, examples_of, ways

# description of the vector: why ours differs
EXCEPTIONS = {
    "DEFECT: route of 256 bytes: the length byte wraps to 0 and the message is "
    "corrupt, without an error": "we refuse to send it",
    "request whose id never ends, 0x80 0x80 ... long enough: decodes with a wrong "
    "route instead of failing": "an id has at most ten bytes, and then it is an error",
    "request id of 11 bytes: high bits are lost silently": (
        "an id that does not fit 64 bits is an error"
    ),
    "response with an EMPTY body: nano's own decoder refuses it": (
        "its encoder sends them (an empty protobuf message), so a client reads them"
    ),
    "DEFECT: request, compressed, only one byte of code: Go PANIC": (
        "an error like others"
    ),
}
ENCODED = [*NANO.message_encode_uncompressed, *NANO.message_encode_compressed]
ENCODABLE = [
    sample
    for sample in ENCODED
    if not sample.error and sample.description not in EXCEPTIONS
]
CODES = RouteDictionary(NANO_CODES)


def dictionary_of(sample: MessageSample) -> RouteDictionary:
    return CODES if sample in NANO.message_encode_compressed else EMPTY


def message_of(sample: MessageSample) -> Message:
    data = bytes.fromhex(sample.data_hex)
    return Message(sample.type, int(sample.id), sample.route, data)


def as_decoded(message: Message) -> Message:
    """Leave out what does not travel: the id of a notify, the route of a response."""
    number = message.id if message.type in (REQUEST, RESPONSE) else 0
    return msgspec.structs.replace(message, id=number)


def client(dictionary: RouteDictionary = EMPTY) -> ClientConnection:
    """Return a client whose server has sent it *dictionary*."""
    answer = write_hello(ServerHello(30, 0, dictionary))
    connection = ClientConnection()
    connection.receive(encode_packet(PacketType.HANDSHAKE, answer))
    return connection


@pytest.mark.parametrize("sample", ENCODED, ids=lambda sample: sample.description)
def test_messages_are_encoded_as_nano_encodes_them(sample: MessageSample) -> None:
    message, dictionary = message_of(sample), dictionary_of(sample)
    if sample.error or sample.description in EXCEPTIONS:
        with pytest.raises(EncodeError):
            encode_message(message, dictionary)
        return
    body = bytes.fromhex(sample.message_hex)
    packet = encode_message(message, dictionary)
    assert packet == encode_packet(PacketType.DATA, body)


@given(st.sampled_from(ENCODABLE), cut_lists)
@settings(max_examples=200)
@examples_of(ENCODABLE)
def test_what_nano_encodes_is_read_however_it_arrives(
    sample: MessageSample, cuts: list[int]
) -> None:
    wire = encode_packet(PacketType.DATA, bytes.fromhex(sample.message_hex))
    expected = as_decoded(message_of(sample))
    for chunks in ways(wire, cuts):
        connection = client(dictionary_of(sample))
        events = [event for chunk in chunks for event in connection.receive(chunk)]
        assert events == [expected]


@pytest.mark.parametrize(
    "sample", NANO.message_decode, ids=lambda sample: sample.description
)
def test_messages_are_decoded_as_nano_decodes_them(sample: MessageSample) -> None:
    body = bytes.fromhex(sample.message_hex)
    refused = bool(sample.error or sample.panic)
    if sample.description in EXCEPTIONS and not sample.panic:
        refused = not refused
    if refused:
        with pytest.raises(ProtocolError):
            decode_message(body, 0, len(body), CODES)
        return
    expected = Message(RESPONSE, 1, "", b"") if sample.error else message_of(sample)
    assert decode_message(body, 0, len(body), CODES) == expected


@given(st.sampled_from(NANO.message_decode), cut_lists)
@settings(max_examples=200)
@examples_of(NANO.message_decode)
def test_decoding_does_not_depend_on_how_the_bytes_are_cut(
    sample: MessageSample, cuts: list[int]
) -> None:
    wire = encode_packet(PacketType.DATA, bytes.fromhex(sample.message_hex))

    def outcome(chunks: list[bytes]) -> list[ClientEvent] | str:
        connection = client(CODES)
        try:
            return [event for chunk in chunks for event in connection.receive(chunk)]
        except ProtocolError as error:
            return str(error)

    whole, *others = (outcome(chunks) for chunks in ways(wire, cuts))
    assert others == [whole, whole]


routes = st.text(max_size=60).filter(lambda route: route.isprintable())
numbers = st.one_of(st.integers(0, 300), st.integers(0, (1 << 64) - 1))
messages = st.one_of(
    st.builds(Message, st.just(REQUEST), numbers, routes, st.binary(max_size=80)),
    st.builds(
        Message, st.sampled_from([NOTIFY, PUSH]), st.just(0), routes, st.binary()
    ),
    st.builds(
        Message,
        st.just(RESPONSE),
        numbers,
        st.just(""),
        st.binary(max_size=80),
        st.booleans(),
    ),
)


@given(st.lists(messages, max_size=6), cut_lists, st.booleans())
def test_what_is_encoded_is_decoded(
    sent: list[Message], cuts: list[int], compressed: bool
) -> None:
    names = {message.route.strip() for message in sent} if compressed else set()
    codes = RouteDictionary({name: index for index, name in enumerate(sorted(names))})
    wire = b"".join(encode_message(message, codes) for message in sent)
    for chunks in ways(wire, cuts):
        connection = client(codes)
        received = [event for chunk in chunks for event in connection.receive(chunk)]
        assert received == sent


@given(st.binary(max_size=60))
def test_garbage_is_a_message_or_a_protocol_error(body: bytes) -> None:
    for start in range(min(3, len(body) + 1)):
        try:
            message = decode_message(body, start, len(body), CODES)
        except ProtocolError:
            continue
        assert REQUEST <= message.type <= PUSH


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("00", "at least two bytes"),
        ("0800", "type 4 does not exist"),
        ("0e00", "type 7 does not exist"),
        ("0080", "ends inside its id"),
        ("008080808080808080808001", "at most 64 bits"),
        ("00ffffffffffffffffff02", "at most 64 bits"),
        ("00" + "80" * 10 + "000161", "at most 64 bits"),
        ("0001", "ends where its route should begin"),
        ("020561", "longer than its message"),
        ("020261", "longer than its message"),
        ("0202c328", "not valid UTF-8"),
        ("0300", "two bytes"),
        ("030002", "code 2 is not in the dictionary"),
    ],
)
def test_an_error_says_what_is_wrong(body: str, complaint: str) -> None:
    data = bytes.fromhex(body)
    with pytest.raises(ProtocolError, match=complaint):
        decode_message(data, 0, len(data), CODES)


def test_a_payload_stays_when_the_buffer_moves_on() -> None:
    buffer = bytearray.fromhex("0001016178797a")
    message = decode_message(bytes(buffer), 0, len(buffer))
    buffer[:] = b"\0" * len(buffer)
    assert message.payload == b"xyz"


def test_an_error_is_a_flag_that_only_responses_have() -> None:
    assert encode_response(5, b"no", failed=True)[HEADER_SIZE] == 0x24
    assert decode_message(b"\x24\x05no", 0, 4) == Message(RESPONSE, 5, "", b"no", True)
    assert not decode_message(b"\x20\x05\x01r", 0, 4).failed


@pytest.mark.parametrize("number", [0, 1, 127, 128, (1 << 64) - 1])
@pytest.mark.parametrize("failed", [False, True])
def test_responses_are_the_same_by_the_short_way_and_the_long(
    number: int, failed: bool
) -> None:
    message = Message(RESPONSE, number, "", b"payload", failed)
    packet = encode_response(number, b"payload", failed)
    assert packet == encode_message(message)
    assert decode_message(packet[HEADER_SIZE:], 0, len(packet) - HEADER_SIZE) == message


def test_a_push_is_its_head_and_its_payload() -> None:
    for codes in (EMPTY, RouteDictionary({"onPoke": 300})):
        message = Message(PUSH, 0, "onPoke", b"{}")
        packet = encode_push(head_of_push("onPoke", codes), b"{}")
        assert packet == encode_message(message, codes)


@pytest.mark.parametrize(
    "message",
    [
        Message(NOTIFY, 0, "r" * 256, b""),
        Message(NOTIFY, 0, "ü" * 128, b""),
        Message(PUSH, 0, "\ud800", b""),
        Message(REQUEST, -1, "r", b""),
        Message(REQUEST, 1 << 64, "r", b""),
        Message(4, 0, "r", b""),
        Message(-1, 0, "r", b""),
    ],
)
def test_what_does_not_fit_the_wire_is_refused(message: Message) -> None:
    with pytest.raises(EncodeError):
        encode_message(message)


def test_the_longest_message_fills_a_packet_and_one_byte_more_is_refused() -> None:
    payload = bytes((1 << 24) - 3)
    assert encode_response(1, payload)[:6] == bytes.fromhex("04ffffff0401")
    with pytest.raises(EncodeError, match="a packet holds 16777215"):
        encode_response(1, payload + b"\0")
    with pytest.raises(EncodeError, match="a packet holds 16777215"):
        encode_push(head_of_push("r"), payload)
