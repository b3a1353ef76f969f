"""Our frames beside those of the websockets library, which is the reference."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.utils import apply_mask  # in Python; ours uses the library's C

from nano.transports.frames import (
    INVALID_DATA,
    MESSAGE_TOO_BIG,
    PROTOCOL_ERROR,
    FrameError,
    FrameReader,
    Frames,
    close_frame,
    data_frame,
    pong_frame,
)

LIMIT = 70_000
DATA_OPCODES = (Opcode.CONT, Opcode.TEXT, Opcode.BINARY)
Outcome = tuple[bytes, list[bytes], int | None, int | None]


def client_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = b"\x12\x34\x56\x78",
) -> bytes:
    """Return a frame as a client sends it, also one that it may not send."""
    head = fin << 7 | reserved << 4 | opcode
    masked = 0x80 if mask is not None else 0
    size = len(payload)
    if size < 126:
        wire = struct.pack(">BB", head, masked | size)
    elif size < 65536:
        wire = struct.pack(">BBH", head, masked | 126, size)
    else:
        wire = struct.pack(">BBQ", head, masked | 127, size)
    if mask is None:
        return wire + payload
    return wire + mask + apply_mask(payload, mask)


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Cut *data* at the given positions, wherever they fall."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    for start, stop in zip([0, *places], [*places, len(data)], strict=True):
        yield data[start:stop]


def ours(chunks: Iterator[bytes], limit: int = LIMIT) -> Outcome:
    """Return data, pings, close code and error code as our reader sees them."""
    reader = FrameReader(limit)
    data, pings = b"", list[bytes]()
    for chunk in chunks:
        frames = reader.receive(chunk)
        data += frames.data
        pings += frames.pings
        if frames.close is not None or frames.error is not None:
            error = frames.error.code if frames.error is not None else None
            return data, pings, frames.close, error
    return data, pings, None, None


def theirs(wire: bytes) -> Outcome:
    """Return the same as the websockets library sees it."""
    server = ServerProtocol(state=State.OPEN, max_size=None)
    server.receive_data(wire)
    frames = [event for event in server.events_received() if isinstance(event, Frame)]
    data = b"".join(bytes(it.data) for it in frames if it.opcode in DATA_OPCODES)
    pings = [bytes(it.data) for it in frames if it.opcode is Opcode.PING]
    if server.close_rcvd is not None:
        return data, pings, int(server.close_rcvd.code), None
    if server.close_sent is not None:
        return data, pings, None, int(server.close_sent.code)
    return data, pings, None, None


payloads = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([0, 1, 125, 126, 127, 300, 65535, 65536]).map(
        lambda size: b"\xa5" * size
    ),
)
closes = st.one_of(
    st.binary(max_size=6),
    st.builds(
        lambda code, text: struct.pack(">H", code) + text.encode(),
        st.sampled_from([999, 1000, 1001, 1004, 1005, 1006, 1015, 1016, 3000, 4999]),
        st.text(max_size=10),
    ),
    st.sampled_from(CloseCode).map(lambda code: struct.pack(">H", code)),
)
masks = st.binary(min_size=4, max_size=4)
mostly = st.sampled_from([True] * 15 + [False])


@st.composite
def good_frames(draw: st.DrawFn) -> bytes:
    """Return frames in an order that is allowed: fragments, and control between."""
    wire, within = b"", False
    for _ in range(draw(st.integers(0, 6))):
        if draw(st.booleans()):
            opcode = draw(st.sampled_from([Opcode.PING, Opcode.PONG]))
            wire += client_frame(opcode, draw(st.binary(max_size=125)))
            continue
        fin = draw(st.booleans())
        opcode = Opcode.CONT if within else Opcode.BINARY
        wire += client_frame(opcode, draw(payloads), fin=fin, mask=draw(masks))
        within = not fin
    return wire


@st.composite
def any_frames(draw: st.DrawFn) -> bytes:
    """Return frames of which some break a rule."""
    wire = b""
    for _ in range(draw(st.integers(1, 6))):
        opcode = draw(st.sampled_from([0, 1, 2, 2, 2, 2, 8, 9, 10, 3, 7, 11, 15]))
        payload = draw(closes if opcode == Opcode.CLOSE else payloads)
        if opcode in (Opcode.TEXT, Opcode.CONT):  # UTF-8 is not the parser's business
            payload = b"t" * len(payload)
        wire += client_frame(
            opcode,
            payload,
            fin=draw(mostly),
            reserved=0 if draw(mostly) else draw(st.integers(1, 7)),
            mask=draw(masks) if draw(mostly) else None,
        )
    return wire


cut_lists = st.lists(st.integers(0, 1 << 20), max_size=6)


@given(good_frames(), cut_lists)
def test_frames_are_read_as_the_library_reads_them(
    wire: bytes, cuts: list[int]
) -> None:
    expected = theirs(wire)
    assert expected[3] is None
    assert ours(iter([wire])) == expected
    assert ours(pieces(wire, cuts)) == expected


@given(any_frames(), cut_lists)
@settings(max_examples=200)
def test_broken_frames_are_refused_as_the_library_refuses_them(
    wire: bytes, cuts: list[int]
) -> None:
    expected = theirs(wire)
    assert ours(iter([wire])) == expected
    assert ours(pieces(wire, cuts)) == expected


@given(good_frames().filter(lambda wire: len(wire) < 600))
def test_frames_may_come_byte_by_byte(wire: bytes) -> None:
    octets = (wire[index : index + 1] for index in range(len(wire)))
    assert ours(octets) == ours(iter([wire]))


@pytest.mark.parametrize(
    "header",
    [b"\x82\xfe\xff\xff", b"\x82\xff" + bytes(4) + b"\xff" * 4, b"\x89\xfe\x00\x7e"],
)
def test_a_header_says_enough_without_its_mask(header: bytes) -> None:
    octets = (header[index : index + 1] for index in range(len(header)))
    outcome = ours(octets, limit=100)
    assert outcome[3] is not None
    assert outcome == ours(iter([header]), limit=100)


@given(any_frames(), st.integers(0, 400))
def test_a_wire_that_ends_anywhere_is_read_alike_in_any_pieces(
    wire: bytes, size: int
) -> None:
    wire = wire[:size]
    octets = (wire[index : index + 1] for index in range(len(wire)))
    assert ours(octets, limit=100) == ours(iter([wire]), limit=100)


@given(st.lists(st.tuples(st.text(max_size=12), st.integers(0, 40)), max_size=4))
def test_text_may_be_cut_anywhere_also_within_a_character(
    messages: list[tuple[str, int]],
) -> None:
    wire, text = b"", b""
    for message, cut in messages:
        encoded = message.encode()
        text += encoded
        wire += client_frame(Opcode.TEXT, encoded[:cut], fin=False)
        wire += client_frame(Opcode.PING)
        wire += client_frame(Opcode.CONT, encoded[cut:])
    assert ours(iter([wire])) == (text, [b""] * len(messages), None, None)


@given(st.binary(max_size=20), st.integers(0, 20))
def test_text_that_is_not_utf8_is_refused(payload: bytes, cut: int) -> None:
    wire = client_frame(Opcode.TEXT, payload[:cut], fin=False)
    wire += client_frame(Opcode.CONT, payload[cut:])
    try:
        payload.decode()
    except UnicodeDecodeError:
        assert ours(iter([wire]))[3] == INVALID_DATA
    else:
        assert ours(iter([wire])) == (payload, [], None, None)


@pytest.mark.parametrize("size", [101, 65536, (1 << 63) - 1, (1 << 64) - 1])
def test_a_frame_that_is_too_large_is_refused_before_its_payload_comes(
    size: int,
) -> None:
    header = b"\x82\xff" + struct.pack(">Q", size)
    reader = FrameReader(100)
    assert reader.receive(header[:9]) == Frames(b"", [], None)
    error = reader.receive(header[9:] + bytes(4)).error
    assert error is not None
    assert error.code == MESSAGE_TOO_BIG
    assert "at most 100" in error.reason
    assert ours(iter([client_frame(2, bytes(100))]), limit=100)[3] is None


@pytest.mark.parametrize(
    ("wire", "complaint"),
    [
        (client_frame(2, reserved=4), "no extension"),
        (client_frame(2, mask=None), "masked"),
        (client_frame(3), "opcode 3"),
        (client_frame(11), "opcode 11"),
        (client_frame(9, fin=False), "short and whole"),
        (client_frame(9, bytes(126)), "short and whole"),
        (client_frame(0), "out of order"),
        (client_frame(2, fin=False) + client_frame(2), "out of order"),
        (client_frame(8, b"\x03"), "close frame too short"),
    ],
)
def test_an_error_says_what_is_wrong(wire: bytes, complaint: str) -> None:
    error = FrameReader(LIMIT).receive(wire).error
    assert isinstance(error, FrameError)
    assert error.code == PROTOCOL_ERROR
    assert complaint in error.reason


def test_what_came_in_front_of_a_broken_frame_counts() -> None:
    wire = client_frame(2, b"data") + client_frame(9, b"ping") + client_frame(3)
    frames = FrameReader(LIMIT).receive(wire)
    assert (frames.data, frames.pings) == (b"data", [b"ping"])
    assert frames.error is not None


@pytest.mark.parametrize(
    "wire",
    [client_frame(3), client_frame(1, b"\xff"), client_frame(8, b"\x03\xe8\xff")],
)
def test_an_error_does_not_hold_the_frames_it_was_raised_in(wire: bytes) -> None:
    """Or a circle would keep the connection, and the collector does not see it."""
    error = FrameReader(LIMIT).receive(wire).error
    assert error is not None
    assert error.__traceback__ is None
    assert error.__context__ is None


def test_nothing_counts_behind_a_close() -> None:
    wire = client_frame(8, b"\x03\xe8") + client_frame(2, b"late") + client_frame(3)
    assert FrameReader(LIMIT).receive(wire) == Frames(b"", [], 1000)


@given(st.binary(max_size=300), cut_lists)
def test_garbage_is_survived_and_no_more_than_a_frame_is_held(
    wire: bytes, cuts: list[int]
) -> None:
    reader = FrameReader(200)
    for chunk in pieces(wire, cuts):
        frames = reader.receive(chunk)
        assert len(reader._rest) <= 200 + 14
        if frames.close is not None or frames.error is not None:
            break


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([125, 126, 65535, 65536]).map(bytes),
        ),
        max_size=5,
    )
)
def test_our_frames_are_those_of_the_library(packets: list[bytes]) -> None:
    expected = b"".join(
        Frame(Opcode.BINARY, packet).serialize(mask=False) for packet in packets
    )
    assert b"".join(map(data_frame, packets)) == expected


@given(st.binary(max_size=125))
def test_our_pongs_are_those_of_the_library(payload: bytes) -> None:
    assert pong_frame(payload) == Frame(Opcode.PONG, payload).serialize(mask=False)


@given(st.sampled_from([1000, 1001, 1002, 1007, 1008, 1009, 4000]), st.text())
def test_close_frames_are_whole_whatever_the_reason(code: int, reason: str) -> None:
    wire = close_frame(code, reason)
    assert len(wire) <= 127
    client_side = ServerProtocol(state=State.OPEN)
    client_side.receive_data(client_frame(8, wire[2:]))
    assert client_side.close_rcvd is not None
    assert client_side.close_rcvd.code == code
    assert reason.startswith(client_side.close_rcvd.reason)


@given(st.one_of(good_frames(), any_frames()))
def test_a_single_frame_of_the_usual_form_is_read_at_once_or_not_at_all(
    wire: bytes,
) -> None:
    payload = FrameReader(LIMIT).plain(wire)
    if payload is not None:
        assert ours(iter([wire])) == (payload, [], None, None)


def test_the_usual_form_is_a_short_whole_binary_message() -> None:
    frame = b"\x82\x85\x00\x00\x00\x00hello"
    reader = FrameReader(LIMIT)
    assert reader.plain(frame) == b"hello"
    assert reader.plain(frame * 2) is None
    assert reader.plain(b"\x81" + frame[1:]) is None
    assert FrameReader(4).plain(frame) is None
    reader.receive(frame[:3])
    assert reader.plain(frame) is None
    fragmented = FrameReader(LIMIT)
    fragmented.receive(b"\x02" + frame[1:])
    assert fragmented.plain(frame) is None


@given(st.data())
def test_a_frame_that_is_too_long_is_read_once_the_limit_is_raised(
    data: st.DataObject,
) -> None:
    sizes = data.draw(st.lists(st.sampled_from([0, 5, 200, 3000]), max_size=6))
    stream = b"".join(client_frame(Opcode.BINARY, b"x" * size) for size in sizes)
    reader = FrameReader(100)
    first = reader.receive(stream)
    assert len(first.data) <= 5 * len(sizes)
    assert (first.error is not None) is (max(sizes, default=0) > 100)
    reader.limit = 3000
    behind = reader.receive(b"")
    assert behind.error is None
    assert first.data + behind.data == b"x" * sum(sizes)
