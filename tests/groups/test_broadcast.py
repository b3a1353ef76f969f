"""One push for many clients: encoded once, one write each, slow ones aside."""

from __future__ import annotations

from functools import partial

import pytest

from nano.protocol.messages import PUSH, Message
from nano.runtime.groups import Groups
from nano.transports.broadcast import broadcast
from nano.transports.context import Doorway
from tests.runtime.clients import Client
from tests.transports.room import Hall, Wire, turns
from tests.transports.test_websocket import WebSocketWire

WIRES = ["tcp", "websocket"]


class Gate(Hall):
    """A gate's side towards clients, with a group."""

    def __init__(self, *, backlog: int = 1 << 20) -> None:
        super().__init__(backlog=backlog)
        self.groups = Groups(
            self.sessions,
            self.dispatcher.serializer,
            self.metrics,
            deliver=partial(broadcast, self.metrics),
        )
        self.group = self.groups.group("room")
        self.doors = {it: Doorway(self.front, self.counts(it)) for it in WIRES}

    def member(self, transport: str = "tcp") -> Wire:
        door = self.doors[transport]
        if transport == "websocket":
            wire: Wire = WebSocketWire(self, door)
        else:
            wire = Wire(self, door=door)
        self.group.add(wire.greet())
        wire.writes.clear()
        return wire


def pushes(wire: Wire) -> list[tuple[str, bytes]]:
    found = [it for it in wire.events() if isinstance(it, Message)]
    assert all(message.type == PUSH for message in found)
    return [(message.route, message.payload) for message in found]


@pytest.mark.parametrize("transport", WIRES)
async def test_members_by_one_listener_are_sent_the_same_object(transport: str) -> None:
    gate = Gate()
    members = [gate.member(transport) for _ in range(3)]
    gate.group.publish("onNews", {"n": 1})
    first, *others = (wire.protocol._out for wire in members)
    assert all(out == first and out[0] is first[0] for out in others)
    await turns()
    assert [pushes(wire) for wire in members] == [[("onNews", b'{"n":1}')]] * 3


async def test_clients_of_both_kinds_get_what_they_understand() -> None:
    gate = Gate()
    members = [gate.member(it) for it in ("tcp", "websocket", "tcp", "websocket")]
    gate.group.publish("onNews", [1])
    await turns()
    assert [pushes(wire) for wire in members] == [[("onNews", b"[1]")]] * 4
    assert gate.metrics.pushes == {"onNews": 4}
    assert gate.metrics.group_deliveries == 4


@pytest.mark.parametrize("transport", WIRES)
async def test_publishes_of_one_turn_leave_in_one_write(transport: str) -> None:
    gate = Gate()
    members = [gate.member(transport) for _ in range(3)]
    for number in range(4):
        gate.group.publish("onNews", number)
    session = members[0].protocol.session
    assert session is not None
    session.push("onOwn", 4)
    await turns()
    assert [len(wire.writes) for wire in members] == [1, 1, 1]
    news = [("onNews", str(number).encode()) for number in range(4)]
    assert pushes(members[0]) == [*news, ("onOwn", b"4")]
    assert pushes(members[1]) == news


async def test_a_slow_member_is_closed_by_its_backlog_and_the_others_are_served() -> (
    None
):
    gate = Gate(backlog=200_000)
    slow, *others = (gate.member() for _ in range(3))
    slow.taking = False
    for _ in range(10):
        gate.group.publish("onNews", b'"' + b"x" * 40_000 + b'"')
        await turns()
    assert slow.ended == "lost"
    assert [len(pushes(wire)) for wire in others] == [10, 10]
    assert gate.counts("tcp").closed == {"slow-client": 1}
    assert await gate.group.count() == 2


async def test_who_is_being_sent_away_is_counted_and_not_delivered_to() -> None:
    gate = Gate()
    leaving, member = gate.member(), gate.member()
    session = leaving.protocol.session
    assert session is not None
    session.kick("go")
    gate.group.publish("onNews", 1)
    assert gate.metrics.dropped == {("client", "closed"): 1}
    assert gate.metrics.group_deliveries == 1
    await turns()
    assert pushes(member) == [("onNews", b"1")]


async def test_nothing_is_left_of_members_that_have_gone() -> None:
    gate = Gate()
    members = [gate.member() for _ in range(3)]
    for wire in members:
        wire.lose()
    assert gate.groups.roll.names == []
    assert gate.groups.roll._groups == {}
    gate.group.publish("onNews", 1)
    assert gate.metrics.pushes == {}


async def test_what_fits_no_packet_is_dropped_for_all_and_counted() -> None:
    gate = Gate()
    sessions = [gate.member().protocol.session for _ in range(2)]
    found = [it for it in sessions if it is not None]
    payload = bytes(1 << 24)
    assert broadcast(gate.metrics, found, "onNews", payload) == 0
    assert gate.metrics.dropped == {("push", "does-not-fit"): 2}
    assert gate.metrics.pushes == {}


async def test_sessions_without_a_socket_here_are_passed_over() -> None:
    gate = Gate()
    stranger = Client(gate.dispatcher)
    assert broadcast(gate.metrics, [stranger.session], "onNews", b"1") == 0
    assert stranger.pushes == []
