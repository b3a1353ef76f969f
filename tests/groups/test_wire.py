"""What groups say on a link, and what they make of peers that say it otherwise."""

from __future__ import annotations

import pytest

from nano import Group
from nano.cluster.groups import KINDS, NAMES_AT_ONCE
from nano.cluster.pb import link_pb2 as pb
from tests.links.nodes import ONE
from tests.links.peers import until

from .houses import Houses, all_said, said

PAYLOAD = b'"hello"'


async def test_a_new_link_is_told_of_all_groups_and_then_of_changes(
    houses: Houses,
) -> None:
    gate = houses.gates[0]
    clients = [gate.client() for _ in range(2)]
    names = [f"room-{number}" for number in range(NAMES_AT_ONCE + 1)]
    for name in names:
        gate.groups.group(name).add(clients[0].session)
    raw = await houses.by_hand()
    first, second = await said(raw, pb.PRESENT), await raw.next()
    assert [*first.groups, *second.groups] == names
    assert len(first.groups) == NAMES_AT_ONCE
    hall = gate.groups.group("hall")
    for client in clients:
        hall.add(client.session)
    for client in clients:
        hall.remove(client.session)
    told = await all_said(raw)
    assert [(it.kind, list(it.groups)) for it in told] == [
        (pb.PRESENT, ["hall"]),
        (pb.ABSENT, ["hall"]),
    ]


@pytest.mark.parametrize("missing", sorted(KINDS))
async def test_a_peer_that_lacks_a_kind_hears_nothing_of_groups(
    houses: Houses, missing: pb.Kind.ValueType
) -> None:
    gate = houses.gates[0]
    gate.groups.group("room").add(gate.client().session)
    raw = await houses.by_hand(features=KINDS - {missing})
    await raw.send(pb.Envelope(kind=pb.PRESENT, groups=["yard"]))
    gate.groups.group("yard").publish("onNews", 1)
    gate.groups.group("yard").add(gate.client().session)
    assert await gate.groups.group("yard").count() == 1
    assert await all_said(raw) == []


async def test_our_hello_names_the_kinds_of_groups(houses: Houses) -> None:
    link = houses.gates[0].links.get(ONE)
    assert link is not None
    assert set(link.peer.features) >= KINDS


async def test_a_session_of_a_gate_without_groups_is_counted_as_not_added(
    houses: Houses,
) -> None:
    raw = await houses.by_hand(features=())
    gate = houses.gates[0]
    await raw.send(
        pb.Envelope(kind=pb.SESSION, session=77, state=pb.SessionState(version=1))
    )
    await until(lambda: gate.sessions.get(77))
    session = gate.sessions.get(77)
    assert session is not None
    gate.groups.group("room").add(session)
    gate.groups.group("room").remove(session)
    assert gate.metrics.dropped == {("group", "unsupported"): 2}
    assert gate.groups.roll.names == []
    assert await all_said(raw) == []


async def test_an_absence_that_has_crossed_a_joining_does_not_count(
    houses: Houses,
) -> None:
    raw = await houses.by_hand()
    gate = houses.gates[0]
    for number in (77, 78):
        await raw.send(
            pb.Envelope(
                kind=pb.SESSION, session=number, state=pb.SessionState(version=1)
            )
        )
    await until(lambda: gate.sessions.get(78))
    room = gate.groups.group("room")
    joins = []
    for number in (77, 78):
        session = gate.sessions.get(number)
        assert session is not None
        room.add(session)
        joins.append(await said(raw, pb.JOIN))
    assert [(it.group, it.session) for it in joins] == [("room", 77), ("room", 78)]
    await raw.send(pb.Envelope(kind=pb.ABSENT, groups=["room"], id=joins[0].id))
    assert await all_said(raw) == []
    room.publish("onNews", "hello")
    assert (await said(raw, pb.PUBLISH)).payload == PAYLOAD
    await raw.send(pb.Envelope(kind=pb.ABSENT, groups=["room"], id=joins[1].id))
    assert await all_said(raw) == []
    room.publish("onNews", "hello")
    assert await all_said(raw) == []


async def test_a_joining_that_comes_too_late_is_answered_with_an_absence(
    houses: Houses,
) -> None:
    raw = await houses.by_hand()
    await raw.send(pb.Envelope(kind=pb.JOIN, group="room", session=12345, id=3))
    (answer,) = await all_said(raw)
    assert (answer.kind, list(answer.groups), answer.id) == (pb.ABSENT, ["room"], 3)
    assert houses.gates[0].metrics.dropped == {("group", "no-session"): 1}


async def test_what_a_peer_without_groups_says_of_them_harms_nobody(
    houses: Houses,
) -> None:
    raw = await houses.by_hand(features=())
    gate = houses.gates[0]
    client = gate.client()
    await raw.send(
        pb.Envelope(kind=pb.ABSENT, groups=["room"]),
        pb.Envelope(kind=pb.GROUP_ANSWER, id=1),
        pb.Envelope(kind=pb.JOIN, group="room", session=12345, id=1),
        pb.Envelope(kind=pb.LEAVE, group="room", session=12345),
        pb.Envelope(kind=pb.JOIN, group="room", session=client.session.id, id=2),
        pb.Envelope(kind=pb.PUBLISH, group="room", route="onNews", payload=PAYLOAD),
        pb.Envelope(kind=pb.PUBLISH, group="room", route="onNews", where=b"{"),
    )
    assert await all_said(raw) == []
    assert client.pushes == [("onNews", "hello")]
    assert gate.metrics.dropped == {("group", "no-session"): 2}


async def test_a_publish_goes_only_to_gates_that_have_members(houses: Houses) -> None:
    raw = await houses.by_hand()
    await houses.member(1)
    houses.gates[0].groups.group("room").publish("onNews", 1)
    assert await all_said(raw) == []


async def test_a_publish_is_one_envelope_with_everything(houses: Houses) -> None:
    raw = await houses.by_hand()
    await raw.send(pb.Envelope(kind=pb.PRESENT, groups=["room"]))
    assert await all_said(raw) == []
    room: Group = houses.gates[0].groups.group("room")
    room.publish("onNews", "hello", without=5, where={"team": "red"})
    (envelope,) = await all_said(raw)
    assert envelope == pb.Envelope(
        kind=pb.PUBLISH,
        group="room",
        route="onNews",
        payload=PAYLOAD,
        without=[5],
        where=b'{"team":"red"}',
    )
