"""Calls for one member, for a kind of them, and for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nano import Component, RequestError, Session, handler
from nano.cluster.pb import link_pb2 as pb
from nano.errors import UsageError
from nano.protocol.packets import LARGEST_BODY
from nano.runtime import calls as calls_module
from nano.runtime.target import Replies

from .nodes import GATE, Gate, Node
from .peers import Network, hello, member, until
from .test_calls import ONE, SHOP, TWO, Bank, Lobby, joined

KINDS = {ONE: "bank", TWO: "bank", SHOP: "shop"}


class Till(Component):
    """What asks for its clients, from a backend that is a bank, too."""

    @handler
    async def ask(self, session: Session, member: str) -> Any:
        return await self.node.call("Bank.who", "x", session=session, member=member)

    @handler
    async def ask_kind(self, session: Session, kind: str) -> Any:
        return await self.node.call("Bank.who", "x", session=session, kind=kind)

    @handler
    async def ask_all(self, session: Session, route: str) -> dict[str, Any]:
        replies = await self.node.call_all(route, "x", session=session)
        failures = {it: error.status for it, error in replies.failures.items()}
        return {"results": replies.results, "failures": failures}

    @handler
    def tell(self, session: Session, member: str) -> bool:
        for number in range(3):
            self.node.notify("Bank.tell", number, session=session, member=member)
        return True


class Town:
    """A gate, two banks, and a shop that is a bank as well."""

    def __init__(self) -> None:
        self.network = Network()
        self.banks = {address: Bank(address) for address in KINDS}
        self.gate = Gate(self.network, GATE, Lobby())
        self.gate.links.hello.role = "gate"
        self.nodes = {}
        for address, kind in KINDS.items():
            extra = [Till()] if kind == "shop" else []
            node = Node(self.network, address, self.banks[address], *extra)
            node.links.hello.backend = kind
            self.nodes[address] = node
        self.client = self.gate.client()
        self.client.session.bind("ann")

    @property
    def all(self) -> list[Node]:
        return [self.gate, *self.nodes.values()]

    async def start(self) -> None:
        self.network.introduce()
        await until(lambda: all(len(node.links.open) == 3 for node in self.all))

    async def stop(self) -> None:
        for node in self.all:
            await node.dispatcher.stop()
        await self.network.stop()

    async def lose(self, address: str) -> None:
        """End the gate's link with *address*, which stays a member."""
        self.network.cut.add(address)
        link = self.gate.links.get(address)
        assert link is not None
        link.end("lost")
        await until(lambda: self.gate.links.get(address) is None)


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    town = Town()
    await town.start()
    yield town
    await town.stop()
    assert not any(node.calls._open or node.calls._at for node in town.all)


# ------------------------------------------------------------------------ one member


async def test_a_call_reaches_the_member_that_is_meant(town: Town) -> None:
    for address in KINDS:
        for caller in (town.gate, *town.nodes.values()):
            asked = await caller.info.call("Bank.who", member=address)
            assert asked == [address, "nobody"]


async def test_a_call_to_ones_own_address_takes_the_short_way(town: Town) -> None:
    node = town.nodes[ONE]
    before = {key: it.envelopes_out for key, it in node.metrics.peers.items()}
    assert await node.info.call("Bank.who", member=ONE) == [ONE, "nobody"]
    with pytest.raises(RequestError, match="no money") as refused:
        await node.info.call("Bank.refuse", member=ONE)
    assert (refused.value.status, refused.value.code) == (402, "SHOP-1")
    with pytest.raises(RequestError) as huge:  # encoded, though it does not travel
        await node.info.call("Bank.huge", LARGEST_BODY + 1, member=ONE)
    assert huge.value.status == 500
    waiting = asyncio.create_task(node.info.call("Bank.wait", member=ONE, timeout=0.1))
    await until(lambda: node.dispatcher.tasks)
    node.calls.tick(town.network.clock.now)
    with pytest.raises(RequestError) as late:
        await waiting
    assert late.value.status == 504
    after = {key: it.envelopes_out for key, it in node.metrics.peers.items()}
    assert after == before


@pytest.mark.parametrize(
    ("route", "member", "status"),
    [
        ("Bank.nothing", ONE, 404),  # it is there, and serves something else
        ("Bank.nothing", GATE, 404),  # this node itself
        ("Bank.who", "10.0.0.77:1", 503),  # nobody knows it
    ],
)
async def test_a_member_that_cannot_be_asked_is_an_error(
    town: Town, route: str, member: str, status: int
) -> None:
    with pytest.raises(RequestError) as refused:
        await town.gate.info.call(route, member=member)
    assert refused.value.status == status


async def test_a_member_that_goes_away_is_a_503_at_once(town: Town) -> None:
    waiting = asyncio.create_task(town.gate.info.call("Bank.wait", member=TWO))
    await until(lambda: town.nodes[TWO].dispatcher.tasks)
    await town.lose(TWO)
    with pytest.raises(RequestError, match="went away") as lost:
        await waiting
    assert lost.value.status == 503


async def test_a_call_for_a_session_reaches_a_member_it_is_not_bound_to(
    town: Town,
) -> None:
    session = town.client.session
    session.router.bind("Bank", ONE)
    for address in KINDS:
        call = town.gate.info.call("Bank.who", session=session, member=address)
        assert await call == [address, "ann"]
    assert session.router.find("Bank") == ONE


async def test_a_backends_call_for_a_session_is_passed_on_by_its_home(
    town: Town,
) -> None:
    session = town.client.session
    session.router.bind("Bank", ONE)
    for address in KINDS:
        answer = await town.client.request("Till.ask", address)
        assert answer.value == [address, "ann"]
    assert session.router.find("Bank") == ONE
    refused = await town.client.request("Till.ask", "10.0.0.77:1")
    assert refused.status == 503
    town.gate.sessions.close(session, "client-closed")
    mirrors = [node.sessions.get(session.id) for node in town.nodes.values()]
    await until(lambda: all(mirror is None or mirror.closed for mirror in mirrors))


async def test_notifies_to_a_member_keep_their_order(town: Town) -> None:
    town.client.session.router.bind("Bank", ONE)
    assert (await town.client.request("Till.tell", TWO)).value is True
    told = town.banks[TWO].told
    await until(lambda: len(told) == 6)
    assert told == [(word, number) for number in range(3) for word in ("begin", "end")]
    assert not town.banks[ONE].told


async def test_a_gate_that_passes_no_such_call_on_is_named_in_the_error(
    town: Town,
) -> None:
    shop = town.nodes[SHOP]
    mirror = town.client.session
    await town.gate.info.call("Bank.who", session=mirror, member=SHOP)
    there = shop.sessions.get(mirror.id)
    link = shop.links.get(GATE)
    assert there is not None
    assert link is not None
    link.peer.features.remove(pb.CALL_TO)
    with pytest.raises(RequestError, match="of a version") as refused:
        await shop.info.call("Bank.who", session=there, member=ONE)
    assert refused.value.status == 503


async def test_a_peer_of_a_version_without_calls_is_a_clear_error(town: Town) -> None:
    theirs = hello("10.0.9.9:1", ["Bank.who"])
    theirs.features.extend([pb.REQUEST])
    await joined(town.network, town.gate, theirs)
    with pytest.raises(RequestError, match="takes no calls") as refused:
        await town.gate.info.call("Bank.who", member="10.0.9.9:1")
    assert refused.value.status == 503


async def test_a_session_of_which_the_gate_knows_nothing_is_refused(town: Town) -> None:
    raw = await joined(town.network, town.gate, hello("10.0.9.9:1"))
    await raw.send(
        pb.Envelope(kind=pb.CALL_TO, session=5, id=7, route="Bank.who", member=ONE),
        pb.Envelope(kind=pb.CALL_TO, session=5, route="Bank.who", member=ONE),
    )
    result = await raw.next()
    assert (result.kind, result.id, result.flags) == (pb.RESULT, 7, pb.FAILED)
    assert b"the session has ended" in result.payload
    await until(lambda: town.gate.metrics.dropped["notify", "404"] == 1)


# ---------------------------------------------------------------------- a kind of them


async def test_a_call_reaches_any_member_of_a_kind(town: Town) -> None:
    info = town.gate.info
    banks = {(await info.call("Bank.who", kind="bank"))[0] for _ in range(60)}
    assert banks == {ONE, TWO}
    assert (await info.call("Bank.who", kind="shop"))[0] == SHOP
    assert await town.nodes[ONE].info.call("Lobby.here", kind="gate") == "the gate"
    shop = town.nodes[SHOP].info  # serves it itself, but is no bank
    assert (await shop.call("Bank.who", kind="bank"))[0] in (ONE, TWO)
    assert (await shop.call("Bank.who", kind="shop"))[0] == SHOP


async def test_of_a_kind_the_member_that_the_session_is_bound_to_is_asked(
    town: Town,
) -> None:
    session = town.client.session
    for bank in (ONE, TWO, SHOP):
        session.router.bind("Bank", bank)
        await until(lambda: not town.gate.mover.find(session, "Bank"))
        for kind in ("bank", "shop"):
            answer = await town.client.request("Till.ask_kind", kind)
            expected = {bank} if KINDS[bank] == kind else set(KINDS)
            assert answer.value[0] in expected
            assert KINDS[answer.value[0]] == kind
            assert answer.value[1] == "ann"


async def test_a_kind_that_cannot_be_asked_is_an_error(town: Town) -> None:
    for kind, route, status in (
        ("bank", "Lobby.here", 404),  # it is there, and serves something else
        ("bank", "Bank.nothing", 404),
        ("inn", "Bank.who", 503),  # there is none, now
        ("inn", "Bank.nothing", 404),
    ):
        with pytest.raises(RequestError) as refused:
            await town.gate.info.call(route, kind=kind)
        assert refused.value.status == status


@pytest.mark.parametrize(
    ("meant", "complaint"),
    [
        ({"member": ONE, "kind": "bank"}, "leave one out"),
        ({"member": ""}, "neither is empty"),
        ({"kind": ""}, "neither is empty"),
    ],
)
async def test_who_is_meant_is_said_once(
    town: Town, meant: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        await town.gate.info.call("Bank.who", **meant)
    with pytest.raises(UsageError, match=complaint):
        town.gate.info.notify("Bank.who", **meant)


# ------------------------------------------------------------------------ all of them


async def test_a_call_to_all_brings_each_members_result(town: Town) -> None:
    everyone = {address: [address, "nobody"] for address in KINDS}
    for caller in (town.gate, *town.nodes.values()):
        assert await caller.info.call_all("Bank.who") == Replies(everyone)
        banks = await caller.info.call_all("Bank.who", kind="bank")
        assert set(banks.results) == {ONE, TWO}
    assert await town.gate.info.call_all("Bank.who", kind="inn") == Replies()


async def test_a_call_to_all_for_a_session_gives_it_to_all(town: Town) -> None:
    answer = await town.client.request("Till.ask_all", "Bank.who")
    everyone = {address: [address, "ann"] for address in KINDS}
    assert answer.value == {"results": everyone, "failures": {}}


async def test_failures_are_named_by_member(town: Town) -> None:
    town.banks[ONE].free.set()
    asking = asyncio.create_task(
        town.gate.info.call_all("Bank.wait", timeout=1.0, wanted=str)
    )
    await until(lambda: all(town.nodes[it].dispatcher.tasks for it in (TWO, SHOP)))
    await town.lose(SHOP)
    town.gate.calls.tick(town.network.clock.now + 2.0)
    replies = await asking
    assert replies.results == {ONE: ONE}
    statuses = {it: error.status for it, error in replies.failures.items()}
    assert statuses == {TWO: 504, SHOP: 503}
    assert town.gate.metrics.calls == {
        ("out", "ok"): 1,
        ("out", "503"): 1,
        ("out", "504"): 1,
    }


async def test_a_member_out_of_reach_has_failed_until_it_is_none_any_more(
    town: Town,
) -> None:
    await town.lose(TWO)
    replies = await town.gate.info.call_all("Bank.who")
    assert {it: e.status for it, e in replies.failures.items()} == {TWO: 503}
    town.gate.links.remove(member(TWO))
    replies = await town.gate.info.call_all("Bank.who")
    assert (set(replies.results), replies.failures) == ({ONE, SHOP}, {})


async def test_a_call_of_all_to_what_nobody_knows_is_a_404(town: Town) -> None:
    with pytest.raises(RequestError) as refused:
        await town.gate.info.call_all("Bank.nothing")
    assert refused.value.status == 404
    town.gate.info.notify_all("Bank.nothing")
    assert town.gate.metrics.dropped["notify", "404"] == 1


async def test_a_result_of_another_type_is_a_failure(town: Town) -> None:
    replies = await town.gate.info.call_all("Bank.who", wanted=int)
    assert {it: e.status for it, e in replies.failures.items()} == dict.fromkeys(
        KINDS, 500
    )


async def test_a_notify_to_all_reaches_all(town: Town) -> None:
    town.nodes[SHOP].info.notify_all("Bank.tell", "news")
    for bank in town.banks.values():
        await until(lambda bank=bank: ("end", "news") in bank.told)  # type: ignore[misc]
    town.gate.info.notify_all("Bank.tell", "sale", kind="shop")
    told = town.banks[SHOP].told
    await until(lambda: ("end", "sale") in told)
    assert ("begin", "sale") not in town.banks[ONE].told


# ----------------------------------------------------------------------------- bounds


async def test_a_peer_that_is_stuck_takes_its_share_of_the_table_only(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nano.cluster.calls.MOST_AT_ONE", 3)
    info = town.gate.info
    stuck = [
        asyncio.create_task(info.call("Bank.wait", member=TWO, timeout=9))
        for _ in range(3)
    ]
    await until(lambda: len(town.nodes[TWO].dispatcher.tasks) == 3)
    with pytest.raises(RequestError, match="overloaded") as refused:
        await info.call("Bank.who", member=TWO)
    assert refused.value.status == 503
    assert town.gate.metrics.dropped["call", "too-many"] == 1
    assert await info.call("Bank.who", member=ONE) == [ONE, "nobody"]
    stuck.pop().cancel()  # frees its slot
    await asyncio.sleep(0)
    assert await info.call("Bank.who", member=TWO) == [TWO, "nobody"]
    town.banks[TWO].free.set()
    assert await asyncio.gather(*stuck) == [TWO, TWO]
    assert calls_module.MOST_AT_ONE < calls_module.MOST_OPEN


async def test_a_cancelled_call_to_all_leaves_nothing_behind(town: Town) -> None:
    asking = asyncio.create_task(town.gate.info.call_all("Bank.wait"))
    await until(lambda: all(node.dispatcher.tasks for node in town.nodes.values()))
    assert len(town.gate.calls._open) == 3
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not town.gate.calls._open
    for bank in town.banks.values():
        bank.free.set()
    await until(lambda: town.gate.metrics.dropped["call", "late"] == 3)
