"""What goes wrong on a client's line, and what the two ends make of it."""

from __future__ import annotations

import asyncio

import pytest

from nano.client import State
from nano.errors import ConnectionClosed
from nano.testing import Line, MemoryNode
from nano.testing.faults import Course

from .parlour import Parlour


async def test_a_lost_request_is_never_answered() -> None:
    async with MemoryNode(Parlour) as node:
        client = await node.connect(request_timeout=3)
        client.line.up.drop()
        with pytest.raises(TimeoutError):
            await client.request("Parlour.join", "ann")
        assert client.unanswered == 0
        assert await client.request("Parlour.join", "ann") == 3
        assert client.line.up.dropped == 1


async def test_a_lost_answer_leaves_what_was_done() -> None:
    async with MemoryNode(Parlour) as node:
        client = await node.connect(request_timeout=3)
        client.line.down.drop()
        with pytest.raises(TimeoutError):
            await client.request("Parlour.join", "ann")
        assert await client.request("Parlour.who") == {"uid": "ann", "seat": 3}


async def test_packets_of_one_write_meet_each_their_own_fate() -> None:
    async with MemoryNode(Parlour) as node:
        client = await node.connect()
        client.line.down.drop()
        client.line.down.duplicate(2)
        await client.notify("Parlour.flood", 5)
        await node.clock.settle()
        assert len(client.received("onFlood")) == 5 - 1 + 2


async def test_a_duplicate_is_handled_twice() -> None:
    async with MemoryNode(Parlour) as node:
        ann, bob = await node.connect(), await node.connect()
        await ann.request("Parlour.join", "ann")
        await bob.request("Parlour.join", "bob")
        ann.line.up.duplicate()
        await ann.notify("Parlour.say", "hi")
        await node.clock.settle()
        assert bob.received("onSay") == ["ann: hi", "ann: hi"]
        assert ann.line.up.duplicated == 1


async def test_a_delay_takes_its_time_in_each_direction_and_keeps_the_order() -> None:
    async with MemoryNode(Parlour) as node:
        client = await node.connect()
        client.line.delay(0.2)
        begun = node.clock.now
        assert await client.request("Parlour.join", "ann") == 3
        assert node.clock.now - begun == pytest.approx(0.4)
        client.line.up.delay(5)
        slow = asyncio.create_task(client.request("Parlour.play", {"card": 1}))
        await node.clock.settle()
        client.line.up.delay(0)
        quick = asyncio.create_task(client.request("Parlour.play", {"card": 2}))
        done, _ = await asyncio.wait({slow, quick}, return_when="FIRST_COMPLETED")
        assert done == {slow, quick}  # what was sent later has not overtaken


async def test_a_client_that_is_not_heard_times_out_at_the_node() -> None:
    async with MemoryNode(Parlour, client_heartbeat_seconds=10) as node:
        client = await node.connect()
        client.line.up.freeze()
        await node.clock.advance(31)
        reason = "no heartbeat came for two intervals"
        assert client.closed == reason
        assert client.kick is not None
        assert client.kick.reconnect
        client.line.up.thaw()
        await node.clock.settle()
        closed = "nano_connections_closed_total"
        assert node.count(closed, reason="heartbeat-timeout") == 1


async def test_a_node_that_is_not_heard_times_out_at_the_client() -> None:
    async with MemoryNode(Parlour, client_heartbeat_seconds=10) as node:
        client = await node.connect()
        client.line.down.freeze()
        with pytest.raises(ConnectionClosed) as caught:
            await client.request("Parlour.join", "ann", timeout=60)
        assert str(caught.value) == client.closed
        assert caught.value.sent
        assert "heartbeat timeout" in client.closed
        assert client.close_code == 4008


async def test_who_is_thawed_in_time_has_missed_nothing() -> None:
    async with MemoryNode(Parlour, client_heartbeat_seconds=10) as node:
        ann, bob = await node.connect(), await node.connect()
        await ann.request("Parlour.join", "ann")
        await bob.request("Parlour.join", "bob")
        bob.line.freeze()
        for number in range(5):
            await ann.notify("Parlour.say", str(number))
        await node.clock.advance(15)
        assert bob.received("onSay") == []
        bob.line.thaw()
        await node.clock.settle()
        assert bob.received("onSay") == [f"ann: {number}" for number in range(5)]
        await node.clock.advance(100)
        assert bob.closed == ""


async def test_a_client_that_reads_nothing_is_cut_off_when_too_much_waits() -> None:
    async with MemoryNode(Parlour, backlog_bytes=100_000) as node:
        slow, quick = await node.connect(), await node.connect()
        slow.line.down.freeze()
        for _ in range(10):
            await slow.notify("Parlour.flood", 100)
            await node.clock.settle()
        assert node.count("nano_connections_closed_total", reason="slow-client") == 1
        assert await quick.request("Parlour.join", "bob") == 3
        slow.line.down.thaw()
        assert await slow.wait_closed() == "the server closed the connection"


async def test_a_client_waits_while_the_node_does_not_read() -> None:
    async with MemoryNode(Parlour) as node:
        client = await node.connect()
        client.line.up.freeze()

        async def talk() -> None:
            for _ in range(100):
                await client.notify("Parlour.say", "x" * 10_000, timeout=1)

        with pytest.raises(TimeoutError):
            await talk()
        client.line.up.thaw()
        assert await client.request("Parlour.join", "ann") == 3


async def test_a_cut_is_seen_by_both_ends_at_once() -> None:
    async with MemoryNode(Parlour) as node:
        client = await node.connect()
        waiting = asyncio.create_task(client.request("Parlour.promise"))
        await node.clock.settle()
        client.line.cut()
        with pytest.raises(ConnectionClosed, match="closed the connection") as caught:
            await waiting
        assert caught.value.sent
        assert client.state is State.CLOSED
        closed = "nano_connections_closed_total"
        assert node.count(closed, reason="connection-lost") == 1


async def test_a_cut_client_comes_back_by_the_same_line() -> None:
    async with MemoryNode(Parlour) as node:
        client = await node.connect(reconnect=True)
        for name in ("ann", "bob"):
            client.line.cut()
            with pytest.raises(ConnectionClosed):  # it cannot know yet
                await client.request("Parlour.join", name)
            assert await client.request("Parlour.join", name) == 3
        assert node.count("nano_connections_opened_total") == 3


def fates(seed: int) -> list[int]:
    course = Course()
    course.disturb(seed, drop=0.3, duplicate=0.3, delay=1.0)
    return [course.copies() for _ in range(200)]


def test_the_same_seed_gives_the_same_faults() -> None:
    assert fates(1) == fates(1) != fates(2)
    assert {0, 1, 2} == set(fates(1))
    assert 30 < fates(1).count(0) < 90


async def story(seed: int) -> list[object]:
    """Return what a client sees on a bad day, and when."""
    seen: list[object] = []
    async with MemoryNode(Parlour) as node:
        begun = node.clock.now
        client = await node.connect(request_timeout=2)
        client.line.disturb(seed, drop=0.2, duplicate=0.2, delay=0.5)
        for number in range(20):
            try:
                answer = await client.request("Parlour.play", {"card": number})
            except TimeoutError:
                answer = None
            seen.append((answer, round(node.clock.now - begun, 6)))
        client.line.disturb(0)
        assert await client.request("Parlour.play", {"card": 1}) == 1
    return seen


async def test_a_whole_story_is_the_same_in_each_run() -> None:
    first = await story(7)
    assert await story(7) == first
    assert await story(8) != first


async def test_a_line_can_be_seen_from_its_other_end() -> None:
    line = Line()
    turned = line.turned()
    turned.up.freeze()
    assert line.down.frozen
    assert not line.up.frozen
    cuts: list[str] = []
    forget = line.on_cut(lambda: cuts.append("cut"))
    turned.cut()
    forget()
    forget()
    turned.cut()
    assert cuts == ["cut"]


async def test_a_line_that_is_healed_is_as_good_as_new() -> None:
    async with MemoryNode(Parlour) as node:
        client = await node.connect()
        line = client.line
        line.up.drop(9)
        line.down.duplicate(9)
        line.delay(5)
        line.disturb(seed=1, drop=1.0)
        line.freeze()
        line.heal()
        begun = node.clock.now
        assert await client.request("Parlour.join", "ann") == 3
        assert node.clock.now == begun
        assert (line.up.dropped, line.down.duplicated) == (0, 0)
