"""Sessions: who the client is, what is stored with it, and who holds it back."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest

from nano import Component, Session, handler
from nano.runtime.sessions import Sessions, new_session_id

from .clients import Client, World, until


class Plain(msgspec.Struct):
    number: int


@pytest.fixture
def client() -> Client:
    return World().client()


@pytest.mark.parametrize(("uid", "known_as"), [("ann", "ann"), (7, "7"), (0, "0")])
def test_bind_says_who_the_client_is(
    client: Client, uid: str | int, known_as: str
) -> None:
    assert client.session.uid == ""
    client.session.bind(uid)
    assert client.session.uid == known_as
    assert client.session.version == 2


@pytest.mark.parametrize(
    ("uid", "text"),
    [
        ("", "not empty"),
        ("é" * 129, "a uid of 258 bytes; 256 is the most"),
        ("half a pair: \ud800", "surrogates not allowed"),
    ],
)
def test_bind_refuses_what_is_no_uid(client: Client, uid: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        client.session.bind(uid)
    assert (client.session.uid, client.session.version) == ("", 1)


def test_what_is_stored_is_what_json_makes_of_it(client: Client) -> None:
    session = client.session
    bag = ["sword"]
    session.set("bag", bag)
    bag.append("later")
    session.update({"at": (1, 2), "who": Plain(3)})
    assert session.data == {"bag": ["sword"], "at": [1, 2], "who": {"number": 3}}
    assert session.version == 3


def test_several_values_are_stored_together_or_not_at_all(client: Client) -> None:
    session = client.session
    session.set("a", 1)
    with pytest.raises(TypeError):
        session.update({"a": 2, "b": object()})
    with pytest.raises(TypeError, match="a key of session data is text, not 3"):
        session.update({"a": 2, 3: 4})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="16384 is the most"):
        session.update({"a": 2, "b": "x" * 16_384})
    assert (session.data, session.version) == ({"a": 1}, 2)
    session.update({})
    assert session.data == {"a": 1}


def test_clear_forgets_who_the_client_is(client: Client) -> None:
    session = client.session
    session.bind("ann")
    session.set("a", 1)
    session.local["a"] = 1
    session.clear()
    assert (session.uid, session.data, session.local) == ("", {}, {"a": 1})
    assert session.version == 4


def test_close_tells_the_reason_and_that_the_client_may_come_back(
    client: Client,
) -> None:
    client.session.close("maintenance")
    assert (client.kicked, client.invited) == ("maintenance", True)
    client.session.close()
    assert client.kicked == "closed"


def test_outside_of_a_handler_there_is_no_origin_and_no_id(client: Client) -> None:
    assert (client.session.origin, client.session.last_id) == ("", 0)


class Numbers(Component):
    @handler
    def last(self, session: Session, payload: None) -> list[int]:
        return [session.last_id]

    @handler
    def answered(self, session: Session, payload: None) -> None:
        session.respond(session.last_id)
        session.push("onLast", session.last_id)

    @handler
    async def later(self, session: Session, payload: None) -> list[int]:
        await asyncio.sleep(0)
        return [session.last_id]


async def test_the_last_id_is_that_of_the_request_in_hand() -> None:
    client = World(Numbers()).client()
    for route in ("Numbers.last", "Numbers.later"):
        number = client.send(route)
        await until(lambda number=number: number in client.answers)  # type: ignore[misc]
        assert client.answers[number][0].value == [number]
    number = client.send("Numbers.answered")
    assert client.answers[number][0].value == number
    client.notify("Numbers.answered")
    assert client.pushes == [("onLast", 0)] * 2


async def test_what_waits_when_a_session_ends_is_counted() -> None:
    world = World(Numbers())
    client = world.client()
    client.send("Numbers.later")
    client.send("Numbers.last")
    client.notify("Numbers.last")
    world.sessions.close(client.session, "client-closed")
    assert world.metrics.dropped == {("session", "closed"): 2}
    await until(lambda: not world.dispatcher.tasks)


def test_set_stores_under_keys(client: Client) -> None:
    session = client.session
    session.set("level", 3)
    session.set("bag", ["sword"])
    session.set("level", 4)
    assert session.data == {"level": 4, "bag": ["sword"]}
    assert session.version == 4


def test_remove_forgets_a_key(client: Client) -> None:
    session = client.session
    session.set("level", 3)
    session.set("bag", [])
    session.remove("level")
    session.remove("never there")
    assert session.data == {"bag": []}
    session.set("level", 1)
    assert session.data == {"bag": [], "level": 1}


def test_data_is_limited_to_16_kib_of_json(client: Client) -> None:
    session = client.session
    fits = 16 * 1024 - len('{"k":""}')
    session.set("k", "x" * fits)
    with pytest.raises(ValueError, match="would be 16385 bytes; 16384 is the most"):
        session.set("k", "x" * (fits + 1))
    assert len(session.data["k"]) == fits
    assert session.version == 2


def test_data_that_is_no_json_is_refused_and_changes_nothing(client: Client) -> None:
    client.session.set("a", 1)
    with pytest.raises(TypeError):
        client.session.set("b", object())
    assert client.session.data == {"a": 1}
    assert client.session.version == 2


def test_what_another_node_knew_is_taken_over_without_an_echo(client: Client) -> None:
    client.session.restore("bob", {"a": 1}, 9)
    assert (client.session.uid, client.session.data) == ("bob", {"a": 1})
    assert client.session.version == 9


def test_push_goes_to_the_client(client: Client) -> None:
    client.session.push("onNews", {"a": 1})
    assert client.pushes == [("onNews", {"a": 1})]


def test_push_refuses_what_is_no_json(client: Client) -> None:
    with pytest.raises(TypeError):
        client.session.push("onNews", object())


def test_kick_goes_to_the_client_with_the_reason(client: Client) -> None:
    client.session.kick()
    assert (client.kicked, client.invited) == ("kicked", False)
    client.session.kick("full", reconnect=True)
    assert (client.kicked, client.invited) == ("full", True)


def test_the_client_is_read_again_when_the_last_holder_lets_go(client: Client) -> None:
    session = client.session
    session.release("a")  # nobody holds it
    assert client.pauses == 0
    session.hold("a")
    session.hold("b")
    session.hold("a")
    assert (client.paused, client.pauses) == (True, 1)
    session.release("c")
    session.release("a")
    session.release("a")
    assert client.paused
    session.release("b")
    assert not client.paused
    session.hold("b")
    assert (client.paused, client.pauses) == (True, 2)


def test_a_session_shows_who_it_is_and_where_from(client: Client) -> None:
    client.session.bind("ann")
    number = client.session.id
    assert repr(client.session) == f"<Session {number} uid='ann' 192.0.2.1:4321>"


def test_ids_are_random_beyond_those_of_go() -> None:
    ids = {new_session_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(1 << 62 <= number < 1 << 63 for number in ids)


def test_the_end_of_a_session_is_told_once_after_it_has_left() -> None:
    sessions = Sessions()
    told: list[tuple[Session, str, int]] = []
    sessions.on_closed(lambda s: told.append((s, s.closed, len(sessions))))
    session = World().client().session
    sessions.add(session)
    assert sessions.get(session.id) is session
    assert list(sessions) == [session]
    sessions.close(session, "client-closed")
    sessions.close(session, "kicked")
    assert told == [(session, "client-closed", 0)]
    assert session.closed == "client-closed"
    assert sessions.get(session.id) is None


def test_a_namesake_is_not_closed_in_place_of_a_session() -> None:
    world = World()
    old, new = Client(world.dispatcher, 5), Client(world.dispatcher, 5)
    world.sessions.add(old.session)
    world.sessions.add(new.session)
    world.sessions.close(old.session, "gone")
    assert world.sessions.get(5) is new.session
    assert not old.session.closed


def test_a_callback_that_fails_does_not_keep_the_others_from_knowing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sessions = Sessions()
    told: list[Session] = []

    def fail(session: Session) -> None:
        raise RuntimeError("on purpose")

    sessions.on_closed(fail)
    sessions.on_closed(told.append)
    session = World().client().session
    sessions.add(session)
    sessions.close(session, "gone")
    assert told == [session]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_sessions_may_end_while_they_are_walked() -> None:
    world = World()
    for _ in range(3):
        world.client()
    for session in world.sessions:
        world.sessions.close(session, "gone")
    assert len(world.sessions) == 0
