"""The table of sessions by uid."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nano import Session
from nano.runtime.sessions import Sessions
from tests.runtime.clients import Client, World


def client(world: World) -> Client:
    return Client(world.dispatcher)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "bind", "clear", "restore", "end"]),
            st.integers(0, 5),
            st.sampled_from(["ann", "bob"]),
        ),
        max_size=40,
    )
)
def test_the_table_says_what_the_sessions_say(
    steps: list[tuple[str, int, str]],
) -> None:
    world = World()
    sessions = Sessions()
    known = [client(world).session for _ in range(6)]
    for what, number, uid in steps:
        session = known[number]
        if what == "begin" and not session.closed:
            sessions.add(session)
        elif what == "bind":
            session.bind(uid)
        elif what == "clear":
            session.clear()
        elif what == "restore":
            session.restore(uid, {}, session.version + 1)
        elif what == "end":
            sessions.close(session, "gone")
    for uid in ("ann", "bob", ""):
        there = [it for it in sessions if uid and it.uid == uid]
        assert sorted(it.id for it in sessions.uids.of(uid)) == sorted(
            it.id for it in there
        )
    assert len(sessions.uids) == len({it.uid for it in sessions if it.uid})


def test_watchers_hear_of_each_new_uid_of_a_session_that_is_there() -> None:
    sessions, world = Sessions(), World()
    heard: list[tuple[Session, str]] = []
    sessions.uids.watchers.append(lambda session: heard.append((session, session.uid)))
    one, two = (client(world).session for _ in range(2))
    one.bind("ann")
    assert heard == []  # it has not begun
    sessions.add(one)
    sessions.add(two)
    two.bind(7)
    two.bind(7)
    two.clear()
    two.bind(8)
    sessions.close(two, "gone")
    two.bind(9)
    assert heard == [(one, "ann"), (two, "7"), (two, "8")]
    assert len(sessions.uids) == 1
