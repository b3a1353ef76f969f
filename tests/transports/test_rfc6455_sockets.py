"""The Autobahn suite's cases, played to a listener over a socket.

How a server that does not echo messages can be tried with them, and which cases are
not strict, is told in :mod:`.rfc6455`.  What the listener sends is read by the client
of the websockets library, which refuses what no server may send.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from nano.protocol.client import Accepted, ClientConnection, Kicked
from nano.protocol.messages import Message

from .rfc6455 import ALL, COMPRESSION_OFFERS, LIMIT, FrameCase, wire
from .room import ACK, HANDSHAKE, PATIENCE, Hall

pytestmark = pytest.mark.process

BINARY = 2
TEXT = 1
RAW = b"raw:"  # in front of what Room.Raw answers
NEVER = 1 << 20  # bytes; more than any case sends without wanting it back


class Browser:
    """The library's client on a plain socket, to send what it would not send."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.protocol = ClientProtocol(parse_uri("ws://here/"), max_size=None)
        self.core = ClientConnection()
        self.writer = writer
        self._reader = reader

    async def upgrade(self, extensions: str = "") -> None:
        request = self.protocol.connect()
        if extensions:
            request.headers["Sec-WebSocket-Extensions"] = extensions
        self.protocol.send_request(request)
        self.writer.writelines(self.protocol.data_to_send())
        while self.protocol.state is State.CONNECTING:
            assert await self.read()
        assert self.protocol.handshake_exc is None
        self.protocol.events_received()  # the response

    async def read(self) -> bool:
        """Take what comes next; false at the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            data = await self._reader.read(1 << 20)
        if data:
            self.protocol.receive_data(data)
            assert self.protocol.parser_exc is None, self.protocol.parser_exc
        return bool(data)

    def frames(self) -> list[Frame]:
        events = self.protocol.events_received()
        return [event for event in events if isinstance(event, Frame)]

    async def rest(self) -> list[Frame]:
        """Read to the end of the stream."""
        while await self.read():
            pass
        return self.frames()

    def head(self, payload: bytes) -> bytes:
        """Return the packet of a request to echo *payload*, up to it."""
        _, packet = self.core.request("Room.Raw", payload)
        return packet[: len(packet) - len(payload)]

    def front(self, echo: bytes | None) -> bytes:
        """Return a frame that makes *echo* a request's payload, if it comes next.

        With ``None`` it begins a packet that nothing completes: what messages hold is
        of no interest then, and must not break pomelo's rules before WebSocket's.
        """
        head = self.head(bytes(NEVER) if echo is None else echo)
        return wire(BINARY, HANDSHAKE + ACK + head)


@contextlib.asynccontextmanager
async def browser(hall: Hall, extensions: str = "") -> AsyncIterator[Browser]:
    listener = await hall.listener("websocket")
    host, _, port = listener.address.rpartition(":")
    streams = await asyncio.open_connection(host, int(port))
    try:
        made = Browser(*streams)
        await made.upgrade(extensions)
        yield made
    finally:
        streams[1].close()
        with contextlib.suppress(ConnectionError):
            await streams[1].wait_closed()
        async with asyncio.timeout(PATIENCE):
            await listener.stop()
    assert hall.is_empty()


def big_hall() -> Hall:
    return Hall(heartbeat=30, packet=LIMIT - 1024, backlog=1 << 26)


@pytest.mark.parametrize("case", ALL.values(), ids=str)
async def test_a_listener_does_as_the_suite_expects(case: FrameCase) -> None:
    async with browser(big_hall()) as client:
        for chunk in case.chunks(client.front(case.echo)):
            client.writer.write(chunk)
            await client.writer.drain()
        frames = await client.rest()
        answers, pongs, kicks = [], [], []
        for frame in frames:
            if frame.opcode is Opcode.PONG:
                pongs.append(bytes(frame.data))
            elif frame.opcode is Opcode.BINARY:
                (event,) = client.core.receive(bytes(frame.data))
                if isinstance(event, Message):
                    answers.append(event.payload)
                elif not isinstance(event, Accepted):
                    kicks.append(event)
        assert answers == ([] if case.echo is None else [RAW + case.echo])
        assert tuple(pongs) == case.pongs
        assert kicks == []  # frames are not pomelo's business
        assert frames[-1].opcode is Opcode.CLOSE
        assert client.protocol.close_rcvd is not None
        assert client.protocol.close_rcvd.code == case.close


@pytest.mark.parametrize("number", ["6.4.1", "6.4.2"])
async def test_a_message_with_bad_text_fails_before_its_last_frame(number: str) -> None:
    """The table's cases lack the last frame; nothing is sent after these."""
    first, broken = ALL[number].frames
    async with browser(big_hall()) as client:
        client.writer.write(client.front(None) + first)
        while not client.frames():  # the answer to the handshake: it is still open
            assert await client.read()
        client.writer.write(broken)
        assert (await client.rest())[-1].opcode is Opcode.CLOSE


# 9.7 and 9.8: a thousand messages of each size, each sent when the last has come back
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [0, 16, 64, 256, 1024, 4096])
async def test_a_thousand_messages_come_back_one_after_the_other(
    opcode: int, size: int
) -> None:
    message = (b"*" if opcode == TEXT else b"\xfe") * size
    async with browser(big_hall()) as client:
        client.writer.write(wire(BINARY, HANDSHAKE + ACK))
        while not client.frames():
            assert await client.read()
        for number in range(1, 1001):
            head = wire(BINARY, client.head(message))
            client.writer.write(head + wire(opcode, message))
            frames: list[Frame] = []
            while not frames:
                assert await client.read()
                frames = client.frames()
            (frame,) = frames
            (answer,) = client.core.receive(bytes(frame.data))
            assert isinstance(answer, Message)
            assert (answer.id, answer.payload) == (number, RAW + message)


@pytest.mark.parametrize("offer", COMPRESSION_OFFERS)
async def test_compression_is_not_agreed_upon_nor_accepted(offer: str) -> None:
    """12.* and 13.*: unimplemented, and a compressed message breaks a rule."""
    async with browser(big_hall(), offer) as client:
        assert client.protocol.extensions == []
        client.writer.write(wire(BINARY, HANDSHAKE + ACK))
        client.writer.write(wire(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", reserved=4))
        frames = await client.rest()
        assert not any(
            isinstance(event, Kicked)
            for frame in frames[:-1]
            for event in client.core.receive(bytes(frame.data))
        )
        assert client.protocol.close_rcvd is not None
        assert client.protocol.close_rcvd.code == 1002
