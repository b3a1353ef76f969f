"""Nodes that are linked in memory: gates, backends, and lines that fail."""

from __future__ import annotations

import asyncio
import random

import pytest

from nano import Component, RequestError, Session, handler
from nano.errors import ClusterError, ConnectionClosed, UsageError
from nano.node import Node, Role
from nano.testing import ManualClock, MemoryCluster
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
)

from .parlour import Parlour

PARLOUR = "tests.testing.parlour:Parlour"
SILENCE = 6.0  # seconds after which a link is given up, and a little


class Lobby(Component):
    """What gates run themselves."""

    @handler
    def hello(self, session: Session, _: None) -> str:
        return self.node.name


def manifest(gates: int = 1, backends: int = 2) -> NanoCluster:
    return NanoCluster(
        metadata=Metadata(name="demo"),
        spec=Spec(
            settings=Settings(request_timeout_seconds=8),
            gates=Gates(
                replicas=gates,
                listeners=[
                    Listener(name="ws", transport="websocket", port=3250),
                    Listener(name="tcp", transport="tcp", port=3251),
                ],
            ),
            backends=[Backend(name="rooms", replicas=backends, components=[PARLOUR])],
        ),
    )


def cluster(
    gates: int = 1, backends: int = 2, clock: ManualClock | None = None
) -> MemoryCluster:
    components: dict[str, list[type[Component]]]
    components = {"gate": [Lobby], "rooms": [Parlour]}
    return MemoryCluster(manifest(gates, backends), components=components, clock=clock)


def bound(made: MemoryCluster) -> Node:
    """Return the backend that holds the only session."""
    (node,) = [it for it in made.backends["rooms"] if it.sessions(1)]
    return node


async def test_messages_go_to_backends_and_groups_span_the_gates() -> None:
    async with cluster(gates=2) as made:
        ann, bob = await made.connect(0), await made.connect(1, listener="tcp")
        assert await ann.request("Lobby.hello") == "gate-1"
        assert await bob.request("Lobby.hello") == "gate-2"
        assert await ann.request("Parlour.join", "ann") == 3
        assert await bob.request("Parlour.join", "bob") == 3
        await made.clock.settle()
        await bob.notify("Parlour.say", "hello")
        assert await ann.next_push("onSay") == "bob: hello"
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_link_that_is_cut_fails_what_is_on_its_way_and_comes_back() -> None:
    async with cluster(backends=1) as made:
        (gate,), (backend,) = made.gates, made.backends["rooms"]
        client = await made.connect()
        assert await client.request("Parlour.join", "ann") == 3
        waiting = asyncio.create_task(client.request("Parlour.promise"))
        await made.clock.settle()
        made.line(gate, backend).cut()
        with pytest.raises(RequestError) as caught:
            await waiting
        assert caught.value.status == 503
        await made.clock.advance(2)
        assert gate.linked == {backend.address}
        assert await client.request("Parlour.join", "ann") == 3


async def test_a_frozen_link_is_given_up_and_another_backend_serves() -> None:
    async with cluster() as made:
        (gate,) = made.gates
        client = await made.connect()
        assert await client.request("Parlour.join", "ann") == 3
        first = bound(made)
        made.line(gate, first).freeze()
        await made.clock.advance(SILENCE)
        assert first.address not in gate.linked
        assert await client.request("Parlour.join", "ann") == 3
        made.line(gate, first).thaw()
        await made.clock.advance(SILENCE)
        assert first.address in gate.linked


async def test_a_peer_that_falls_silent_is_suspect_then_unlinked_then_gone() -> None:
    async with cluster(backends=1) as made:
        (gate,), (backend,) = made.gates, made.backends["rooms"]

        def told() -> object:
            return gate.status()["peers"]

        assert told() == {backend.address: "linked"}
        made.line(gate, backend).freeze()
        await made.clock.advance(3)
        assert told() == {backend.address: "suspect"}
        await made.clock.advance(3)
        assert told() == {backend.address: "unlinked"}
        await made.clock.advance(10)
        assert told() == {}
        made.line(gate, backend).thaw()
        await made.clock.advance(2)
        assert told() == {backend.address: "linked"}


async def test_what_comes_after_the_end_of_its_link_is_not_served() -> None:
    async with cluster(backends=1) as made:
        (gate,), (backend,) = made.gates, made.backends["rooms"]
        client = await made.connect()
        line = made.line(gate, backend)
        line.freeze()
        waiting = asyncio.create_task(client.request("Parlour.join", "ann"))
        while gate.linked or backend.linked:
            await made.clock.advance(0.1)
        line.thaw()  # while both still say farewell on the old link
        with pytest.raises(RequestError) as caught:
            await waiting
        assert caught.value.status == 503
        await made.clock.advance(2)
        assert backend.sessions(1) == []
        assert made.count(backend, "nano_dropped_total", reason="ended") > 0
        assert await client.request("Parlour.join", "ann") == 3


async def test_a_link_that_loses_a_batch_is_made_anew() -> None:
    async with cluster(backends=1) as made:
        line = made.line(made.gates[0], made.backends["rooms"][0])
        client = await made.connect(request_timeout=60)
        line.up.drop()
        begun = made.clock.now
        with pytest.raises(RequestError) as caught:
            await client.request("Parlour.join", "ann")
        assert caught.value.status == 503
        assert made.clock.now - begun < 2  # the next ping is seen to be the wrong one
        await made.clock.advance(1)
        assert await client.request("Parlour.join", "ann") == 3


async def test_what_comes_twice_on_a_link_is_taken_once() -> None:
    async with cluster(backends=1) as made:
        (gate,), (backend,) = made.gates, made.backends["rooms"]
        client = await made.connect()
        made.line(gate, backend).up.duplicate(5)
        made.line(gate, backend).down.duplicate(5)
        for _ in range(3):
            assert await client.request("Parlour.join", "ann") == 3
        count = made.count(
            backend, "nano_messages_total", route="Parlour.join", type="request"
        )
        assert count == 3
        for node in (gate, backend):
            dropped = made.count(node, "nano_dropped_total", reason="duplicate")
            assert dropped > 0
            assert made.count(node, "nano_dropped_total", reason="late") == 0


async def test_a_slow_link_is_slow_and_no_more() -> None:
    async with cluster(backends=1) as made:
        made.line(made.gates[0], made.backends["rooms"][0]).delay(0.5)
        client = await made.connect()
        begun = made.clock.now
        assert await client.request("Parlour.join", "ann") == 3
        assert made.clock.now - begun == pytest.approx(1.0, abs=0.01)


async def test_a_backend_that_is_killed_is_replaced_by_another() -> None:
    async with cluster() as made:
        client = await made.connect()
        assert await client.request("Parlour.join", "ann") == 3
        first = bound(made)
        waiting = asyncio.create_task(client.request("Parlour.promise"))
        await made.clock.settle()
        await made.kill(first)
        with pytest.raises(RequestError) as caught:
            await waiting
        assert caught.value.status == 503
        assert await client.request("Parlour.join", "ann") == 3
        assert first not in made.nodes
        later = await made.start(Role.BACKEND, "rooms")
        assert later.address == "rooms-3"
        assert later.address in made.gates[0].linked


async def test_a_gate_that_is_killed_ends_its_clients() -> None:
    async with cluster(gates=2) as made:
        ann, bob = await made.connect(0), await made.connect(1)
        await bob.request("Parlour.join", "bob")
        await ann.request("Parlour.join", "ann")
        await made.kill(made.gates[0])
        with pytest.raises(ConnectionClosed):
            await ann.request("Lobby.hello")
        assert (ann.closed, ann.kick) == ("the server closed the connection", None)
        assert await bob.next_push("onLeave") == "ann"
        assert made.count(made.gates[1], "nano_members", role="gate") == 1


async def test_what_is_wrong_is_said() -> None:
    async with cluster() as made:
        with pytest.raises(UsageError, match="no listener 'x'; it has: ws, tcp"):
            await made.connect(listener="x")
        with pytest.raises(UsageError, match="runs no Lobby"):
            made.component(made.backends["rooms"][0], Lobby)
        with pytest.raises(ClusterError, match="nobody listens at nowhere"):
            made.network.dial("gate-1", "nowhere")
        assert isinstance(made.component(made.gates[0], Lobby), Lobby)


async def test_components_are_loaded_as_the_manifest_says() -> None:
    found = NanoCluster(
        metadata=Metadata(name="demo"),
        spec=Spec(
            gates=Gates(
                replicas=1, listeners=[Listener(name="t", transport="tcp", port=3250)]
            ),
            backends=[
                Backend(name="rooms", components=["tests.testing.parlour:Parlour"])
            ],
        ),
    )
    async with MemoryCluster(found) as made:
        client = await made.connect()
        assert await client.request("Parlour.join", "ann") == 3


async def day(seed: int) -> list[object]:
    """Live through a day on which much goes wrong; return what a client has seen."""
    choose = random.Random(seed)
    random.seed(seed)  # of the links' own jitter
    seen: list[object] = []
    async with cluster(gates=1, backends=2) as made:
        begun = made.clock.now
        client = await made.connect(request_timeout=9, reconnect=True)
        lines = [made.line(made.gates[0], it) for it in made.backends["rooms"]]
        for number in range(15):
            line = choose.choice([*lines, client.line])
            match choose.randrange(6):
                case 0:
                    line.cut()
                case 1:
                    line.freeze()
                case 2:
                    line.disturb(number, delay=0.3)
                case _:
                    line.thaw()
                    line.disturb(0)
            try:
                seen.append(await client.request("Parlour.play", {"card": number}))
            except (RequestError, ConnectionClosed, TimeoutError) as error:
                seen.append(type(error).__name__)
            seen.append(round(made.clock.now - begun, 4))
        for line in [*lines, client.line]:
            line.thaw()
            line.disturb(0)
        await made.clock.advance(30)
        assert await client.request("Parlour.play", {"card": 7}) == 7
        for node in made.nodes:
            assert made.count(node, "nano_pending_requests") == 0
    return seen


@pytest.mark.parametrize("seed", range(6))
async def test_after_a_bad_day_everything_works_again(seed: int) -> None:
    await day(seed)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_same_bad_day_is_the_same_in_each_run() -> None:
    assert await day(3) == await day(3)
