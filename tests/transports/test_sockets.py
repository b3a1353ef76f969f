"""Listeners on loopback, with clients that behave and clients that do not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

import nano.client
from nano.errors import RequestError
from nano.protocol.client import ClientConnection, ClientEvent, Kicked
from nano.protocol.messages import Message
from nano.transports.listener import Listener
from tests.resets import reset_at_close

from .room import PATIENCE, Hall, turns, until

pytestmark = pytest.mark.process

SMALL_BUFFER = 4096


class TcpClient:
    """The client core on a plain socket, which can be mistreated."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.core = ClientConnection()
        self.reader = reader
        self.writer = writer

    async def greet(self) -> None:
        self.writer.write(self.core.greet() + self.core.acknowledge())
        await self.events(1)

    async def events(self, number: int) -> list[ClientEvent]:
        """Read until *number* events have come, or the stream has ended."""
        found: list[ClientEvent] = []
        async with asyncio.timeout(PATIENCE):
            while len(found) < number:
                data = await self.reader.read(65536)
                if not data:
                    break
                found += self.core.receive(data)
        return found

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        """End the connection as a crash would, by RST."""
        reset_at_close(self.writer.get_extra_info("socket"))
        self.writer.transport.abort()


class Place:
    """Two listeners of one front, and a ticker's place taken by the loop's clock."""

    def __init__(self, hall: Hall, tcp: Listener, websocket: Listener) -> None:
        self.hall = hall
        self.tcp = tcp
        self.websocket = websocket

    @property
    def tcp_url(self) -> str:
        return f"tcp://{self.tcp.address}"

    @property
    def ws_url(self) -> str:
        return f"ws://{self.websocket.address}/"

    async def tcp_client(self, receive_buffer: int = 0) -> TcpClient:
        host, _, port = self.tcp.address.rpartition(":")
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
        return TcpClient(*await asyncio.open_connection(sock=sock))


@contextlib.asynccontextmanager
async def place(hall: Hall) -> AsyncIterator[Place]:
    tcp = await hall.listener("tcp")
    websocket = await hall.listener("websocket")
    try:
        yield Place(hall, tcp, websocket)
    finally:
        async with asyncio.timeout(PATIENCE):
            await tcp.stop()
            await websocket.stop()
            await hall.dispatcher.stop()


@pytest_asyncio.fixture
async def here() -> AsyncIterator[Place]:
    async with place(Hall(heartbeat=30, backlog=128 * 1024)) as made:
        yield made


@pytest.mark.parametrize("transport", ["tcp", "websocket"])
async def test_requests_pushes_and_errors_go_through(
    here: Place, transport: str
) -> None:
    url = here.tcp_url if transport == "tcp" else here.ws_url
    pushed: list[object] = []
    async with await nano.client.connect(url) as client:
        client.on("onPoke", pushed.append)
        answer = await client.request("Room.Hello", {"name": "ann", "n": 1})
        assert answer == {"name": "hello ann", "n": 2}
        await client.notify("Room.Poke", {"name": "bob", "n": 2})
        answers = [client.request("Room.Late", {"n": n}) for n in range(50)]
        assert [it["n"] for it in await asyncio.gather(*answers)] == list(range(50))
        assert pushed == [{"name": "bob", "n": 2}]
        with pytest.raises(RequestError, match="NANO-404"):
            await client.request("Room.Nope", None)
    await until(here.hall.is_empty)
    assert here.hall.counts(transport).closed == {"client-closed": 1}


@pytest.mark.parametrize("size", [0, 1, 125, 126, 60_000, 65_525])
@pytest.mark.parametrize("transport", ["tcp", "websocket"])
async def test_payloads_of_all_sizes_go_through(
    here: Place, transport: str, size: int
) -> None:
    url = here.tcp_url if transport == "tcp" else here.ws_url
    async with await nano.client.connect(url, serializer="raw") as client:
        answer = await client.request("Room.Raw", b"1" * size, timeout=PATIENCE)
    assert answer == b"raw:" + b"1" * size


async def test_small_writes_do_not_wait_for_each_other(here: Place) -> None:
    client = await here.tcp_client()
    await client.greet()
    (guest,) = here.tcp._door.open
    sock = guest._transport.get_extra_info("socket")  # type: ignore[attr-defined]
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await client.close()


async def test_an_error_gets_a_kick_and_then_the_end_of_the_stream(
    here: Place,
) -> None:
    client = await here.tcp_client()
    await client.greet()
    client.writer.write(bytes.fromhex("06000000"))
    assert await client.events(2) == [Kicked("packet type 6 does not exist")]
    assert client.reader.at_eof()
    await client.close()
    await until(here.hall.is_empty)
    assert here.hall.counts("tcp").closed == {"protocol-error": 1}


@pytest.mark.parametrize("transport", ["tcp", "websocket"])
async def test_a_kick_reaches_a_client_that_is_still_sending(
    here: Place, transport: str
) -> None:
    """What it has under way is read and dropped; a reset would overtake the kick."""
    megabyte = 1 << 20
    if transport == "tcp":
        client = await here.tcp_client()
        await client.greet()
        client.writer.write(bytes.fromhex("06000000") + b"x" * megabyte)
        assert await client.events(2) == [Kicked("packet type 6 does not exist")]
        sending = client.writer.transport
        await until(lambda: sending.get_write_buffer_size() == 0)
        assert not client.writer.is_closing()  # no reset has come
        await client.close()
    else:
        async with connect_websocket(here.ws_url, proxy=None) as browser:
            await browser.send(bytes.fromhex("06000000") + b"x" * 16_000)
            with contextlib.suppress(ConnectionClosed):
                for _ in range(64):
                    await browser.send(b"x" * 16_000)
            assert b"packet type 6" in await browser.recv()
            with pytest.raises(ConnectionClosed):
                await browser.recv()
            assert browser.close_code == 1002
    await until(here.hall.is_empty)
    assert here.hall.counts(transport).closed == {"protocol-error": 1}


async def test_a_client_that_never_stops_sending_is_cut_off_in_the_end(
    here: Place,
) -> None:
    client = await here.tcp_client()
    await client.greet()
    (session,) = here.hall.sessions
    session.kick("bye")
    assert await client.events(2) == [Kicked("bye")]
    assert session.closed == "kicked"
    assert len(here.tcp._door.open) == 1
    here.hall.pass_time(5.1)
    await until(here.hall.is_empty)
    client.reset()
    await client.close()


async def test_kick_and_close_frame_reach_a_websocket_client(here: Place) -> None:
    async with connect_websocket(here.ws_url, compression=None, proxy=None) as client:
        await client.send(bytes.fromhex("0100000002000000"))
        await client.recv()
        (session,) = here.hall.sessions
        session.kick("bye")
        kick = await client.recv()
        assert kick == b'\x05\0\0\x10{"reason":"bye"}'
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (1000, "bye")


async def test_timeouts_come_through_the_clock(here: Place) -> None:
    silent, greeted = await here.tcp_client(), await here.tcp_client()
    await greeted.greet()
    await until(lambda: len(here.tcp._door.open) == 2)
    here.hall.pass_time(10.1, by=0.5)
    assert await silent.events(2) == [Kicked("no handshake came in time", True)]
    here.hall.pass_time(90, by=0.5)
    assert (await greeted.events(9))[-1] == Kicked(
        "no heartbeat came for two intervals", reconnect=True
    )
    await silent.close()
    await greeted.close()


async def test_a_plain_http_client_learns_what_this_port_is(here: Place) -> None:
    host, _, port = here.websocket.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
    writer.close()
    with pytest.raises(InvalidStatus):
        await connect_websocket(
            here.ws_url,
            additional_headers={"Sec-WebSocket-Version": "12"},
            proxy=None,
        )


async def test_a_slow_reader_is_cut_and_others_are_served_meanwhile(
    here: Place,
) -> None:
    slow = await here.tcp_client(SMALL_BUFFER)
    await slow.greet()
    (session,) = here.hall.sessions
    async with await nano.client.connect(here.ws_url) as other:
        sent = 0
        while not session.closed:
            for _ in range(16):
                session.push("onNoise", "x" * 16_000)
            sent += 1
            assert sent < 400, "100 MB went to a client that does not read"
            answer = await other.request("Room.Hello", {"n": sent})
            assert answer["n"] == sent + 1
    assert session.closed == "slow-client"
    assert here.hall.counts("tcp").closed == {"slow-client": 1}
    await slow.close()


@pytest.mark.parametrize("transport", ["tcp", "websocket"])
async def test_a_message_larger_than_the_backlog_reaches_a_client_that_reads(
    here: Place, transport: str
) -> None:
    url = here.tcp_url if transport == "tcp" else here.ws_url
    came: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with await nano.client.connect(url) as client:
        client.on("onMap", came.set_result)
        (session,) = here.hall.sessions
        session.push("onMap", "x" * 5_000_000)
        async with asyncio.timeout(PATIENCE):
            assert await came == "x" * 5_000_000


async def test_hundreds_of_messages_in_one_write_are_served_in_order(
    here: Place,
) -> None:
    client = await here.tcp_client()
    await client.greet()
    asked = [client.core.request("Room.Slow", b"%d" % it) for it in range(800)]
    client.writer.write(b"".join(packet for _, packet in asked))
    await until(lambda: here.hall.room.waits == 1)
    here.hall.room.gate.set()
    answers = await client.events(800)
    assert here.hall.room.seen == list(range(800))
    numbers = [event.id for event in answers if isinstance(event, Message)]
    assert numbers == [number for number, _ in asked]
    await client.close()


async def test_a_paused_client_is_not_read(here: Place) -> None:
    """What it sends stays with it: the server's memory does not grow."""
    client = await here.tcp_client()
    await client.greet()
    (session,) = here.hall.sessions
    packet = client.core.notify("Room.Slow", b" " * 60_000 + b"1")
    client.writer.write(packet * 40)
    await until(
        lambda: session.turns.waiting is not None and len(session.turns.waiting) >= 32
    )
    client.writer.write(packet * 400)
    await turns(100)
    assert len(session.turns.waiting or ()) <= 40
    assert client.writer.transport.get_write_buffer_size() > 10_000_000
    client.reset()
    await client.close()


async def test_a_connection_may_die_at_any_moment(
    here: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """1,000 clients come and go in all ways there are, and nothing stays behind."""
    caplog.set_level(logging.WARNING)
    chance = random.Random(7)  # the same ways each time

    async def live(number: int) -> None:
        if number % 5 == 4:
            await live_by_websocket(here, chance.random())
            return
        client = await here.tcp_client()
        if chance.random() < 0.8:
            await client.greet()
        if chance.random() < 0.5:
            client.writer.write(client.core.request("Room.Hello", b"{}")[1])
        if chance.random() < 0.3:
            client.writer.write(client.core.notify("Room.Slow", b"1") * 50)
        if chance.random() < 0.2:
            client.writer.write(b"\x04\0\0")
        if chance.random() < 0.5:
            client.reset()
        await client.close()

    for start in range(0, 1000, 50):
        async with asyncio.TaskGroup() as group:
            for number in range(start, start + 50):
                group.create_task(live(number))
    here.hall.room.gate.set()
    hall = here.hall
    await until(lambda: hall.counts("tcp").open + hall.counts("websocket").open == 0)
    await until(lambda: not hall.dispatcher.tasks)
    assert hall.counts("tcp").opened == 800
    assert hall.counts("websocket").opened == 200
    assert hall.is_empty()
    assert not here.tcp._door.open
    assert not here.websocket._door.open
    assert here.tcp._door.deserted.is_set()
    assert [record.getMessage() for record in caplog.records] == []


async def live_by_websocket(here: Place, fate: float) -> None:
    client = await connect_websocket(
        here.ws_url, compression=None, proxy=None, ping_interval=None
    )
    if fate < 0.8:
        await client.send(bytes.fromhex("0100000002000000"))
        await client.recv()
    if fate < 0.4:
        client.transport.abort()
        await client.wait_closed()
    else:
        await client.close()
