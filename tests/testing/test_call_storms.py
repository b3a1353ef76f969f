"""Calls of every manner while links freeze, thaw and break, at random and again."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from nano import Component, Replies, RequestError, Session, handler
from nano.testing import MemoryClient, MemoryCluster
from nano_manifest import Backend, Gates, Listener, Metadata, NanoCluster, Spec

STEPS = 60
WHAT = ("call", "call", "call", "all", "freeze", "thaw", "cut", "wait")
DEADLINE = 4.0


class Echo(Component):
    """What answers with what it was asked, who it is, and for whom."""

    @handler(internal=True)
    def now(self, session: Session | None, token: int) -> list[Any]:
        return [token, self.node.name, session.uid if session else ""]

    @handler(internal=True)
    async def soon(self, session: Session | None, token: int) -> list[Any]:
        await asyncio.sleep(token % 5 / 2)
        return [token, self.node.name, session.uid if session else ""]


class Caller(Component):
    """What calls for its clients, and knows them."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []

    @handler
    def meet(self, session: Session, uid: str) -> bool:
        session.bind(uid)
        self.sessions.append(session)
        return True


MANIFEST = NanoCluster(
    metadata=Metadata(name="demo"),
    spec=Spec(
        gates=Gates(
            replicas=2, listeners=[Listener(name="tcp", transport="tcp", port=3250)]
        ),
        backends=[
            Backend(name="echo", replicas=3, components=["x:Echo"]),
            Backend(name="caller", components=["x:Caller"]),
        ],
    ),
)


class Storm:
    """A cluster, what happens to it, and what its calls come to."""

    def __init__(self, nodes: MemoryCluster, seed: int) -> None:
        self.nodes = nodes
        self.random = random.Random(seed)
        (self.node,) = nodes.backends["caller"]
        self.caller = nodes.component(self.node, Caller)
        self.members = [it.address for it in nodes.backends["echo"]]
        self.calls: list[asyncio.Task[None]] = []
        self.answered = self.failed = 0

    async def begin(self) -> list[MemoryClient]:
        clients = [await self.nodes.connect(number % 2) for number in range(4)]
        for number, client in enumerate(clients):
            await client.request("Caller.meet", f"u{number}")
        return clients

    async def step(self) -> None:
        """Let one thing happen."""
        one, other = self.random.sample(self.nodes.nodes, 2)
        line = self.nodes.line(one, other)
        what = self.random.choice(WHAT)
        if what == "wait":
            await self.nodes.clock.advance(self.random.choice([0.05, 0.5, 2.0, 7.0]))
        elif what in ("call", "all"):
            ask = self.ask_all if what == "all" else self.ask
            token = len(self.calls)
            self.calls.append(asyncio.create_task(ask(token), name=f"{what} {token}"))
            await asyncio.sleep(0)
        elif not {one, other} <= {self.node, *self.nodes.gates}:
            getattr(line, what)()  # the others' links keep the caller's sessions alive

    def _how(self) -> tuple[str, Session | None]:
        route = self.random.choice(["Echo.now", "Echo.soon"])
        alive = [it for it in self.caller.sessions if not it.closed]
        return route, self.random.choice([None, *alive])

    async def ask(self, token: int) -> None:
        route, session = self._how()
        member = self.random.choice([None, *self.members])
        kind = self.random.choice([None, "echo"]) if member is None else None
        begun = self.nodes.clock.now
        try:
            said = await self.caller.node.call(
                route,
                token,
                session=session,
                member=member,
                kind=kind,
                timeout=DEADLINE,
            )
        except RequestError as error:
            self.fail(error)
        else:
            self.check(said, token, session, member or said[1])
        assert self.nodes.clock.now - begun < DEADLINE + 0.2

    async def ask_all(self, token: int) -> None:
        route, session = self._how()
        begun = self.nodes.clock.now
        replies: Replies[list[Any]] = await self.caller.node.call_all(
            route, token, session=session, timeout=DEADLINE
        )
        assert {*replies.results, *replies.failures} == set(self.members)
        for member, said in replies.results.items():
            self.check(said, token, session, member)
        for error in replies.failures.values():
            self.fail(error)
        assert self.nodes.clock.now - begun < DEADLINE + 0.2

    def fail(self, error: RequestError) -> None:
        if error.status not in (503, 504):
            raise error
        self.failed += 1

    def check(
        self, said: list[Any], token: int, session: Session | None, member: str
    ) -> None:
        assert said == [token, member, session.uid if session else ""]
        self.answered += 1


@pytest.mark.parametrize("seed", range(6))
async def test_in_a_storm_every_call_ends_in_time_and_with_its_own_answer(
    seed: int,
) -> None:
    async with MemoryCluster(
        MANIFEST, components={"gate": [], "echo": [Echo], "caller": [Caller]}
    ) as nodes:
        storm = Storm(nodes, seed)
        await storm.begin()
        for _ in range(STEPS):
            await storm.step()
        await nodes.clock.advance(DEADLINE + 1)
        done = await asyncio.gather(*storm.calls, return_exceptions=True)
        assert [it for it in done if it is not None] == [], f"seed {seed}"
        assert storm.answered
        for one in nodes.nodes:
            for other in nodes.nodes:
                if one is not other:
                    nodes.line(one, other).thaw()
        await nodes.clock.advance(20)
        replies = await storm.caller.node.call_all("Echo.now", 1)
        assert (set(replies.results), replies.failures) == (set(storm.members), {})
        for node in nodes.nodes:
            assert nodes.count(node, "nano_open_calls") == 0
