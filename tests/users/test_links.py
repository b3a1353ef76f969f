"""Questions to gates as they travel: who is asked, who answers, and who does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from nano import NodeInfo, RequestError
from nano.cluster import users as users_module
from nano.cluster.members import Member, MemberState
from nano.cluster.outbox import CAPACITY
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.users import KINDS, UserLinks
from nano.runtime.users import GateAddress, Online, Reached, SessionCounts, Users
from tests.links.nodes import GATE, ONE, OTHER_GATE
from tests.links.nodes import Gate as LinkedGate
from tests.links.peers import Network, Raw, hello, part, until
from tests.runtime.clients import Client

RAW = "10.0.9.9:1"  # a gate that is spoken by hand
PAYLOAD = b'"hello"'


def member(address: str, role: str, state: MemberState = MemberState.ACTIVE) -> Member:
    urls = (f"ws://{address}/nano",) if role == "gate" else ()
    return Member(
        address=address, role=role, link=True, state=state, client_addresses=urls
    )


class Node(LinkedGate):
    """A node with users."""

    def __init__(self, network: Network, address: str, role: str) -> None:
        super().__init__(network, address)
        self.links.hello.role = role
        self.users = Users(self.sessions, self.dispatcher.serializer, self.metrics)
        self.members: dict[str, Member] = {}
        UserLinks(self.users, self.links, lambda: self.members, self.metrics)
        self.info = NodeInfo(address, role, "", "default/demo", users=self.users)

    def named(self, uid: str) -> Client:
        """Return a client of this node that is bound to *uid*."""
        client = self.client()
        client.session.bind(uid)
        return client


class Village:
    """Two gates and a backend."""

    def __init__(self) -> None:
        self.network = Network()
        self.roles = {GATE: "gate", OTHER_GATE: "gate", ONE: "backend"}
        self.nodes = {it: Node(self.network, it, r) for it, r in self.roles.items()}
        self.gate, self.other, self.backend = self.nodes.values()
        for node in self.nodes.values():
            node.members = {it: member(it, role) for it, role in self.roles.items()}

    async def start(self) -> None:
        self.network.introduce()
        nodes = self.nodes.values()
        await until(lambda: all(len(node.links.open) == 2 for node in nodes))

    async def by_hand(
        self, node: Node, features: Iterable[pb.Kind.ValueType] = KINDS
    ) -> Raw:
        """Join *node* as a gate that is spoken by hand."""
        raw = self.network.raw(node.links)
        theirs = hello(RAW)
        theirs.role = "gate"
        theirs.features.extend(sorted({pb.HELLO, *features}))
        await raw.greet(theirs)
        await until(lambda: node.links.get(RAW))
        return raw


@pytest.fixture
async def village() -> AsyncIterator[Village]:
    village = Village()
    await village.start()
    yield village
    await village.network.stop()


async def test_a_push_reaches_a_uid_at_every_gate(village: Village) -> None:
    first, second = village.gate.named("ann"), village.other.named("ann")
    bob, eve = village.other.named("bob"), village.gate.named("eve")
    for node in village.nodes.values():
        reached = await node.info.push(["ann", "dan", "bob", "ann"], "onNews", "hello")
        assert reached == Reached(("ann", "bob"), ("dan",))
    for client in (first, second, bob):
        assert client.pushes == [("onNews", "hello")] * 3
    assert eve.pushes == []
    assert await village.backend.info.push("eve", "onNews", 1) == Reached(("eve",))
    assert await village.backend.info.push(7, "onNews", 1) == Reached((), ("7",))
    assert await village.backend.info.push([], "onNews", 1) == Reached()


async def test_a_push_tells_what_may_become_of_it(village: Village) -> None:
    ann = village.other.named("ann")
    await village.backend.info.push("ann", "onNews", 1, delivery="latest")
    await village.gate.info.push("ann", "onNews", 2, delivery="drop")
    assert ann.deliveries == ["latest", "drop"]


async def test_a_kick_sends_a_uid_away_from_every_gate(village: Village) -> None:
    here, there = village.gate.named("ann"), village.other.named("ann")
    bob = village.gate.named("bob")
    assert await village.backend.info.kick("ann", "enough") == Reached(("ann",))
    assert (here.kicked, there.kicked, bob.kicked) == ("enough", "enough", "")
    assert not here.invited
    await village.gate.info.kick(["bob", "dan"], "come back", reconnect=True)
    assert bob.invited


async def test_who_is_online_and_where(village: Village) -> None:
    info = village.backend.info
    assert not await info.online("ann")
    village.gate.named("ann")
    village.other.named("ann")
    village.other.named("ann")
    ann = await info.online("ann")
    assert ann
    assert ann == Online({GATE: 1, OTHER_GATE: 2})


async def test_mirrors_are_not_counted_and_not_pushed_to(village: Village) -> None:
    ann = village.gate.named("ann")
    state = pb.SessionState(version=1, uid="ann")
    link = village.gate.links.get(OTHER_GATE)
    assert link is not None
    link.send(pb.Envelope(kind=pb.SESSION, session=ann.session.id, state=state))
    await until(lambda: village.other.sessions.get(ann.session.id))
    assert await village.other.info.push("ann", "onNews", 1) == Reached(("ann",))
    assert ann.pushes == [("onNews", 1)]
    counts = await village.other.info.count_sessions()
    assert counts == SessionCounts({GATE: 1, OTHER_GATE: 0})


async def test_how_many_clients_there_are(village: Village) -> None:
    clients = [village.gate.client(), village.gate.client(), village.other.named("x")]
    for node in village.nodes.values():
        counts = await node.info.count_sessions()
        assert counts == SessionCounts({GATE: 2, OTHER_GATE: 1})
        assert counts.total == 3
    village.gate.sessions.close(clients[0].session, "gone")
    assert (await village.backend.info.count_sessions()).total == 2


async def test_gates_that_let_clients_in_are_listed(village: Village) -> None:
    info = village.backend.info
    both = [GateAddress(it, (f"ws://{it}/nano",)) for it in (GATE, OTHER_GATE)]
    assert info.gates() == both
    assert village.gate.info.gates() == both
    village.backend.members[GATE] = member(GATE, "gate", MemberState.DRAINING)
    assert info.gates() == both[1:]
    village.network.cut.add(OTHER_GATE)
    part(village.backend.links, village.network.nodes[OTHER_GATE])
    await until(lambda: village.backend.links.get(OTHER_GATE) is None)
    assert info.gates() == []


# ------------------------------------------------------------ gates that do not answer


async def test_a_gate_that_does_not_answer_is_named(village: Village) -> None:
    raw = await village.by_hand(village.backend)
    village.gate.named("ann")
    info = village.backend.info
    reached = await info.push(["ann", "bob"], "onNews", "hello", timeout=0.05)
    assert reached == Reached(("ann",), ("bob",), (RAW,))
    counts = await info.count_sessions(timeout=0.05)
    assert counts == SessionCounts({GATE: 1, OTHER_GATE: 0}, (RAW,))
    asked = await raw.next()
    assert asked.kind == pb.GATE_QUESTION
    assert (list(asked.ask.uids), asked.ask.push.payload) == (["ann", "bob"], PAYLOAD)
    late = pb.Envelope(kind=pb.GATE_ANSWER, id=asked.id, told=pb.GateAnswer(sessions=1))
    await raw.send(late)
    dropped = village.backend.metrics.dropped
    await until(lambda: dropped["users", "late"] == 1)
    assert dropped["users", "silent"] == 2


async def test_a_question_ends_with_the_link(village: Village) -> None:
    raw = await village.by_hand(village.backend)
    asking = asyncio.create_task(village.backend.info.online("ann"))
    await raw.next()
    await raw.stream.close()
    assert await asking == Online({}, (RAW,))


async def test_an_answer_counts_from_who_was_asked_only(village: Village) -> None:
    raw = await village.by_hand(village.backend)
    asking = asyncio.create_task(village.backend.info.online("ann"))
    asked = await raw.next()
    told = pb.GateAnswer(uids=["ann"], sessions=1)
    liar = village.gate.links.get(ONE)
    assert liar is not None
    lie = pb.GateAnswer(uids=["ann"], sessions=9)
    liar.send(pb.Envelope(kind=pb.GATE_ANSWER, id=asked.id, told=lie))
    await until(lambda: village.backend.metrics.dropped["users", "late"] == 1)
    await raw.send(pb.Envelope(kind=pb.GATE_ANSWER, id=asked.id, told=told))
    assert await asking == Online({RAW: 1})


async def test_gates_that_cannot_be_asked_are_silent_at_once(village: Village) -> None:
    village.backend.members["10.0.9.8:1"] = member("10.0.9.8:1", "gate")  # no link
    await village.by_hand(village.backend, features=[pb.PUSH])  # an older version
    found = await village.backend.info.online("ann", timeout=60)
    assert found == Online({}, ("10.0.9.8:1", RAW))


async def test_a_full_link_takes_no_push_but_a_question(village: Village) -> None:
    raw = await village.by_hand(village.backend)
    link = village.backend.links.get(RAW)
    assert link is not None
    link.message(pb.RESPONSE, 0, 999, "", bytes(CAPACITY))
    info = village.backend.info
    reached = await info.push("ann", "onNews", 1, delivery="drop", timeout=60)
    assert reached == Reached((), ("ann",), (RAW,))
    assert village.backend.metrics.dropped["users", "link-full"] == 1
    asking = asyncio.create_task(info.online("ann"))
    while (asked := await raw.next()).kind != pb.GATE_QUESTION:
        pass
    told = pb.GateAnswer(uids=["ann"], sessions=2)
    await raw.send(pb.Envelope(kind=pb.GATE_ANSWER, id=asked.id, told=told))
    assert await asking == Online({RAW: 2})


# ----------------------------------------------------------------------------- bounds


async def test_open_questions_are_bounded_and_freed(
    village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users_module, "MOST_OPEN", 4)
    raw = await village.by_hand(village.backend)
    info = village.backend.info
    asking = asyncio.create_task(info.online("ann"))
    await raw.next()
    await until(lambda: b"nano_open_questions 1.0" in village.backend.metrics.render())
    asking2 = asyncio.create_task(info.online("ann"))
    await raw.next()
    with pytest.raises(RequestError, match="too many") as refused:
        await info.online("ann")
    assert refused.value.status == 503
    for task in (asking, asking2):
        task.cancel()
    await asyncio.gather(asking, asking2, return_exceptions=True)
    assert b"nano_open_questions 0.0" in village.backend.metrics.render()
    assert (await info.online("ann", timeout=0.05)).silent == (RAW,)


async def test_everybody_is_pushed_to_bound_or_not(village: Village) -> None:
    here, there = village.gate.named("ann"), village.other.client()
    for node in village.nodes.values():
        counts = await node.users.push_to_all("onNews", "hello", "drop", 5.0)
        assert counts == SessionCounts({GATE: 1, OTHER_GATE: 1})
    for client in (here, there):
        assert client.pushes == [("onNews", "hello")] * 3
        assert client.deliveries == ["drop"] * 3


async def test_a_question_about_nobody_pushes_to_nobody(village: Village) -> None:
    ann = village.other.named("ann")
    assert await village.backend.info.push([], "onNews", 1) == Reached()
    assert ann.pushes == []
