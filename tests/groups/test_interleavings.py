"""Comings, goings and publishes in any order."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from nano import Group, Session
from tests.links.peers import until
from tests.runtime.clients import Client

from .houses import Houses

PAYLOAD = b'"hello"'


STEP = st.tuples(
    st.sampled_from(["add", "add", "add", "remove", "end", "publish", "cut"]),
    st.integers(0, 1),  # which backend
    st.integers(0, 3),  # which client
    st.sampled_from(["room", "yard"]),
)


class Story:
    """Four clients at two gates, and what should have come of all steps.

    What one backend does in a row is done at once; between nodes there is no order,
    so everything arrives before another one acts.
    """

    def __init__(self, houses: Houses, clients: list[Client]) -> None:
        self.houses = houses
        self.clients = clients
        self.members: set[tuple[str, int]] = set()
        self.expected: list[list[int]] = [[] for _ in clients]
        self.said = 0
        self.acting = 0

    async def step(self, what: str, backend: int, number: int, name: str) -> None:
        if what in ("end", "cut") or backend != self.acting:
            await self.arrive()
            self.acting = backend
        group = self.houses.backends[backend].rooms.room(name)
        session = self.clients[number].session
        mirror = self.houses.backends[backend].sessions.get(session.id)
        if what == "publish":
            self.publish(group)
        elif what == "end":
            self.houses.gates[number % 2].sessions.close(session, "client-closed")
            self.members = {pair for pair in self.members if pair[1] != number}
            await self.arrive()
        elif what == "cut":
            gate, node = self.houses.gates[number % 2], self.houses.backends[backend]
            await self.houses.lose(gate, node)
            await self.houses.regain(gate, node)
            await self.arrive()
        elif mirror is not None and not mirror.closed:
            self.change(group, mirror, number, entering=what == "add")

    def change(
        self, group: Group, mirror: Session, number: int, *, entering: bool
    ) -> None:
        pair = (group.name, number)
        if entering:
            group.add(mirror)
            if not self.clients[number].session.closed:  # else it comes too late
                self.members |= {pair}
        else:
            group.remove(mirror)
            self.members -= {pair}

    async def arrive(self) -> None:
        """Wait until everything that was said has arrived."""
        for node in self.houses.backends:
            for name in ("room", "yard"):  # an answer comes behind all that was said
                await node.rooms.room(name).count()
        await self.houses.settle()
        await until(self.check)

    def publish(self, group: Group) -> None:
        self.said += 1
        group.publish("onNews", self.said)
        for name, number in self.members:
            if name == group.name:
                self.expected[number].append(self.said)

    def check(self) -> bool:
        return [
            [value for _, value in client.pushes] for client in self.clients
        ] == self.expected


@settings(max_examples=60)
@given(st.lists(STEP, max_size=25))
def test_every_publish_reaches_exactly_the_members_in_order(
    steps: list[tuple[str, int, int, str]],
) -> None:
    async def story() -> None:
        houses = Houses()
        await houses.start()
        story = Story(houses, [await houses.client(number % 2) for number in range(4)])
        for step in steps:
            await story.step(*step)
        await story.arrive()
        await houses.stop()

    asyncio.run(story())
