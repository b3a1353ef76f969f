"""Scenes in which Go nano fails on one node, played to a listener over sockets.

Their numbers are those of ``tests/test_defects.py``, which says where the others are.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import ClientConnection as WebSocket
from websockets.asyncio.client import connect as connect_websocket

import nano.client
from nano import Component, Session, handler
from nano.client import Client
from nano.errors import RequestError
from nano.protocol.client import Accepted, ClientConnection, Kicked
from nano.protocol.messages import Message
from nano.runtime.threads import Threads
from nano.transports.listener import Listener

from .room import ACK, HANDSHAKE, PATIENCE, Hall, notify, turns, until

pytestmark = pytest.mark.process

TRANSPORTS = pytest.mark.parametrize("transport", ["tcp", "websocket"])


class Stall(Component):
    """What breaks Go nano: pushes without end, and handlers that take their time."""

    def __init__(self) -> None:
        self.threads = Threads()
        self.free = threading.Event()
        self.served = 0

    @handler
    def burst(self, session: Session, number: int) -> int:
        for at in range(number):
            session.push("onNumber", at)
        return number

    @handler
    async def steady(self, session: Session, number: int) -> int:
        for at in range(number):
            session.push("onNumber", at)
            if at % 40 == 0:
                await asyncio.sleep(0)
        return number

    @handler
    def count(self, _: Session, _data: None) -> None:
        self.served += 1

    @handler
    async def late(self, _: Session, number: int) -> int:
        await asyncio.sleep(0)
        return number

    @handler
    def close(self, session: Session, _: None) -> None:
        session.push("onNumber", -1)
        session.kick("closed by the handler")

    @handler
    async def block(self, _: Session, seconds: float) -> bool:
        return await self.threads.run(self.free.wait, seconds)

    @handler
    def ask(self, _: Session, number: int) -> int:
        return number + 1


class Scene:
    """Two listeners of one front with :class:`Stall` behind."""

    def __init__(
        self, hall: Hall, stall: Stall, listeners: dict[str, Listener]
    ) -> None:
        self.hall = hall
        self.stall = stall
        self.listeners = listeners

    def url(self, transport: str) -> str:
        scheme = "tcp" if transport == "tcp" else "ws"
        return f"{scheme}://{self.listeners[transport].address}"

    async def client(self, transport: str = "tcp") -> Client:
        return await nano.client.connect(self.url(transport))

    async def socket(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.listeners["tcp"].address.rpartition(":")
        return await asyncio.open_connection(host, int(port))


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    stall = Stall()
    hall = Hall(heartbeat=30, component=stall)
    listeners = {it: await hall.listener(it) for it in ("tcp", "websocket")}
    yield Scene(hall, stall, listeners)
    async with asyncio.timeout(PATIENCE):
        for listener in listeners.values():
            await listener.stop()
        await hall.dispatcher.stop()
        await stall.threads.stop()
    assert hall.is_empty()


async def read_all(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await reader.read()


# 1: the write loop dead-locks itself
@TRANSPORTS
async def test_20_000_pushes_arrive_and_who_goes_meanwhile_holds_up_nobody(
    scene: Scene, transport: str
) -> None:
    heard: list[int] = []
    async with await scene.client(transport) as client:
        client.on("onNumber", heard.append)
        leaving = await scene.client(transport)
        left: list[int] = []
        leaving.on("onNumber", left.append)
        await leaving.notify("Stall.steady", 20_000)
        asked = asyncio.create_task(
            client.request("Stall.steady", 20_000, timeout=PATIENCE)
        )
        await until(lambda: len(left) > 1000)
        await leaving.close()
        assert await asked == 20_000
        assert heard == list(range(20_000))
        assert await client.request("Stall.ask", 1) == 2
        await until(lambda: not scene.hall.dispatcher.tasks)
        assert scene.hall.metrics.dropped["client", "closed"] > 0


# 2: a close from a handler dead-locks the whole server
@pytest.mark.parametrize("route", ["Stall.count", "Stall.late"])
async def test_a_close_behind_hundreds_of_messages_is_done_and_others_are_served(
    scene: Scene, route: str
) -> None:
    async with await scene.client() as other:
        reader, writer = await scene.socket()
        core = ClientConnection()
        writer.write(core.greet() + core.acknowledge())
        writer.write(notify(route, b"1") * 400 + notify("Stall.close", b""))
        writer.write(notify(route, b"1") * 400)
        for number in range(20):
            assert await other.request("Stall.ask", number) == number + 1
        _, push, kicked = core.receive(await read_all(reader))
        assert isinstance(push, Message)
        assert kicked == Kicked("closed by the handler")
        writer.close()
        assert await other.request("Stall.ask", 7) == 8
        if route == "Stall.count":
            assert scene.stall.served == 400


# 3: one malformed packet ends the process
@pytest.mark.parametrize("rest", ["", "00", "ffff"])
async def test_a_malformed_route_ends_its_own_connection_only(
    scene: Scene, rest: str
) -> None:
    async with await scene.client() as other:
        reader, writer = await scene.socket()
        message = bytes.fromhex("0101" + rest)  # a request, its route compressed
        packet = b"\x04" + len(message).to_bytes(3) + message
        segment = HANDSHAKE + ACK + packet
        writer.write(segment + b"\x03\0\0\0" * ((64 - len(segment)) // 4))
        _, kicked = ClientConnection().receive(await read_all(reader))
        assert isinstance(kicked, Kicked)
        assert "route" in kicked.reason
        assert await other.request("Stall.ask", 1) == 2
        writer.close()
        await until(lambda: len(scene.hall.sessions) == 1)
    assert scene.hall.counts("tcp").closed["protocol-error"] == 1


# 4: a handshake that is repeated while pushes flow ends the process
async def test_a_handshake_may_be_repeated_while_pushes_flow_by_websocket(
    scene: Scene,
) -> None:
    async with connect_websocket(
        scene.url("websocket"), proxy=None, max_size=None
    ) as client:
        await client.send(HANDSHAKE + ACK + notify("Stall.steady", b"20000"))
        seen = Counter[type]()
        numbers: list[bytes] = []
        greetings = 1
        while len(numbers) < 20_000:
            for event in await events(client):
                seen[type(event)] += 1
                if isinstance(event, Message):
                    numbers.append(event.payload)
            if greetings < 10 and len(numbers) > 100 * greetings:
                await client.send(HANDSHAKE + ACK)
                greetings += 1
        assert seen == {Accepted: 10, Message: 20_000}
        assert numbers == [b"%d" % number for number in range(20_000)]


async def events(client: WebSocket) -> list[object]:
    """Read a frame, which holds one whole packet."""
    async with asyncio.timeout(PATIENCE):
        frame = await client.recv()
    assert isinstance(frame, bytes)
    found = ClientConnection().receive(frame)
    assert len(found) == 1
    return list(found)


# 7: a burst of more than 17 pushes from one handler loses the rest
@TRANSPORTS
@pytest.mark.parametrize("number", [18, 200, 5000])
async def test_a_burst_of_pushes_from_one_handler_arrives_whole(
    scene: Scene, transport: str, number: int
) -> None:
    heard: list[int] = []
    async with await scene.client(transport) as client:
        client.on("onNumber", heard.append)
        assert await client.request("Stall.burst", number) == number
        assert heard == list(range(number))  # in front of the answer


# 13: the server's time is that of its start
async def test_the_servers_time_is_that_of_the_handshake(scene: Scene) -> None:
    times: list[bytes] = []
    for wall in (1_795_231_205.9, 1_795_231_999.1):
        scene.hall.wall = wall
        reader, writer = await scene.socket()
        writer.write(HANDSHAKE)
        writer.write_eof()
        times.append((await read_all(reader)).partition(b'"servertime":')[2])
        writer.close()
    assert times == [b"1795231205}}", b"1795231999}}"]


# 14: closing from two places at once ends the process
@TRANSPORTS
async def test_a_session_may_be_closed_from_everywhere_at_once(
    scene: Scene, transport: str
) -> None:
    ended: list[str] = []
    scene.hall.sessions.on_closed(lambda session: ended.append(session.closed))
    clients = [await scene.client(transport) for _ in range(20)]
    loop = asyncio.get_running_loop()

    def from_a_thread(session: Session) -> None:
        loop.call_soon_threadsafe(session.kick, "from a thread")

    async def from_a_task(session: Session) -> None:
        session.kick("from a task")

    async with asyncio.TaskGroup() as group:
        for client in clients:
            await client.notify("Stall.close", None)
        for session in scene.hall.sessions:
            group.create_task(asyncio.to_thread(from_a_thread, session))
            group.create_task(from_a_task(session))
            group.create_task(from_a_task(session))
        for client in clients:
            group.create_task(client.close())
    await until(lambda: len(ended) == len(clients))
    await turns()
    assert set(ended) <= {"kicked", "client-closed"}
    assert len(scene.hall.sessions) == 0
    async with await scene.client(transport) as another:
        assert await another.request("Stall.ask", 1) == 2


# 15: a handler that blocks stalls all players
async def test_a_handler_that_has_to_block_does_so_beside_the_others(
    scene: Scene,
) -> None:
    async with await scene.client() as slow, await scene.client() as other:
        blocked = asyncio.create_task(
            slow.request("Stall.block", PATIENCE, timeout=PATIENCE)
        )
        for number in range(100):
            assert await other.request("Stall.ask", number) == number + 1
        assert not blocked.done()
        scene.stall.free.set()
        assert await blocked is True
        with contextlib.suppress(RequestError):
            await slow.request("Stall.nowhere", None)
