"""Groups over links: presence, order, questions, and links that end."""

from __future__ import annotations

import asyncio

import pytest

from nano import Session
from nano.cluster.outbox import CAPACITY
from nano.cluster.pb import link_pb2 as pb
from nano.errors import GroupClosed
from tests.links.nodes import GATE, OTHER_GATE
from tests.links.peers import until

from .houses import Houses, all_said, heard, said

PAYLOAD = b'"hello"'


# ---------------------------------------------------------------- members, order


@pytest.mark.parametrize("publisher", [0, 1, 2, 3])
async def test_a_publish_of_any_node_reaches_the_members_of_all_gates_once(
    houses: Houses, publisher: int
) -> None:
    members = [await houses.member(gate) for gate in (0, 1, 1)]
    stranger = await houses.client(0)
    houses.nodes[publisher].groups.group("room").publish("onNews", "hello")
    await heard(*members)
    await houses.settle()
    assert [it.pushes for it in members] == [[("onNews", "hello")]] * 3
    assert stranger.pushes == []


async def test_the_first_member_gets_what_is_published_behind_its_joining(
    houses: Houses,
) -> None:
    client = await houses.client(0)
    for backend, text in zip(houses.backends, ("one", "two"), strict=True):
        await houses.ask(client, backend, "Rooms.enter", text)
    assert client.pushes == [("onEnter", "one"), ("onEnter", "two")]


async def test_data_and_joining_and_publish_keep_their_order(houses: Houses) -> None:
    clients = [await houses.client(gate) for gate in (0, 1)]
    for client, team in zip(clients, ("red", "blue"), strict=True):
        await houses.ask(client, houses.backends[0], "Rooms.team", team)
    assert clients[0].pushes == [("onTeam", "red")]
    assert clients[1].pushes == [("onTeam", "blue")]


async def test_adding_at_one_backend_and_removing_at_another_is_one_membership(
    houses: Houses,
) -> None:
    client, other = await houses.member(0), await houses.member(0)
    houses.backends[1].rooms.room().remove(houses.mirror(client, 1))
    houses.backends[1].rooms.room().publish("onNews", 1)
    await heard(other)
    assert client.pushes == []


async def test_without_leaves_members_of_every_gate_out(houses: Houses) -> None:
    members = [await houses.member(gate) for gate in (0, 0, 1, 1)]
    out = [members[0], members[2]]
    room = houses.backends[1].rooms.room()
    room.publish("onNews", 1, without=[houses.mirror(out[0], 1), out[1].session.id])
    await heard(members[1], members[3])
    assert [it.pushes for it in out] == [[], []]


async def test_a_member_that_goes_leaves_and_the_gate_says_so(houses: Houses) -> None:
    gone = await houses.member(0)
    stays = await houses.member(1)
    houses.gates[0].sessions.close(gone.session, "client-closed")
    await houses.settle()
    room = houses.backends[0].rooms.room()
    assert await room.count() == 1
    room.publish("onNews", 1)
    await heard(stays)
    assert gone.pushes == []
    assert OTHER_GATE in houses.backends[0].group_links._having["room"]
    assert GATE not in houses.backends[0].group_links._having["room"]


async def test_closing_a_group_lets_everybody_go_everywhere(houses: Houses) -> None:
    members = [await houses.member(gate) for gate in (0, 1)]
    houses.backends[0].rooms.room().close()
    await houses.settle()
    assert await houses.backends[1].rooms.room().count() == 0
    houses.backends[1].rooms.room().publish("onNews", 1)
    await houses.settle()
    assert [it.pushes for it in members] == [[], []]
    assert all(node.group_links._having == {} for node in houses.nodes)


async def test_clearing_a_group_lets_everybody_go_and_the_handle_stays(
    houses: Houses,
) -> None:
    members = [await houses.member(gate) for gate in (0, 1)]
    room = houses.backends[0].rooms.room()
    room.clear()
    await houses.settle()
    assert await houses.backends[1].rooms.room().count() == 0
    room.publish("onNews", 1)
    room.add(houses.mirror(members[0]))
    assert await room.count() == 1
    room.close()
    with pytest.raises(GroupClosed):
        room.clear()


async def test_a_gate_may_add_a_session_of_another_gate_that_it_has_found(
    houses: Houses,
) -> None:
    client = await houses.member(1, "ann")
    found = await houses.gates[0].groups.group("room").find("ann")
    assert found is not None
    houses.gates[0].groups.group("yard").add(found)
    houses.gates[0].groups.group("yard").publish("onNews", 1)
    await heard(client)
    assert houses.gates[0].groups.roll.names == []


async def test_nothing_is_left_when_all_have_gone(houses: Houses) -> None:
    members = [await houses.member(gate) for gate in (0, 1, 0)]
    for gate, client in zip((0, 1, 0), members, strict=True):
        houses.gates[gate].sessions.close(client.session, "client-closed")
    await houses.settle()
    for node in houses.nodes:
        assert node.groups.roll._groups == {}
        assert node.group_links._having == {}
        assert not any(peer.groups for peer in node.group_links._peers.values())


# ------------------------------------------------------------------ links that end


async def test_a_backend_that_comes_new_reaches_the_members(houses: Houses) -> None:
    member = await houses.member(0)
    gate, backend = houses.gates[0], houses.backends[1]
    await houses.lose(gate, backend)
    assert backend.group_links._having == {}
    backend.rooms.room().publish("onNews", "lost")
    await houses.regain(gate, backend)
    await until(lambda: "room" in backend.group_links._having)
    backend.rooms.room().publish("onNews", "found")
    await heard(member)
    assert member.pushes == [("onNews", "found")]


async def test_the_members_of_a_lost_gate_are_no_members_for_the_others(
    houses: Houses,
) -> None:
    await houses.member(0, "ann")
    stays = await houses.member(1, "bob")
    backend = houses.backends[0]
    await houses.lose(houses.gates[0], backend)
    assert await backend.rooms.room().count() == 1
    assert await backend.rooms.room().uids() == ["bob"]
    backend.rooms.room().publish("onNews", 1)
    await heard(stays)


async def test_a_mirror_of_a_lost_gate_leaves_quietly(houses: Houses) -> None:
    client = await houses.member(0)
    mirror = houses.mirror(client)
    await houses.lose(houses.gates[0], houses.backends[0])
    assert mirror.closed == "gate-lost"
    houses.backends[0].rooms.room().remove(mirror)
    assert houses.gates[0].groups.roll.count("room") == 1


async def test_a_full_link_drops_publishes_and_never_a_joining(houses: Houses) -> None:
    member = await houses.member(0)
    newcomer = await houses.client(0)
    backend = houses.backends[0]
    link = backend.links.get(GATE)
    assert link is not None
    link.message(pb.RESPONSE, 0, 999, "", bytes(CAPACITY))
    room = backend.rooms.room()
    room.publish("onNews", "dropped", delivery="drop")
    room.add(houses.mirror(newcomer))
    assert backend.metrics.dropped == {("group", "link-full"): 1}
    await until(lambda: not link.outbox.full)
    room.publish("onNews", "sent", delivery="latest")
    await heard(member, newcomer)
    assert member.pushes == newcomer.pushes == [("onNews", "sent")]
    assert member.deliveries == newcomer.deliveries == ["latest"]


# ---------------------------------------------------------------------- questions


async def test_every_node_counts_and_names_all_members(houses: Houses) -> None:
    for gate, uid in ((0, "bob"), (1, "ann"), (1, "bob"), (0, "")):
        await houses.member(gate, uid)
    for node in houses.nodes:
        room = node.groups.group("room")
        assert await room.count() == 4
        assert await room.uids() == ["ann", "bob"]
        assert await node.groups.group("yard").count() == 0


async def test_a_joining_counts_at_once_for_who_has_made_it(houses: Houses) -> None:
    client = await houses.client(0)
    room = houses.backends[0].rooms.room()
    room.add(houses.mirror(client))
    assert await room.count() == 1
    room.remove(houses.mirror(client))
    assert await room.count() == 0


async def test_who_is_found_can_be_pushed_to_and_kicked(houses: Houses) -> None:
    ann = await houses.member(1, "ann")
    for node in (houses.gates[0], houses.backends[1], houses.gates[1]):
        found = await node.groups.group("room").find("ann")
        assert isinstance(found, Session)
        assert (found.id, found.uid) == (ann.session.id, "ann")
        found.push("onWhisper", node.address)
        await until(lambda node=node: ("onWhisper", node.address) in ann.pushes)  # type: ignore[misc]
    assert await houses.gates[0].groups.group("room").find("eve") is None
    found = await houses.gates[0].groups.group("room").find("ann")
    assert found is not None
    found.kick("go")
    await until(lambda: ann.kicked)
    assert ann.kicked == "go"


async def test_who_has_found_a_session_learns_of_its_end(houses: Houses) -> None:
    ann = await houses.member(1, "ann")
    found = await houses.gates[0].groups.group("room").find("ann")
    assert found is not None
    houses.gates[1].sessions.close(ann.session, "client-closed")
    await until(lambda: found.closed)
    assert found.closed == "client-closed"
    assert houses.gates[0].sessions.get(found.id) is None


async def test_a_node_that_does_not_answer_is_named_when_time_is_over(
    houses: Houses,
) -> None:
    raw = await houses.by_hand()
    await raw.send(pb.Envelope(kind=pb.PRESENT, groups=["room"]))
    gate = houses.gates[0]
    await until(lambda: "room" in gate.group_links._having)
    with pytest.raises(TimeoutError, match=r"10\.0\.9\.9:1 did not tell .*'room'"):
        await gate.groups.group("room").count(timeout=0.01)
    question = await said(raw, pb.GROUP_QUESTION)
    await raw.send(
        pb.Envelope(
            kind=pb.GROUP_ANSWER, id=question.id, answer=pb.GroupAnswer(count=5)
        )
    )
    assert await all_said(raw) == []  # a late answer harms nobody
    assert all(not peer.asked for peer in gate.group_links._peers.values())


async def test_a_node_that_goes_while_it_is_asked_counts_none(houses: Houses) -> None:
    await houses.member(1)
    raw = await houses.by_hand()
    await raw.send(pb.Envelope(kind=pb.PRESENT, groups=["room"]))
    gate = houses.gates[0]
    await until(lambda: len(gate.group_links._having.get("room", ())) == 2)
    counting = asyncio.create_task(gate.groups.group("room").count())
    await said(raw, pb.GROUP_QUESTION)
    await raw.stream.close()
    assert await counting == 1


# ------------------------------------------------------------------ apart for a while


async def cut(houses: Houses) -> None:
    """Reset the links between the first gate and the first backend."""
    gate, backend = houses.gates[0], houses.backends[0]
    houses.network.cut.add(backend.address)
    for way, stream in zip(
        houses.network.dialled, houses.network.streams, strict=False
    ):
        if set(way) == {gate.address, backend.address}:
            stream.cut()
    await until(lambda: not gate.links.get(backend.address))
    await until(lambda: not backend.links.get(gate.address))


async def heal(houses: Houses) -> None:
    """Let them be linked again, and tell each other what they have to."""
    gate, backend = houses.gates[0], houses.backends[0]
    houses.network.cut.clear()
    await until(lambda: gate.links.get(backend.address))
    await until(lambda: backend.links.get(gate.address))
    await houses.settle()


async def test_memberships_outlive_a_cut_and_what_is_said_meanwhile_counts(
    houses: Houses,
) -> None:
    stays, goes = await houses.member(0), await houses.member(0)
    comes = await houses.client(0)
    backend = houses.backends[0]
    room = backend.rooms.room()
    mirrors = {it: houses.mirror(it) for it in (stays, goes, comes)}
    await cut(houses)
    room.remove(mirrors[goes])
    room.add(mirrors[comes])
    room.publish("onNews", "lost")
    assert backend.metrics.dropped["group", "apart"] == 1
    await heal(houses)
    roll = houses.gates[0].groups.roll
    await until(lambda: set(roll.members("room")) == {stays.session, comes.session})
    room.publish("onNews", "found")
    for client in (stays, comes):
        await heard(client)
        assert client.pushes == [("onNews", "found")]
    assert goes.pushes == []


async def test_a_joining_that_was_lost_with_the_link_is_said_again(
    houses: Houses,
) -> None:
    client = await houses.client(0)
    room = houses.backends[0].rooms.room()
    room.add(houses.mirror(client))  # it waits in the outbox
    await cut(houses)
    assert "room" not in houses.gates[0].groups.roll
    await heal(houses)
    await until(lambda: "room" in houses.gates[0].groups.roll)
    room.publish("onNews", 1)
    await heard(client)


async def test_a_group_that_is_dissolved_meanwhile_is_dissolved(
    houses: Houses,
) -> None:
    await houses.member(0)
    room = houses.backends[0].rooms.room()
    await until(lambda: "room" in houses.backends[0].group_links._having)
    await cut(houses)
    room.close()
    await heal(houses)
    await until(lambda: "room" not in houses.gates[0].groups.roll)
