"""The short way through the protocol's commonest messages equals the long one."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from nano.errors import ProtocolError
from nano.protocol.messages import (
    NOTIFY,
    REQUEST,
    Message,
    decode_message,
    encode_message,
    read_plain,
)
from nano.protocol.packets import (
    HEADER_SIZE,
    HEARTBEAT_PACKET,
    PacketReader,
    PacketType,
)

IDS = (0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, 0x1F_FFFF, 0x20_0000, 1 << 63)
LIMIT = 512

messages = st.builds(
    Message,
    st.sampled_from([REQUEST, NOTIFY]),
    st.sampled_from(IDS),
    st.sampled_from(["", "a", "Room.Hello", "é" * 100]),
    st.binary(max_size=300),
)
packets = st.lists(
    st.one_of(messages.map(encode_message), st.just(HEARTBEAT_PACKET)), max_size=5
).map(b"".join)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Bytes of packets of which some are others, missing, or one too many."""
    data = bytearray(draw(packets))
    for _ in range(draw(st.integers(0, 3)) if data else 0):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: len(data) - draw(st.integers(0, 4))])


def long_way(data: bytes) -> list[Message]:
    """Every message in front of the first byte that means something else."""
    found = list[Message]()
    at = 0
    try:
        while at < len(data):
            stop = at + 4 + int.from_bytes(data[at + 1 : at + 4])
            packets = PacketReader(LIMIT).receive(data[at:stop])
            if not packets or packets[0].type is not PacketType.DATA:
                break
            body = packets[0].body
            message = decode_message(body, 0, len(body))
            if message.type > NOTIFY:
                break
            found.append(message)
            at = stop
    except ProtocolError:
        pass  # what came in front of it counts
    return found


@given(st.one_of(packets, damaged()))
@example(encode_message(Message(REQUEST, 0x7F, "a", b"")))
@example(encode_message(Message(REQUEST, 0x20_0000, "a", b"x")))
@example(encode_message(Message(NOTIFY, 0, "a" * 255, b"x")) * 2)
def test_it_takes_only_what_the_long_way_takes_alike(data: bytes) -> None:
    taken: list[Message] = []
    offset = read_plain(data, LIMIT, taken)
    assert taken == long_way(data)[: len(taken)]
    assert offset <= len(data)
    assert long_way(data) == taken + long_way(data[offset:])


def test_it_takes_the_common_and_leaves_the_rest() -> None:
    for number in IDS:
        message = Message(REQUEST, number, "Room.Hello", b"{}")
        packet, taken = encode_message(message), list[Message]()
        plain = number < 0x20_0000
        assert read_plain(packet, LIMIT, taken) == (len(packet) if plain else 0)
        assert taken == ([message] if plain else [])


def test_it_stops_at_a_route_that_is_no_text() -> None:
    packet = encode_message(Message(NOTIFY, 0, "abc", b"{}")).replace(b"abc", b"\xff12")
    assert read_plain(packet, LIMIT, []) == 0


def test_it_takes_a_body_of_the_limit_and_leaves_a_longer_one() -> None:
    packet = encode_message(Message(NOTIFY, 0, "Room.Say", b"hi"))
    size = len(packet) - HEADER_SIZE
    assert read_plain(packet, size, []) == len(packet)
    assert read_plain(packet, size - 1, []) == 0
