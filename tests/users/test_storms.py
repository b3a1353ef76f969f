"""Logins and pushes while links between gates come and go, at random and again."""

from __future__ import annotations

import random

import pytest

from nano import Component, Session, handler
from nano.testing import MemoryClient, MemoryCluster
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
)

GATES = 3
NAMES = ("ann", "bob", "cat", "dan")
STEPS = 40
GRACE = 20.0  # seconds after which links are back and all claims are told


class Login(Component):
    """What binds sessions, and finds them again."""

    @handler
    def enter(self, session: Session, name: str) -> str:
        session.bind(name)
        return name

    @handler(internal=True)
    async def push(self, _: None) -> list[list[str]]:
        reached = await self.node.push(NAMES, "onNews", "hello", timeout=1.0)
        return [list(it) for it in (reached.found, reached.failed, reached.silent)]

    @handler(internal=True)
    async def where(self, _: None) -> dict[str, dict[str, int]]:
        return {name: (await self.node.online(name)).gates for name in NAMES}


MANIFEST = NanoCluster(
    metadata=Metadata(name="demo"),
    spec=Spec(
        settings=Settings(one_session_per_uid=True),
        gates=Gates(
            replicas=GATES,
            listeners=[Listener(name="tcp", transport="tcp", port=3250)],
        ),
        backends=[Backend(name="login", components=["x:Login"])],
    ),
)


class Storm:
    """A cluster, what happens to it, and who has logged in."""

    def __init__(self, nodes: MemoryCluster, seed: int) -> None:
        self.nodes = nodes
        self.random = random.Random(seed)
        self.clients: dict[str, list[MemoryClient]] = {name: [] for name in NAMES}
        self.info = nodes.component(nodes.backends["login"][0], Login).node

    async def step(self) -> None:
        """Let one thing happen."""
        await self.random.choice(
            [self.login, self.login, self.freeze, self.thaw, self.cut, self.wait]
        )()

    async def login(self) -> None:
        await self.nodes.clock.advance(0.001)  # of two at once, chance would decide
        name = self.random.choice(NAMES)
        client = await self.nodes.connect(self.random.randrange(GATES))
        self.clients[name].append(client)
        assert await client.request("Login.enter", name) == name

    async def freeze(self) -> None:
        one, other = self.random.sample(self.nodes.gates, 2)
        self.nodes.line(one, other).freeze()

    async def thaw(self) -> None:
        one, other = self.random.sample(self.nodes.gates, 2)
        self.nodes.line(one, other).thaw()

    async def cut(self) -> None:
        one, other = self.random.sample(self.nodes.gates, 2)
        self.nodes.line(one, other).cut()

    async def wait(self) -> None:
        await self.nodes.clock.advance(self.random.choice([0.05, 0.5, 3.0, 8.0]))

    async def calm(self) -> None:
        """Let every link come back."""
        for one in self.nodes.gates:
            for other in self.nodes.gates:
                if one is not other:
                    self.nodes.line(one, other).thaw()
        await self.nodes.clock.advance(GRACE)


@pytest.mark.parametrize("seed", range(12))
async def test_after_the_storm_the_newest_session_of_each_uid_is_left(
    seed: int,
) -> None:
    async with MemoryCluster(
        MANIFEST, components={"gate": [], "login": [Login]}
    ) as nodes:
        storm = Storm(nodes, seed)
        for _ in range(STEPS):
            await storm.step()
        await storm.calm()
        there = {name: clients for name, clients in storm.clients.items() if clients}
        for clients in there.values():
            assert [bool(it.closed) for it in clients] == [
                *([True] * (len(clients) - 1)),
                False,
            ], f"seed {seed}"
        found = await storm.info.call("Login.where", wanted=dict[str, dict[str, int]])
        counts = {name: sum(gates.values()) for name, gates in found.items()}
        assert counts == {name: int(name in there) for name in NAMES}
        reached = await storm.info.call("Login.push")
        missing = [name for name in NAMES if name not in there]
        assert reached == [list(there), missing, []]
        for clients in there.values():
            assert await clients[-1].next_push("onNews") == "hello"
        for node in nodes.nodes:
            assert nodes.count(node, "nano_open_questions") == 0
            assert nodes.count(node, "nano_open_calls") == 0


@pytest.mark.parametrize("seed", range(6))
async def test_in_a_storm_every_question_ends_and_names_who_was_silent(
    seed: int,
) -> None:
    async with MemoryCluster(
        MANIFEST, components={"gate": [], "login": [Login]}
    ) as nodes:
        storm = Storm(nodes, seed)
        backend = nodes.backends["login"][0]
        for _ in range(STEPS):
            line = nodes.line(storm.random.choice(nodes.gates), backend)
            what = storm.random.choice(["freeze", "thaw", "cut", "ask", "ask", "wait"])
            if what == "ask":
                begun = nodes.clock.now
                found, failed, silent = await storm.info.call("Login.push", timeout=5)
                assert nodes.clock.now - begun < 1.1
                assert (found, failed) == ([], list(NAMES))
                frozen = {
                    gate.address
                    for gate in nodes.gates
                    if nodes.line(gate, backend).up.frozen
                }
                assert frozen <= set(silent)
            elif what == "wait":
                await storm.wait()
            else:
                getattr(line, what)()
        assert nodes.count(backend, "nano_open_questions") == 0
