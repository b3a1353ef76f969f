"""A few messages are timed, and nobody but the histograms notices."""

from __future__ import annotations

import asyncio
from typing import Any

from nano import Component, Session, handler
from nano.metrics import RouteCounts
from nano.runtime.sampling import Sampler

from .clients import World, until


class Ticking:
    """A clock that is a second later at every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


class Kitchen(Component):
    def __init__(self) -> None:
        super().__init__()
        self.ready = asyncio.Event()

    @handler
    def toast(self, session: Session, _: Any) -> int:
        return 1

    @handler
    async def roast(self, session: Session, _: Any) -> int:
        await self.ready.wait()
        return 2

    @handler
    def burn(self, session: Session, _: Any) -> int:
        raise RuntimeError("on purpose")

    @handler(internal=True)
    def count(self, _: Any) -> int:
        return 3

    @handler(internal=True)
    async def stew(self, _: Any) -> int:
        await self.ready.wait()
        return 4

    @handler(internal=True)
    def order(self, session: Session, what: str) -> None:
        session.push("onOrder", what)


def kitchen() -> tuple[World, Sampler, Kitchen]:
    component = Kitchen()
    world = World(component)
    return world, Sampler(world.dispatcher, world.calls, Ticking()), component


def times(counts: RouteCounts) -> tuple[int, int]:
    return counts.handling.count, counts.queueing.count


async def test_one_message_of_a_route_is_timed_at_each_tick() -> None:
    world, sampler, _ = kitchen()
    client, counts = world.client(), world.metrics.route("Kitchen.toast")
    plain = world.dispatcher.routes["Kitchen.toast"]
    await client.request("Kitchen.toast")
    assert times(counts) == (0, 0)  # before the first tick
    for tick in (1, 2):
        sampler.tick(0.0)
        sampler.tick(0.1)  # nothing came: it is still the next one
        assert world.dispatcher.routes["Kitchen.toast"] is not plain
        for _ in range(5):
            assert (await client.request("Kitchen.toast")).value == 1
        assert times(counts) == (tick, tick)
        assert world.dispatcher.routes["Kitchen.toast"] is plain
        assert world.dispatcher.local["Kitchen.toast"] is plain
    assert counts.handling.total == 2.0  # one look before, one behind: a second each
    assert counts.queueing.total == 0.0
    assert counts.requests == 11


async def test_what_comes_over_a_link_is_timed_as_well() -> None:
    world, sampler, _ = kitchen()
    sampler.tick(0.0)
    table = world.dispatcher.local
    assert table["Kitchen.toast"] is world.dispatcher.routes["Kitchen.toast"]


async def test_an_async_handler_is_timed_to_its_end_and_the_wait_behind_it() -> None:
    world, sampler, component = kitchen()
    client, counts = world.client(), world.metrics.route("Kitchen.roast")
    quick = world.metrics.route("Kitchen.toast")
    sampler.tick(0.0)
    client.send("Kitchen.roast")
    client.send("Kitchen.toast")  # waits, and is timed when its turn has come
    await asyncio.sleep(0)
    assert times(counts) == (0, 1)
    assert times(quick) == (0, 0)
    component.ready.set()
    await until(lambda: len(client.answers) == 2)
    assert times(counts) == times(quick) == (1, 1)
    assert quick.queueing.total >= 1.0
    assert client.order == [1, 2]


async def test_a_handler_that_fails_is_timed_and_counted() -> None:
    world, sampler, _ = kitchen()
    client, counts = world.client(), world.metrics.route("Kitchen.burn")
    sampler.tick(0.0)
    answer = await client.request("Kitchen.burn")
    assert answer.status == 500
    assert times(counts) == (1, 1)
    assert counts.exceptions == 1
    assert b'nano_handler_exceptions_total{route="Kitchen.burn"} 1.0' in (
        world.metrics.render()
    )


async def test_a_session_that_ends_while_it_waits_leaves_the_route_as_it_was() -> None:
    world, sampler, component = kitchen()
    client = world.client()
    sampler.tick(0.0)
    client.send("Kitchen.roast")
    client.send("Kitchen.toast")
    world.sessions.close(client.session, "gone")
    component.ready.set()
    await until(lambda: not world.dispatcher.tasks)
    assert (await world.client().request("Kitchen.toast")).value == 1
    assert world.metrics.route("Kitchen.toast").queueing.count == 0


# ---------------------------------------------------------------- calls of nodes


async def test_one_call_of_a_handler_is_timed_at_each_tick() -> None:
    world, sampler, _ = kitchen()
    counts = world.metrics.route("Kitchen.count")
    plain = world.calls.callees["Kitchen.count"]
    assert await world.info.call("Kitchen.count") == 3
    assert times(counts) == (0, 0)  # before the first tick
    for tick in (1, 2):
        sampler.tick(0.0)
        sampler.tick(0.1)
        assert world.calls.callees["Kitchen.count"] is not plain
        for _ in range(5):
            assert await world.info.call("Kitchen.count") == 3
        assert times(counts) == (tick, 0)  # a call waits for nobody
        assert world.calls.callees["Kitchen.count"] is plain
    assert counts.handling.total == 2.0
    text = world.metrics.render()
    assert b'nano_handler_seconds_count{route="Kitchen.count"} 2.0' in text
    # no client has sent it, nor could one
    assert b'nano_messages_total{direction="in",route="Kitchen.count"' not in text


async def test_an_async_handler_that_is_called_is_timed_to_its_end() -> None:
    world, sampler, component = kitchen()
    counts = world.metrics.route("Kitchen.stew")
    sampler.tick(0.0)
    call = asyncio.create_task(world.info.call("Kitchen.stew"))
    await until(lambda: bool(world.dispatcher.tasks))
    assert times(counts) == (0, 0)
    component.ready.set()
    assert await call == 4
    assert times(counts) == (1, 0)


async def test_a_notify_of_a_node_is_timed_and_so_is_its_wait() -> None:
    world, sampler, component = kitchen()
    client, counts = world.client(), world.metrics.route("Kitchen.order")
    sampler.tick(0.0)
    client.send("Kitchen.roast")
    for what in ("soup", "salad"):
        world.calls.take("Kitchen.order", client.session, f'"{what}"'.encode())
    assert times(counts) == (0, 0)
    component.ready.set()
    await until(lambda: len(client.pushes) == 2)
    assert client.pushes == [("onOrder", "soup"), ("onOrder", "salad")]
    assert times(counts) == (1, 1)
    assert counts.queueing.total >= 1.0


async def test_a_call_of_what_clients_reach_too_shares_the_times_of_its_route() -> None:
    world, sampler, _ = kitchen()
    client, counts = world.client(), world.metrics.route("Kitchen.toast")
    sampler.tick(0.0)
    assert (await client.request("Kitchen.toast")).value == 1
    assert await world.info.call("Kitchen.toast", session=client.session) == 1
    assert times(counts) == (2, 1)
    assert counts.requests == 1  # of clients


async def test_a_notified_handler_that_fails_is_counted_with_its_route() -> None:
    world, _, _ = kitchen()
    client = world.client()
    world.calls.take("Kitchen.burn", client.session, b"null")
    assert world.metrics.route("Kitchen.burn").exceptions == 1
