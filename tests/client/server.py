"""A server that does what a test tells it to, by TCP or by WebSocket.

It stands on the server's protocol core and knows nothing of sessions or handlers, so
that it can also do what a real one never does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from websockets.asyncio.server import ServerConnection as WebSocket
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from nano.protocol.connection import Connection, HandshakeRequested
from nano.protocol.dictionary import EMPTY, RouteDictionary
from nano.protocol.handshake import ServerHello
from nano.protocol.messages import (
    Message,
    encode_push,
    encode_response,
    head_of_push,
)
from tests.resets import reset_at_close

PATIENCE = 20.0


class Peer:
    """One client, seen from the server."""

    def __init__(
        self,
        read: Callable[[], Awaitable[bytes]],
        write: Callable[[bytes], Awaitable[None]],
        transport: asyncio.BaseTransport,
    ) -> None:
        self.core = Connection()
        self.heard = b""
        self._read = read
        self.write = write
        self._transport = transport
        self._messages: list[Message] = []

    async def receive(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            data = await self._read()
        self.heard += data
        return data

    async def greeting(self) -> HandshakeRequested:
        """Wait until the client introduces itself."""
        while True:
            for event in self.core.receive(await self.receive()):
                assert isinstance(event, HandshakeRequested)
                return event

    async def greet(
        self, heartbeat: float = 30, codes: RouteDictionary = EMPTY
    ) -> HandshakeRequested:
        """Let the client in."""
        self.core = Connection(codes)
        greeting = await self.greeting()
        await self.write(self.core.accept(ServerHello(heartbeat, 0, codes)))
        return greeting

    async def message(self) -> Message:
        """Wait for the client's next message."""
        while not self._messages:
            data = await self.receive()
            assert data, "the client has gone"
            for event in self.core.receive(data):
                assert isinstance(event, Message)
                self._messages.append(event)
        return self._messages.pop(0)

    async def answer(self, number: int, body: bytes, failed: bool = False) -> None:
        await self.write(encode_response(number, body, failed))

    async def push(self, route: str, body: bytes) -> None:
        await self.write(encode_push(head_of_push(route), body))

    def reset(self) -> None:
        """End the connection as a crash would, by RST."""
        reset_at_close(self._transport.get_extra_info("socket"))
        assert isinstance(self._transport, asyncio.WriteTransport)
        self._transport.abort()


async def stay(peer: Peer) -> None:
    """Be a server that lets everybody in and then only listens."""
    await peer.greet()
    while await peer.receive():
        pass


Behaviour = Callable[[Peer], Awaitable[None]]


class Server:
    """Where clients come to; *behave* says what happens to each of them."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.url = ""
        self.failed: list[BaseException] = []
        self._behaviour: Behaviour | None = None

    def behave(self, behaviour: Behaviour) -> Behaviour:
        """Use *behaviour* from now on; a decorator."""
        self._behaviour = behaviour
        return behaviour

    async def _play(self, peer: Peer) -> None:
        assert self._behaviour is not None
        try:
            await self._behaviour(peer)
        except (ConnectionError, ConnectionClosed):
            return
        except Exception as error:
            self.failed.append(error)

    async def by_tcp(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        await self._play(Peer(lambda: reader.read(65536), write, writer.transport))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def by_websocket(self, websocket: WebSocket) -> None:
        async def read() -> bytes:
            try:
                message = await websocket.recv()
            except ConnectionClosed:
                return b""
            assert isinstance(message, bytes)
            return message

        await self._play(Peer(read, websocket.send, websocket.transport))


@contextlib.asynccontextmanager
async def serving(scheme: str) -> AsyncIterator[Server]:
    """Serve on loopback until the block ends; its clients must have ended by then."""
    server = Server(scheme)
    made: asyncio.Server
    if scheme == "tcp":
        made = await asyncio.start_server(server.by_tcp, "127.0.0.1", 0)
        host, port = made.sockets[0].getsockname()
        server.url = f"tcp://{host}:{port}"
        yield server
        made.close()
    else:
        async with serve(
            server.by_websocket, "127.0.0.1", 0, compression=None
        ) as websockets:
            host, port = next(iter(websockets.sockets)).getsockname()
            server.url = f"ws://{host}:{port}/"
            yield server
    assert server.failed == []
