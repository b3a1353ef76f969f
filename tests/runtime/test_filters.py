"""Filters see every message of a node, and may stop it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nano import Component, RequestError, Session, handler
from nano.errors import UsageError
from nano.protocol.messages import Message
from nano.runtime.component import collect_handlers
from nano.runtime.filters import Filters

from .clients import Answer, World, until

Log = list[str]


class Service(Component):
    """Handlers, and no filters."""

    def __init__(self, log: Log) -> None:
        self.log = log

    @handler
    def work(self, session: Session, payload: Any) -> str:
        self.log.append("work")
        return "done"

    @handler
    async def work_async(self, session: Session, payload: Any) -> str:
        self.log.append("work begins")
        await asyncio.sleep(0)
        self.log.append("work ends")
        return "done"

    @handler
    def fail(self, session: Session, payload: int) -> None:
        raise LookupError


class Guard(Component):
    """Filters, and no handlers."""

    def __init__(self, log: Log, name: str) -> None:
        self.log = log
        self.name = name
        self.error: Exception | None = None
        self.answer: object = None
        self.seen: list[tuple[int, str, bytes]] = []

    def before_handler(self, session: Session, message: Message) -> None:
        self.log.append(f"before {self.name}")
        self.seen.append((message.id, message.route, message.payload))
        if self.error is not None:
            raise self.error
        if self.answer is not None:
            session.respond(self.answer)

    def after_handler(self, session: Session, message: Message) -> None:
        self.log.append(f"after {self.name}")
        if self.answer is not None:
            raise LookupError("not important")


@pytest.fixture
def log() -> Log:
    return []


@pytest.fixture
def guards(log: Log) -> list[Guard]:
    return [Guard(log, "one"), Guard(log, "two")]


@pytest.fixture
def world(log: Log, guards: list[Guard]) -> World:
    return World(guards[0], Service(log), guards[1])


def test_filters_run_around_a_handler_in_order_and_back(world: World, log: Log) -> None:
    client = world.client()
    client.send("Service.work")
    assert log == ["before one", "before two", "work", "after two", "after one"]
    assert client.answers == {1: [Answer("done", False)]}


async def test_filters_run_around_an_async_handler_before_the_next_message(
    world: World, log: Log
) -> None:
    client = world.client()
    client.send("Service.work_async")
    client.send("Service.work")
    await until(lambda: len(client.answers) == 2)
    before, after = ["before one", "before two"], ["after two", "after one"]
    first = [*before, "work begins", "work ends", *after]
    assert log == [*first, *before, "work", *after]


def test_a_filter_sees_the_message_as_it_came(
    world: World, guards: list[Guard]
) -> None:
    client = world.client()
    client.send("Service.fail", b"no json", number=4)
    client.notify("Service.work", 1)
    assert guards[0].seen == [
        (4, "Service.fail", b"no json"),
        (0, "Service.work", b"1"),
    ]
    assert client.answers[4][0].status == 400


@pytest.mark.parametrize("name", ["work", "work_async"])
async def test_a_filter_refuses_a_message(
    world: World, log: Log, guards: list[Guard], name: str
) -> None:
    guards[0].error = RequestError(403, "not you")
    client = world.client()
    assert (await client.request(f"Service.{name}")).status == 403
    assert log == ["before one"]
    client.notify(f"Service.{name}")
    assert log == ["before one"] * 2
    assert world.metrics.failures == {403: 2}
    guards[0].error = None
    assert (await client.request(f"Service.{name}")).value == "done"


def test_a_filter_that_breaks_lets_nothing_pass(
    world: World, log: Log, guards: list[Guard], caplog: pytest.LogCaptureFixture
) -> None:
    guards[1].error = LookupError("the secret word")
    client = world.client()
    client.send("Service.work")
    assert client.answers[1][0].status == 500
    assert log == ["before one", "before two"]
    assert "the secret word" in caplog.text
    assert "secret" not in str(client.answers)


def test_a_filter_may_answer_in_place_of_the_handler(
    world: World, log: Log, guards: list[Guard]
) -> None:
    guards[0].answer = "from a cache"
    client = world.client()
    client.send("Service.work")
    assert client.answers == {1: [Answer("from a cache", False)]}
    assert log == ["before one"]
    assert not world.metrics.dropped


def test_what_fails_after_a_handler_changes_nothing(
    world: World, log: Log, guards: list[Guard], caplog: pytest.LogCaptureFixture
) -> None:
    guards[1].answer = "ignored, as a notify wants none"
    client = world.client()
    client.notify("Service.work")
    assert log[-2:] == ["after two", "after one"]
    assert "after Service.work" in caplog.text
    client.send("Service.fail", 1)
    assert client.answers[1][0].value == "ignored, as a notify wants none"


async def test_filters_run_after_handlers_that_fail(world: World, log: Log) -> None:
    client = world.client()
    assert (await client.request("Service.fail", 1)).status == 500
    assert log == ["before one", "before two", "after two", "after one"]


def test_a_message_that_waits_and_is_refused_does_not_hold_up_the_next(
    world: World, guards: list[Guard]
) -> None:
    async def story() -> None:
        client = world.client()
        client.send("Service.work_async")
        client.send("Service.work_async")
        client.send("Service.work_async")
        guards[0].error = RequestError(403, "not you")
        await until(lambda: len(client.answers) == 3)
        assert [client.answers[n][0].status for n in (1, 2, 3)] == [200, 403, 403]

    asyncio.run(story())


def test_a_component_without_filters_makes_none(log: Log) -> None:
    filters = Filters([Service(log)])
    assert not filters
    assert Filters([Guard(log, "one")])


def test_filters_of_the_wrong_kind_are_refused(log: Log) -> None:
    class Marked(Service):
        @handler
        def before_handler(self, session: Session, message: Message) -> None: ...

    class Slow(Service):
        async def after_handler(  # type: ignore[override]
            self, session: Session, message: Message
        ) -> None: ...

    class Nothing(Component): ...

    with pytest.raises(UsageError, match=r"Marked.before_handler cannot be a handler"):
        Filters([Marked(log)])
    with pytest.raises(UsageError, match=r"Slow.after_handler .* make it a plain def"):
        Filters([Slow(log)])
    with pytest.raises(UsageError, match="Nothing has no handler"):
        collect_handlers([Nothing()])
