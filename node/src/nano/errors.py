"""Every error that nano raises, and the words in which a client is told of one.

::

    NanoError
    ├── UsageError            the person who started this gave us something wrong
    ├── ProtocolError         a client's bytes make no sense; its connection ends
    │   └── PacketTooLarge    they promise more than the listener accepts
    ├── EncodeError           we were about to send something that no peer could read
    ├── PayloadError          a payload is not what the handler declares
    ├── HandshakeRefused      a client may not come in (raised by an application)
    ├── RequestError          a request was answered with an error (seen by who asked)
    ├── ConnectionClosed      there is nobody left to talk to, with the reason
    │   └── ConnectionRefused the server does not let this client in, with its answer
    ├── OutboxFull            a client is not connected, and too much waits for it to be
    ├── GroupClosed           a group is used after its close
    ├── QueueFull             more is handed in than can be done
    └── ClusterError          another node could not be reached or refused

:class:`RequestError` travels: a handler may raise it, the node that runs the
handler encodes it, and the asking client gets it back.  Its three values are
pitaya's error body, so clients that know that body can read ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

__all__ = [
    "ACCEPTED",
    "BAD_REQUEST",
    "INTERNAL",
    "NOT_FOUND",
    "OVERLOADED",
    "TIMEOUT",
    "UNAVAILABLE",
    "ClusterError",
    "ConnectionClosed",
    "ConnectionRefused",
    "EncodeError",
    "GroupClosed",
    "HandshakeRefused",
    "NanoError",
    "OutboxFull",
    "PacketTooLarge",
    "PayloadError",
    "ProtocolError",
    "QueueFull",
    "RequestError",
    "UsageError",
    "detached",
]

_Error = TypeVar("_Error", bound=Exception)

ACCEPTED: Final = 200
BAD_REQUEST: Final = 400
NOT_FOUND: Final = 404
OVERLOADED: Final = 429
INTERNAL: Final = 500
UNAVAILABLE: Final = 503
TIMEOUT: Final = 504


class NanoError(Exception):
    """Root of everything that nano raises on purpose."""


class UsageError(NanoError):
    """What a person asked for cannot be done; the text says what to do instead."""


class ProtocolError(NanoError):
    """The peer's bytes break the client protocol; its connection cannot go on.

    Attributes:
        reason: A short word for metrics and for the kick that the client gets.
    """

    reason = "protocol-error"


class PacketTooLarge(ProtocolError):
    """A packet's header announces more than the listener accepts."""

    reason = "packet-too-large"


class EncodeError(NanoError):
    """A message of ours does not fit the wire: a route or a body that is too long."""


class PayloadError(NanoError):
    """A payload could not be decoded into what the handler declares."""


class RequestError(NanoError):
    """The answer to a request is an error.

    Raise it in a handler to refuse a request on purpose; anything else that
    leaves a handler is answered as an internal error without its text.

    Attributes:
        status: The class of the error, as in HTTP (404: unknown route, and so on).
        code: A stable word for programs; ``NANO-<status>`` unless given.
        message: A sentence for people.
    """

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(status, message, code)
        self.status = status
        self.message = message
        self.code = code or f"NANO-{status}"

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class HandshakeRefused(NanoError):
    """A client may not come in; raise it in a component's ``handshake``.

    Attributes:
        code: What the answer has as ``code``; pomelo's clients know 500, and 501 for a
            client that is too old.  Anything but 200.
        body: More members of the answer, JSON-able; ``code`` and ``sys`` are taken.
    """

    def __init__(self, code: int = 403, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(code, body)
        if code == ACCEPTED:
            raise ValueError("200 lets a client in; refuse it with another code")
        self.code = code
        self.body = dict(body or {})

    def __str__(self) -> str:
        return f"refused with {self.code}"


class ConnectionClosed(NanoError):
    """The connection is closed; the text is the reason, where one is known.

    Attributes:
        sent: The request that this ends was on its way: it may have been carried out.
    """

    def __init__(self, reason: str, *, sent: bool = False) -> None:
        super().__init__(reason)
        self.sent = sent


class ConnectionRefused(ConnectionClosed):
    """The server has answered the handshake with something else than 200.

    Attributes:
        code: What it has answered.
        answer: The whole answer, decoded; a handshake validator decides what is in it.
    """

    def __init__(self, code: int, answer: Mapping[str, Any]) -> None:
        super().__init__(f"the server refuses with code {code}")
        self.code = code
        self.answer = answer


class OutboxFull(NanoError):
    """A client is not connected at this moment, and too much waits for it to be."""


class GroupClosed(NanoError):
    """A group is used by a handle on which ``close`` was called."""


class QueueFull(NanoError):
    """What was handed in is not taken: too much waits already."""


class ClusterError(NanoError):
    """Another node refused, could not be reached, or did not answer in time."""


def detached(error: _Error) -> _Error:
    """Return *error* without the way on which it was raised, for it to be kept.

    An error holds the frames that it went through, and they hold it where it becomes a
    value: a circle that keeps a client's connection, and which the collector does not
    see if it runs through an object that it was told not to follow.
    """
    error.__context__ = None
    return error.with_traceback(None)
