"""Who is in which group, and what a handle does with it, on one node alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano import Delivery, Group, NodeInfo
from nano.errors import ConnectionClosed, EncodeError, GroupClosed, UsageError
from nano.runtime.groups import Groups, Roll
from tests.runtime.clients import Client, World


class Room:
    """A single node with one group, and its clients."""

    def __init__(self) -> None:
        self.world = World()
        self.sessions = self.world.sessions
        self.metrics = self.world.metrics
        serializer = self.world.dispatcher.serializer
        self.groups = Groups(self.sessions, serializer, self.metrics)
        self.group = self.groups.group("room")

    def client(self, uid: str = "") -> Client:
        client = self.world.client()
        if uid:
            client.session.bind(uid)
        return client

    def member(self, uid: str = "") -> Client:
        client = self.client(uid)
        self.group.add(client.session)
        return client


@pytest.fixture
def room() -> Room:
    return Room()


# ------------------------------------------------------------------ the handle


def test_a_publish_reaches_every_member_and_nobody_else(room: Room) -> None:
    members = [room.member() for _ in range(3)]
    stranger = room.client()
    room.group.publish("onNews", {"n": 1})
    assert [it.pushes for it in members] == [[("onNews", {"n": 1})]] * 3
    assert stranger.pushes == []


def test_handles_of_one_name_are_one_group(room: Room) -> None:
    member = room.client()
    room.groups.group("room").add(member.session)
    room.groups.group("room").publish("onNews", 1)
    room.groups.group("hall").publish("onNews", 2)
    assert member.pushes == [("onNews", 1)]


def test_adding_twice_is_adding_once(room: Room) -> None:
    member = room.member()
    room.group.add(member.session)
    room.group.publish("onNews", 1)
    assert len(member.pushes) == 1
    room.group.remove(member.session)
    room.group.publish("onNews", 2)
    assert len(member.pushes) == 1


def test_removing_who_is_not_there_is_harmless(room: Room) -> None:
    room.group.remove(room.client().session)


@pytest.mark.parametrize("form", ["session", "id", "list", "both"])
def test_without_leaves_sessions_out(room: Room, form: str) -> None:
    out, other, member = (room.member() for _ in range(3))
    given: Any = {
        "session": out.session,
        "id": out.session.id,
        "list": [out.session],
        "both": {out.session.id, other.session},
    }[form]
    room.group.publish("onNews", 1, without=given)
    assert out.pushes == []
    assert len(other.pushes) == (form != "both")
    assert len(member.pushes) == 1


def test_where_picks_by_session_data(room: Room) -> None:
    red, blue, none = (room.member() for _ in range(3))
    red.session.set("team", "red")
    blue.session.set("team", "blue")
    red.session.set("level", 3)
    room.group.publish("onA", 1, where={"team": "red"})
    room.group.publish("onB", 1, where={"team": "red", "level": 4})
    room.group.publish("onC", 1, where={"team": None})
    room.group.publish("onD", 1, where={})
    assert [route for route, _ in red.pushes] == ["onA", "onD"]
    assert [route for route, _ in blue.pushes] == ["onD"]
    assert [route for route, _ in none.pushes] == ["onD"]


def test_a_function_as_where_is_refused_with_what_to_do(room: Room) -> None:
    condition: Any = lambda session: True  # noqa: E731
    with pytest.raises(TypeError, match=r"where=\{'team': 'red'\}"):
        room.group.publish("onNews", 1, where=condition)


def test_a_session_that_ends_leaves_all_its_groups(room: Room) -> None:
    member, other = room.member(), room.member()
    room.groups.group("hall").add(member.session)
    room.sessions.close(member.session, "client-closed")
    room.group.publish("onNews", 1)
    assert member.pushes == []
    assert len(other.pushes) == 1
    assert room.groups.roll.names == ["room"]
    assert room.groups.roll.memberships == 1


def test_a_session_that_has_not_begun_cannot_join(room: Room) -> None:
    guest = Client(room.world.dispatcher).session  # as in a handshake
    with pytest.raises(UsageError, match="has not begun; add it to groups in"):
        room.group.add(guest)
    assert room.groups.roll.names == []


def test_a_session_that_has_ended_cannot_join(room: Room) -> None:
    client = room.client()
    room.sessions.close(client.session, "client-closed")
    with pytest.raises(ConnectionClosed, match=r"ended \(client-closed\).*'room'"):
        room.group.add(client.session)
    assert room.groups.roll.names == []


async def test_a_closed_group_is_empty_and_refuses_everything(room: Room) -> None:
    member = room.member()
    room.group.close()
    room.group.close()
    assert room.group.closed
    assert await room.groups.group("room").count() == 0
    uses: list[Callable[[], None]] = [
        lambda: room.group.add(member.session),
        lambda: room.group.remove(member.session),
        lambda: room.group.publish("onNews", 1),
    ]
    for use in uses:
        with pytest.raises(GroupClosed, match=r"begin a new one with node\.group"):
            use()
    for question in (room.group.count(), room.group.uids(), room.group.find("ann")):
        with pytest.raises(GroupClosed):
            await question


def test_a_new_handle_begins_a_closed_group_again(room: Room) -> None:
    room.group.close()
    member = room.client()
    again = room.groups.group("room")
    again.add(member.session)
    again.publish("onNews", 1)
    assert len(member.pushes) == 1


async def test_questions_are_answered_from_the_members(room: Room) -> None:
    ann = room.member("ann")
    room.member("bob")
    room.member("bob")
    room.member()
    room.client("eve")
    assert await room.group.count() == 4
    assert await room.group.uids() == ["ann", "bob"]
    assert await room.group.find("ann") is ann.session
    assert await room.group.find("eve") is None
    assert await room.group.find("") is None


async def test_a_uid_may_be_looked_for_as_a_number(room: Room) -> None:
    member = room.client()
    member.session.bind(7)
    room.group.add(member.session)
    assert await room.group.find(7) is member.session


@pytest.mark.parametrize("name", ["", "x" * 256, "é" * 128, "\ud800"])
def test_names_that_do_not_fit_are_refused(room: Room, name: str) -> None:
    with pytest.raises(UsageError, match="1 to 255 bytes"):
        room.groups.group(name)


@pytest.mark.parametrize(
    ("route", "value", "error"),
    [
        ("r" * 256, 1, EncodeError),
        ("\ud800", 1, EncodeError),
        ("onNews", b"x" * (1 << 24), EncodeError),
        ("onNews", object(), TypeError),
    ],
)
def test_what_cannot_be_sent_is_the_publishers_error(
    room: Room, route: str, value: object, error: type[Exception]
) -> None:
    member = room.member()
    with pytest.raises(error):
        room.group.publish(route, value)
    assert member.pushes == []


def test_one_member_that_fails_does_not_harm_the_others(room: Room) -> None:
    members = [room.member() for _ in range(3)]

    class Broken(Client):
        def push(self, route: str, payload: bytes, delivery: Delivery = "must") -> None:
            raise OSError("the socket is gone")

    broken = Broken(room.world.dispatcher)
    room.sessions.add(broken.session)
    room.group.add(broken.session)
    last = room.member()
    room.group.publish("onNews", 1)
    assert all(len(it.pushes) == 1 for it in [*members, last])
    assert room.metrics.group_deliveries == 4


def test_publishes_deliveries_and_members_are_counted(room: Room) -> None:
    room.member()
    both = room.member()
    room.groups.group("hall").add(both.session)
    room.group.publish("onNews", 1)
    room.groups.group("hall").publish("onNews", 1)
    room.groups.group("nobody").publish("onNews", 1)
    text = room.metrics.render().decode()
    for line in (
        "nano_group_publishes_total 3.0",
        "nano_group_deliveries_total 3.0",
        "nano_groups 2.0",
        "nano_group_members 3.0",
    ):
        assert f"\n{line}\n" in text


def test_a_component_gets_groups_from_its_node(room: Room) -> None:
    node = NodeInfo("127.0.0.1:1", "backend", "rooms", "default/demo", room.groups)
    group = node.group("room")
    assert isinstance(group, Group)
    assert group.name == "room"
    assert repr(group) == "<Group room>"
    assert node == NodeInfo("127.0.0.1:1", "backend", "rooms", "default/demo")


def test_without_a_node_there_are_no_groups() -> None:
    node = NodeInfo("127.0.0.1:1", "backend", "rooms", "default/demo")
    with pytest.raises(UsageError, match="MemoryNode"):
        node.group("room")


# ------------------------------------------------------------------- the table

NAMES = ["room", "hall", "yard"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["join", "join", "leave", "leave_all", "dissolve"]),
            st.sampled_from(NAMES),
            st.integers(0, 3),
        ),
        max_size=40,
    )
)
def test_the_table_is_a_set_of_pairs_and_tells_firsts_and_lasts(
    steps: list[tuple[str, str, int]],
) -> None:
    world = World()
    sessions = [world.client().session for _ in range(4)]
    roll, model, there = Roll(), set[tuple[str, int]](), set[str]()

    def changed(name: str, present: bool) -> None:
        assert (name in there) is not present
        (there.add if present else there.discard)(name)

    roll.changed = changed
    for what, name, number in steps:
        session = sessions[number]
        if what == "join":
            roll.join(name, session)
            model.add((name, number))
        elif what == "leave":
            roll.leave(name, session)
            model.discard((name, number))
        elif what == "leave_all":
            roll.leave_all(session)
            model = {pair for pair in model if pair[1] != number}
        else:
            roll.dissolve(name)
            model = {pair for pair in model if pair[0] != name}
        assert {
            (it, sessions.index(member)) for it in NAMES for member in roll.members(it)
        } == model
        assert set(roll.names) == there == {name for name, _ in model}
        assert roll.memberships == len(model)
        assert not roll._groups.keys() - {sessions[it].id for _, it in model}
