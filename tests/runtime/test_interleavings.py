"""Whatever clients, nodes and handlers do, and in whatever order it happens."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from nano import Component, RequestError, Session, handler
from nano.protocol.messages import Message
from nano.runtime.answers import Deferred

from .clients import Client, World

LONG = 1000.0  # seconds, by the clock of the answers; nothing waits so long


class Anything(Component):
    """Handlers of every kind; what waits is freed by the test."""

    def __init__(self) -> None:
        self.begun: dict[int, list[int]] = {}  # numbers of messages, by session
        self.running: dict[int, int] = {}  # async handlers in their turn, by session
        self.gates: list[asyncio.Event] = []
        self.promises: list[Deferred] = []

    def before_handler(self, session: Session, message: Message) -> None:
        if message.route == "Anything.refused":
            self.note(session, int(message.payload))
            raise RequestError(403, "not here")

    def note(self, session: Session, number: int) -> None:
        assert not self.running.get(session.id)
        self.begun.setdefault(session.id, []).append(number)

    @handler
    def refused(self, session: Session, number: int) -> int:
        raise AssertionError("never called")

    @handler
    def now(self, session: Session, number: int) -> int:
        self.note(session, number)
        return number

    @handler
    def fails(self, session: Session, number: int) -> int:
        self.note(session, number)
        raise RequestError(402, "no money")

    @handler
    def promises_it(self, session: Session, number: int) -> None:
        self.note(session, number)
        self.promises.append(session.defer())

    @handler
    async def waits(self, session: Session, number: int) -> int:
        await self._turn(session, number)
        return number

    @handler
    async def answers_first(self, session: Session, number: int) -> None:
        session.respond(number)
        await self._turn(session, number)

    @handler
    async def fails_later(self, session: Session, number: int) -> int:
        await self._turn(session, number)
        raise RequestError(402, "no money")

    @handler
    async def calls(self, session: Session, number: int) -> int:
        """Call for the very session that waits for this."""
        self.note(session, number)
        self.running[session.id] = 1
        result: int = await self.node.call("Anything.called", number, session=session)
        self.running[session.id] = 0
        return result

    @handler(internal=True)
    async def called(self, session: Session, number: int) -> int:
        await self._gate()
        return number

    @handler(internal=True)
    async def told(self, session: Session, number: int) -> None:
        assert session.origin == "node"
        await self._turn(session, number)

    async def _turn(self, session: Session, number: int) -> None:
        self.note(session, number)
        self.running[session.id] = 1
        await self._gate()
        self.running[session.id] = 0

    async def _gate(self) -> None:
        gate = asyncio.Event()
        self.gates.append(gate)
        await gate.wait()


class Run:
    """Two clients of one node, and what was done with them."""

    def __init__(self) -> None:
        self.service = Anything()
        self.world = World(self.service)
        self.clients = [self.world.client() for _ in range(2)]
        self.sent: dict[int, list[int]] = {it.session.id: [] for it in self.clients}
        self.requests: list[tuple[Client, int]] = []
        self.count = 0

    def step(self, what: str, at: int) -> None:
        """Let one thing happen."""
        client = self.clients[at % 2]
        service = self.service
        if client.session.closed and (what in ROUTES or what == "tell"):
            return  # nobody is there to send anything
        if what in ROUTES:
            self.count += 1
            self.sent[client.session.id].append(self.count)
            route = f"Anything.{what}"
            if at % 3:
                self.requests.append((client, client.send(route, self.count)))
            else:
                client.notify(route, self.count)
        elif what == "tell":
            self.count += 1
            self.sent[client.session.id].append(self.count)
            self.world.calls.take(
                "Anything.told", client.session, str(self.count).encode()
            )
        elif what == "free" and service.gates:
            service.gates.pop(at % len(service.gates)).set()
        elif what == "keep" and service.promises:
            service.promises.pop(at % len(service.promises)).respond(at)
        elif what == "late":
            self.world.dispatcher.tick(LONG * (self.count + 1))
        elif what == "close" and not at:
            self.world.sessions.close(client.session, "client-closed")

    async def end(self) -> None:
        """Free everything that waits, until nothing does."""
        while self.world.dispatcher.tasks:
            for gate in self.service.gates:
                gate.set()
            self.service.gates.clear()
            await asyncio.sleep(0)
        self.world.dispatcher.tick(LONG * LONG)

    def check(self) -> None:
        for client, number in self.requests:
            answers = client.answers.get(number, [])
            assert len(answers) == 1 or (client.session.closed and not answers)
        for session, begun in self.service.begun.items():
            assert begun == self.sent[session][: len(begun)]
        for client in self.clients:
            if not client.session.closed:
                begun = self.service.begun.get(client.session.id, [])
                assert begun == self.sent[client.session.id]
            assert not client.session.turns.busy
            assert not client.session.turns.waiting
            assert client.session.turns.asked is None
            assert not client.paused or client.session.closed
        assert self.world.metrics.dropped["answer", "second"] == 0
        assert b"nano_open_calls 0.0" in self.world.metrics.render()
        assert b"nano_deferred_requests 0.0" in self.world.metrics.render()


ROUTES = [
    "now",
    "refused",
    "fails",
    "promises_it",
    "waits",
    "answers_first",
    "fails_later",
    "calls",
]
STEPS = [*ROUTES, "tell", "free", "free", "free", "keep", "late", "turn", "close"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 11)), max_size=80),
)
def test_every_request_is_answered_once_and_in_its_turn(
    steps: list[tuple[str, int]],
) -> None:
    async def story() -> None:
        run = Run()
        for what, at in steps:
            if what == "turn":
                await asyncio.sleep(0)
            run.step(what, at)
        await run.end()
        run.check()

    asyncio.run(story())


async def test_a_flood_that_pauses_a_client_ends_with_everything_answered() -> None:
    run = Run()
    for number in range(200):
        run.step(ROUTES[number % len(ROUTES)], 2 * (number % 5) + 1)
    assert run.clients[1].paused
    await run.end()
    run.check()
    assert run.clients[1].pauses >= 1
