"""A node in memory: what a user of the test kit can do with a component."""

from __future__ import annotations

import asyncio
import gc
import unittest
import weakref

import pytest

from nano import Component, RequestError, Session, handler
from nano.errors import ConnectionClosed, UsageError
from nano.runtime.greeting import Handshake
from nano.testing import ManualClock, MemoryNode, NothingHappens

from .parlour import Parlour


async def test_requests_pushes_groups_and_session_data_work() -> None:
    async with MemoryNode(Parlour) as node:
        ann, bob = await node.connect(), await node.connect()
        assert await ann.request("Parlour.join", "ann") == 3
        assert await bob.request("Parlour.join", "bob") == 3
        assert await ann.next_push("onJoin") == "bob"
        await ann.notify("Parlour.say", "hello")
        assert await bob.next_push("onSay") == "ann: hello"
        assert await ann.request("Parlour.who") == {"uid": "ann", "seat": 3}
        await node.clock.settle()
        assert bob.received("onJoin") == []
        await bob.close()
        assert await ann.next_push("onLeave") == "bob"


async def test_refusals_are_raised_as_from_a_server() -> None:
    async with MemoryNode(Parlour) as node:
        client = await node.connect()
        assert await client.request("Parlour.play", {"card": 7}) == 7
        for route, payload, status in [
            ("Parlour.play", {"card": 53}, 422),
            ("Parlour.play", {"card": "ace"}, 400),
            ("Parlour.nothing", None, 404),
        ]:
            with pytest.raises(RequestError) as caught:
                await client.request(route, payload)
            assert caught.value.status == status
        assert node.count("nano_failures_total") == 3
        assert node.count("nano_failures_total", status="404") == 1


async def test_timers_and_time_outs_of_the_node_follow_the_clock() -> None:
    async with MemoryNode(Parlour, request_timeout_seconds=5) as node:
        client = await node.connect(request_timeout=60)
        parlour = node.component(Parlour)
        await node.clock.advance(10.5)
        assert parlour.ticks == 10
        assert await client.request("Parlour.ponder", 4) == 4
        with pytest.raises(RequestError, match="took too long"):
            await client.request("Parlour.ponder", 100)
        with pytest.raises(RequestError, match="not answered in time"):
            await client.request("Parlour.promise")
        waiting = asyncio.create_task(client.request("Parlour.promise"))
        await node.clock.settle()
        parlour.promises[-1].respond("kept")
        assert await waiting == "kept"


async def test_threads_of_the_node_are_waited_for() -> None:
    async with MemoryNode(Parlour) as node:
        client = await node.connect()
        before = node.clock.now
        assert await client.request("Parlour.compute", 12) == 144
        assert node.clock.now == before


async def test_hooks_run_in_order_and_the_end_leaves_nothing() -> None:
    parlour = Parlour()
    async with MemoryNode(parlour) as node:
        client = await node.connect()
        assert parlour.hooks == ["start", "started"]
        assert node.component(Parlour) is parlour
    assert parlour.hooks == ["start", "started", "stopping", "stop"]
    assert client.closed == "closed by this side"
    assert asyncio.all_tasks() == {asyncio.current_task()}
    seen = weakref.ref(node)
    del node, client
    gc.collect()
    assert seen() is None


async def test_a_client_that_stays_learns_that_the_node_goes() -> None:
    node = MemoryNode(Parlour)
    async with node:
        client = await node.connect()
        await node.node.stop()
        assert await client.wait_closed() == "the server is going away"
        assert client.kick is not None
        assert client.kick.reconnect
        with pytest.raises(ConnectionClosed, match="it is shut"):
            await node.connect()


class Guarded(Component):
    def handshake(self, session: Session, handshake: Handshake) -> object:
        session.bind(str(handshake.user["name"]))
        return {"welcome": session.uid}

    @handler
    def name(self, session: Session, _: None) -> str:
        return f"{session.uid} from {session.remote_address.rpartition(':')[0]}"


async def test_the_handshake_has_a_user_and_its_answer_can_be_read() -> None:
    async with MemoryNode(
        Guarded, dictionary={"Guarded.name": 1}, client_heartbeat_seconds=12
    ) as node:
        client = await node.connect(user={"name": "ann"})
        assert client.greeting is not None
        assert client.greeting.heartbeat == 12
        assert client.greeting.answer["sys"]["dict"] == {"Guarded.name": 1}
        assert client.greeting.answer["sys"]["servertime"] == 1_767_225_600
        assert client.greeting.answer["user"] == {"welcome": "ann"}
        assert await client.request("Guarded.name") == "ann from 10.9.0.1"


async def test_a_test_can_speak_the_protocol_itself() -> None:
    async with MemoryNode(Parlour) as node:
        stream = node.stream()
        await stream.write(bytes.fromhex("09000000"))
        heard = b""
        while data := await stream.read():
            heard += data
        assert b"packet type 9 does not exist" in heard
        await stream.close()
        await node.clock.settle()
        assert node.count("nano_connections_closed_total", reason="protocol-error") == 1


class Mirror(Component):
    @handler
    def back(self, session: Session, data: bytes) -> bytes:
        session.push("onBack", data[::-1])
        return data


async def test_clients_speak_the_format_of_the_node() -> None:
    async with MemoryNode(Mirror, serializer="raw") as node:
        client = await node.connect()
        assert await client.request("Mirror.back", b"\x00\x01") == b"\x00\x01"
        assert await client.next_push("onBack") == b"\x01\x00"


async def test_nodes_can_share_a_clock() -> None:
    with ManualClock() as clock:
        nodes = [MemoryNode(Parlour, clock=clock) for _ in range(2)]
        async with nodes[0] as one, nodes[1] as other:
            await clock.advance(3.5)
            assert one.component(Parlour).ticks == 3
            assert other.component(Parlour).ticks == 3


async def test_what_is_wrong_is_said_and_leaves_nothing() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(UsageError, match="has no handler"):
        async with MemoryNode(type("Empty", (Component,), {})):
            pass
    assert "time" not in vars(loop)
    async with MemoryNode(Parlour) as node:
        with pytest.raises(UsageError, match="runs no Guarded"):
            node.component(Guarded)


def test_it_works_under_asyncio_run() -> None:
    async def main() -> object:
        async with MemoryNode(Parlour) as node:
            client = await node.connect()
            return await client.request("Parlour.join", "ann")

    assert asyncio.run(main()) == 3


class WithUnittest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.node = await self.enterAsyncContext(MemoryNode(Parlour))

    async def test_it_works_with_unittest_too(self) -> None:
        client = await self.node.connect()
        assert await client.request("Parlour.join", "ann") == 3
        await self.node.clock.advance(5.5)
        assert self.node.component(Parlour).ticks == 5


def test_a_test_that_waits_in_vain_ends_and_leaves_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ends: list[str] = []

    async def main() -> None:
        parlour = Parlour()
        with ManualClock(patience=60) as clock:
            try:
                async with MemoryNode(parlour, clock=clock) as node:
                    client = await node.connect()
                    await client.request("Parlour.promise", timeout=50)
            except RequestError as error:
                ends.append(str(error))
            async with MemoryNode(parlour, clock=clock) as node:
                try:
                    await asyncio.Event().wait()
                finally:
                    ends.append("cancelled")
        pytest.fail("it has come")

    with pytest.raises(NothingHappens, match="60 s have passed"):
        asyncio.run(main())
    assert ends == ["NANO-504: Parlour.promise was not answered in time", "cancelled"]
    assert "never retrieved" not in caplog.text


async def test_whatever_the_test_raises_the_node_is_stopped() -> None:
    parlour = Parlour()

    async def test() -> None:
        async with MemoryNode(parlour) as node:
            await node.connect()
            raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        await test()
    assert parlour.hooks[-1] == "stop"
    assert asyncio.all_tasks() == {asyncio.current_task()}
