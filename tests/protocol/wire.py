"""Ways to feed bytes, and connections that already stand somewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from hypothesis import example
from hypothesis import strategies as st

from nano.protocol.connection import Connection, Event
from nano.protocol.dictionary import EMPTY, RouteDictionary
from nano.protocol.handshake import ServerHello
from nano.protocol.lifecycle import State
from nano.protocol.packets import PacketType, encode_packet

HANDSHAKE = encode_packet(PacketType.HANDSHAKE)
ACK = encode_packet(PacketType.HANDSHAKE_ACK)
HEARTBEAT = encode_packet(PacketType.HEARTBEAT)
KICK = encode_packet(PacketType.KICK)
HELLO = ServerHello(30, 1795230266)


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Cut *data* at the given positions, wherever they fall."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    for start, stop in zip([0, *places], [*places, len(data)], strict=True):
        yield data[start:stop]


def ways(data: bytes, cuts: list[int]) -> list[list[bytes]]:
    """Return *data* whole, byte by byte, and cut at the given positions."""
    octets = [data[index : index + 1] for index in range(len(data))]
    return [[data], octets, list(pieces(data, cuts))]


cut_lists = st.lists(st.integers(0, 1 << 20), max_size=6)


def examples_of(
    samples: Sequence[object],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Have a property tried with every sample, besides those hypothesis picks."""

    def mark(function: Callable[..., None]) -> Callable[..., None]:
        for sample in samples:
            function = example(sample, [1, 5, 7])(function)
        return function

    return mark


def connection_in(
    state: State, dictionary: RouteDictionary = EMPTY, limit: int = 65536
) -> Connection:
    """Return a connection that came to *state* by the shortest way."""
    connection = Connection(dictionary, limit)
    if state is State.CLOSED:
        connection.close()
        return connection
    if state is not State.GREETING:
        connection.receive(HANDSHAKE)
    if state in (State.GREETED, State.WORKING):
        connection.accept(HELLO)
    if state is State.WORKING:
        connection.receive(ACK)
    assert connection.state is state
    return connection


def feed(connection: Connection, chunks: list[bytes]) -> list[Event]:
    """Feed *chunks* one after the other and return all events."""
    return [event for chunk in chunks for event in connection.receive(chunk)]
