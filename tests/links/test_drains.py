"""Backends that leave: their sessions go to others, and take their state along."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from nano.cluster import mover
from nano.cluster.choosing import fittest
from nano.cluster.drains import Drains
from nano.cluster.link import Link
from nano.cluster.pb import link_pb2 as pb
from nano.errors import UsageError
from tests.runtime.clients import Client

from .nodes import GATE, ONE, TWO, Gate, Node
from .peers import Network, hello, until
from .test_moves import Desk

THREE = "10.0.0.9:1"


class House:
    """A gate with many clients, two backends, and a third that may come."""

    def __init__(self) -> None:
        self.network = Network()
        self.gate = Gate(self.network, GATE)
        self.desks: dict[str, Desk] = {}
        self.nodes: dict[str, Node] = {}
        self.drains: dict[str, Drains] = {}
        self.clients: list[Client] = []

    def add(self, address: str) -> None:
        self.desks[address] = desk = Desk(address)
        self.nodes[address] = node = Node(self.network, address, desk)
        self.drains[address] = Drains(node.links)
        node.sessions.on_closed(desk.session_closed)

    async def link(self) -> None:
        self.network.introduce()
        await until(lambda: len(self.gate.links.open) == len(self.nodes))
        await until(lambda: all(it.links.get(GATE) for it in self.nodes.values()))

    async def seat(self, address: str, number: int) -> list[Client]:
        """Return clients that have counted to 5 at *address*."""
        clients = [self.gate.client() for _ in range(number)]
        for client in clients:
            client.session.router.bind("Desk", address)
            assert (await client.request("Desk.count", 5)).value == [address, 5]
        self.clients += clients
        return clients

    def link_to(self, address: str) -> Link:
        link = self.gate.links.get(address)
        assert link is not None
        return link

    async def drained(self, address: str) -> None:
        await until(lambda: GATE not in self.drains[address].waiting)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    house.add(ONE)
    house.add(TWO)
    await house.link()
    yield house
    for node in (house.gate, *house.nodes.values()):
        await node.dispatcher.stop()
    await house.network.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_all_sessions_go_elsewhere_with_their_state(house: House) -> None:
    clients = await house.seat(ONE, 20)
    house.drains[ONE].begin()
    assert house.drains[ONE].waiting
    await house.drained(ONE)
    for client in clients:
        assert (await client.request("Desk.count", 1)).value == [TWO, 6]
    assert not house.desks[ONE].counts
    assert house.gate.metrics.moves["handed-over"] == 20
    await until(lambda: not len(house.nodes[ONE].sessions))
    assert house.desks[ONE].ends == ["moved"] * 20


async def test_so_many_move_at_once_and_no_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mover, "AT_ONCE", 3)
    await house.seat(ONE, 10)
    house.desks[ONE].handing.clear()
    house.drains[ONE].begin()
    await until(lambda: house.nodes[ONE].dispatcher.tasks)
    assert len(house.nodes[ONE].dispatcher.tasks) == 3
    assert house.drains[ONE].waiting
    house.desks[ONE].handing.set()
    await house.drained(ONE)
    assert house.gate.metrics.moves["handed-over"] == 10


async def test_nobody_new_is_bound_to_who_drains(house: House) -> None:
    house.drains[ONE].begin()
    await house.drained(ONE)
    for _ in range(20):
        client = house.gate.client()
        assert (await client.request("Desk.count", 1)).value[0] == TWO
        assert await house.gate.info.call("Desk.ask", None, session=client.session)
    calls = {await house.gate.info.call("Desk.ask", None) for _ in range(20)}
    assert calls == {TWO}


async def test_nobody_can_be_bound_to_who_drains(house: House) -> None:
    (client,) = await house.seat(TWO, 1)
    house.drains[ONE].begin()
    await house.drained(ONE)
    router = client.session.router
    assert router.members("Desk") == [TWO]
    with pytest.raises(UsageError, match=f"serves 'Desk' now; {TWO} do$"):
        router.bind("Desk", ONE)


async def test_a_target_that_begins_to_drain_is_left_out(house: House) -> None:
    (client,) = await house.seat(TWO, 1)
    house.desks[TWO].handing.clear()
    client.session.router.bind("Desk", ONE)
    house.drains[ONE].begin()
    await until(lambda: house.link_to(ONE).draining)
    house.desks[TWO].handing.set()
    assert (await client.request("Desk.count", 1)).value == [TWO, 6]
    await house.drained(ONE)


def test_who_drains_is_better_than_nobody() -> None:
    link = Link.__new__(Link)
    link.suspect, link.draining = False, True
    assert fittest([link]) == [link]


async def test_with_nobody_else_the_sessions_stay_and_are_served(house: House) -> None:
    (client,) = await house.seat(ONE, 1)
    house.drains[TWO].begin()
    house.drains[ONE].begin()
    await house.drained(ONE)
    await house.drained(TWO)
    assert (await client.request("Desk.count", 1)).value == [ONE, 6]
    assert not house.gate.metrics.moves.total()


async def test_who_could_not_leave_goes_to_who_comes_later(house: House) -> None:
    (client,) = await house.seat(ONE, 1)
    house.drains[TWO].begin()
    house.drains[ONE].begin()
    await house.drained(ONE)
    house.add(THREE)
    await house.link()
    await until(lambda: house.gate.metrics.moves["handed-over"] == 1)
    assert (await client.request("Desk.count", 1)).value == [THREE, 6]


async def test_a_promise_of_a_member_that_drains_is_kept(house: House) -> None:
    (client,) = await house.seat(ONE, 1)
    number = client.send("Desk.later")
    await until(lambda: house.desks[ONE].promises)
    house.drains[ONE].begin()
    await house.drained(ONE)
    answers = house.nodes[ONE].dispatcher.answers
    assert answers.holders() == {client.session.id}  # which is why it does not end yet
    house.desks[ONE].promises[0].respond("kept")
    await until(lambda: number in client.answers)
    assert client.answers[number][0].value == "kept"
    assert answers.holders() == set()


async def test_a_link_that_comes_back_is_told_again(house: House) -> None:
    (client,) = await house.seat(TWO, 1)
    house.drains[ONE].begin()
    await house.drained(ONE)
    house.link_to(ONE).end("a test cuts it")
    await until(lambda: not house.gate.links.get(ONE))
    await until(lambda: house.gate.links.get(ONE))
    await until(lambda: house.link_to(ONE).draining)
    await until(lambda: not house.drains[ONE].waiting)
    assert (await client.request("Desk.count", 1)).value == [TWO, 6]


async def test_peers_of_an_old_version_are_not_waited_for(house: House) -> None:
    backend = house.nodes[ONE]
    raw = house.network.raw(backend.links)
    theirs = hello(THREE)
    theirs.features.extend([pb.RESPONSE])
    await raw.greet(theirs)
    await until(lambda: backend.links.get(THREE))
    house.drains[ONE].begin()
    assert THREE not in house.drains[ONE].waiting


async def test_a_client_that_leaves_in_the_middle_holds_nobody_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mover, "AT_ONCE", 1)
    first, second, third = await house.seat(ONE, 3)
    house.desks[ONE].handing.clear()
    house.drains[ONE].begin()
    await until(lambda: house.nodes[ONE].dispatcher.tasks)
    house.gate.sessions.close(first.session, "client-closed")
    house.gate.sessions.close(third.session, "client-closed")
    house.desks[ONE].handing.set()
    await house.drained(ONE)
    assert (await second.request("Desk.count", 1)).value == [TWO, 6]
