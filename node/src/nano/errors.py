"""Every error that nano raises, and the words in which a client is told of one.

::

    NanoError
    ├── UsageError            the person who started this gave us something wrong
    ├── ProtocolError         a client's bytes make no sense; its connection ends
    │   └── PacketTooLarge    they promise more than the listener accepts
    ├── EncodeError           we were about to send something that no peer could read
    ├── PayloadError          a payload is not what the handler declares
    ├── RequestError          a request was answered with an error (seen by who asked)
    ├── ConnectionClosed      there is nobody left to talk to, with the reason
    ├── GroupClosed           a group is used after its close
    └── ClusterError          another node could not be reached or refused

:class:`RequestError` travels: a handler may raise it, the node that runs the
handler encodes it, and the asking client gets it back.  Its three values are
pitaya's error body, so clients that know that body can read ours.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BAD_REQUEST",
    "INTERNAL",
    "NOT_FOUND",
    "OVERLOADED",
    "TIMEOUT",
    "UNAVAILABLE",
    "ClusterError",
    "ConnectionClosed",
    "EncodeError",
    "GroupClosed",
    "NanoError",
    "PacketTooLarge",
    "PayloadError",
    "ProtocolError",
    "RequestError",
    "UsageError",
]

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


class ConnectionClosed(NanoError):
    """The connection is closed; the text is the reason, where one is known."""


class GroupClosed(NanoError):
    """A group is used by a handle on which ``close`` was called."""


class ClusterError(NanoError):
    """Another node refused, could not be reached, or did not answer in time."""
