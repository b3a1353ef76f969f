"""The server's end of one client connection, without the socket.

Bytes of the client go into :meth:`Connection.receive`, which returns what they
mean; :meth:`Connection.accept`, :meth:`Connection.kick` and the encoders of
:mod:`~nano.protocol.messages` return bytes for the client.  When to read, when to
write, how long to wait: all of that is the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from msgspec import Struct as Record
from msgspec import json

from nano.errors import ProtocolError, detached
from nano.protocol.dictionary import EMPTY, RouteDictionary
from nano.protocol.handshake import (
    ClientHello,
    ServerHello,
    read_hello,
    write_hello,
    write_refusal,
)
from nano.protocol.lifecycle import Input, State, next_state
from nano.protocol.messages import (
    DATA_TYPE,
    NOTIFY,
    Message,
    decode_message,
    read_plain,
)
from nano.protocol.packets import (
    DEFAULT_LIMIT,
    HEADER,
    HEADER_SIZE,
    LARGEST_BODY,
    PacketReader,
    PacketType,
    encode_packet,
)

__all__ = ["Connection", "Event", "HandshakeRequested"]


class HandshakeRequested(Record, frozen=True):
    """The client introduces itself and waits to be accepted or sent away.

    Attributes:
        hello: What it announces.
        body: The same as it came, for validators with a form of their own.
    """

    hello: ClientHello
    body: bytes


Event: TypeAlias = Message | HandshakeRequested | ProtocolError

MOST_GREETINGS: Final = 16  # of one connection; answers weigh more than questions

_WORKING: Final = State.WORKING
_ASKING: Final = State.ASKING
_CLOSED: Final = State.CLOSED

_INPUTS: Final = {
    PacketType.HANDSHAKE: Input.HANDSHAKE,
    PacketType.HANDSHAKE_ACK: Input.ACK,
    PacketType.HEARTBEAT: Input.HEARTBEAT,
    PacketType.KICK: Input.KICK,
}


class Connection:
    """Follows one client from its first byte to its last.

    Cheap, synchronous and owned by exactly one transport.  Once it is closed,
    every further byte is ignored.

    Args:
        dictionary: Which routes this listener sends as codes.
        limit: The longest packet body that is accepted, in bytes.

    Attributes:
        state: Where the connection stands.
        hello: What the client announced, once it has.
    """

    __slots__ = ("_dictionary", "_greetings", "_reader", "hello", "state")

    def __init__(
        self, dictionary: RouteDictionary = EMPTY, limit: int = DEFAULT_LIMIT
    ) -> None:
        self.state = State.GREETING
        self.hello = ClientHello()
        self._dictionary = dictionary
        self._greetings = 0
        self._reader = PacketReader(limit)

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the client and return what they mean, in order.

        A :class:`~nano.errors.ProtocolError` is returned, not raised, and is
        always the last event: what the client sent in front of it still counts.
        After :class:`HandshakeRequested` nothing is read until :meth:`accept`;
        call ``receive(b"")`` then for what arrived meanwhile.
        """
        events: list[Event] = []
        offset, state, reader = 0, self.state, self._reader
        if state is _WORKING and not reader.rest:
            offset = read_plain(data, reader.limit, events)
            if offset == len(data):
                return events
        try:
            if state is _ASKING:
                self._hold(data)
            elif state is not _CLOSED:
                joined = reader.join(data)
                if joined is not None:
                    if joined is not data and state is _WORKING:
                        offset = read_plain(joined, reader.limit, events)
                    self._read(joined, offset, events)
        except ProtocolError as error:
            self.state = State.CLOSED
            events.append(detached(error))
        return events

    def _read(self, data: bytes, offset: int, events: list[Event]) -> None:
        """Cut *data* from *offset* on into packets, and those into what they mean."""
        reader, dictionary = self._reader, self._dictionary
        end, needed = len(data), HEADER_SIZE
        state = self.state
        while end - offset >= HEADER_SIZE:
            if state is _ASKING:
                break
            (header,) = HEADER.unpack_from(data, offset)
            kind, size = header >> 24, header & LARGEST_BODY
            if kind != DATA_TYPE or size > reader.limit:
                reader.check(kind, size)
            start = offset + HEADER_SIZE
            stop = start + size
            if stop > end:
                needed = HEADER_SIZE + size
                break
            offset = stop
            if kind != DATA_TYPE:
                state = self._control(PacketType(kind), data[start:stop], events)
            elif state is not _WORKING:
                next_state(state, Input.DATA)  # raises: data has no place here
            else:
                message = decode_message(data, start, stop, dictionary)
                if message.type <= NOTIFY:  # nano ignores what only servers send
                    events.append(message)
        if offset < end:
            reader.keep(data, offset, needed)

    def _hold(self, data: bytes) -> None:
        """Keep what comes while the client waits to be let in; it may not be much."""
        self._reader.keep(data, 0, HEADER_SIZE)
        if len(self._reader.rest) > self._reader.limit + HEADER_SIZE:
            raise ProtocolError("too much was sent before the handshake's answer")

    def _control(self, kind: PacketType, body: bytes, events: list[Event]) -> State:
        self.state = next_state(self.state, _INPUTS[kind])
        if kind is PacketType.HANDSHAKE:
            self._greetings += 1
            if self._greetings > MOST_GREETINGS:
                message = f"more than {MOST_GREETINGS} handshakes on one connection"
                raise ProtocolError(message)
            self.hello = read_hello(body)
            events.append(HandshakeRequested(self.hello, body))
        return self.state

    def accept(self, answer: ServerHello) -> bytes:
        """Let the client in; return the packet that tells it.

        Raises:
            ProtocolError: Nobody asked to come in.
        """
        self.state = next_state(self.state, Input.ACCEPT)
        return encode_packet(PacketType.HANDSHAKE, write_hello(answer))

    def allow(self, limit: int) -> None:
        """Accept packet bodies of up to *limit* bytes from now on."""
        self._reader.limit = limit

    def refuse(self, code: int, body: Mapping[str, Any]) -> bytes:
        """Do not let the client in; return the packet that tells it.

        Args:
            code: Why, as a number; not 200.
            body: More members of the answer, JSON-able.
        """
        self.close()
        return encode_packet(PacketType.HANDSHAKE, write_refusal(code, body))

    def kick(self, reason: str, reconnect: bool = False) -> bytes:
        """Send the client away; return the packet that tells it why.

        The body is JSON, as nano's and pomelo's clients expect of a kick.  With
        *reconnect* it says that coming back makes sense, which ours obey and theirs
        do not notice.
        """
        self.close()
        body: dict[str, object] = {"reason": reason}
        if reconnect:
            body["reconnect"] = True
        return encode_packet(PacketType.KICK, json.encode(body))

    def close(self) -> None:
        """Note that the connection is over, whoever ended it."""
        self.state = next_state(self.state, Input.CLOSE)
