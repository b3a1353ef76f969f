"""The greeting: what a client says of itself and what it is told.

A client's body is JSON by convention, and nano never looks at it, so a body that
cannot be read is a client that announces nothing, not an error.  The answer has
nano's members in nano's order; members of our own are only ever added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from nano.errors import ACCEPTED
from nano.protocol.dictionary import EMPTY, RouteDictionary

__all__ = ["ClientHello", "ServerHello", "read_hello", "write_hello", "write_refusal"]


class ClientHello(msgspec.Struct, frozen=True):
    """What a client announces.

    Attributes:
        type: The kind of client, such as ``js-websocket``; for logs only.
        version: The client's own version; for logs only.
        errors: It knows that a response may be an error (flag bit 5).
        resume: The token of a session that it wants to go on with; empty: it wants a
            token; ``None``: it does not know of any.
        user: Whatever the application put there, for its validator.
    """

    type: str = ""
    version: str = ""
    errors: bool = False
    user: Any = None
    resume: str | None = None


class ServerHello(msgspec.Struct, frozen=True):
    """What a client is told.

    Attributes:
        heartbeat: Seconds between two heartbeats of the server.
        servertime: The server's clock, in whole seconds since 1970, at the moment
            of the handshake (nano sends the time at which the node started).
        dictionary: Which routes go as codes.
        user: What the application tells the client; ``None``: nothing.
        resume: The token by which its session can be taken up; empty: there is none.
        epoch: Which of its session's connections this is; above 1 it was taken up.
    """

    heartbeat: float
    servertime: int
    dictionary: RouteDictionary = EMPTY
    user: Any = None
    resume: str = ""
    epoch: int = 1


class _Sys(msgspec.Struct):
    type: str = ""
    version: str = ""
    errors: bool = False
    resume: str | None = None


class _Body(msgspec.Struct):
    sys: _Sys = msgspec.field(default_factory=_Sys)
    user: Any = None


_decoder: Final = msgspec.json.Decoder(_Body)
_encoder: Final = msgspec.json.Encoder()


def read_hello(body: bytes) -> ClientHello:
    """Read what a client says of itself; an unreadable body says nothing."""
    try:
        said = _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return ClientHello()
    sys = said.sys
    return ClientHello(sys.type, sys.version, sys.errors, said.user, sys.resume)


def write_hello(hello: ServerHello) -> bytes:
    """Return the body of the answer, its members sorted as Go sorts them."""
    interval = hello.heartbeat
    sys: dict[str, object] = {}
    if len(hello.dictionary):
        sys["dict"] = dict(sorted(hello.dictionary))
    if hello.resume:
        sys["epoch"] = hello.epoch
    sys["heartbeat"] = int(interval) if interval == int(interval) else interval
    if hello.resume:
        sys["resume"] = hello.resume
    sys["servertime"] = hello.servertime
    answer: dict[str, object] = {"code": ACCEPTED, "sys": sys}
    if hello.user is not None:
        answer["user"] = hello.user
    return _encoder.encode(answer)


def write_refusal(code: int, body: Mapping[str, Any]) -> bytes:
    """Return the body of the answer that refuses, as pomelo's but for *body*."""
    return _encoder.encode({**body, "code": code})
