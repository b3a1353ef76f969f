"""Answers before and after the end of a handler, and never two."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from nano import Component, RequestError, Session, handler
from nano.errors import UsageError
from nano.runtime import answers
from nano.runtime.answers import Deferred

from .clients import Answer, Client, World, until

TIMEOUT = 5.0


class Service(Component):
    """Answers early, late, twice and never."""

    def __init__(self) -> None:
        self.deferred: list[Deferred] = []
        self.sessions: list[Session] = []
        self.free = asyncio.Event()
        self.ended = False

    @handler
    def respond(self, session: Session, payload: Any) -> None:
        session.respond(payload)

    @handler
    async def respond_early(self, session: Session, payload: Any) -> None:
        session.respond(payload)
        await self.free.wait()
        self.ended = True

    @handler
    def respond_twice(self, session: Session, payload: Any) -> None:
        session.respond(1)
        session.respond(2)

    @handler
    def respond_and_return(self, session: Session, payload: Any) -> int:
        session.respond(1)
        return 2

    @handler
    async def respond_and_fail(self, session: Session, payload: Any) -> None:
        session.respond(1)
        raise LookupError("after it")

    @handler
    def respond_badly(self, session: Session, payload: Any) -> None:
        with pytest.raises(TypeError):
            session.respond(object())
        session.respond("better")

    @handler
    def defer(self, session: Session, payload: Any) -> None:
        self.deferred.append(session.defer())

    @handler
    async def defer_async(self, session: Session, payload: Any) -> None:
        self.deferred.append(session.defer())
        await asyncio.sleep(0)

    @handler
    def defer_and_return(self, session: Session, payload: Any) -> int:
        self.deferred.append(session.defer())
        return 2

    @handler
    def defer_and_respond(self, session: Session, payload: Any) -> None:
        self.deferred.append(session.defer())
        session.respond(2)

    @handler
    def respond_and_defer(self, session: Session, payload: Any) -> None:
        session.respond(1)
        session.defer().respond(2)

    @handler
    def keep(self, session: Session, payload: Any) -> bool:
        self.sessions.append(session)
        return True


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def world(service: Service) -> World:
    world = World(service, timeout=TIMEOUT)
    world.dispatcher.tick(100.0)
    return world


@pytest.fixture
def client(world: World) -> Client:
    return world.client()


def seconds(world: World) -> int:
    """How many second answers were counted."""
    return world.metrics.dropped["answer", "second"]


# --------------------------------------------------------------------- respond


def test_respond_answers_the_request_in_hand(world: World, client: Client) -> None:
    client.send("Service.respond", {"a": 1}, number=7)
    assert client.answers == {7: [Answer({"a": 1}, False)]}
    assert world.metrics.route("Service.respond").responses == 1


def test_a_null_is_an_answer_when_it_is_said(client: Client) -> None:
    client.send("Service.respond", None, number=1)
    assert client.answers == {1: [Answer(None, False)]}


async def test_an_async_handler_answers_first_and_works_then(
    world: World, client: Client, service: Service
) -> None:
    answer = await client.request("Service.respond_early", "hello")
    assert answer == ("hello", False)
    assert not service.ended
    service.free.set()
    await until(lambda: service.ended)
    await until(lambda: not client.session.turns.busy)
    assert client.answers == {1: [Answer("hello", False)]}
    assert seconds(world) == 0


def test_respond_to_a_notify_sends_nothing(world: World, client: Client) -> None:
    client.notify("Service.respond", 1)
    client.notify("Service.respond_twice", 1)
    assert client.answers == {}
    assert seconds(world) == 0
    assert world.metrics.route("Service.respond").responses == 0


@pytest.mark.parametrize(
    "name", ["respond_twice", "respond_and_return", "respond_and_defer"]
)
def test_a_second_answer_is_refused_logged_and_counted(
    world: World, client: Client, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    client.send(f"Service.{name}")
    assert client.answers == {1: [Answer(1, False)]}
    assert seconds(world) == 1
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert f"Service.{name} has answered" in record.message
    assert "dropped" in record.message


async def test_an_error_after_the_answer_is_logged_and_not_sent(
    world: World, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    await client.request("Service.respond_and_fail")
    await until(lambda: not client.session.turns.busy)
    assert client.answers == {1: [Answer(1, False)]}
    assert seconds(world) == 1
    assert "LookupError: after it" in caplog.text
    assert not world.metrics.failures


def test_a_value_that_cannot_be_encoded_leaves_the_request_open(
    client: Client,
) -> None:
    client.send("Service.respond_badly")
    assert client.answers == {1: [Answer("better", False)]}


def test_outside_of_a_handler_there_is_nothing_to_answer(
    client: Client, service: Service
) -> None:
    client.send("Service.keep")
    (session,) = service.sessions
    with pytest.raises(UsageError, match=r"respond\(\) is for a handler while it runs"):
        session.respond(1)
    with pytest.raises(UsageError, match=r"defer\(\) in the handler"):
        session.defer()
    assert len(client.answers) == 1


# ----------------------------------------------------------------------- defer


@pytest.mark.parametrize("name", ["defer", "defer_async"])
async def test_a_deferred_answer_is_given_from_anywhere(
    world: World, client: Client, service: Service, name: str
) -> None:
    client.send(f"Service.{name}", number=9)
    await until(lambda: service.deferred and not client.session.turns.busy)
    (deferred,) = service.deferred
    assert client.answers == {}
    assert (deferred.done, deferred.route) == (False, f"Service.{name}")
    deferred.respond({"b": 2})
    assert client.answers == {9: [Answer({"b": 2}, False)]}
    assert deferred.done
    assert world.metrics.route(f"Service.{name}").responses == 1


def test_the_next_message_is_served_meanwhile(client: Client, service: Service) -> None:
    client.send("Service.defer")
    client.send("Service.respond", "second")
    client.send("Service.defer")
    service.deferred[1].respond("third")
    service.deferred[0].respond("first")
    assert [client.answers[n][0].value for n in (1, 2, 3)] == [
        "first",
        "second",
        "third",
    ]
    assert client.order == [2, 3, 1]


def test_a_deferred_answer_may_be_an_error(
    world: World, client: Client, service: Service
) -> None:
    client.send("Service.defer")
    service.deferred[0].fail(RequestError(409, "taken"))
    body = {"code": "NANO-409", "msg": "taken", "status": 409}
    assert client.answers == {1: [Answer(body, True)]}
    assert world.metrics.failures == {409: 1}


def test_a_deferred_answer_is_given_once(
    world: World, client: Client, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    client.send("Service.defer")
    (deferred,) = service.deferred
    deferred.respond(1)
    deferred.respond(2)
    deferred.fail(RequestError(409, "taken"))
    assert client.answers == {1: [Answer(1, False)]}
    assert seconds(world) == 2
    assert caplog.text.count("Service.defer has answered") == 2


@pytest.mark.parametrize("name", ["defer_and_return", "defer_and_respond"])
def test_a_promise_is_the_answer_and_nothing_else(
    world: World, client: Client, service: Service, name: str
) -> None:
    client.send(f"Service.{name}")
    assert client.answers == {}
    assert seconds(world) == 1
    service.deferred[0].respond("promised")
    assert client.answers == {1: [Answer("promised", False)]}


def test_a_promise_that_is_not_kept_in_time_is_answered_504(
    world: World, client: Client, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    client.send("Service.defer")
    world.dispatcher.tick(104.9)
    client.send("Service.defer")
    assert client.answers == {}
    world.dispatcher.tick(105.0)
    assert {n: a[0].status for n, a in client.answers.items()} == {1: 504}
    assert world.metrics.failures == {504: 1}
    service.deferred[0].respond("late")
    assert len(client.answers[1]) == 1
    assert world.metrics.dropped == {("answer", "late"): 1}
    assert not caplog.records
    service.deferred[1].respond("in time")
    assert client.answers[2] == [Answer("in time", False)]


def test_the_end_of_the_session_makes_a_promise_empty(
    world: World, client: Client, service: Service
) -> None:
    for _ in range(3):
        client.send("Service.defer")
    world.sessions.close(client.session, "client-closed")
    assert service.deferred[0].done
    service.deferred[0].respond(1)
    service.deferred[1].fail(RequestError(409, "taken"))
    world.dispatcher.tick(200.0)
    service.deferred[2].respond(1)
    assert client.answers == {}
    assert not world.metrics.dropped
    assert not world.metrics.failures


def test_a_notify_is_promised_nothing(
    world: World, client: Client, service: Service
) -> None:
    client.notify("Service.defer")
    (deferred,) = service.deferred
    assert deferred.done
    deferred.respond(1)
    deferred.fail(RequestError(409, "taken"))
    world.dispatcher.tick(200.0)
    assert client.answers == {}
    assert not world.metrics.dropped


def test_a_value_that_cannot_be_encoded_leaves_the_promise_open(
    client: Client, service: Service
) -> None:
    client.send("Service.defer")
    (deferred,) = service.deferred
    with pytest.raises(TypeError):
        deferred.respond(object())
    assert not deferred.done
    deferred.respond("better")
    assert client.answers == {1: [Answer("better", False)]}


def test_promises_are_counted_and_bounded(
    world: World,
    client: Client,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "MOST_DEFERRED", 2)
    for _ in range(3):
        client.send("Service.defer")
    assert client.answers[3][0].status == 429
    assert b"nano_deferred_requests 2.0" in world.metrics.render()
    service.deferred[0].respond(1)
    assert b"nano_deferred_requests 1.0" in world.metrics.render()
    client.send("Service.defer")
    assert 4 not in client.answers
