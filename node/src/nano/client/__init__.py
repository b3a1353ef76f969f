"""A client for programs: asyncio, by TCP, WebSocket or a unix socket.

::

    async with await nano.client.connect("ws://127.0.0.1:3250/") as client:
        client.on("onShout", print)
        print(await client.request("EchoService.echo", {"text": "hello"}))

Payloads are JSON unless told otherwise; both sides have to mean the same::

    client = await nano.client.connect("tcp://127.0.0.1:3251", serializer="protobuf")
    pong = await client.request("Room.Ping", Ping(content="ann"), wanted=Pong)

The client answers heartbeats by itself; when the connection ends, everything that
waits gets :class:`~nano.errors.ConnectionClosed` with the reason that the server gave.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from ssl import SSLContext
from typing import Any, Final, Self

from nano.client.streams import Stream, open_stream, verifying
from nano.errors import ConnectionClosed, ProtocolError, UsageError
from nano.protocol.client import (
    Accepted,
    ClientConnection,
    ClientEvent,
    Heartbeat,
    Kicked,
)
from nano.protocol.messages import PUSH, Message
from nano.protocol.packets import HEARTBEAT_PACKET
from nano.serializers import Serializer, SerializerName, by_name

__all__ = ["Client", "connect"]

logger = logging.getLogger(__name__)

KICKED: Final = "kicked"  # by a server that does not say why


async def connect(
    url: str,
    *,
    user: Any = None,
    timeout: float = 10.0,
    serializer: SerializerName = "json",
    ssl: SSLContext | None = None,
    ca: str | os.PathLike[str] | None = None,
) -> Client:
    """Connect and be greeted.

    Args:
        url: ``tcp://host:port``, ``ws://host:port/path``, the same with TLS as
            ``tls://`` and ``wss://``, or ``unix:///path``.
        user: Whatever the server's handshake validator wants, JSON-able.
        timeout: Seconds until it must have succeeded.
        serializer: The format of payloads: ``json``, ``protobuf`` or ``raw``, as
            ``spec.settings.serializer`` of the cluster says.
        ssl: What TLS is spoken with; by default the server has to prove that it is
            *url*'s host.
        ca: File with the authorities to believe for that, in PEM; by default those
            of the system.  Not together with *ssl*.

    Raises:
        ConnectionClosed: Nobody answers, the server is another, or it refuses.
        TimeoutError: It took too long.
        UsageError: The URL cannot be understood, *ssl* or *ca* do not go with it, or
            there is no such serializer.
    """
    if ca is not None:
        if ssl is not None:
            raise UsageError("ssl and ca exclude each other: give one of them")
        ssl = verifying(ca)
    chosen = by_name(serializer)
    async with asyncio.timeout(timeout):
        client = Client(await open_stream(url, ssl), chosen)
        try:
            await client.greet(user)
        except BaseException:
            await client.close()
            raise
    return client


class Client:
    """One connection to a cluster; made by :func:`connect`.

    Attributes:
        closed: Why the connection is over; empty while it is not.
    """

    def __init__(self, stream: Stream, serializer: Serializer) -> None:
        self.closed = ""
        self._stream = stream
        self._connection = ClientConnection()
        self._serializer = serializer
        self._decoders: dict[Any, Callable[[bytes], Any]] = {}
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._callbacks: dict[str, list[Callable[[bytes], None]]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    async def greet(self, user: Any) -> None:
        """Shake hands; called once, by :func:`connect`.

        Raises:
            ConnectionClosed: The server refuses.
        """
        await self._stream.write(self._connection.greet(user))
        early: list[ClientEvent] = []
        while not self._connection.accepted:
            data = await self._stream.read()
            if not data:
                raise ConnectionClosed("closed during the handshake")
            for event in self._understand(data):
                if isinstance(event, Kicked):
                    raise ConnectionClosed(event.reason or KICKED)
                if isinstance(event, Accepted) and event.code != 200:
                    message = f"the server refuses with code {event.code}"
                    raise ConnectionClosed(message)
                early.append(event)
        with contextlib.suppress(ConnectionClosed):  # why: the next read tells
            await self._stream.write(self._connection.acknowledge())
        for event in early:
            await self._act(event)
        self._reader = asyncio.create_task(self._read(), name="nano client reader")

    def _understand(self, data: bytes) -> list[ClientEvent]:
        try:
            return self._connection.receive(data)
        except ProtocolError as error:
            message = f"the server broke the protocol: {error}"
            raise ConnectionClosed(message) from None

    def _decoder(self, wanted: Any) -> Callable[[bytes], Any]:
        decode = self._decoders.get(wanted)
        if decode is None:
            decode = self._decoders[wanted] = self._serializer.decoder(wanted)
        return decode

    async def request(
        self, route: str, payload: Any, *, timeout: float = 10.0, wanted: Any = Any
    ) -> Any:
        """Ask, and return the decoded answer.

        Args:
            route: Who is asked, ``Service.method``.
            payload: What the serializer can encode, or bytes.
            timeout: Seconds to wait for the answer.
            wanted: What the answer becomes, as the annotation of a handler says it.
                ``Any`` is whatever JSON holds (``None`` if the answer is empty), and
                the bytes as they came under the other serializers.

        Raises:
            RequestError: The answer is an error.
            PayloadError: The answer is not what is wanted.
            ConnectionClosed: The connection is over, or ends while waiting.
            TimeoutError: No answer came in *timeout* seconds.
            TypeError: The serializer knows neither *payload* nor *wanted*.
        """
        if self.closed:
            raise ConnectionClosed(self.closed)
        decode = self._decoder(wanted)
        encoded = self._serializer.encode(payload)
        number, packet = self._connection.request(route, encoded)
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(timeout):
                await self._stream.write(packet)
                message = await future
        finally:
            del self._waiting[number]
        if message.failed:
            raise self._serializer.decode_error(message.payload)
        return decode(message.payload)

    async def notify(self, route: str, payload: Any) -> None:
        """Say, and expect no answer.

        Raises:
            ConnectionClosed: The connection is over.
        """
        if self.closed:
            raise ConnectionClosed(self.closed)
        encoded = self._serializer.encode(payload)
        await self._stream.write(self._connection.notify(route, encoded))

    def on(
        self, route: str, callback: Callable[[Any], None], *, wanted: Any = Any
    ) -> None:
        """Have *callback* called with the decoded payload of each push to *route*.

        Raises:
            TypeError: The serializer does not know *wanted*.
        """
        decode = self._decoder(wanted)
        callbacks = self._callbacks.setdefault(route, [])
        callbacks.append(lambda payload: callback(decode(payload)))

    async def wait_closed(self) -> str:
        """Wait until the connection is over; return why."""
        await self._over.wait()
        return self.closed

    async def close(self) -> None:
        """Close the connection; a second time is harmless."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        self._end("closed by this side")
        await self._stream.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _read(self) -> None:
        reason = "the server closed the connection"
        try:
            while data := await self._stream.read():
                for event in self._understand(data):
                    if isinstance(event, Kicked):
                        reason = event.reason or KICKED
                    await self._act(event)
        except ConnectionClosed as error:
            reason = str(error)
        self._end(reason)

    async def _act(self, event: ClientEvent) -> None:
        if isinstance(event, Heartbeat):
            with contextlib.suppress(ConnectionClosed):  # why: the next read tells
                await self._stream.write(HEARTBEAT_PACKET)
        elif isinstance(event, Message) and event.type == PUSH:
            self._pushed(event)
        elif isinstance(event, Message):
            future = self._waiting.get(event.id)
            if future is not None and not future.done():
                future.set_result(event)

    def _pushed(self, message: Message) -> None:
        for callback in self._callbacks.get(message.route, ()):
            try:
                callback(message.payload)
            except Exception:
                logger.exception("a callback of %s failed", message.route)

    def _end(self, reason: str) -> None:
        self.closed = self.closed or reason
        self._over.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionClosed(self.closed))
