"""Nodes that drain, in memory and by a manual clock: what happens at which stage."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nano import Component, Session, handler
from nano.client import Backoff
from nano.errors import ConnectionClosed, RequestError
from nano.node import Node, Role
from nano.node.departure import PATIENCE, STAGES, Stage, pace
from nano.testing import MemoryCluster
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
)


class Till(Component):
    """Counts, answers late, and hands its counts over."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    @handler
    def count(self, session: Session, _: None) -> list[Any]:
        self.counts[session.id] = number = self.counts.get(session.id, 0) + 1
        return [self.node.name, number]

    @handler
    async def slowly(self, session: Session, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return self.node.name

    @handler
    def later(self, session: Session, seconds: float) -> None:
        promise = session.defer()
        self.node.after(seconds, lambda: promise.respond("later"))

    async def handover(self, session: Session) -> bytes:
        return str(self.counts.pop(session.id, 0)).encode()

    async def takeover(self, session: Session, state: bytes) -> None:
        self.counts[session.id] = int(state)


def cluster(gates: int = 1, backends: int = 2, **settings: Any) -> MemoryCluster:
    manifest = NanoCluster(
        metadata=Metadata(name="demo"),
        spec=Spec(
            settings=Settings(**settings),
            gates=Gates(
                replicas=gates,
                listeners=[Listener(name="tcp", transport="tcp", port=3251)],
            ),
            backends=[
                Backend(name="till", replicas=backends, components=["till:Till"])
            ],
        ),
    )
    return MemoryCluster(manifest, components={"till": [Till]})


def stage(node: Node) -> object:
    return node.status()["draining"]


def states(node: Node) -> dict[str, str]:
    members: Any = node.status()["members"]
    return {member["address"]: member["state"] for member in members}


# ------------------------------------------------------------------------ the table


def test_each_role_has_its_stages() -> None:
    assert set(STAGES) == set(Role)
    assert STAGES[Role.MASTER] == ()
    assert STAGES[Role.GATE][:2] == (Stage.SETTLING, Stage.SENDING)
    assert STAGES[Role.BACKEND][0] is Stage.MOVING
    for stages in (STAGES[Role.GATE], STAGES[Role.BACKEND]):
        assert stages[-1] is Stage.FINISHING
        assert len(set(stages)) == len(stages)


@pytest.mark.parametrize(
    ("clients", "seconds", "rate", "expected"),
    [
        (10, 50, 200, 200),  # so fast, though there is time
        (20_000, 50, 200, 400),  # faster, or the last would not be told
        (100, -3, 200, 1000),  # all at once: no time is left
        (0, 50, 7, 7),
    ],
)
def test_clients_go_as_slowly_as_time_allows(
    clients: int, seconds: float, rate: float, expected: float
) -> None:
    assert pace(clients, seconds, rate) == expected


# --------------------------------------------------------------------------- backends


async def test_a_backend_drains_and_everybody_knows() -> None:
    async with cluster() as made:
        (gate,) = made.gates
        one, two = made.backends["till"]
        client = await made.connect()
        first = (await client.request("Till.count"))[0]
        old, new = (one, two) if first == one.address else (two, one)
        assert old.drain() is None
        assert old.not_ready() == "draining"
        assert states(gate)[old.address] == "draining"
        assert states(gate)[new.address] == "active"
        assert made.count(old, "nano_draining") in (0, 1)  # it has not run yet
        await old.drained()
        assert stage(old) == "done"
        assert made.count(old, "nano_draining") == 1
        assert made.count(gate, "nano_members_draining") == 1
        assert made.count(gate, "nano_session_moves_total", outcome="handed-over") == 1
        assert await client.request("Till.count") == [new.address, 2]
        assert old.drain() is None  # again is harmless
        await old.stop()
        assert await client.request("Till.count") == [new.address, 3]
        assert made.count(gate, "nano_members_draining") == 0


async def test_what_a_backend_has_in_hand_is_finished_first() -> None:
    async with cluster(backends=1) as made:
        (backend,) = made.backends["till"]
        client, other = await made.connect(), await made.connect()
        slow = asyncio.create_task(client.request("Till.slowly", 2.0))
        late = asyncio.create_task(other.request("Till.later", 3.0))
        await made.clock.advance(0.5)
        begun = made.clock.now
        backend.drain()
        await backend.drained()
        assert made.clock.now >= begun + 2.5
        await backend.stop()
        assert [await slow, await late] == [backend.address, "later"]


async def test_a_drain_that_takes_too_long_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with cluster(backends=1, drain_seconds=4) as made:
        (backend,) = made.backends["till"]
        client = await made.connect()
        slow = asyncio.create_task(client.request("Till.slowly", 9.0))
        await made.clock.advance(0.5)
        begun = made.clock.now
        backend.drain()
        await backend.drained()
        assert made.clock.now == pytest.approx(begun + 4)
        assert "not drained in 4 s: 0 clients and 1 handlers are left" in caplog.text
        await backend.stop()
        with pytest.raises(RequestError) as caught:
            await slow
        assert caught.value.status == 503


async def test_a_node_that_stops_ends_its_drain() -> None:
    async with cluster(backends=1) as made:
        (backend,) = made.backends["till"]
        client = await made.connect()
        slow = asyncio.create_task(client.request("Till.slowly", 9.0))
        await made.clock.advance(0.5)
        backend.drain()
        waiting = asyncio.create_task(backend.drained())
        await made.clock.advance(0.5)
        assert stage(backend) == "finishing"
        await backend.stop()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(RequestError):
            await slow
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_who_has_no_time_for_it_does_not_drain() -> None:
    async with cluster(backends=1, drain_seconds=0) as made:
        (backend,) = made.backends["till"]
        problem = backend.drain()
        assert problem is not None
        assert problem.startswith("drainSeconds is 0")
        assert backend.not_ready() is None


async def test_who_is_not_ready_does_not_drain() -> None:
    async with cluster(backends=1) as made:
        (backend,) = made.backends["till"]
        await backend.stop()
        assert backend.drain() == "the node is not ready (stopping); stop it instead"
        await backend.drained()


# ------------------------------------------------------------------------------ gates


async def test_a_gate_lets_clients_in_until_it_has_settled() -> None:
    async with cluster(gates=2, settle_seconds=3) as made:
        gate, other = made.gates
        gate.drain()
        assert gate.not_ready() == "draining"
        await made.clock.advance(2.5)
        assert stage(gate) == "settling"
        late = await made.connect(0)
        await late.request("Till.count")
        assert other.not_ready() is None
        await made.clock.advance(1)
        with pytest.raises(ConnectionClosed):
            await made.connect(0)
        await gate.drained()
        assert late.closed == "the server is going away"
        assert states(other)[gate.address] == "draining"


async def test_clients_go_one_after_the_other() -> None:
    async with cluster(settle_seconds=0, moves_per_second=10) as made:
        (gate,) = made.gates
        clients = [await made.connect() for _ in range(20)]
        gate.drain()
        await made.clock.advance(1.0)
        left = sum(not client.closed for client in clients)
        assert 8 <= left <= 12
        assert stage(gate) == "sending"
        await gate.drained()
        assert all(client.closed for client in clients)
        assert made.count(gate, "nano_connections") == 0


async def test_who_waits_for_an_answer_gets_it_before_it_goes() -> None:
    async with cluster(settle_seconds=0) as made:
        (gate,) = made.gates
        client, idle = await made.connect(), await made.connect()
        slow = asyncio.create_task(client.request("Till.slowly", PATIENCE - 0.5))
        await made.clock.advance(0.1)
        gate.drain()
        await made.clock.advance(0.5)
        assert idle.closed
        assert not client.closed
        await gate.drained()
        assert client.closed
        assert (await slow).startswith("till-")


async def test_who_waits_for_too_long_is_sent_away_all_the_same() -> None:
    async with cluster(settle_seconds=0) as made:
        (gate,) = made.gates
        client = await made.connect()
        slow = asyncio.create_task(client.request("Till.slowly", 9.0))
        await made.clock.advance(0.1)
        gate.drain()
        await gate.drained()
        assert client.closed
        with pytest.raises(ConnectionClosed):
            await slow


async def test_a_client_that_can_comes_back_by_itself() -> None:
    async with cluster(gates=1, settle_seconds=0) as made:
        (gate,) = made.gates
        client = await made.connect(reconnect=Backoff(base=0.1))
        told: list[object] = []
        client.events.on("reconnecting", told.append)
        gate.drain()
        await made.clock.advance(0.5)
        assert told
        assert not client.closed
