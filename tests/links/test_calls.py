"""Calls and notifies from node to node."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nano import Component, RequestError, Session, handler
from nano.cluster.outbox import CAPACITY
from nano.cluster.pb import link_pb2 as pb
from nano.protocol.packets import LARGEST_BODY
from tests.runtime.clients import Client

from .nodes import GATE, Gate, Node
from .peers import Network, Raw, hello, part, until

ONE, TWO, SHOP = (f"10.0.0.{number}:1" for number in (2, 3, 4))


class Bank(Component):
    """What two backends serve, to nodes alone but for one handler."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.free = asyncio.Event()
        self.told: list[tuple[str, Any]] = []

    @handler
    def open(self, session: Session, payload: Any) -> str:
        return self.name

    @handler(internal=True)
    def who(self, session: Session | None, payload: Any) -> list[str]:
        return [self.name, session.uid if session else "nobody"]

    @handler(internal=True)
    def refuse(self, payload: Any) -> None:
        raise RequestError(402, "no money", "SHOP-1")

    @handler(internal=True)
    def push(self, session: Session, payload: Any) -> None:
        session.push("onBank", payload)

    @handler(internal=True)
    async def wait(self, payload: Any) -> str:
        await self.free.wait()
        return self.name

    @handler(internal=True)
    def huge(self, payload: int) -> bytes:
        return bytes(payload)

    @handler(internal=True)
    async def tell(self, session: Session | None, payload: Any) -> None:
        self.told.append(("begin", payload))
        await asyncio.sleep(0)
        self.told.append(("end", payload))


class Lobby(Component):
    """What the gate serves."""

    @handler(internal=True)
    def here(self, session: Session | None, payload: Any) -> str:
        return session.remote_address if session else "the gate"


class Till(Component):
    """What calls for its clients, from a third backend."""

    @handler
    async def ask(self, session: Session, route: str) -> Any:
        return await self.node.call(route, "x", session=session)

    @handler
    def tell(self, session: Session, route: str) -> bool:
        for number in range(3):
            self.node.notify(route, number, session=session)
        return True


class City:
    """A gate, two banks and a shop, all linked."""

    def __init__(self) -> None:
        self.network = Network()
        self.banks = {address: Bank(address) for address in (ONE, TWO)}
        self.gate = Gate(self.network, GATE, Lobby())
        self.nodes = {
            address: Node(self.network, address, bank)
            for address, bank in self.banks.items()
        }
        self.shop = Node(self.network, SHOP, Till(), Bank(SHOP))
        self.client = self.gate.client()
        self.client.session.bind("ann")

    @property
    def all(self) -> list[Node]:
        return [self.gate, *self.nodes.values(), self.shop]

    async def start(self) -> None:
        self.network.introduce()
        await until(lambda: all(len(node.links.open) == 3 for node in self.all))

    async def stop(self) -> None:
        for node in self.all:
            await node.dispatcher.stop()
        await self.network.stop()

    def part(self, address: str) -> None:
        part(self.gate.links, self.network.nodes[address])

    def bind(self, service: str, member: str) -> None:
        self.client.session.router.bind(service, member)


@pytest.fixture
async def city() -> Any:
    city = City()
    await city.start()
    yield city
    await city.stop()


# ------------------------------------------------------------------ without a session


async def test_a_gate_calls_any_member_that_serves_the_route(city: City) -> None:
    asked = {tuple(await city.gate.info.call("Bank.who")) for _ in range(60)}
    assert asked == {(address, "nobody") for address in (ONE, TWO, SHOP)}


async def test_a_backend_calls_a_gate_and_another_backend(city: City) -> None:
    info = city.nodes[ONE].info
    assert await info.call("Lobby.here") == "the gate"
    with pytest.raises(RequestError, match="no money") as refused:
        await city.gate.info.call("Bank.refuse")
    assert (refused.value.status, refused.value.code) == (402, "SHOP-1")


async def test_what_this_node_serves_it_serves_itself(city: City) -> None:
    for _ in range(20):
        assert await city.nodes[ONE].info.call("Bank.who") == [ONE, "nobody"]
    assert city.nodes[ONE].metrics.calls == {("in", "ok"): 20, ("out", "ok"): 20}


async def test_what_nobody_is_known_to_serve_is_a_503_until_all_kinds_are_met(
    city: City,
) -> None:
    info, unmet = city.gate.info, city.gate.dispatcher.unmet
    unmet.add("bank")
    for asked in (info.call("Bank.nothing"), info.call_all("Bank.nothing")):
        with pytest.raises(RequestError, match="try again") as refused:
            await asked
        assert refused.value.status == 503
    unmet.clear()
    with pytest.raises(RequestError) as refused:
        await info.call_all("Bank.nothing")
    assert refused.value.status == 404


async def test_what_nobody_serves_is_a_404_and_what_is_lost_a_503(city: City) -> None:
    with pytest.raises(RequestError, match="no node serves") as refused:
        await city.gate.info.call("Bank.nothing")
    assert refused.value.status == 404
    for address in (TWO, SHOP):
        city.part(address)
    await until(lambda: len(city.gate.links.open) == 1)
    waiting = asyncio.create_task(city.gate.info.call("Bank.wait"))
    await until(lambda: city.nodes[ONE].dispatcher.tasks)
    city.part(ONE)
    with pytest.raises(RequestError, match="went away") as lost:
        await waiting
    assert lost.value.status == 503
    with pytest.raises(RequestError, match="try again") as nobody:
        await city.gate.info.call("Bank.who")
    assert nobody.value.status == 503


async def test_a_full_link_is_a_503_at_once(city: City) -> None:
    for address in (TWO, SHOP):
        city.part(address)
    await until(lambda: len(city.gate.links.open) == 1)
    link = city.gate.links.get(ONE)
    assert link is not None
    link.message(pb.RESPONSE, 0, 999, "", bytes(CAPACITY))
    with pytest.raises(RequestError, match="overloaded") as refused:
        await city.gate.info.call("Bank.who")
    assert refused.value.status == 503
    city.gate.info.notify("Bank.tell")
    assert city.gate.metrics.dropped["notify", "503"] == 1


async def test_a_result_that_no_link_takes_is_a_500(city: City) -> None:
    with pytest.raises(RequestError) as failed:
        await city.gate.info.call("Bank.huge", LARGEST_BODY + 1)
    assert failed.value.status == 500


# --------------------------------------------------------------------- with a session


async def test_a_call_for_a_session_goes_where_the_session_is_bound(
    city: City,
) -> None:
    session = city.client.session
    bank = (await city.client.request("Bank.open")).value
    for _ in range(10):
        assert await city.gate.info.call("Bank.who", session=session) == [bank, "ann"]
    session.bind("bob")
    assert await city.gate.info.call("Bank.who", session=session) == [bank, "bob"]
    session.router.unbind("Bank")
    asked = await city.gate.info.call("Bank.who", session=session)
    assert session.router.find("Bank") == asked[0]


async def test_a_call_of_a_backend_goes_by_the_sessions_home(city: City) -> None:
    for bank in (ONE, TWO, SHOP):  # the shop is a bank itself
        city.bind("Bank", bank)
        answer = await city.client.request("Till.ask", "Bank.who")
        assert answer.value == [bank, "ann"]
    answer = await city.client.request("Till.ask", "Lobby.here")
    assert answer.value == "192.0.2.1:4321"
    assert not city.gate.calls._open


async def test_a_session_that_comes_from_two_nodes_at_once_is_one_mirror(
    city: City,
) -> None:
    """Its own message by the gate, and a call for it by another backend."""
    begun: list[int] = []
    city.nodes[TWO].sessions.on_opened(lambda it: begun.append(it.id))
    city.bind("Bank", TWO)
    asked = city.client.send("Till.ask", "Bank.who")
    told = asyncio.create_task(
        city.gate.info.call("Bank.who", session=city.client.session)
    )
    assert await told == [TWO, "ann"]
    await until(lambda: asked in city.client.answers)
    assert begun == [city.client.session.id]
    assert len(city.nodes[TWO].sessions) == 1


async def test_what_goes_wrong_behind_the_home_comes_back(city: City) -> None:
    for route, status in (("Bank.refuse", 402), ("Bank.nothing", 404)):
        answer = await city.client.request("Till.ask", route)
        assert answer.status == status


async def test_who_is_called_can_push_to_the_client(city: City) -> None:
    city.bind("Bank", ONE)
    assert (await city.client.request("Till.ask", "Bank.push")).status == 500  # None
    assert city.client.pushes == [("onBank", "x")]


async def test_notifies_of_a_backend_arrive_in_order_and_one_after_the_other(
    city: City,
) -> None:
    city.bind("Bank", TWO)
    assert (await city.client.request("Till.tell", "Bank.tell")).value
    told = city.banks[TWO].told
    await until(lambda: len(told) == 6)
    assert told == [(word, number) for number in range(3) for word in ("begin", "end")]


async def test_a_notify_that_the_home_cannot_pass_on_is_counted_there(
    city: City,
) -> None:
    assert (await city.client.request("Till.tell", "Bank.nothing")).value
    await until(lambda: city.gate.metrics.dropped["notify", "404"] == 3)


async def test_a_session_that_has_not_begun_is_not_made_known(city: City) -> None:
    guest = Client(city.gate.dispatcher).session  # as in a handshake
    with pytest.raises(RequestError, match="has not begun"):
        await city.gate.info.call("Bank.who", session=guest)
    assert guest.mirrors == {}


async def test_mirrors_made_for_a_call_end_with_the_session(city: City) -> None:
    session = city.client.session
    city.bind("Bank", ONE)
    await city.gate.info.call("Bank.who", session=session)
    mirror = city.nodes[ONE].sessions.get(session.id)
    assert mirror is not None
    city.gate.sessions.close(session, "client-closed")
    await until(lambda: mirror.closed)
    with pytest.raises(RequestError, match="has ended"):
        await city.nodes[ONE].info.call("Bank.who", session=mirror)


# ------------------------------------------------------------------------ for clients


async def test_clients_reach_no_internal_handler_of_another_node(city: City) -> None:
    for route in ("Bank.who", "Bank.tell", "Lobby.here"):
        refusal = await city.client.request(route, "x")
        assert refusal.value["msg"] == f"nobody serves '{route}'"
        assert refusal.status == 404
    assert city.gate.metrics.dropped == {("client", "internal-route"): 3}
    assert all(not bank.told for bank in city.banks.values())


async def test_a_backend_looks_again_at_what_a_gate_forwards() -> None:
    network = Network()
    node = Node(network, ONE, Bank(ONE))
    raw = await joined(network, node, hello("10.0.0.9:1"))
    await raw.send(
        pb.Envelope(kind=pb.REQUEST, session=5, id=1, route="Bank.who"),
        pb.Envelope(kind=pb.NOTIFY, session=5, route="Bank.tell"),
        pb.Envelope(kind=pb.REQUEST, session=5, id=2, route="Bank.open"),
    )
    first, second = await raw.next(), await raw.next()
    assert (first.kind, first.id, first.flags) == (pb.RESPONSE, 1, pb.FAILED)
    assert b'"status":404' in first.payload
    assert (second.id, second.flags) == (2, 0)
    assert node.metrics.dropped == {("client", "internal-route"): 2}
    await network.stop()


# ------------------------------------------------------------------------ the link


async def joined(network: Network, node: Node, theirs: pb.Hello) -> Raw:
    """Join *node* as a peer that is spoken by hand."""
    if not theirs.features:
        theirs.features.extend([pb.CALL, pb.RESULT])
    raw = network.raw(node.links)
    await raw.greet(theirs)
    await until(lambda: node.links.get(theirs.address))
    return raw


async def test_a_call_and_its_result_as_they_travel() -> None:
    network = Network()
    node = Node(network, ONE, Bank(ONE))
    raw = await joined(network, node, hello("10.0.0.9:1", ["Inn.stay"], ["Inn.tip"]))
    node.info.notify("Inn.tip", 1)
    calling = asyncio.create_task(node.info.call("Inn.stay", [1]))
    notify, call = await raw.next(), await raw.next()
    assert (notify.kind, notify.id, notify.route) == (pb.CALL, 0, "Inn.tip")
    assert (call.kind, call.session, call.payload) == (pb.CALL, 0, b"[1]")
    await raw.send(pb.Envelope(kind=pb.RESULT, id=call.id, payload=b"2"))
    assert await calling == 2
    await raw.send(
        pb.Envelope(kind=pb.CALL, id=7, route="Bank.who", payload=b"1"),
        pb.Envelope(kind=pb.CALL, id=8, route="Bank.who", session=12345),
        pb.Envelope(kind=pb.CALL, id=0, route="Bank.who", session=12345),
        pb.Envelope(kind=pb.CALL, id=9, route="Bank.nothing"),
    )
    results = [await raw.next() for _ in range(3)]
    assert [(it.kind, it.id, it.flags) for it in results] == [
        (pb.RESULT, 7, 0),
        (pb.RESULT, 8, pb.FAILED),
        (pb.RESULT, 9, pb.FAILED),
    ]
    assert b"the session has ended" in results[1].payload
    assert b'"status":404' in results[2].payload
    assert node.metrics.dropped == {("notify", "404"): 1}
    await network.stop()


async def test_results_that_nobody_waits_for_here_are_dropped_and_counted() -> None:
    network = Network()
    node = Node(network, ONE)
    asked = await joined(network, node, hello("10.0.0.9:1", ["Inn.stay"]))
    other = await joined(network, node, hello("10.0.0.8:1"))
    calling = asyncio.create_task(node.info.call("Inn.stay"))
    call = await asked.next()
    await other.send(pb.Envelope(kind=pb.RESULT, id=call.id, payload=b'"a lie"'))
    await until(lambda: node.metrics.dropped == {("call", "stranger"): 1})
    result = pb.Envelope(kind=pb.RESULT, id=call.id, payload=b'"true"')
    await asked.send(result, result)
    assert await calling == "true"
    await until(lambda: node.metrics.dropped["call", "late"] == 1)
    await network.stop()


async def test_a_peer_of_a_version_without_calls_is_not_called() -> None:
    network = Network()
    node = Node(network, ONE)
    theirs = hello("10.0.0.9:1", ["Inn.stay"])
    theirs.features.extend([pb.REQUEST, pb.NOTIFY])
    raw = await joined(network, node, theirs)
    with pytest.raises(RequestError, match="no node serves"):
        await node.info.call("Inn.stay")
    await raw.send(
        pb.Envelope(kind=pb.SESSION, session=5),
        pb.Envelope(kind=pb.PING, id=1),
    )
    assert (await raw.next()).kind == pb.PONG
    mirror = node.sessions.get(5)
    with pytest.raises(RequestError, match="no node serves"):
        await node.info.call("Inn.stay", session=mirror)
    await network.stop()


# -------------------------------------------------------------------- any interleaving


class Hotel:
    """A node that calls, and peers spoken by hand that answer as they like."""

    def __init__(self) -> None:
        self.network = Network()
        self.node = Node(self.network, ONE)
        self.raws: list[Raw] = []
        self.joined = 0
        self.calls: list[asyncio.Task[Any]] = []
        self.open: list[tuple[Raw, pb.Envelope]] = []
        self.answered: list[tuple[Raw, pb.Envelope]] = []

    async def join(self) -> None:
        self.joined += 1
        theirs = hello(f"10.0.1.{self.joined}:1", ["Inn.stay"])
        self.raws.append(await joined(self.network, self.node, theirs))

    async def sync(self, raw: Raw) -> None:
        """Wait until all that *raw* has sent was taken; note what it was asked."""
        await raw.send(pb.Envelope(kind=pb.PING, id=1))
        while (envelope := await raw.next()).kind != pb.PONG:
            if envelope.kind == pb.CALL:
                self.open.append((raw, envelope))

    async def step(self, what: str, number: int) -> None:
        """Let one thing happen."""
        if what == "call":
            token = len(self.calls)
            call = self.node.info.call("Inn.stay", token)
            self.calls.append(asyncio.create_task(call, name=str(token)))
            await asyncio.sleep(0)
        elif what == "answer" and self.open:
            raw, call_ = self.open.pop(number % len(self.open))
            self.answered.append((raw, call_))
            await self.answer(raw, call_)
        elif what == "again" and self.answered:
            await self.answer(*self.answered[number % len(self.answered)])
        elif what == "stranger" and self.open and self.raws[-1] is not self.open[0][0]:
            await self.answer(self.raws[-1], self.open[0][1], b'"a lie"')
        elif what == "cancel" and self.calls:
            self.calls[number % len(self.calls)].cancel()
        elif what == "wait":
            self.network.clock.now += number / 2
            self.node.calls.tick(self.network.clock.now)
        elif what == "lose" and self.raws:
            lost = self.raws.pop(number % len(self.raws))
            links = len(self.node.links.open)
            await lost.stream.close()
            await until(lambda: len(self.node.links.open) < links)
            self.open = [entry for entry in self.open if entry[0] is not lost]
        elif what == "join" and len(self.raws) < 3:
            await self.join()
        for raw in self.raws:
            await self.sync(raw)

    async def answer(
        self, raw: Raw, call: pb.Envelope, payload: bytes | None = None
    ) -> None:
        if raw in self.raws:
            body = call.payload if payload is None else payload
            await raw.send(pb.Envelope(kind=pb.RESULT, id=call.id, payload=body))


THINGS = ["call", "call", "call", "answer", "answer", "again", "stranger", "wait"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([*THINGS, "cancel", "lose", "join"]), st.integers(0, 11)
        ),
        max_size=40,
    )
)
def test_every_call_has_its_own_outcome_and_nothing_stays_open(
    steps: list[tuple[str, int]],
) -> None:
    async def story() -> None:
        hotel = Hotel()
        hotel.node.calls.tick(hotel.network.clock.now)
        await hotel.join()
        for what, number in steps:
            await hotel.step(what, number)
        await hotel.step("wait", 100)
        outcomes = await asyncio.gather(*hotel.calls, return_exceptions=True)
        for token, outcome in enumerate(outcomes):
            if isinstance(outcome, RequestError):
                assert outcome.status in (503, 504)
            elif not isinstance(outcome, asyncio.CancelledError):
                assert outcome == token
        assert b"nano_open_calls 0.0" in hotel.node.metrics.render()
        await hotel.network.stop()

    asyncio.run(story())
