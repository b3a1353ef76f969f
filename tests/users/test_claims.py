"""One session for each uid: of several that claim it, the newest stays."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nano import Session, handler
from nano.cluster import claims as claims_module
from nano.cluster.claims import ClaimLinks
from nano.cluster.pb import link_pb2 as pb
from nano.metrics import Metrics
from nano.node import Role
from nano.runtime.claims import REASON, Claim, Claims
from nano.runtime.component import Component
from nano.runtime.sessions import Sessions
from nano.testing import MemoryClient, MemoryCluster, MemoryNode
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
)
from tests.links.nodes import GATE, OTHER_GATE
from tests.links.nodes import Gate as LinkedGate
from tests.links.peers import Network, hello, until
from tests.runtime.clients import Client, World

WORLD = World()


class PureGate:
    """A gate without links: what it tells waits in queues."""

    def __init__(self, skew: int) -> None:
        self.sessions = Sessions()
        self.metrics = Metrics()
        self.now = 1000.0 + skew
        self.claims = Claims(
            self.sessions, lambda _: True, self.metrics, lambda: self.now
        )
        self.clients: list[Client] = []

    def login(self, uid: str) -> Client:
        client = Client(WORLD.dispatcher)
        self.sessions.add(client.session)
        self.clients.append(client)
        client.session.bind(uid)
        return client

    def sweep(self) -> None:
        """Let those go that were kicked."""
        for client in self.clients:
            if client.kicked:
                self.sessions.close(client.session, "kicked")


class Net:
    """Gates whose claims arrive in order for each pair, and at any time."""

    def __init__(self, gates: int) -> None:
        self.gates = [
            PureGate(100 * (-1) ** number * number) for number in range(gates)
        ]
        self.ways: dict[tuple[int, int], deque[Claim]] = {}
        self.apart: set[tuple[int, int]] = set()
        for one, gate in enumerate(self.gates):
            for other in range(gates):
                if one != other:
                    self.ways[one, other] = deque()
            gate.claims.tell = lambda claim, one=one: self.tell(one, claim)  # type: ignore[misc]

    def tell(self, one: int, claim: Claim) -> None:
        for (source, target), way in self.ways.items():
            if source == one and (source, target) not in self.apart:
                way.append(claim)

    def deliver(self, pair: tuple[int, int]) -> None:
        if self.ways[pair]:
            self.gates[pair[1]].claims.hear(self.ways[pair].popleft())

    def part(self, one: int, other: int) -> None:
        """Lose the link, and what is on it."""
        for pair in ((one, other), (other, one)):
            self.apart.add(pair)
            self.ways[pair].clear()

    def heal(self) -> None:
        for pair in self.apart:
            self.ways[pair].extend(self.gates[pair[0]].claims.all())
        self.apart.clear()

    def settle(self) -> None:
        self.heal()
        while any(self.ways.values()):
            for pair in self.ways:
                self.deliver(pair)
        for gate in self.gates:
            gate.sweep()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["login", "rename", "deliver", "sweep", "part", "heal", "wait"]
        ),
        st.integers(0, 2),
        st.integers(0, 2),
        st.sampled_from(["ann", "bob"]),
    ),
    max_size=40,
)


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_whatever_crosses_one_session_is_left_of_each_uid(
    steps: list[tuple[str, int, int, str]],
) -> None:
    net = Net(3)
    for what, one, other, uid in steps:
        gate = net.gates[one]
        if what == "login":
            gate.login(uid)
        elif what == "rename" and gate.clients and not gate.clients[-1].kicked:
            gate.clients[-1].session.bind(uid)
        elif what == "sweep":
            gate.sweep()
        elif what == "wait":
            gate.now += 1
        elif what == "heal":
            net.heal()
        elif one != other:
            if what == "part":
                net.part(one, other)
            elif what == "deliver":
                net.deliver((one, other))
    bound = {
        it.session.uid for gate in net.gates for it in gate.clients if it.session.uid
    }
    net.settle()
    given_up = any(what == "rename" for what, *_ in steps)  # by whoever was newer
    for uid in bound:
        left = [it for gate in net.gates for it in gate.sessions.uids.of(uid)]
        assert len(left) == 1 or (given_up and not left)
    assert all(it.kicked in ("", REASON) for gate in net.gates for it in gate.clients)


def test_the_newer_login_stays_even_if_its_clock_is_behind() -> None:
    net = Net(2)  # the clock of the second is 100 s behind
    first = net.gates[0].login("ann")
    net.settle()
    second = net.gates[1].login("ann")
    net.settle()
    assert (first.kicked, second.kicked) == (REASON, "")
    third = net.gates[1].login("ann")
    assert (second.kicked, third.kicked) == (REASON, "")
    assert net.gates[1].metrics.dropped == {("session", "signed-in-elsewhere"): 1}


def test_a_uid_that_is_given_up_is_claimed_no_more() -> None:
    net = Net(2)
    first = net.gates[0].login("ann")
    first.session.clear()
    net.settle()
    second = net.gates[1].login("ann")
    net.settle()
    first.session.bind("bob")
    net.settle()
    assert (first.kicked, second.kicked) == ("", "")


# ------------------------------------------------------------------------- on links


class Gate(LinkedGate):
    """A gate that allows one session for each uid."""

    def __init__(self, network: Network, address: str) -> None:
        super().__init__(network, address)
        self.links.hello.role = "gate"
        claims = Claims(self.sessions, lambda _: True, self.metrics, lambda: 1000.0)
        self.claims = claims
        ClaimLinks(claims, self.links)


async def test_all_claims_are_told_when_a_link_opens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claims_module, "CLAIMS_AT_ONCE", 2)
    network = Network()
    gate = Gate(network, GATE)
    for number in range(5):
        gate.client().session.bind(f"u{number}")
    gate.client()  # bound to nobody
    raw = network.raw(gate.links)
    theirs = hello(OTHER_GATE)
    theirs.features.append(pb.SIGNED_IN)
    await raw.greet(theirs)
    told = [await raw.next() for _ in range(3)]
    assert [it.kind for it in told] == [pb.SIGNED_IN] * 3
    assert [len(it.claims) for it in told] == [2, 2, 1]
    assert [it.uid for one in told for it in one.claims] == [
        f"u{number}" for number in range(5)
    ]
    newer = pb.Claim(uid="u3", session=1, stamp=told[2].claims[0].stamp + 1)
    await raw.send(pb.Envelope(kind=pb.SIGNED_IN, claims=[newer]))
    await until(lambda: gate.metrics.dropped["session", "signed-in-elsewhere"] == 1)
    await network.stop()


async def test_a_peer_of_another_version_is_told_nothing() -> None:
    network = Network()
    gate = Gate(network, GATE)
    raw = network.raw(gate.links)
    theirs = hello(OTHER_GATE)
    theirs.features.append(pb.PUSH)
    gate.client().session.bind("ann")
    await raw.greet(theirs)
    await until(lambda: gate.links.get(OTHER_GATE))
    gate.client().session.bind("bob")
    await raw.send(pb.Envelope(kind=pb.PING, id=7))
    assert (await raw.next()).kind == pb.PONG
    await network.stop()


# ------------------------------------------------------------------------- in clusters


class Login(Component):
    """What binds sessions."""

    @handler
    def enter(self, session: Session, name: str) -> str:
        session.bind(name)
        return name


def manifest(one: bool = True) -> NanoCluster:
    return NanoCluster(
        metadata=Metadata(name="demo"),
        spec=Spec(
            settings=Settings(one_session_per_uid=one, resume_seconds=30),
            gates=Gates(
                replicas=2,
                listeners=[Listener(name="tcp", transport="tcp", port=3250)],
            ),
            backends=[Backend(name="login", components=["x:Login"])],
        ),
    )


def cluster(one: bool = True) -> MemoryCluster:
    return MemoryCluster(manifest(one), components={"gate": [], "login": [Login]})


async def entered(nodes: MemoryCluster, gate: int, name: str) -> MemoryClient:
    client = await nodes.connect(gate)
    assert await client.request("Login.enter", name) == name
    return client


async def test_the_newer_login_ends_the_older_one_at_any_gate() -> None:
    async with cluster() as nodes:
        first, bob = await entered(nodes, 0, "ann"), await entered(nodes, 0, "bob")
        second = await entered(nodes, 1, "ann")  # bound by a backend
        await nodes.clock.settle()
        assert (first.closed, bool(second.closed)) == (REASON, False)
        third = await entered(nodes, 1, "ann")  # at the same gate
        await nodes.clock.settle()
        assert second.closed == REASON
        assert await third.request("Login.enter", "ann") == "ann"  # once more
        assert not any(it.closed for it in (third, bob))
        dropped = {"stage": "session", "reason": "signed-in-elsewhere"}
        counts = [
            nodes.count(it, "nano_dropped_total", **dropped) for it in nodes.gates
        ]
        assert counts == [1, 1]


async def test_what_gates_miss_of_each_other_they_make_up_for() -> None:
    async with cluster() as nodes:
        one, other = nodes.gates
        first = await entered(nodes, 0, "ann")
        nodes.line(one, other).freeze()
        await nodes.clock.advance(10)  # the link is given up
        second = await entered(nodes, 1, "ann")
        await nodes.clock.settle()
        assert not any(it.closed for it in (first, second))  # nobody can know
        nodes.line(one, other).thaw()
        await nodes.clock.advance(5)
        assert (first.closed, bool(second.closed)) == (REASON, False)


async def test_a_gate_that_starts_late_hears_of_all_claims() -> None:
    async with cluster() as nodes:
        first = await entered(nodes, 0, "ann")
        await nodes.start(Role.GATE)
        second = await entered(nodes, 2, "ann")
        await nodes.clock.settle()
        assert (first.closed, bool(second.closed)) == (REASON, False)


async def test_several_sessions_are_allowed_unless_said_otherwise() -> None:
    async with cluster(one=False) as nodes:
        first, second = await entered(nodes, 0, "ann"), await entered(nodes, 1, "ann")
        await nodes.clock.settle()
        assert not any(it.closed for it in (first, second))


async def test_a_node_for_tests_has_the_setting_as_well() -> None:
    async with MemoryNode(Login, one_session_per_uid=True) as node:
        first, second = await node.connect(), await node.connect()
        for client in (first, second):
            await client.request("Login.enter", "ann")
        await node.clock.settle()
        assert (first.closed, bool(second.closed)) == (REASON, False)


async def test_a_session_whose_client_is_away_makes_way_as_well() -> None:
    async with cluster() as nodes:
        first = await nodes.connect(0, reconnect=True)
        await first.request("Login.enter", "ann")
        first.line.cut()
        first.line.freeze()
        await entered(nodes, 1, "ann")
        await nodes.clock.settle()
        counts = nodes.count(nodes.gates[0], "nano_sessions", place="home")
        assert counts == 0
        first.line.thaw()
