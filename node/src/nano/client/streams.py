"""The byte streams that a client speaks over: TCP, and WebSocket by its library."""

from __future__ import annotations

import asyncio
from typing import Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection as WebSocket
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed as WebSocketClosed
from websockets.exceptions import InvalidHandshake

from nano.errors import ConnectionClosed, UsageError

__all__ = ["ABNORMAL", "Stream", "open_stream"]

READ_SIZE = 65536
ABNORMAL = 1006  # RFC 6455: the connection has ended without a close frame
WRONG_FORM = "{!r} is not of the form tcp://host:port or ws://host:port/path"


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


class TcpStream:
    """A stream over plain TCP."""

    close_code = ABNORMAL

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Return what has come; empty at the end of the stream."""
        try:
            data = await self._reader.read(READ_SIZE)
        except ConnectionError:
            return b""
        if not data:
            self._writer.close()  # a server that has ended its side waits for ours
        return data

    async def write(self, data: bytes) -> None:
        """Send *data*."""
        self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise ConnectionClosed(f"the connection is lost: {error}") from None

    async def close(self) -> None:
        """Close and wait until it is."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
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
        """Close and wait until it is."""
        await self._websocket.close()


async def open_stream(url: str) -> Stream:
    """Connect to *url*, ``tcp://host:port`` or ``ws://host:port/path``.

    Raises:
        UsageError: The URL has another form.
        ConnectionClosed: Nobody answers there.
    """
    scheme, host, port = _split(url)
    try:
        if scheme == "tcp" and host and port:
            streams = await asyncio.open_connection(host, port)
            return TcpStream(*streams)
        if scheme in ("ws", "wss") and host:
            websocket = await connect_websocket(
                url, compression=None, max_size=None, ping_interval=None, proxy=None
            )
            return WebSocketStream(websocket)
    except (OSError, InvalidHandshake) as error:
        message = f"cannot connect to {url}: {error}"
        raise ConnectionClosed(message) from error
    raise UsageError(WRONG_FORM.format(url))


def _split(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port
    except ValueError:  # a port that is no port, a bracket that is not closed
        raise UsageError(WRONG_FORM.format(url)) from None
