"""A node of ours among Go nodes that make every mistake, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from nano import Component, Session, handler
from nano.cluster.gobackends import KNOCKING
from nano.cluster.gogates import ARRIVAL, AT_ONCE, LOOK, id_here
from nano.cluster.gopeers import LARGEST_PAYLOAD, MOST_STRANGERS, NOBODY
from nano.cluster.lanes import MOST_WAITING, PAUSE_AT
from nano.cluster.pb import cluster_pb2 as pb
from nano.errors import ClusterError, EncodeError, RequestError
from tests.runtime.clients import Client, until

from .gonodes import HERE, Ours, Played

ONE, TWO = "10.0.0.8:33", "10.0.0.8:34"  # on one machine
FAR = "10.0.0.9:33"
WIRE = "ipv4:10.0.0.8:5001"  # a connection from it that nobody has used


class Desk(Component):
    """What this node serves."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.ended: list[tuple[int, str]] = []
        self.told: list[int] = []

    @handler
    def where(self, session: Session, _: Any) -> str:
        return str(session.id)

    @handler
    async def wait(self, session: Session, _: Any) -> str:
        await self.free.wait()
        return "waited"

    @handler
    def refuse(self, session: Session, _: Any) -> str:
        raise RequestError(418, "no coffee here")

    @handler(internal=True)
    def secret(self, session: Session, _: Any) -> str:
        self.told.append(session.id)
        return "secret"

    def session_closed(self, session: Session) -> None:
        self.ended.append((session.id, session.closed))


@pytest.fixture
async def desk() -> Desk:
    """The component of :func:`ours`."""
    return Desk()


@pytest.fixture
async def ours(desk: Desk) -> AsyncIterator[Ours]:
    """A node; nothing of it is left behind."""
    node = Ours(desk)
    yield node
    await node.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def payloads(gate: Played) -> list[bytes]:
    """What the clients of *gate* were answered."""
    return [it.data for it in gate.taken if isinstance(it, pb.ResponseMessage)]


async def answered(gate: Played, count: int = 1) -> None:
    """Wait until the clients of *gate* have so many answers."""
    await until(lambda: len(payloads(gate)) == count)


# ------------------------------------------------------------------ Go gates


async def test_two_gates_with_one_number_have_two_sessions(
    ours: Ours, desk: Desk
) -> None:
    one, two = ours.meet(ONE), ours.meet(TWO)
    await ours.request(one, 7, "Desk.where", by=f"{WIRE}1")
    await ours.request(two, 7, "Desk.where", by=f"{WIRE}2")
    ids = [id_here(gate, 7) for gate in (ONE, TWO)]
    assert ids[0] != ids[1]
    await until(lambda: payloads(one) and payloads(two))
    assert [*payloads(one), *payloads(two)] == [b'"%d"' % it for it in ids]

    await ours.go.session_closed(7, f"{WIRE}2")  # a connection that two has used
    assert desk.ended == [(ids[1], "client-closed")]
    await ours.request(one, 7, "Desk.where", by=f"{WIRE}1")
    assert len(ours.sessions) == 1


async def test_who_is_gone_is_asked_for_when_the_word_could_be_of_two(
    ours: Ours, desk: Desk
) -> None:
    one, two = ours.meet(ONE), ours.meet(TWO)
    for gate in (one, two):
        await ours.request(gate, 7, "Desk.where", by="elsewhere")
    await ours.go.session_closed(7, WIRE)
    # nano tells before the client is gone: the first answers are yes
    await asyncio.sleep(0)
    two.clients.discard(7)
    await until(lambda: desk.ended)
    assert desk.ended == [(id_here(TWO, 7), "client-closed")]


async def test_the_end_of_a_client_that_was_never_here_is_no_news(ours: Ours) -> None:
    ours.meet(ONE)
    await ours.go.session_closed(7, WIRE)


async def test_silent_clients_that_are_gone_are_found_out(
    ours: Ours, desk: Desk
) -> None:
    gate = ours.meet(ONE)
    for number in range(AT_ONCE + 2):
        await ours.request(gate, number, "Desk.where", by=WIRE)
    await answered(gate, AT_ONCE + 2)
    gate.clients -= {0, AT_ONCE + 1}
    ours.now = LOOK
    ours.go.tick(ours.now)
    await until(lambda: desk.ended)
    ours.now = 2 * LOOK
    ours.go.tick(ours.now)
    await until(lambda: len(desk.ended) == 2)
    assert len(ours.sessions) == AT_ONCE


async def test_a_gate_that_is_dead_is_found_out(ours: Ours, desk: Desk) -> None:
    gate, other = ours.meet(ONE), ours.meet(FAR)
    for number in range(20):
        await ours.request(gate, number, "Desk.where", by=WIRE)
    await ours.request(other, 1, "Desk.where", by="ipv4:10.0.0.9:1")
    await answered(gate, 20)
    gate.kill()
    ours.now = LOOK
    ours.go.tick(ours.now)
    await until(lambda: len(desk.ended) == 20)
    assert {why for _, why in desk.ended} == {"gate-lost"}
    assert len(ours.sessions) == 1


async def test_a_push_to_a_client_that_is_gone_ends_its_mirror(
    ours: Ours, desk: Desk
) -> None:
    gate = ours.meet(ONE)
    await ours.request(gate, 7, "Desk.where", by=WIRE)
    await answered(gate)
    (session,) = ours.sessions
    gate.clients.clear()
    session.push("onNews", 1)
    await until(lambda: desk.ended)
    assert ours.metrics.dropped["push", "go-failed"] == 1


async def test_a_gate_that_leaves_takes_its_clients_along(
    ours: Ours, desk: Desk
) -> None:
    gate = ours.meet(ONE)
    await ours.request(gate, 7, "Desk.where", by=WIRE)
    ours.go.remove(ONE)
    assert desk.ended == [(id_here(ONE, 7), "gate-lost")]


async def test_a_gate_may_write_before_it_is_known_as_a_member(ours: Ours) -> None:
    gate = Played(ONE)
    early = asyncio.create_task(ours.request(gate, 7, "Desk.where", by=WIRE))
    await asyncio.sleep(0)
    assert not early.done()
    ours.played[ONE] = gate
    ours.meet(ONE)
    await early


async def test_what_comes_at_once_for_a_new_client_makes_one_session(
    ours: Ours, desk: Desk
) -> None:
    """Two calls that both wait until their gate is known."""
    early = Played(ONE)
    asked = [
        asyncio.create_task(ours.request(early, 7, "Desk.where", by=f"{WIRE}{number}"))
        for number in range(2)
    ]
    await asyncio.sleep(0)
    assert not len(ours.sessions)
    ours.meet(ONE).clients.add(7)
    await asyncio.gather(*asked)
    assert [it.id for it in ours.sessions] == [id_here(ONE, 7)]


async def test_a_gate_that_is_no_member_is_refused(ours: Ours) -> None:
    async with asyncio.timeout(ARRIVAL * 3):
        with pytest.raises(ClusterError, match="is no member here"):
            await ours.request(Played(ONE), 7, "Desk.where", by=WIRE)
    with pytest.raises(ClusterError, match="host:port"):
        await ours.request(Played("x" * 300), 7, "Desk.where", by=WIRE)
    assert not len(ours.sessions)


async def test_a_go_master_does_not_tell_of_everybody(ours: Ours) -> None:
    ours.lenient = True
    for number in range(MOST_STRANGERS):
        address = f"10.0.0.8:{number}"
        gate = ours.played[address] = Played(address)
        await ours.request(gate, 7, "Desk.where", by=WIRE)
        await answered(gate)
    with pytest.raises(ClusterError, match="is no member here"):
        await ours.request(Played(FAR), 7, "Desk.where", by=WIRE)


async def test_a_gate_waits_while_a_client_has_too_much_in_hand(
    ours: Ours, desk: Desk
) -> None:
    gate = ours.meet(ONE)
    sent = 0

    async def send() -> None:
        nonlocal sent
        for _ in range(2 * PAUSE_AT):
            await ours.request(gate, 7, "Desk.wait", by=WIRE)
            sent += 1

    sending = asyncio.create_task(send())
    await until(lambda: sent == PAUSE_AT)
    for _ in range(20):
        await asyncio.sleep(0)
    assert sent == PAUSE_AT
    desk.free.set()
    await sending
    await answered(gate, 2 * PAUSE_AT)


async def test_internal_handlers_are_hidden_unless_go_nodes_are_trusted(
    desk: Desk,
) -> None:
    for trusted in (False, True):
        ours = Ours(desk, trusted=trusted)
        gate = ours.meet(ONE)
        if trusted:
            await ours.request(gate, 7, "Desk.secret", by=WIRE)
            await answered(gate)
            assert payloads(gate) == [b'"secret"']
        else:
            with pytest.raises(ClusterError, match="service not found"):
                await ours.request(gate, 7, "Desk.secret", by=WIRE)
            await answered(gate)
            assert b"NANO-404" in payloads(gate)[0]
            assert ours.metrics.dropped["go", "internal-route"] == 1
        await ours.stop()


async def test_errors_are_sent_where_they_can_be_read(desk: Desk) -> None:
    ours = Ours(desk)
    gate = ours.meet(ONE)
    await ours.request(gate, 7, "Desk.refuse", by=WIRE)
    await answered(gate)
    assert b"no coffee here" in payloads(gate)[0]
    await ours.stop()

    ours = Ours(desk, serializer="raw")
    gate = ours.meet(ONE)
    with pytest.raises(ClusterError, match="service not found"):
        await ours.request(gate, 7, "Desk.nothing", by=WIRE)
    assert ours.metrics.dropped["answer", "go-error"] == 1
    await ours.stop()
    assert not payloads(gate)


async def test_a_client_that_cannot_be_sent_all_is_closed(
    ours: Ours, desk: Desk
) -> None:
    gate = ours.meet(ONE)
    await ours.request(gate, 7, "Desk.where", by=WIRE)
    await answered(gate)
    (session,) = ours.sessions
    gate.open.clear()
    for number in range(MOST_WAITING + 10):
        session.push("onNews", number, delivery="drop" if number % 2 else "must")
    assert ours.metrics.dropped["push", "go-full"] >= 8
    gate.open.set()
    await until(lambda: desk.ended)
    assert gate.taken.count(("close", 7)) == 1
    assert gate.taken[-1] == ("close", 7)
    with pytest.raises(EncodeError):
        session.push("onNews", b"x" * (LARGEST_PAYLOAD + 1))


# --------------------------------------------------------------- Go backends


def join(ours: Ours) -> Client:
    """Have a client connect here."""
    client = Client(ours.dispatcher)
    ours.sessions.add(client.session)
    return client


async def test_a_request_goes_out_and_its_answer_comes_in(ours: Ours) -> None:
    chat = ours.meet(ONE, "Chat")
    client = join(ours)
    number = client.send("Chat.say", {"n": 1}, number=300)
    await until(lambda: chat.taken)
    (message,) = chat.taken
    assert message.gateAddr == HERE
    assert (message.sessionId, message.id) == (client.session.id, 300)
    assert (message.route, message.data) == ("Chat.say", b'{"n":1}')
    answer = pb.ResponseMessage(sessionId=client.session.id, id=number, data=b"2")
    await ours.go.handle_response(answer)
    await ours.go.handle_response(answer)  # nano hands on what nobody waits for
    assert [it.value for it in client.answers[number]] == [2, 2]
    await ours.go.handle_push(
        pb.PushMessage(sessionId=client.session.id, route="onNews", data=b"3")
    )
    assert client.pushes == [("onNews", 3)]
    assert ours.metrics.routes["Chat.*"].responses == 1


async def test_what_a_go_node_asks_for_in_vain_it_is_told(ours: Ours) -> None:
    gate = ours.meet(ONE)
    await ours.request(gate, 7, "Desk.where", by=WIRE)
    client = join(ours)
    for number in (99, id_here(ONE, 7)):  # nobody's, and one that is not at home here
        with pytest.raises(ClusterError, match=f"session not found: {number}"):
            await ours.go.handle_push(pb.PushMessage(sessionId=number, route="on"))
        with pytest.raises(ClusterError, match=f"session not found: {number}"):
            await ours.go.handle_response(pb.ResponseMessage(sessionId=number, id=1))
        await ours.go.close_session(number)
    with pytest.raises(ClusterError, match="current session working on notify mode"):
        await ours.go.handle_response(pb.ResponseMessage(sessionId=client.session.id))
    await ours.go.close_session(client.session.id)
    assert client.kicked == "closed by a backend"


@pytest.mark.parametrize(
    ("status", "details", "answered"),
    [
        (grpc.StatusCode.UNKNOWN, "service not found in current node: Chat.x", 404),
        (grpc.StatusCode.UNKNOWN, "something else", 500),
        (grpc.StatusCode.UNAVAILABLE, "Connection refused", 503),
        (grpc.StatusCode.UNAVAILABLE, "Connection reset by peer", 503),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", 504),
    ],
)
async def test_a_call_that_fails_is_an_answer(
    ours: Ours, status: grpc.StatusCode, details: str, answered: int
) -> None:
    chat = ours.meet(ONE, "Chat")
    chat.fail(status, details)
    client = join(ours)
    number = client.send("Chat.x")
    client.notify("Chat.x")
    await until(lambda: number in client.answers)
    (answer,) = client.answers[number]
    assert answer.status == answered
    await until(lambda: ours.metrics.dropped["go-notify", str(answered)] == 1)


async def test_a_node_that_cannot_be_reached_is_left_alone_for_a_moment(
    ours: Ours,
) -> None:
    one = ours.meet(ONE, "Chat")
    client = join(ours)
    number = client.send("Chat.x")
    await until(lambda: one.taken)
    assert client.session.bindings == {"Chat": ONE}
    one.kill()
    client.notify("Chat.x")
    await until(lambda: number in client.answers)  # its process is gone
    assert client.answers[number][0].status == 503
    assert client.session.bindings == {}
    assert client.answers[client.send("Chat.x")][0].status == 503  # at once
    two = ours.meet(FAR, "Chat")
    client.send("Chat.x")
    await until(lambda: two.taken)
    one.fail(grpc.StatusCode.OK, "")
    ours.go.remove(FAR)
    ours.now = 1.1
    client.send("Chat.x")
    await until(lambda: len(one.taken) == 2)


async def test_a_node_that_does_not_answer_gets_no_new_clients(ours: Ours) -> None:
    frozen = ours.meet(ONE, "Chat")
    frozen.fail(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
    bound = join(ours)
    assert (await bound.request("Chat.x")).status == 504
    other = ours.meet(FAR, "Chat")
    for _ in range(10):
        join(ours).send("Chat.x")
    await until(lambda: len(other.taken) == 10)
    frozen.fail(grpc.StatusCode.OK, "")
    bound.send("Chat.x")  # who is bound to it stays
    await until(lambda: len(frozen.taken) == 1)
    ours.go.remove(FAR)
    join(ours).send("Chat.x")  # better than nobody
    await until(lambda: len(frozen.taken) == 2)


async def test_who_floods_a_slow_go_node_is_not_read(ours: Ours) -> None:
    chat = ours.meet(ONE, "Chat")
    chat.open.clear()
    client = join(ours)
    for _ in range(PAUSE_AT):
        assert not client.paused
        client.notify("Chat.x")
    assert client.paused
    for _ in range(MOST_WAITING - PAUSE_AT):
        client.notify("Chat.x")
    number = client.send("Chat.x")
    assert client.answers[number][0].status == 503
    assert ours.metrics.dropped["forward", "overloaded"] == 1
    chat.open.set()
    await until(lambda: not client.paused)
    await until(lambda: len(chat.taken) == MOST_WAITING)


async def test_what_is_too_large_for_nano_is_refused(ours: Ours) -> None:
    ours.meet(ONE, "Chat")
    client = join(ours)
    number = client.send("Chat.x", b"x" * (LARGEST_PAYLOAD + 1))
    assert client.answers[number][0].status == 413


async def test_a_request_that_stays_unanswered_is_answered(ours: Ours) -> None:
    chat = ours.meet(ONE, "Chat")
    client = join(ours)
    number = client.send("Chat.x")
    await until(lambda: chat.taken)
    ours.go.tick(9.9)
    assert number not in client.answers
    ours.go.tick(10.0)
    assert client.answers[number][0].status == 504


async def test_who_has_had_a_request_for_a_while_is_looked_for(ours: Ours) -> None:
    """It has taken the request, so nothing fails if it dies then."""
    chat, idle = ours.meet(ONE, "Chat"), ours.meet(TWO, "Idle")
    client = join(ours)
    number = client.send("Chat.x")
    await until(lambda: chat.taken)
    ours.go.tick(0)
    ours.go.tick(KNOCKING)
    await until(lambda: chat.taken[1:] == [("closed", NOBODY)])
    chat.open.clear()
    for look in range(2, 5):  # one at a time, however long it takes
        ours.go.tick(look * KNOCKING)
    chat.open.set()
    await until(lambda: len(chat.taken) == 3)
    assert number not in client.answers
    chat.kill()
    ours.go.tick(5 * KNOCKING)
    await until(lambda: number in client.answers)
    assert client.answers[number][0].status == 503
    assert client.session.bindings == {}
    ours.go.tick(6 * KNOCKING)
    assert idle.taken == []  # who has nothing in hand is left alone


async def test_the_end_of_a_session_is_told_to_all_go_nodes(ours: Ours) -> None:
    """One of them may have told another of the session."""
    one, two = ours.meet(ONE, "Chat"), ours.meet(TWO)
    client, unknown = join(ours), join(ours)
    client.notify("Chat.x")
    for it in (client, unknown):
        ours.sessions.close(it.session, "client-closed")
    await until(lambda: len(one.taken) == 2 and two.taken)
    assert one.taken[-1] == ("closed", client.session.id)
    assert two.taken == [("closed", client.session.id)]


async def test_what_a_go_backend_tells_us_of_our_own_client_is_a_notify(
    ours: Ours,
) -> None:
    chat = ours.meet(ONE, "Chat")
    client = join(ours)

    async def tell(route: str, session: int) -> None:
        await ours.go.handle_notify(
            pb.NotifyMessage(gateAddr=HERE, sessionId=session, route=route, data=b"{}")
        )

    await tell("Chat.x", client.session.id)
    await until(lambda: chat.taken)
    await tell("Desk.where", client.session.id)
    assert ours.metrics.routes["Desk.where"].notifies == 1
    with pytest.raises(ClusterError, match="service not found"):
        await tell("Desk.secret", client.session.id)
    with pytest.raises(ClusterError, match="session not found"):
        await tell("Desk.where", 99)
    request = pb.RequestMessage(gateAddr=HERE, sessionId=7, id=1, route="Desk.where")
    with pytest.raises(ClusterError, match="comes from its gate"):
        await ours.go.handle_request(request, WIRE)


async def test_a_trusted_go_backend_reaches_internal_handlers_for_our_client(
    desk: Desk,
) -> None:
    ours = Ours(desk, trusted=True)
    client = join(ours)
    await ours.go.handle_notify(
        pb.NotifyMessage(
            gateAddr=HERE,
            sessionId=client.session.id,
            route="Desk.secret",
            data=b"{}",
        )
    )
    await until(lambda: desk.told == [client.session.id])
    await ours.stop()


async def test_a_node_that_joins_again_with_other_services_serves_those(
    ours: Ours,
) -> None:
    ours.meet(ONE, "Chat")
    chat = ours.meet(ONE, "Talk")
    client = join(ours)
    assert client.answers[client.send("Chat.x")][0].status == 404
    client.send("Talk.x")
    await until(lambda: chat.taken)
