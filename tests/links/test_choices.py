"""Who is chosen for a session, and what every node knows of it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from nano import Candidate, Component, RequestError, Session, handler
from nano.cluster.bindings import Bindings
from nano.cluster.gonodes import GoNodes
from nano.cluster.members import Member, MemberState
from nano.runtime.policies import Policies
from nano.runtime.strategies import Hash, LeastLoaded, RoundRobin
from tests.cluster.gonodes import Played
from tests.runtime.clients import Client

from .nodes import GATE, ONE, OTHER_GATE, TWO, Gate, Lobby, Node, Story
from .peers import until

BANK = "10.0.0.5:1"
GO = "10.0.0.6:1"
TILLS = ("10.0.0.7:1", "10.0.0.8:1")


class Bank(Component):
    """What a third backend serves."""

    @handler
    def where(self, session: Session, _: Any) -> str:
        return self.node.name


class Till(Component):
    """What nodes ask without a session."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    @handler(internal=True)
    def who(self, _: None) -> str:
        return self.node.name

    @handler(internal=True)
    async def wait(self, _: None) -> str:
        await self.free.wait()
        return self.node.name


async def open_tills(story: Story) -> list[Till]:
    """Have two more backends."""
    tills = [Till(), Till()]
    for address, till in zip(TILLS, tills, strict=True):
        Node(story.network, address, till)
    story.network.introduce()
    await until(lambda: len(story.gate.links.open) == 4)
    return tills


def policies(node: Node) -> Policies:
    return node.sessions.routing.policies


async def spread(gate: Gate, number: int) -> Counter[str]:
    """Have new clients ask once; return how many are bound to whom."""
    clients = [gate.client() for _ in range(number)]
    answers = [await client.request("Shop.who") for client in clients]
    return Counter(str(answer.value) for answer in answers)


def drain(gate: Gate, address: str) -> None:
    """Have the master say that a member leaves."""
    gate.links.add(
        Member(
            address=address,
            role="backend",
            incarnation=1,
            link=True,
            state=MemberState.DRAINING,
        )
    )


def silence(gate: Gate, address: str) -> None:
    link = gate.links.get(address)
    assert link is not None
    link.suspect = True


# ------------------------------------------------------------------- strategies


async def test_in_turn_each_member_gets_as_many_sessions(story: Story) -> None:
    policies(story.gate).add("Shop", RoundRobin())
    assert await spread(story.gate, 10) == {ONE: 5, TWO: 5}


async def test_by_load_sessions_go_where_others_have_ended(story: Story) -> None:
    gate = story.gate
    policies(gate).add("Shop", LeastLoaded())
    assert await spread(gate, 10) == {ONE: 5, TWO: 5}
    for session in gate.sessions:
        if session.bindings.get("Shop") == ONE:
            gate.sessions.close(session, "left")
    assert await spread(gate, 5) == {ONE: 5}
    assert await spread(gate, 2) == {ONE: 1, TWO: 1}


async def test_by_load_bindings_of_handlers_count_and_those_of_the_dead_do_not(
    story: Story,
) -> None:
    gate = story.gate
    policies(gate).add("Shop", LeastLoaded())
    unserved = [gate.client().session for _ in range(4)]
    for session in unserved:
        session.router.bind("Shop", TWO)
    assert await spread(gate, 4) == {ONE: 4}
    tally = policies(gate).tally
    assert [tally.number("Shop", it) for it in (ONE, TWO)] == [4, 4]
    unserved[0].router.bind("Shop", ONE)
    unserved[1].router.unbind("Shop")
    assert [tally.number("Shop", it) for it in (ONE, TWO)] == [5, 2]
    await story.lose(ONE)
    assert [tally.number("Shop", it) for it in (ONE, TWO)] == [0, 2]
    unserved[1].bindings["Shop"] = TWO  # by whoever says nothing
    routing = gate.sessions.routing
    assert isinstance(routing, Bindings)
    routing.tick(story.network.clock.now)
    assert [tally.number("Shop", it) for it in (ONE, TWO)] == [0, 3]


async def test_by_hash_all_gates_choose_alike_and_a_binding_stays(
    story: Story,
) -> None:
    other = Gate(story.network, OTHER_GATE, Lobby())
    story.network.introduce()
    await until(lambda: len(other.links.open) == 3)
    chosen: dict[str, set[str]] = {}
    for gate in (story.gate, other):
        policies(gate).add("Shop", Hash())
        for number in range(20):
            client = gate.client()
            client.session.bind(f"user-{number}")
            bound = chosen.setdefault(client.session.uid, set())
            bound.add(await story.bound(client))
            client.session.bind("somebody else")
            bound.add(await story.bound(client))
    assert all(len(bound) == 1 for bound in chosen.values())
    assert set.union(*chosen.values()) == {ONE, TWO}
    await other.dispatcher.stop()


async def test_by_hash_of_a_room_its_guests_meet(story: Story) -> None:
    policies(story.gate).add("Shop", Hash("room"))
    rooms: dict[int, set[str]] = {}
    for number in range(40):
        client = story.gate.client()
        client.session.set("room", number % 10)
        rooms.setdefault(number % 10, set()).add(await story.bound(client))
    assert all(len(members) == 1 for members in rooms.values())
    assert set.union(*rooms.values()) == {ONE, TWO}


# -------------------------------------------------------------------- functions


async def test_a_function_chooses_once_for_each_session(story: Story) -> None:
    asked: list[tuple[str, tuple[Candidate, ...]]] = []

    def route(session: Session, members: Sequence[Candidate]) -> Candidate:
        asked.append((session.uid, tuple(members)))
        return next(it for it in members if it.address == TWO)

    policies(story.gate).route("Shop", route)
    for uid in ("ann", "bob"):
        client = story.gate.client()
        client.session.bind(uid)
        for _ in range(3):
            assert await story.bound(client) == TWO
    assert [uid for uid, _ in asked] == ["ann", "bob"]
    loads = {it.address: it.load for it in asked[1][1]}
    assert loads == {ONE: 0, TWO: 1}
    assert {it.kind for it in asked[0][1]} == {"backend"}


@pytest.mark.parametrize(
    ("result", "status", "reason"),
    [
        (None, 503, "function-chose-nobody"),
        ("10.0.0.2:1", 500, "function-wrong"),
        (Candidate("10.0.0.77:1"), 500, "function-wrong"),
        (ValueError("no"), 500, "function-failed"),
        (asyncio.CancelledError(), 500, "function-failed"),
        (RequestError(403, "not for you"), 403, "function-refused"),
    ],
)
async def test_a_function_that_fails_is_an_answer_and_the_next_message_asks_again(
    story: Story, result: Any, status: int, reason: str
) -> None:
    results = [result, result]

    def route(session: Session, members: Sequence[Candidate]) -> Any:
        outcome = results.pop() if results else members[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    gate = story.gate
    policies(gate).route("Shop", route)
    assert (await story.client.request("Shop.who")).status == status
    assert story.client.session.router.find("Shop") is None
    story.client.notify("Shop.who")
    assert gate.metrics.dropped["route", reason] == 2
    assert await story.bound(story.client) in {ONE, TWO}


async def test_a_function_that_fails_fails_a_call(
    story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    def route(session: Session, members: Sequence[Candidate]) -> Candidate:
        raise ValueError("no")

    policies(story.gate).route("Shop", route)
    session = story.client.session
    with pytest.raises(RequestError, match="internal error") as caught:
        await story.gate.info.call("Shop.who", session=session)
    assert caught.value.status == 500
    assert logging.ERROR in {level for _, level, _ in caplog.record_tuples}


# ---------------------------------------------------------- who is not chosen


async def test_nobody_is_bound_to_a_member_that_leaves(story: Story) -> None:
    gate = story.gate
    drain(gate, ONE)
    assert await spread(gate, 20) == {TWO: 20}
    for _ in range(20):
        session = gate.client().session
        assert await gate.info.call("Shop.who", session=session) == TWO
    drain(gate, TWO)  # then there is nobody else
    assert set(await spread(gate, 40)) == {ONE, TWO}


@pytest.mark.parametrize("strategy", [RoundRobin(), LeastLoaded(), Hash()])
async def test_no_strategy_chooses_who_is_silent_or_leaves(
    story: Story, strategy: Any
) -> None:
    gate = story.gate
    policies(gate).add("Shop", strategy)
    silence(gate, ONE)
    assert await spread(gate, 10) == {TWO: 10}
    drain(gate, TWO)  # it still answers, and the other may not
    assert await spread(gate, 10) == {TWO: 10}
    drain(gate, ONE)
    silence(gate, TWO)  # both at once: no reason to prefer one
    assert sum((await spread(gate, 10)).values()) == 10


async def test_a_function_is_shown_only_who_is_fit(story: Story) -> None:
    shown: list[list[tuple[str, bool, bool]]] = []

    def route(session: Session, members: Sequence[Candidate]) -> Candidate:
        shown.append([(it.address, it.suspect, it.draining) for it in members])
        return members[0]

    policies(story.gate).route("Shop", route)
    drain(story.gate, ONE)
    await story.bound(story.client)
    drain(story.gate, TWO)
    await story.bound(story.gate.client())
    assert shown[0] == [(TWO, False, False)]
    assert sorted(shown[1]) == [(ONE, False, True), (TWO, False, True)]


async def test_who_leaves_is_not_chosen_when_its_link_is_made_anew(
    story: Story,
) -> None:
    drain(story.gate, ONE)
    link = story.gate.links.get(ONE)
    assert link is not None
    link.end("for once")
    await until(lambda: story.gate.links.get(ONE) not in (None, link))
    assert await spread(story.gate, 10) == {TWO: 10}


# ------------------------------------------------------------------------ calls


async def test_calls_without_a_session_take_turns(story: Story) -> None:
    await open_tills(story)
    policies(story.gate).add("Till", RoundRobin())
    called = [await story.gate.info.call("Till.who") for _ in range(4)]
    assert called == [*TILLS, *TILLS]


async def test_calls_without_a_session_go_to_who_has_the_fewest_in_hand(
    story: Story,
) -> None:
    tills, gate = await open_tills(story), story.gate
    policies(gate).add("Till", LeastLoaded())
    waiting = [asyncio.create_task(gate.info.call("Till.wait")) for _ in range(6)]
    links = [gate.links.get(address) for address in TILLS]
    await until(lambda: sum(gate.calls.open_at(link) for link in links) == 6)
    assert [gate.calls.open_at(link) for link in links] == [3, 3]
    for till in tills:
        till.free.set()
    first, second = TILLS
    assert Counter(await asyncio.gather(*waiting)) == {first: 3, second: 3}


async def test_no_call_goes_to_who_leaves_and_no_function_is_asked_for_it(
    story: Story,
) -> None:
    await open_tills(story)
    gate, (first, second) = story.gate, TILLS
    policies(gate).route("Till", lambda session, members: None)
    drain(gate, first)
    for _ in range(20):
        assert await gate.info.call("Till.who") == second
        assert await gate.info.call("Till.who", kind="backend") == second


# --------------------------------------------------------------------- bindings


async def test_bindings_are_the_same_for_every_node(story: Story) -> None:
    bank = Bank()
    node = Node(story.network, BANK, bank)
    story.network.introduce()
    await until(lambda: len(story.gate.links.open) == 3)
    await until(lambda: len(node.links.open) == 3)
    client, home = story.client, story.client.session.router
    shop = await story.bound(client)
    mirror = story.mirror(shop, client)
    assert mirror is not None
    assert mirror.router.find("Bank") is None
    assert (await client.request("Bank.where")).value == BANK  # the gate chooses
    await story.bound(client)
    assert mirror.router.find("Bank") == BANK == home.find("Bank")
    (far,) = node.sessions
    assert far.router.find("Shop") == shop
    (other,) = {ONE, TWO} - {shop}
    far.router.bind("Shop", other)  # a backend does
    await until(lambda: home.find("Shop") == other)
    assert await story.bound(client) == other
    there = story.mirror(other, client)
    assert there is not None
    assert there.router.find("Shop") == other
    assert there.router.find("Bank") == BANK
    await client.request("Bank.where")
    assert far.router.find("Shop") == other


async def test_bindings_to_who_is_gone_dissolve_for_every_node(story: Story) -> None:
    node = Node(story.network, BANK, Bank())
    story.network.introduce()
    await until(lambda: len(story.gate.links.open) == 3)
    client = story.client
    await client.request("Bank.where")
    shop = await story.bound(client)
    mirror = story.mirror(shop, client)
    assert mirror is not None
    assert mirror.router.find("Bank") == BANK
    story.gate.links.remove(Member(address=BANK, role="backend", incarnation=1))
    node.links.remove(Member(address=GATE, role="gate", incarnation=1))
    link = story.gate.links.get(BANK)
    assert link is not None
    link.end("dead")
    await until(lambda: client.session.router.find("Bank") is None)
    await story.bound(client)
    assert mirror.router.find("Bank") is None


# --------------------------------------------------------------------- Go nodes


def join(gate: Gate, address: str, *services: str) -> Played:
    """Have a Go node be a member beside ours."""
    played = Played(address, *services)
    go = GoNodes(
        gate.dispatcher,
        gate.calls,
        gate.sessions,
        way=lambda _: played,
        address=lambda: GATE,
        links=lambda: gate.links,
        lenient=lambda: False,
        time=lambda: 0.0,
        trusted=False,
    )
    go.add(Member(address=address, services=services))
    gate.forwarder.go = go.backends
    return played


async def asked(gate: Gate, number: int) -> Counter[str | None]:
    """Have new clients send one notify; return how many are bound to whom."""
    clients: list[Client] = [gate.client() for _ in range(number)]
    for client in clients:
        client.notify("Shop.who")
    return Counter(client.session.router.find("Shop") for client in clients)


async def test_go_nodes_are_chosen_as_ours_are(story: Story) -> None:
    gate = story.gate
    join(gate, GO, "Shop")
    policies(gate).add("Shop", LeastLoaded())
    assert await asked(gate, 9) == {ONE: 3, TWO: 3, GO: 3}


async def test_a_function_sees_go_nodes(story: Story) -> None:
    gate = story.gate
    join(gate, GO, "Shop", "Till")
    seen: list[Candidate] = []

    def route(session: Session, members: Sequence[Candidate]) -> Candidate | None:
        seen.extend(members)
        return next((it for it in members if not it.kind), None)

    policies(gate).route("Shop", route)
    policies(gate).route("Till", lambda session, members: None)
    assert await asked(gate, 3) == {GO: 3}
    assert [it.address for it in seen[:3]] == [ONE, TWO, GO]
    assert (await gate.client().request("Till.open")).status == 503  # Go's alone
    assert gate.metrics.dropped["route", "function-chose-nobody"] == 1
