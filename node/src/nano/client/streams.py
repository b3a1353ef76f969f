"""The byte streams that a client speaks over: sockets, and WebSocket by its library."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from typing import Final, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection as WebSocket
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed as WebSocketClosed
from websockets.exceptions import InvalidHandshake

from nano.errors import ConnectionClosed, UsageError

__all__ = ["ABNORMAL", "SocketStream", "Stream", "open_stream", "verifying"]

READ_SIZE = 65536
ABNORMAL = 1006  # RFC 6455: the connection has ended without a close frame
WRONG_FORM = (
    "{!r} is none of tcp://host:port, tls://host:port, ws://host:port/path, "
    "wss://host:port/path and unix:///path"
)
SECURE: Final = ("tls", "wss")


class Stream(Protocol):
    """Bytes both ways."""

    @property
    def close_code(self) -> int:
        """WebSocket's close code, of whoever closed; 1006 where there is none."""

    async def read(self) -> bytes:
        """Return what has come; empty at the end of the stream."""

    async def write(self, data: bytes) -> None:
        """Send *data*.

        Raises:
            ConnectionClosed: The connection is over.
        """

    async def close(self) -> None:
        """Close and wait until it is."""


class SocketStream:
    """A stream over TCP, over TLS, or over a socket of this machine."""

    close_code = ABNORMAL

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Return what has come; empty at the end of the stream."""
        try:
            data = await self._reader.read(READ_SIZE)
        except (ConnectionError, ssl.SSLError):
            return b""
        if not data:
            self._writer.close()  # a server that has ended its side waits for ours
        return data

    async def write(self, data: bytes) -> None:
        """Send *data*."""
        self._writer.write(data)
        try:
            await self._writer.drain()
        except (ConnectionError, ssl.SSLError) as error:
            raise ConnectionClosed(f"the connection is lost: {error}") from None

    async def close(self) -> None:
        """Close and wait until it is."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except (ConnectionError, TimeoutError, ssl.SSLError):
            return
        except asyncio.CancelledError:
            self._writer.transport.abort()  # what still waits is not read any more
            raise


class WebSocketStream:
    """A stream over binary WebSocket messages."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    @property
    def close_code(self) -> int:
        """WebSocket's close code, of whoever closed; 1006 where there is none."""
        return self._websocket.close_code or ABNORMAL

    async def read(self) -> bytes:
        """Return what has come; empty at the end of the stream."""
        try:
            message = await self._websocket.recv()
        except WebSocketClosed:
            return b""
        return message.encode() if isinstance(message, str) else message

    async def write(self, data: bytes) -> None:
        """Send *data*."""
        try:
            await self._websocket.send(data)
        except WebSocketClosed as error:
            raise ConnectionClosed(str(error)) from None

    async def close(self) -> None:
        """Close and wait until it is.

        What comes meanwhile is read and dropped: the server's close frame lies behind
        it, and the library reads no further than somebody takes it.
        """
        closing = asyncio.create_task(self._websocket.close(), name="closing")
        with contextlib.suppress(WebSocketClosed):
            while not closing.done():
                await self._websocket.recv()
        await closing


def verifying(ca: str | os.PathLike[str] | None) -> ssl.SSLContext:
    """Return what TLS is spoken with: the server has to prove its name.

    Args:
        ca: File with the authorities to believe, in PEM; ``None``: the system's.

    Raises:
        UsageError: The file cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        message = f"ca={os.fspath(ca or '')!r} cannot be used: {error.strerror}"
        raise UsageError(message) from error


async def open_stream(url: str, context: ssl.SSLContext | None = None) -> Stream:
    """Connect to *url*.

    Args:
        url: ``tcp://host:port``, ``tls://host:port``, ``ws://host:port/path``,
            ``wss://host:port/path`` or ``unix:///path``.
        context: What TLS is spoken with; ``None``: with the system's authorities.

    Raises:
        UsageError: The URL has another form, or does not go with *context*.
        ConnectionClosed: Nobody answers there, or the server is another.
    """
    scheme, host, port, path = _split(url)
    secure = scheme in SECURE
    if context is not None and not secure:
        raise UsageError(f"{scheme}:// speaks no TLS; use tls:// or wss://")
    if secure and context is None:
        context = verifying(None)
    try:
        if scheme in ("tcp", "tls") and host and port:
            streams = await asyncio.open_connection(host, port, ssl=context)
            return SocketStream(*streams)
        if scheme == "unix" and path and not host:
            return SocketStream(*await asyncio.open_unix_connection(path))
        if scheme in ("ws", "wss") and host:
            websocket = await connect_websocket(
                url,
                ssl=context,
                compression=None,
                max_size=None,
                ping_interval=None,
                proxy=None,
            )
            return WebSocketStream(websocket)
    except (OSError, InvalidHandshake) as error:
        message = f"cannot connect to {url}: {_reason(error)}"
        raise ConnectionClosed(message) from error
    raise UsageError(WRONG_FORM.format(url))


def _reason(error: OSError | InvalidHandshake) -> str:
    """Say what *error* is, without its number and the address once more."""
    if (
        isinstance(error, OSError)
        and error.errno
        and not isinstance(error, ssl.SSLError)
    ):
        # negative: a name that cannot be resolved; TLS has numbers of its own
        known = os.strerror(error.errno) if error.errno > 0 else error.strerror
        return known or str(error)
    return str(error)


def _split(url: str) -> tuple[str, str | None, int | None, str]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port, parts.path
    except ValueError:  # a port that is no port, a bracket that is not closed
        raise UsageError(WRONG_FORM.format(url)) from None
