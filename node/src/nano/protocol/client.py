"""The client's end of a connection, without the socket.

The mirror image of :mod:`nano.protocol.connection`: it opens the greeting, numbers
requests and reads what servers send.  Our own client and our tests are built on
it; servers of pomelo and nano understand it as well as ours do.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct as Record

from nano.errors import ProtocolError
from nano.protocol.dictionary import EMPTY, RouteDictionary
from nano.protocol.messages import (
    NOTIFY,
    REQUEST,
    Message,
    decode_message,
    encode_message,
)
from nano.protocol.packets import (
    LARGEST_BODY,
    Packet,
    PacketReader,
    PacketType,
    encode_packet,
)

__all__ = ["Accepted", "ClientConnection", "ClientEvent", "Heartbeat", "Kicked"]


class Accepted(Record, frozen=True):
    """The server's answer to the greeting; the acknowledgement is due.

    Attributes:
        code: 200, or why the server does not want us.
        heartbeat: Seconds between its heartbeats; 0 if it sends none.
        body: The whole answer.
        resume: The token by which the session can be taken up; empty: there is none.
        epoch: Which of the session's connections this is; above 1 it was taken up.
    """

    code: int
    heartbeat: float
    body: bytes
    resume: str = ""
    epoch: int = 1


class Heartbeat(Record, frozen=True):
    """The server is alive and wants to know whether we are."""


class Kicked(Record, frozen=True):
    """The server sends us away.

    Attributes:
        reason: Why; empty if it does not say.
        reconnect: It says that coming back makes sense.
    """

    reason: str
    reconnect: bool = False


ClientEvent: TypeAlias = Message | Accepted | Heartbeat | Kicked


_UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


class _Sys(Record):
    heartbeat: float = 0
    resume: str = ""
    epoch: int = 1
    codes: dict[str, int] = msgspec.field(default_factory=dict, name="dict")


class _Answer(Record):
    code: int = 0
    sys: _Sys = msgspec.field(default_factory=_Sys)


class _Kick(Record):
    reason: str = ""
    reconnect: Any = False


class ClientConnection:
    """Follows one connection from the client's side.

    Attributes:
        accepted: The server has let us in.
    """

    def __init__(self) -> None:
        self.accepted = False
        self._reader = PacketReader(LARGEST_BODY)
        self._dictionary: RouteDictionary = EMPTY
        self._last_id = 0

    def greet(self, user: Any = None, resume: str | None = None) -> bytes:
        """Return the packet that opens the conversation.

        Args:
            user: Whatever the server's validator wants, JSON-able.
            resume: The token of a session to go on with; empty: ask for one.
        """
        sys: dict[str, Any] = {"type": "nano-python", "version": "1", "errors": True}
        if resume is not None:
            sys["resume"] = resume
        hello: dict[str, Any] = {"sys": sys}
        if user is not None:
            hello["user"] = user
        return encode_packet(PacketType.HANDSHAKE, msgspec.json.encode(hello))

    def acknowledge(self) -> bytes:
        """Return the packet that ends the greeting."""
        return encode_packet(PacketType.HANDSHAKE_ACK)

    def request(self, route: str, payload: bytes) -> tuple[int, bytes]:
        """Return the number of a new request and the packet that asks it."""
        self._last_id += 1
        message = Message(REQUEST, self._last_id, route, payload)
        return self._last_id, encode_message(message, self._dictionary)

    def notify(self, route: str, payload: bytes) -> bytes:
        """Return the packet of a message that expects no answer."""
        return encode_message(Message(NOTIFY, 0, route, payload), self._dictionary)

    def receive(self, data: bytes) -> list[ClientEvent]:
        """Take bytes from the server and return what they mean, in order.

        Raises:
            ProtocolError: They mean nothing.
        """
        return [self._event(packet) for packet in self._reader.receive(data)]

    def _event(self, packet: Packet) -> ClientEvent:
        body = packet.body
        match packet.type:
            case PacketType.DATA:
                return decode_message(body, 0, len(body), self._dictionary)
            case PacketType.HEARTBEAT:
                return Heartbeat()
            case PacketType.HANDSHAKE:
                return self._accepted(body)
            case PacketType.KICK:
                return _kicked(body)
        raise ProtocolError("a server does not acknowledge a handshake")

    def _accepted(self, body: bytes) -> Accepted:
        try:
            answer = msgspec.json.decode(body, type=_Answer)
            self._dictionary = RouteDictionary(answer.sys.codes)
        except (*_UNREADABLE, ValueError) as error:
            message = f"the handshake's answer cannot be read: {error}"
            raise ProtocolError(message) from None
        self.accepted = answer.code == 200
        sys = answer.sys
        return Accepted(answer.code, sys.heartbeat, body, sys.resume, sys.epoch)


def _kicked(body: bytes) -> Kicked:
    try:
        kick = msgspec.json.decode(body, type=_Kick)
    except _UNREADABLE:
        return Kicked(body.decode(errors="replace"))
    return Kicked(kick.reason, kick.reconnect is True)
