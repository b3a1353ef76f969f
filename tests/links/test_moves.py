"""Sessions that move between backends: what is kept, what waits, what goes wrong."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any, cast

import pytest

from nano import Component, Session, handler
from nano.cluster.link import Link
from nano.cluster.moves import (
    HOLD_AT,
    LONGEST,
    MOST_PARKED,
    TRANSITIONS,
    Move,
    MoveEvent,
    MoveState,
)
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.routes import RemoteRoute
from nano.errors import ClusterError, RequestError, UsageError
from nano.protocol.messages import NOTIFY, Message
from nano.runtime.component import collect_handlers
from nano.runtime.handovers import LARGEST_STATE
from nano.runtime.session import Session as AnySession

from .nodes import GATE, ONE, TWO, Gate, Node
from .peers import Network, part, until


class Desk(Component):
    """Counts for each session, and hands its count over."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.counts: dict[int, int] = {}
        self.seen: list[int] = []
        self.promises: list[Any] = []
        self.ends: list[str] = []
        self.free = asyncio.Event()
        self.handing = asyncio.Event()  # handover waits for it
        self.handing.set()
        self.broken: set[str] = set()
        self.given: Any = None  # what handover returns in place of the count

    def session_closed(self, session: Session) -> None:
        self.ends.append(session.closed)

    @handler
    def count(self, session: Session, step: int) -> list[Any]:
        self.counts[session.id] = number = self.counts.get(session.id, 0) + step
        return [self.name, number]

    @handler
    def note(self, session: Session, number: int) -> None:
        self.seen.append(number)
        session.push("onNote", number)

    @handler
    async def slowly(self, session: Session, number: int) -> str:
        await self.free.wait()
        self.seen.append(number)
        return self.name

    @handler
    def later(self, session: Session, payload: None) -> None:
        self.promises.append(session.defer())

    @handler(internal=True)
    def hear(self, session: Session, number: int) -> None:
        self.seen.append(number)

    @handler(internal=True)
    def ask(self, session: Session | None, payload: None) -> str:
        return self.name

    async def handover(self, session: Session) -> bytes:
        await self.handing.wait()
        if "handover" in self.broken:
            raise ValueError("no way out")
        session.set("left", self.name)
        if self.given is not None:
            return cast("bytes", self.given)
        return str(self.counts.pop(session.id, 0)).encode()

    async def takeover(self, session: Session, state: bytes) -> None:
        assert session.data["left"]  # what was stored on the way out has come along
        if "takeover" in self.broken:
            raise ValueError("no way in")
        await asyncio.sleep(0)
        self.counts[session.id] = int(state)


class Office:
    """A gate and two backends with a :class:`Desk` each."""

    def __init__(self) -> None:
        self.network = Network()
        self.desks = {address: Desk(address) for address in (ONE, TWO)}
        self.gate = Gate(self.network, GATE)
        self.backends = {
            address: Node(self.network, address, desk)
            for address, desk in self.desks.items()
        }
        for node in self.backends.values():
            node.sessions.on_closed(self.desks[node.address].session_closed)
        self.client = self.gate.client()
        self.old, self.new = ONE, TWO

    @property
    def session(self) -> AnySession:
        return self.client.session

    def move(self) -> None:
        self.session.router.bind("Desk", self.new)

    @property
    def moving(self) -> bool:
        return self.gate.mover.find(self.session, "Desk") is not None

    def moves(self, outcome: str) -> int:
        return self.gate.metrics.moves[outcome]

    async def ask(self, route: str, payload: object = None) -> Any:
        return (await self.client.request(route, payload)).value

    async def lose(self, address: str) -> None:
        part(self.gate.links, self.backends[address].links)
        await until(lambda: not self.gate.links.get(address))


@pytest.fixture
async def office() -> Any:
    office = Office()
    office.network.introduce()
    await until(lambda: len(office.gate.links.open) == 2)
    await until(lambda: all(node.links.open for node in office.backends.values()))
    old, number = await office.ask("Desk.count", 7)
    assert number == 7
    if old == TWO:
        office.old, office.new = TWO, ONE
    yield office
    for node in (office.gate, *office.backends.values()):
        await node.dispatcher.stop()
    await office.network.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


# ------------------------------------------------------------------------ the table


@pytest.mark.parametrize(
    ("state", "event"), list(itertools.product(MoveState, MoveEvent)), ids=str
)
def test_each_cell_of_the_table(state: MoveState, event: MoveEvent) -> None:
    move = Move(1, cast("AnySession", None), "Desk", cast("Link", None), TWO, 5.0)
    move.state = state
    after = TRANSITIONS.get((state, event))
    if after is None:
        with pytest.raises(ClusterError, match=f"{event.value} of a move that is"):
            move.step(event)
        assert move.state is state
    else:
        assert move.step(event) is after
        assert after is not MoveState.ASKED


def test_a_move_that_is_asked_for_can_end_in_every_way() -> None:
    assert {event for _, event in TRANSITIONS} == set(MoveEvent)
    assert {state for state, _ in TRANSITIONS} == {MoveState.ASKED}
    assert set(TRANSITIONS.values()) == set(MoveState) - {MoveState.ASKED}


def test_so_many_messages_wait_and_no_more() -> None:
    move = Move(1, cast("AnySession", None), "Desk", cast("Link", None), "", 5.0)
    route, message = cast("RemoteRoute", None), Message(NOTIFY, 0, "Desk.note", b"1")
    assert all(move.park(route, message) for _ in range(MOST_PARKED))
    assert not move.park(route, message)
    assert len(move.parked) == MOST_PARKED


# ------------------------------------------------------------------- all goes well


async def test_a_session_moves_with_what_was_kept_for_it(office: Office) -> None:
    office.move()
    assert office.session.router.find("Desk") == office.new
    assert await office.ask("Desk.count", 1) == [office.new, 8]
    assert office.moves("handed-over") == 1
    assert not office.desks[office.old].counts
    assert office.backends[office.old].metrics.handovers["given", "ok"] == 1
    assert office.backends[office.new].metrics.handovers["taken", "ok"] == 1
    assert office.session.data == {"left": office.old}


async def test_the_old_mirror_ends_and_the_components_are_told(office: Office) -> None:
    office.move()
    await until(lambda: office.desks[office.old].ends == ["moved"])
    assert office.backends[office.old].sessions.get(office.session.id) is None
    assert office.old not in office.session.mirrors
    await office.ask("Desk.count", 1)
    office.gate.sessions.close(office.session, "client-closed")
    await until(lambda: office.desks[office.new].ends == ["client-closed"])
    assert office.desks[office.old].ends == ["moved"]


async def test_a_session_comes_back_with_its_state(office: Office) -> None:
    for _ in range(3):
        office.move()
        office.old, office.new = office.new, office.old
    assert await office.ask("Desk.count", 1) == [office.old, 8]
    # The second and third were said while the first went on: they changed its target.
    assert office.moves("handed-over") == 1


async def test_moved_back_while_it_moves_it_stays_and_keeps_its_state(
    office: Office,
) -> None:
    office.move()
    office.session.router.bind("Desk", office.old)
    assert office.session.router.find("Desk") == office.old
    assert await office.ask("Desk.count", 1) == [office.old, 8]
    assert not office.desks[office.old].ends


async def test_what_is_in_flight_is_answered_by_the_old_member(office: Office) -> None:
    waiting = office.client.send("Desk.slowly", 1)
    office.move()
    behind = office.client.send("Desk.count", 1)
    office.desks[office.old].free.set()
    await until(lambda: behind in office.client.answers)
    assert office.client.order[-2:] == [waiting, behind]
    assert office.client.answers[waiting][0].value == office.old
    assert office.client.answers[behind][0].value == [office.new, 8]


async def test_a_promised_answer_is_given_after_the_move(office: Office) -> None:
    promised = office.client.send("Desk.later")
    old = office.desks[office.old]
    await until(lambda: old.promises)
    office.move()
    assert await office.ask("Desk.count", 1) == [office.new, 8]
    backend = office.backends[office.old]
    backend.takeovers.tick(0.0)
    assert backend.sessions.get(office.session.id) is not None
    old.promises[0].respond("at last")
    await until(lambda: promised in office.client.answers)
    assert office.client.answers[promised][0].value == "at last"
    backend.takeovers.tick(0.0)
    assert backend.sessions.get(office.session.id) is None
    assert old.ends == ["moved"]


async def test_a_mirror_that_is_used_again_does_not_end(office: Office) -> None:
    old = office.desks[office.old]
    office.client.send("Desk.later")
    await until(lambda: old.promises)
    office.move()
    await office.ask("Desk.count", 1)
    office.session.router.bind("Desk", office.old)
    assert await office.ask("Desk.count", 1) == [office.old, 9]
    old.promises[0].respond("at last")
    office.backends[office.old].takeovers.tick(0.0)
    assert office.backends[office.old].sessions.get(office.session.id) is not None
    assert not old.ends


async def test_no_notify_is_lost_doubled_or_overtaken(office: Office) -> None:
    """The session is moved back and forth a dozen times under 2,000 notifies."""
    sent = 2_000
    for number in range(sent):
        office.client.notify("Desk.note", number)
        if number % 160 == 100:
            target = office.new if (number // 160) % 2 == 0 else office.old
            office.session.router.bind("Desk", target)
        while office.client.paused:  # noqa: ASYNC110  # nobody else tells
            await asyncio.sleep(0)
        if number % 10 == 0:
            await asyncio.sleep(0)
    await until(lambda: len(office.client.pushes) == sent)
    assert [value for _, value in office.client.pushes] == list(range(sent))
    for desk in office.desks.values():
        assert desk.seen == sorted(desk.seen)
        assert desk.seen
    assert office.moves("handed-over") == 12
    assert await office.ask("Desk.count", 1) == [office.old, 8]


async def test_calls_for_the_session_reach_who_has_the_state(office: Office) -> None:
    office.desks[office.old].handing.clear()
    office.move()
    await asyncio.sleep(0)
    call = office.gate.info.call("Desk.ask", None, session=office.session)
    assert await call == office.old
    office.desks[office.old].handing.set()
    await until(lambda: not office.moving)
    call = office.gate.info.call("Desk.ask", None, session=office.session)
    assert await call == office.new


class Bar(Desk):
    """Another service of the same nodes."""


async def test_a_mirror_stays_while_another_service_needs_it() -> None:
    network = Network()
    gate = Gate(network, GATE)
    bars = {address: Bar(address) for address in (ONE, TWO)}
    nodes = {
        address: Node(network, address, Desk(address), bars[address])
        for address in (ONE, TWO)
    }
    for address, node in nodes.items():
        node.sessions.on_closed(bars[address].session_closed)
    network.introduce()
    await until(lambda: len(gate.links.open) == 2)
    await until(lambda: all(node.links.get(GATE) for node in nodes.values()))
    client = gate.client()
    router = client.session.router
    for service in ("Desk", "Bar"):
        router.bind(service, ONE)
        assert (await client.request(f"{service}.count", 3)).value == [ONE, 3]
    router.bind("Desk", TWO)
    assert (await client.request("Desk.count", 1)).value == [TWO, 4]
    assert (await client.request("Bar.count", 1)).value == [ONE, 4]
    assert not bars[ONE].ends
    router.bind("Bar", TWO)
    assert (await client.request("Bar.count", 1)).value == [TWO, 5]
    await until(lambda: bars[ONE].ends == ["moved"])
    for both in (gate, *nodes.values()):
        await both.dispatcher.stop()
    await network.stop()


async def test_a_call_that_crosses_the_handover_is_told_to_try_again(
    office: Office,
) -> None:
    """It would find nothing of what it asks for, and might begin it anew."""
    link = office.gate.links.get(office.old)
    assert link is not None
    quiet = office.gate.links._acts[pb.QUIET]
    kept: list[pb.Envelope] = []
    office.gate.links.act(pb.QUIET, lambda _, envelope: kept.append(envelope))
    office.move()
    await until(lambda: kept)
    call = office.gate.info.call("Desk.ask", None, session=office.session)
    with pytest.raises(RequestError, match="moves to another node") as caught:
        await call
    assert caught.value.status == 503
    office.session.router.bind("Desk", office.old)  # it comes back, and is at home
    quiet(link, kept[0])
    assert await office.ask("Desk.count", 1) == [office.old, 8]
    call = office.gate.info.call("Desk.ask", None, session=office.session)
    assert await call == office.old


async def test_what_nodes_tell_the_session_waits_in_its_place(office: Office) -> None:
    old = office.desks[office.old]
    old.handing.clear()
    office.move()
    office.client.notify("Desk.note", 1)
    office.gate.info.notify("Desk.hear", 2, session=office.session)
    office.client.notify("Desk.note", 3)
    await asyncio.sleep(0)
    old.handing.set()
    new = office.desks[office.new]
    await until(lambda: len(new.seen) == 3)
    assert (new.seen, old.seen) == ([1, 2, 3], [])


async def test_of_what_nodes_tell_no_more_waits_than_may(office: Office) -> None:
    old = office.desks[office.old]
    old.handing.clear()
    office.move()
    for number in range(MOST_PARKED + 2):
        office.gate.info.notify("Desk.hear", number, session=office.session)
    assert office.gate.metrics.dropped["notify", "503"] == 2
    old.handing.set()
    await until(lambda: len(office.desks[office.new].seen) == MOST_PARKED)


async def test_what_nodes_tell_is_lost_with_all_members(office: Office) -> None:
    office.desks[office.old].handing.clear()
    office.move()
    office.gate.info.notify("Desk.hear", 1, session=office.session)
    await office.lose(office.new)
    await office.lose(office.old)
    await until(lambda: office.gate.metrics.dropped["notify", "503"] == 1)
    office.desks[office.old].handing.set()


# ---------------------------------------------------------------- what can go wrong


async def test_a_handover_that_fails_costs_the_state_and_nothing_else(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.desks[office.old].broken.add("handover")
    office.move()
    with caplog.at_level(logging.WARNING):
        assert await office.ask("Desk.count", 1) == [office.new, 1]
    assert office.moves("failed") == 1
    assert office.backends[office.old].metrics.handovers["given", "failed"] == 1
    assert "no way out" in caplog.text
    assert "without what Desk kept for it there: failed" in caplog.text


@pytest.mark.parametrize(
    ("given", "outcome", "words"),
    [
        (b"x" * (LARGEST_STATE + 1), "too-large", "262144 is the most: store what"),
        ("text", "failed", "returned str and not bytes; encode the state"),
    ],
    ids=["large", "text"],
)
async def test_a_state_that_cannot_travel_is_named(
    office: Office,
    caplog: pytest.LogCaptureFixture,
    given: object,
    outcome: str,
    words: str,
) -> None:
    office.desks[office.old].given = given
    office.move()
    assert await office.ask("Desk.count", 1) == [office.new, 1]
    assert office.backends[office.old].metrics.handovers["given", outcome] == 1
    assert words in caplog.text


async def test_nothing_to_hand_over_is_taken_over_by_nobody(office: Office) -> None:
    office.desks[office.old].given = b""
    office.desks[office.new].broken.add("takeover")
    office.move()
    assert await office.ask("Desk.count", 1) == [office.new, 1]
    assert office.moves("no-state") == 1
    assert not office.backends[office.new].metrics.handovers.total()


async def test_a_takeover_that_fails_is_a_fresh_start(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.desks[office.new].broken.add("takeover")
    office.move()
    assert await office.ask("Desk.count", 1) == [office.new, 1]
    assert office.backends[office.new].metrics.handovers["taken", "failed"] == 1
    assert "no way in" in caplog.text


async def test_a_hook_that_takes_too_long_is_given_up(
    office: Office,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("nano.runtime.handovers.TIME", 0.01)
    office.desks[office.old].handing.clear()
    office.move()
    assert await office.ask("Desk.count", 1) == [office.new, 1]
    assert office.moves("failed") == 1
    assert office.backends[office.old].metrics.handovers["given", "late"] == 1
    assert "took longer than 0.01 s" in caplog.text


async def test_an_old_member_that_does_not_finish_is_not_waited_for(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = office.client.send("Desk.slowly", 1)
    office.move()
    behind = office.client.send("Desk.count", 1)
    await until(lambda: office.backends[office.old].dispatcher.tasks)
    clock = office.network.clock
    office.gate.mover.tick(clock.now + LONGEST - 0.1)
    assert office.moving
    office.gate.mover.tick(clock.now + LONGEST)
    assert not office.moving
    await until(lambda: behind in office.client.answers)
    assert office.client.answers[behind][0].value == [office.new, 1]
    assert office.moves("late") == 1
    office.desks[office.old].free.set()  # it finishes all the same, and is heard
    await until(lambda: waiting in office.client.answers)
    assert office.client.answers[waiting][0].value == office.old
    await until(lambda: office.gate.metrics.dropped["move", "late"] == 1)
    assert f"1 bytes that {office.old} handed over came too late" in caplog.text


async def test_who_is_not_waited_for_holds_the_client_no_longer(
    office: Office,
) -> None:
    for _ in range(MOST_PARKED):
        office.client.send("Desk.slowly", 1)
    await until(lambda: office.client.paused)  # its queue is full
    office.move()
    office.gate.mover.tick(office.network.clock.now + LONGEST)
    assert not office.client.paused
    assert await office.ask("Desk.count", 1) == [office.new, 1]
    office.desks[office.old].free.set()
    old = office.backends[office.old]
    await until(lambda: not old.dispatcher.tasks)


async def test_the_death_of_the_old_member_loses_nothing_that_waits(
    office: Office,
) -> None:
    office.desks[office.old].handing.clear()
    office.move()
    behind = office.client.send("Desk.count", 1)
    await office.lose(office.old)
    await until(lambda: behind in office.client.answers)
    assert office.client.answers[behind][0].value == [office.new, 1]
    assert office.moves("member-lost") == 1
    office.desks[office.old].handing.set()


async def test_the_death_of_the_new_member_brings_the_session_back(
    office: Office,
) -> None:
    old = office.desks[office.old]
    old.handing.clear()
    office.move()
    behind = office.client.send("Desk.count", 1)
    await office.lose(office.new)
    assert office.moving
    old.handing.set()
    await until(lambda: behind in office.client.answers)
    assert office.client.answers[behind][0].value == [office.old, 8]


async def test_with_both_gone_everything_that_waits_is_answered(
    office: Office,
) -> None:
    office.desks[office.old].handing.clear()
    office.move()
    behind = [office.client.send("Desk.count", 1) for _ in range(3)]
    await office.lose(office.new)
    await office.lose(office.old)
    await until(lambda: behind[-1] in office.client.answers)
    assert [office.client.answers[it][0].status for it in behind] == [503] * 3
    office.desks[office.old].handing.set()


async def test_a_client_that_leaves_on_the_way_is_moved_nowhere(
    office: Office,
) -> None:
    office.desks[office.old].handing.clear()
    office.move()
    office.client.notify("Desk.note", 1)
    office.gate.sessions.close(office.session, "client-closed")
    assert office.moves("client-gone") == 1
    assert office.gate.metrics.dropped["move", "client-gone"] == 1
    assert office.gate.metrics.route("Desk.note").notifies == 1
    office.desks[office.old].handing.set()
    await until(lambda: office.desks[office.old].ends == ["client-closed"])
    await until(lambda: office.gate.metrics.dropped["move", "late"] == 1)
    assert not office.desks[office.new].seen


async def test_a_client_that_sends_much_is_not_read_and_then_refused(
    office: Office,
) -> None:
    office.desks[office.old].handing.clear()
    office.move()
    numbers = []
    for sent in range(1, MOST_PARKED + 3):
        numbers.append(office.client.send("Desk.count", 1))
        assert office.client.paused is (sent >= HOLD_AT)
    refused = [office.client.answers[it][0].status for it in numbers[MOST_PARKED:]]
    assert refused == [503, 503]
    assert office.gate.metrics.dropped["move", "too-many"] == 2
    office.desks[office.old].handing.set()
    await until(lambda: numbers[MOST_PARKED - 1] in office.client.answers)
    assert not office.client.paused
    answers = [office.client.answers[it][0].value for it in numbers[:MOST_PARKED]]
    assert answers == [[office.new, 8 + it] for it in range(MOST_PARKED)]
    # The first has gone before the move, two were refused; each is counted once.
    counts = office.gate.metrics.route("Desk.count")
    assert counts.requests == 1 + len(numbers)


async def test_an_old_version_is_left_without_being_asked(office: Office) -> None:
    link = office.gate.links.get(office.old)
    assert link is not None
    link.peer.features.remove(pb.QUIESCE)
    office.move()
    assert not office.moving
    assert await office.ask("Desk.count", 1) == [office.new, 1]


async def test_a_new_member_of_an_old_version_is_given_no_state(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    link = office.gate.links.get(office.new)
    assert link is not None
    link.peer.features.remove(pb.HANDOVER)
    office.move()
    assert await office.ask("Desk.count", 1) == [office.new, 1]
    assert office.gate.metrics.dropped["move", "too-old"] == 1
    assert "takes nothing over" in caplog.text


async def test_state_for_a_component_that_takes_none_is_counted(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    link = office.gate.links.get(office.new)
    assert link is not None
    office.move()
    await office.ask("Desk.count", 1)
    link.send(
        pb.Envelope(
            kind=pb.HANDOVER, session=office.session.id, service="Shop", payload=b"x"
        )
    )
    counts = office.backends[office.new].metrics.handovers
    await until(lambda: counts["taken", "not-defined"] == 1)
    assert "Shop takes no state over here; 1 bytes" in caplog.text


async def test_strange_words_do_no_harm(office: Office) -> None:
    link = office.gate.links.get(office.old)
    assert link is not None
    link.send(pb.Envelope(kind=pb.HANDOVER, session=5, service="Desk", payload=b"x"))
    link.send(pb.Envelope(kind=pb.MOVED, session=5))
    dropped = office.backends[office.old].metrics.dropped
    await until(lambda: dropped["link", "no-session"] == 1)
    link.send(pb.Envelope(kind=pb.QUIESCE, session=5, service="Desk", id=99))
    await until(lambda: office.gate.metrics.dropped["move", "late"] == 1)
    assert await office.ask("Desk.count", 1) == [office.old, 8]


# ------------------------------------------------------------------- what is written


class _Alone(Component):
    @handler
    def go(self, session: Session, payload: None) -> None: ...

    async def handover(self, session: Session) -> bytes:
        return b""


class _Plain(_Alone):
    def takeover(  # type: ignore[override]
        self, session: Session, state: bytes
    ) -> None: ...


class _Handler(Component):
    @handler
    async def handover(self, session: Session) -> bytes:
        return b""


@pytest.mark.parametrize(
    ("component", "words"),
    [
        (_Alone(), "_Alone defines handover alone; handover and takeover belong"),
        (_Plain(), "_Plain.takeover is awaited; make it an async def"),
        (_Handler(), "_Handler.handover cannot be a handler"),
    ],
    ids=["alone", "plain", "handler"],
)
def test_what_is_no_pair_of_hooks_is_refused(component: Component, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        collect_handlers([component])
