"""One connection, both of its ends: a client core wired to a server core."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nano.errors import PacketTooLarge, ProtocolError
from nano.protocol.client import (
    Accepted,
    ClientConnection,
    ClientEvent,
    Heartbeat,
    Kicked,
)
from nano.protocol.connection import MOST_GREETINGS, Connection, HandshakeRequested
from nano.protocol.dictionary import RouteDictionary
from nano.protocol.handshake import ClientHello, ServerHello
from nano.protocol.lifecycle import State
from nano.protocol.messages import (
    NOTIFY,
    PUSH,
    REQUEST,
    RESPONSE,
    Message,
    encode_message,
    encode_push,
    encode_response,
    head_of_push,
)
from nano.protocol.packets import (
    HEADER_SIZE,
    HEARTBEAT_PACKET,
    PacketType,
    encode_packet,
)

from .wire import (
    ACK,
    HANDSHAKE,
    HEARTBEAT,
    HELLO,
    connection_in,
    cut_lists,
    feed,
    pieces,
    ways,
)

HANDSHAKE_SEEN = HandshakeRequested(ClientHello(), b"")


class Pair:
    """A client, a server that accepts everyone, and a wire that cuts as it likes."""

    def __init__(self, codes: RouteDictionary, cuts: list[int]) -> None:
        self.client = ClientConnection()
        self.server = Connection(codes)
        self.codes = codes
        self.cuts = cuts
        self.at_server: list[Message] = []
        self.at_client: list[ClientEvent] = []

    def up(self, data: bytes) -> None:
        for chunk in pieces(data, self.cuts):
            self._received(chunk)

    def _received(self, chunk: bytes) -> None:
        for event in self.server.receive(chunk):
            if isinstance(event, HandshakeRequested):
                self.down(self.server.accept(ServerHello(1.5, 7, self.codes)))
                self._received(b"")
            else:
                assert isinstance(event, Message)
                self.at_server.append(event)

    def down(self, data: bytes) -> None:
        for chunk in pieces(data, self.cuts):
            self.at_client += self.client.receive(chunk)


@given(st.booleans(), cut_lists)
def test_a_whole_conversation_arrives(compressed: bool, cuts: list[int]) -> None:
    names = {"Room.join": 1, "onJoin": 2} if compressed else {}
    pair = Pair(RouteDictionary(names), cuts)
    pair.up(pair.client.greet({"name": "ann"}))
    assert pair.server.hello == ClientHello("nano-python", "1", True, {"name": "ann"})
    pair.up(pair.client.acknowledge())
    first, packet = pair.client.request("Room.join", b'"x"')
    second, other = pair.client.request("Room.leave", b"")
    pair.up(packet + other + pair.client.notify("Room.say", b"hi"))
    pair.down(encode_response(first, b"{}") + HEARTBEAT_PACKET)
    pair.down(encode_push(head_of_push("onJoin", pair.codes), b"1"))
    pair.down(encode_response(second, b"no", True) + pair.server.kick("bye"))
    assert pair.at_server == [
        Message(REQUEST, 1, "Room.join", b'"x"'),
        Message(REQUEST, 2, "Room.leave", b""),
        Message(NOTIFY, 0, "Room.say", b"hi"),
    ]
    accepted, *others = pair.at_client
    assert isinstance(accepted, Accepted)
    assert (accepted.code, accepted.heartbeat) == (200, 1.5)
    assert others == [
        Message(RESPONSE, first, "", b"{}"),
        Heartbeat(),
        Message(PUSH, 0, "onJoin", b"1"),
        Message(RESPONSE, second, "", b"no", True),
        Kicked("bye"),
    ]


def test_compressed_and_plain_spellings_of_a_route_are_the_same() -> None:
    codes = RouteDictionary({"Room.Hello": 1})
    connection = connection_in(State.WORKING, codes)
    message = Message(REQUEST, 1, "Room.Hello", b"{}")
    both = encode_message(message, codes) + encode_message(message)
    assert connection.receive(both) == [message, message]


@given(cut_lists)
def test_handshake_ack_and_requests_may_come_in_one_piece(cuts: list[int]) -> None:
    messages = [Message(REQUEST, number, "r", b"x") for number in (1, 2, 3)]
    wire = HANDSHAKE + ACK + b"".join(map(encode_message, messages))
    for chunks in ways(wire, cuts):
        connection = Connection()
        assert feed(connection, chunks) == [HANDSHAKE_SEEN]
        connection.accept(HELLO)
        assert connection.receive(b"") == messages
        assert connection.state is State.WORKING


def test_what_comes_while_asking_waits_in_order() -> None:
    connection = connection_in(State.ASKING)
    first, second = (encode_message(Message(NOTIFY, 0, route, b"")) for route in "ab")
    assert feed(connection, [ACK, first[:3], first[3:], second[:1]]) == []
    connection.accept(HELLO)
    (event,) = connection.receive(b"")
    assert isinstance(event, Message)
    assert event.route == "a"
    assert len(connection.receive(second[1:])) == 1


def test_what_comes_while_asking_may_not_be_much() -> None:
    connection = connection_in(State.ASKING, limit=100)
    assert connection.receive(bytes(104)) == []
    (error,) = connection.receive(b"\0")
    assert isinstance(error, ProtocolError)
    assert "before the handshake's answer" in str(error)
    assert connection.state is State.CLOSED


def test_a_second_handshake_asks_again_and_needs_a_second_ack() -> None:
    connection = connection_in(State.WORKING)
    message = Message(NOTIFY, 0, "r", b"")
    packet = encode_message(message)
    assert connection.receive(packet + HANDSHAKE) == [message, HANDSHAKE_SEEN]
    connection.accept(HELLO)
    assert connection.state is State.GREETED
    assert connection.receive(ACK + packet) == [message]


def test_data_after_a_second_handshake_without_its_ack_is_an_error() -> None:
    connection = connection_in(State.WORKING)
    connection.receive(HANDSHAKE)
    connection.accept(HELLO)
    (error,) = connection.receive(encode_message(Message(NOTIFY, 0, "r", b"")))
    assert str(error) == "data while greeted"


def test_handshakes_without_end_are_an_error() -> None:
    connection = Connection()
    assert connection.receive(HANDSHAKE * 1000) == [HANDSHAKE_SEEN]
    for _ in range(MOST_GREETINGS - 1):
        connection.accept(HELLO)
        assert connection.receive(b"") == [HANDSHAKE_SEEN]
    connection.accept(HELLO)
    (error,) = connection.receive(b"")
    assert isinstance(error, ProtocolError)
    assert "handshakes on one connection" in str(error)


@pytest.mark.parametrize("state", [State.GREETING, State.GREETED])
def test_data_too_early_is_an_error(state: State) -> None:
    packet = encode_message(Message(REQUEST, 1, "r", b""))
    for chunks in ways(packet + HEARTBEAT, [3]):
        connection = connection_in(state)
        (error,) = feed(connection, chunks)
        assert isinstance(error, ProtocolError)
        assert str(error) == f"data while {state.value}"
        assert connection.state is State.CLOSED


@pytest.mark.parametrize("kind", PacketType)
def test_a_packet_that_is_too_large_is_refused_before_its_body_arrives(
    kind: PacketType,
) -> None:
    header = bytes((kind,)) + (101).to_bytes(3)
    connection = connection_in(State.WORKING, limit=100)
    (error,) = connection.receive(header)
    assert isinstance(error, PacketTooLarge)
    assert error.reason == "packet-too-large"
    assert connection._reader.rest == b""


def test_a_packet_of_exactly_the_limit_is_accepted() -> None:
    connection = connection_in(State.WORKING, limit=100)
    message = Message(NOTIFY, 0, "r", b"x" * 97)
    assert connection.receive(encode_message(message)) == [message]


def test_a_large_packet_is_not_looked_at_before_it_is_whole() -> None:
    connection = connection_in(State.WORKING)
    packet = encode_message(Message(NOTIFY, 0, "r", bytes(60_000)))
    assert connection.receive(packet[:50_000]) == []
    assert connection._reader.join(packet[50_000:-1]) is None
    assert len(connection.receive(packet[-1:])) == 1


def test_what_only_servers_send_is_ignored() -> None:
    connection = connection_in(State.WORKING)
    response = encode_response(1, b"x")
    push = encode_push(head_of_push("r"), b"")
    request = Message(REQUEST, 1, "r", b"")
    events = connection.receive(response + push + encode_message(request))
    assert events == [request]


def test_what_came_in_front_of_an_error_counts_and_nothing_behind_it() -> None:
    connection = connection_in(State.WORKING)
    message = Message(NOTIFY, 0, "r", b"")
    good = encode_message(message)
    events = connection.receive(good + bytes.fromhex("09000000") + good)
    assert events[0] == message
    assert isinstance(events[1], ProtocolError)
    assert len(events) == 2
    assert connection.receive(good) == []


# ------------------------------------------------------------------- garbage

LIMIT = 256
VALID = (
    HANDSHAKE
    + ACK
    + HEARTBEAT
    + encode_message(Message(REQUEST, 300, "Room.join", b"x" * 40))
    + HANDSHAKE
    + ACK
    + encode_message(Message(NOTIFY, 0, "Room.say", b""))
)
random_bytes = st.binary(max_size=600)
packet_like = st.lists(
    st.builds(
        lambda kind, body, extra: encode_packet(kind, body)[: 4 + extra],
        st.sampled_from(PacketType),
        st.binary(max_size=40),
        st.integers(0, 44),
    ),
    max_size=12,
).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a valid conversation with some of its bytes changed."""
    wire = bytearray(VALID)
    for _ in range(draw(st.integers(1, 4))):
        wire[draw(st.integers(0, len(wire) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.integers(0, len(wire)))
    return bytes(wire[:cut] + wire[draw(st.integers(cut, len(wire))) :])


@given(
    st.sampled_from(list(State)),
    st.one_of(random_bytes, packet_like, mutated()),
    cut_lists,
    st.booleans(),
)
@settings(max_examples=400)
def test_garbage_is_survived(
    state: State, wire: bytes, cuts: list[int], accepting: bool
) -> None:
    for chunks in ways(wire, cuts):
        connection = connection_in(state, limit=LIMIT)
        over = False
        for chunk in chunks:
            events = connection.receive(chunk)
            while accepting and connection.state is State.ASKING:
                connection.accept(HELLO)
                events += connection.receive(b"")
            assert not (over and events)
            for event in events[:-1]:
                assert not isinstance(event, ProtocolError)
            over = over or any(isinstance(event, ProtocolError) for event in events)
            assert over <= (connection.state is State.CLOSED)
            held = len(connection._reader.rest)
            assert held <= LIMIT + HEADER_SIZE + len(chunk)


@given(st.one_of(packet_like, mutated()), cut_lists)
def test_events_do_not_depend_on_how_the_bytes_are_cut(
    wire: bytes, cuts: list[int]
) -> None:
    outcomes = []
    for chunks in ways(wire, cuts):
        connection = Connection(limit=LIMIT)
        events = []
        for chunk in chunks:
            events += connection.receive(chunk)
            while connection.state is State.ASKING:
                connection.accept(HELLO)
                events += connection.receive(b"")
        outcomes.append([str(event) for event in events])
    assert outcomes[1:] == outcomes[:1] * 2


def test_who_is_refused_is_told_and_nothing_counts_any_more() -> None:
    connection = connection_in(State.ASKING)
    client = ClientConnection()
    (answer,) = client.receive(connection.refuse(403, {"msg": "no"}))
    assert answer == Accepted(403, 0, b'{"msg":"no","code":403}')
    assert not client.accepted
    assert connection.state is State.CLOSED
    assert connection.receive(ACK) == []


@pytest.mark.parametrize(
    "wrong", ["09000000", "04000002ffff", "040000030201ff", "0400000401020000"]
)
def test_an_error_does_not_hold_the_frames_it_was_raised_in(wrong: str) -> None:
    """They hold it in turn: a circle that would keep the connection for a while."""
    connection = connection_in(State.WORKING)
    (error,) = connection.receive(bytes.fromhex(wrong))
    assert isinstance(error, ProtocolError)
    assert error.__traceback__ is None
    assert error.__context__ is None


def test_the_limit_may_be_raised_for_what_comes_behind_the_greeting() -> None:
    connection = Connection(limit=1024)
    message = Message(NOTIFY, 0, "r", b"x" * 2000)
    (asked,) = connection.receive(HANDSHAKE + ACK + encode_message(message))
    assert isinstance(asked, HandshakeRequested)
    connection.accept(HELLO)
    connection.allow(4096)
    assert connection.receive(b"") == [message]
