"""Forwarded requests: each has one answer, its own, in time."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nano import Delivery, Session
from nano.cluster.link import Link
from nano.cluster.outbox import CAPACITY
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.routes import Forwarder
from nano.errors import EncodeError
from tests.runtime.clients import Answer, Client

from .nodes import GATE, ONE, TIMEOUT, Gate, Story
from .peers import Network, Raw, hello, until


async def test_a_backend_that_does_not_answer_in_time_is_answered_for_504(
    story: Story,
) -> None:
    backend = await story.bound(story.client)
    number = story.client.send("Shop.wait")
    story.gate.forwarder.tick(story.network.clock.now + TIMEOUT - 0.1)
    assert number not in story.client.answers
    story.gate.forwarder.tick(story.network.clock.now + TIMEOUT)
    (answer,) = story.client.answers[number]
    assert answer.status == 504
    assert answer.value["msg"] == "Shop.wait did not answer in time"
    story.shops[backend].free.set()  # and now it does answer
    dropped = story.gate.metrics.dropped
    await until(lambda: dropped["answer", "late"] == 1)
    assert len(story.client.answers[number]) == 1


async def test_only_requests_whose_time_is_over_are_given_up(story: Story) -> None:
    now = story.network.clock.now
    first = story.client.send("Shop.wait")
    story.gate.forwarder.tick(now + 5.0)
    second = story.client.send("Shop.wait")
    story.gate.forwarder.tick(now + TIMEOUT)
    assert list(story.client.answers) == [first]
    story.gate.forwarder.tick(now + TIMEOUT + 5.0)
    assert list(story.client.answers) == [first, second]


async def test_giving_up_very_many_requests_takes_time_in_proportion(
    story: Story,
) -> None:
    forwarder, client = story.gate.forwarder, story.client
    client.send("Shop.wait")
    (entry,) = forwarder.pending.values()
    for _ in range(50_000):
        forwarder.expect(entry.route, client.session, 7, entry.link)
    async with asyncio.timeout(10.0):  # squared, it would be minutes
        forwarder.tick(story.network.clock.now + TIMEOUT)
        await asyncio.sleep(0)
    assert len(client.answers[7]) == 50_000
    assert not forwarder.pending


async def test_an_answer_to_nothing_is_dropped_and_counted(story: Story) -> None:
    link = story.backends[ONE].links.get(GATE)
    assert link is not None
    link.message(pb.RESPONSE, 0, 4711, "", b"1")
    dropped = story.gate.metrics.dropped
    await until(lambda: dropped["answer", "late"] == 1)
    assert story.client.answers == {}


async def test_an_answer_whose_client_has_gone_harms_nobody(story: Story) -> None:
    backend = await story.bound(story.client)
    story.client.send("Shop.wait")
    await until(lambda: story.backends[backend].dispatcher.tasks)
    story.gate.sessions.close(story.client.session, "client-closed")
    story.shops[backend].free.set()
    await until(lambda: not story.backends[backend].dispatcher.tasks)
    assert await story.bound(story.gate.client())


async def test_a_full_link_is_answered_503(story: Story) -> None:
    client = story.client
    backend = await story.bound(client)
    link = story.gate.links.get(backend)
    assert link is not None
    link.message(pb.NOTIFY, client.session.id, 0, "Shop.who", bytes(CAPACITY))
    assert link.outbox.full
    number = client.send("Shop.who")
    (answer,) = client.answers[number]
    assert answer.status == 503
    assert "Shop is overloaded; try again" in answer.value["msg"]
    assert story.gate.metrics.dropped["forward", "overloaded"] == 1
    await until(lambda: not link.outbox.full)
    assert await story.bound(client) == backend


async def test_too_many_open_requests_are_answered_503(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nano.cluster.routes.MOST_PENDING", 2)
    await story.bound(story.client)
    numbers = [story.client.send("Shop.wait") for _ in range(3)]
    assert list(story.client.answers)[1:] == [numbers[-1]]
    (answer,) = story.client.answers[numbers[-1]]
    assert answer.status == 503


async def mirrored(story: Story) -> tuple[str, Session, Link]:
    """The backend that the client is bound to, its mirror there, and its link back."""
    backend = await story.bound(story.client)
    mirror = story.mirror(backend, story.client)
    assert mirror is not None
    link = story.backends[backend].links.get(GATE)
    assert link is not None
    return backend, mirror, link


async def test_pushes_to_a_full_link_are_dropped_and_counted_and_answers_are_not(
    story: Story,
) -> None:
    backend, mirror, link = await mirrored(story)
    number = story.client.send("Shop.wait")
    await until(lambda: story.backends[backend].dispatcher.tasks)
    link.message(pb.RESPONSE, 0, 999, "", bytes(CAPACITY))
    mirror.push("onNews", 1, delivery="drop")
    mirror.push("onNews", 2, delivery="latest")
    assert story.backends[backend].metrics.dropped == {("push", "link-full"): 2}
    mirror.home.respond(*_only(story.gate.forwarder), b'"late"', False)
    await until(lambda: number in story.client.answers)
    assert story.client.pushes == []


async def test_a_push_that_must_arrive_waits_longer_and_then_sends_the_client_away(
    story: Story,
) -> None:
    backend, mirror, link = await mirrored(story)
    link.message(pb.RESPONSE, 0, 999, "", bytes(CAPACITY))
    mirror.push("onNews", 1)
    link.message(pb.RESPONSE, 0, 999, "", bytes(CAPACITY))
    mirror.push("onNews", 2)
    mirror.push("onNews", 3)
    assert story.backends[backend].metrics.dropped == {("push", "link-full"): 2}
    await until(lambda: bool(story.client.kicked))
    assert story.client.pushes == [("onNews", 1)]
    assert story.client.kicked == "more was sent than could be passed on"
    assert story.client.invited


@pytest.mark.parametrize("delivery", ["must", "latest", "drop"])
async def test_the_gate_is_told_what_may_happen_to_a_push(
    story: Story, delivery: Delivery
) -> None:
    _, mirror, _ = await mirrored(story)
    mirror.push("onNews", 1, delivery=delivery)
    await until(lambda: bool(story.client.pushes))
    assert story.client.deliveries == [delivery]


def _only(forwarder: Forwarder) -> tuple[int]:
    (number,) = forwarder.pending
    return (number,)


async def raw_backend(network: Network, gate: Gate, theirs: pb.Hello) -> Raw:
    """Join the gate as a backend that is spoken by hand."""
    raw = network.raw(gate.links)
    await raw.greet(theirs)
    await until(lambda: gate.links.get(theirs.address))
    return raw


async def test_internal_handlers_are_not_for_clients() -> None:
    network = Network()
    gate = Gate(network, GATE)
    theirs = hello("10.0.0.9:1", ["Bank.pay", "Bank.audit"])
    theirs.handlers[1].internal = True
    raw = await raw_backend(network, gate, theirs)
    client = gate.client()
    assert (await client.request("Bank.audit")).status == 404
    client.send("Bank.pay")
    assert [(await raw.next()).route for _ in range(2)] == ["", "Bank.pay"]
    await network.stop()


async def test_numbers_on_the_link_are_the_gates_own() -> None:
    network = Network()
    gate = Gate(network, GATE)
    raw = await raw_backend(network, gate, hello("10.0.0.9:1", ["Bank.pay"]))
    clients = [gate.client() for _ in range(3)]
    for client in clients:
        client.send("Bank.pay", client.session.remote_address, number=7)
    requests = [e for e in [await raw.next() for _ in range(6)] if e.id]
    assert len({request.id for request in requests}) == 3
    answers = [
        pb.Envelope(
            kind=pb.RESPONSE, id=e.id, payload=json.dumps(str(e.session)).encode()
        )
        for e in reversed(requests)
    ]
    await raw.send(*answers)
    for client in clients:
        await until(lambda client=client: client.answers)  # type: ignore[misc]
        assert client.answers == {7: [Answer(str(client.session.id), False)]}
    await network.stop()


async def test_a_push_that_fits_no_packet_is_dropped_and_an_answer_becomes_500() -> (
    None
):
    network = Network()
    gate = Gate(network, GATE)
    raw = await raw_backend(network, gate, hello("10.0.0.9:1", ["Bank.pay"]))
    client = _Narrow(gate.dispatcher)
    gate.sessions.add(client.session)
    number = client.send("Bank.pay")
    request = [await raw.next() for _ in range(2)][1]
    await raw.send(
        pb.Envelope(kind=pb.PUSH, session=client.session.id, payload=bytes(100)),
        pb.Envelope(kind=pb.RESPONSE, id=request.id, payload=bytes(100)),
    )
    await until(lambda: number in client.answers)
    assert client.answers[number][0].status == 500
    assert gate.metrics.dropped == {("push", "does-not-fit"): 1}
    assert gate.metrics.route("Bank.pay").responses == 0
    await network.stop()


class _Narrow(Client):
    """A client whose packets hold less than what backends send."""

    def respond(self, number: int, payload: bytes, failed: bool) -> None:
        self._check(payload, failed)
        super().respond(number, payload, failed)

    def push(self, route: str, payload: bytes, delivery: Delivery = "must") -> None:
        self._check(payload, False)

    @staticmethod
    def _check(payload: bytes, failed: bool) -> None:
        if len(payload) >= 100 and not failed:
            raise EncodeError("too long")


# ------------------------------------------------------------- any interleaving


class Bank:
    """A gate with three clients and two backends spoken by hand."""

    def __init__(self) -> None:
        self.network = Network()
        self.gate = Gate(self.network, GATE)
        self.clients = [self.gate.client() for _ in range(3)]
        self.raws: list[Raw] = []
        self.joined = 0
        self.asked: dict[tuple[int, int], str] = {}  # by client and its own number
        self.open: list[tuple[Raw, pb.Envelope]] = []  # requests at the backends
        self.answered: list[tuple[Raw, pb.Envelope]] = []

    async def join(self) -> None:
        self.joined += 1
        theirs = hello(f"10.0.1.{self.joined}:1", ["Bank.pay"])
        self.raws.append(await raw_backend(self.network, self.gate, theirs))

    async def sync(self, raw: Raw) -> None:
        """Wait until all that *raw* has sent was taken; note what it was asked."""
        await raw.send(pb.Envelope(kind=pb.PING, id=1))
        while (envelope := await raw.next()).kind != pb.PONG:
            if envelope.kind == pb.REQUEST:
                self.open.append((raw, envelope))

    async def step(self, what: str, number: int) -> None:
        """Let one thing happen."""
        at = number % len(self.clients)
        if what == "ask":
            client = self.clients[at]
            token = str(len(self.asked))
            self.asked[at, client.send("Bank.pay", token)] = token
        elif what == "answer" and self.open:
            raw, request = self.open.pop(number % len(self.open))
            self.answered.append((raw, request))
            await self._respond(raw, request)
        elif what == "again" and self.answered:
            await self._respond(*self.answered[number % len(self.answered)])
        elif what == "nonsense" and self.raws:
            await self.raws[-1].send(pb.Envelope(kind=pb.RESPONSE, id=1000 + number))
        elif what == "wait":
            self.network.clock.now += number
            self.gate.forwarder.tick(self.network.clock.now)
        elif what == "lose" and self.raws:
            await self._lose(self.raws.pop(number % len(self.raws)))
        elif what == "join" and len(self.raws) < 2:
            await self.join()
        for raw in self.raws:
            await self.sync(raw)

    async def _respond(self, raw: Raw, request: pb.Envelope) -> None:
        if raw in self.raws:
            answer = pb.Envelope(
                kind=pb.RESPONSE, id=request.id, payload=request.payload
            )
            await raw.send(answer)

    async def _lose(self, raw: Raw) -> None:
        open_links = len(self.gate.links.open)
        await raw.stream.close()
        await until(lambda: len(self.gate.links.open) < open_links)
        self.open = [entry for entry in self.open if entry[0] is not raw]

    def check(self) -> None:
        """Each request has one answer, and it is its own."""
        for (at, number), token in self.asked.items():
            (answer,) = self.clients[at].answers[number]
            if answer.failed:
                assert answer.status in (503, 504)
            else:
                assert answer.value == token
        answers = sum(len(client.answers) for client in self.clients)
        assert answers == len(self.asked)
        assert not self.gate.forwarder.pending


THINGS = ["ask", "ask", "ask", "answer", "answer", "again", "nonsense", "wait"]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from([*THINGS, "lose", "join"]), st.integers(0, 11)),
        max_size=40,
    )
)
def test_no_request_goes_without_its_answer_or_gets_another_ones(
    steps: list[tuple[str, int]],
) -> None:
    async def story() -> None:
        bank = Bank()
        await bank.join()
        await bank.step("ask", 0)
        for what, number in steps:
            await bank.step(what, number)
        await bank.step("wait", 100)
        bank.check()
        await bank.network.stop()

    asyncio.run(story())
