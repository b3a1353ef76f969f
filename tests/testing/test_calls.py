"""Calls between nodes in memory: from timers and tasks, and to a node that dies."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nano import Component, RequestError, handler
from nano.testing import MemoryCluster, MemoryNode
from nano_manifest import Backend, Gates, Listener, Metadata, NanoCluster, Spec


class Counter(Component):
    """What is called."""

    def __init__(self) -> None:
        self.asked = 0

    @handler(internal=True)
    def add(self, number: int) -> int:
        self.asked += number
        return self.asked

    @handler(internal=True)
    async def never(self, _: None) -> None:
        await asyncio.Event().wait()


class Clerk(Component):
    """What calls, and not because a client has asked."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def started(self) -> None:
        self.node.after(5.0, self.ask)
        self.node.call_soon(self.ask)

    @handler(internal=True)
    def all(self, _: None) -> list[Any]:
        return self.heard

    async def ask(self) -> None:
        self.heard.append(await self.node.call("Counter.add", 2, wanted=int))


MANIFEST = NanoCluster(
    metadata=Metadata(name="demo"),
    spec=Spec(
        gates=Gates(
            replicas=1, listeners=[Listener(name="tcp", transport="tcp", port=3250)]
        ),
        backends=[
            Backend(name="count", components=["x:Counter"]),
            Backend(name="clerk", components=["x:Clerk"]),
        ],
    ),
)


def cluster() -> MemoryCluster:
    return MemoryCluster(
        MANIFEST, components={"gate": [], "count": [Counter], "clerk": [Clerk]}
    )


async def test_timers_and_tasks_call_on_one_node() -> None:
    async with MemoryNode(Counter, Clerk) as node:
        await node.clock.advance(6)
        assert node.component(Clerk).heard == [2, 4]
        assert node.count("nano_calls_total", direction="out", outcome="ok") == 2


async def test_timers_and_tasks_call_another_node() -> None:
    async with cluster() as nodes:
        clerk = nodes.component(nodes.backends["clerk"][0], Clerk)
        await nodes.clock.advance(6)
        assert clerk.heard == [2, 4]


async def test_a_node_that_dies_in_the_middle_of_a_call_is_a_503_at_once() -> None:
    async with cluster() as nodes:
        (counter,), (clerk,) = nodes.backends["count"], nodes.backends["clerk"]
        info = nodes.component(clerk, Clerk).node
        call = asyncio.create_task(info.call("Counter.never", member=counter.address))
        await nodes.clock.settle()
        before = nodes.clock.now
        await nodes.kill(counter)
        with pytest.raises(RequestError) as lost:
            await call
        assert lost.value.status == 503
        assert nodes.clock.now - before < 1  # nobody has waited for the deadline
        assert nodes.count(clerk, "nano_open_calls") == 0


async def test_a_frozen_node_is_a_504_in_time() -> None:
    async with cluster() as nodes:
        (counter,), (clerk,) = nodes.backends["count"], nodes.backends["clerk"]
        info = nodes.component(clerk, Clerk).node
        nodes.line(clerk, counter).freeze()
        with pytest.raises(RequestError) as late:
            await info.call("Counter.add", 1, timeout=2)
        assert late.value.status == 504
