"""The outer layer: nano's packets, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nano.errors import EncodeError, PacketTooLarge, ProtocolError
from nano.protocol.packets import (
    HEADER_SIZE,
    LARGEST_BODY,
    Packet,
    PacketReader,
    PacketType,
    encode_packet,
)

from .vectors import NANO, DecodeSample, PacketSample
from .wire import cut_lists, examples_of, ways

WRAPS = "the three bytes of length wrap silently and corrupt the stream; we refuse"

# description of the vector: why ours differs
EXCEPTIONS = {
    "data packet with 16777216 zero bytes: the 3-byte length wraps silently at 2^24": (
        WRAPS
    ),
    "data packet with 16777221 zero bytes: the 3-byte length wraps silently at 2^24": (
        WRAPS
    ),
    "DEFECT: header alone, then a body of 2 bytes: nano's decoder stalls (it wants 4 "
    "buffered bytes before it looks again); the packet appears only when later bytes "
    "arrive": "ours is there as soon as it is whole",
    "the same two packets one byte at a time": "the same stall, at the first packet",
    "after a bad type as the first packet the 4 header bytes are gone and the decoder "
    "itself would go on with the next header (nano never does: it closes the "
    "connection)": "nothing is read behind an error, so there is nothing to go on with",
}
ENCODABLE = [
    sample
    for sample in NANO.packet_encode
    if not sample.error and sample.description not in EXCEPTIONS
]
SHORT = [
    sample
    for sample in NANO.packet_decode
    if sum(step.chunk_len for step in sample.steps) < 1000  # the one of 64 KiB is slow
]


@pytest.mark.parametrize("sample", NANO.packet_encode, ids=str)
def test_packets_are_encoded_as_nano_encodes_them(sample: PacketSample) -> None:
    if sample.error:
        with pytest.raises(ValueError, match="is not a valid PacketType"):
            PacketType(sample.type)
    elif sample.description in EXCEPTIONS:
        with pytest.raises(EncodeError, match="at most 16777215 bytes"):
            encode_packet(PacketType(sample.type), sample.body)
    else:
        packet = encode_packet(PacketType(sample.type), sample.body)
        assert sample.is_packet(packet)


@pytest.mark.parametrize("sample", ENCODABLE, ids=str)
def test_what_nano_encodes_is_read_however_it_arrives(sample: PacketSample) -> None:
    wire = encode_packet(PacketType(sample.type), sample.body)
    for chunks in ways(wire[:400], [3, 5]):
        reader = PacketReader(LARGEST_BODY)
        packets = [packet for chunk in chunks for packet in reader.receive(chunk)]
        packets += reader.receive(wire[400:])
        assert packets == [Packet(PacketType(sample.type), sample.body)]
        assert not reader.rest


@pytest.mark.parametrize(
    "sample",
    [sample for sample in NANO.packet_decode if sample.description not in EXCEPTIONS],
    ids=lambda sample: sample.description,
)
def test_packets_are_decoded_at_the_step_at_which_nano_decodes_them(
    sample: DecodeSample,
) -> None:
    reader = PacketReader()
    for step in sample.steps:
        if step.error:
            error = PacketTooLarge if "exceed" in step.error else ProtocolError
            with pytest.raises(error):
                reader.receive(step.chunk)
            return
        packets = reader.receive(step.chunk)
        assert [packet.type for packet in packets] == [it.type for it in step.packets]
        for packet, expected in zip(packets, step.packets, strict=True):
            assert len(packet.body) == expected.length
            assert expected.is_body(packet.body)


@given(st.sampled_from(SHORT), cut_lists)
@settings(max_examples=200)
@examples_of(SHORT)
def test_decoding_does_not_depend_on_how_the_bytes_are_cut(
    sample: DecodeSample, cuts: list[int]
) -> None:
    wire = b"".join(step.chunk for step in sample.steps)
    expected = [packet for step in sample.steps for packet in step.packets]
    refused = any(step.error for step in sample.steps)
    for chunks in ways(wire, cuts):
        reader, packets, failed = PacketReader(), [], False
        for chunk in chunks:
            try:
                packets += reader.receive(chunk)
            except ProtocolError:
                failed = True
                break
        assert failed is refused
        if not refused:
            assert [packet.type for packet in packets] == [it.type for it in expected]
            assert all(
                it.is_body(packet.body)
                for packet, it in zip(packets, expected, strict=True)
            )


def test_a_short_body_that_comes_alone_does_not_stall() -> None:
    reader = PacketReader()
    assert reader.receive(bytes.fromhex("04000002")) == []
    assert reader.receive(bytes.fromhex("0200")) == [Packet(PacketType.DATA, b"\2\0")]


def test_the_limit_is_inclusive_and_seen_before_the_body_arrives() -> None:
    reader = PacketReader(limit=100)
    assert reader.receive(bytes.fromhex("04000064")) == []
    with pytest.raises(PacketTooLarge, match="101 bytes, and at most 100"):
        PacketReader(limit=100).receive(bytes.fromhex("04000065"))


packets_list = st.lists(
    st.tuples(st.sampled_from(PacketType), st.binary(max_size=300)), max_size=8
)


@given(packets_list, cut_lists)
def test_what_is_encoded_is_decoded(
    sent: list[tuple[PacketType, bytes]], cuts: list[int]
) -> None:
    wire = b"".join(encode_packet(*packet) for packet in sent)
    for chunks in ways(wire, cuts):
        reader = PacketReader()
        received = [packet for chunk in chunks for packet in reader.receive(chunk)]
        assert received == sent
        assert len(reader.rest) == 0


@given(st.binary(max_size=200), cut_lists)
def test_a_reader_raises_protocol_errors_only_and_holds_one_packet_at_most(
    wire: bytes, cuts: list[int]
) -> None:
    for chunks in ways(wire, cuts):
        reader = PacketReader(limit=64)
        for chunk in chunks:
            try:
                reader.receive(chunk)
            except ProtocolError:
                break
            assert len(reader.rest) < HEADER_SIZE + 64
