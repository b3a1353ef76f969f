"""Every request is answered once, whatever the handler does."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from nano import Component, RequestError, Session, handler

from .clients import World, until


class Service(Component):
    """Each handler twice: as a plain function and as a coroutine."""

    def __init__(self) -> None:
        self.calls = 0
        self.free = asyncio.Event()
        self.cancelled = asyncio.Event()

    @handler
    def echo(self, session: Session, payload: Any) -> Any:
        self.calls += 1
        return {"echo": payload}

    @handler
    async def echo_async(self, session: Session, payload: Any) -> Any:
        self.calls += 1
        await asyncio.sleep(0)
        return {"echo": payload}

    @handler
    def silent(self, session: Session, payload: Any) -> None: ...

    @handler
    async def silent_async(self, session: Session, payload: Any) -> None: ...

    @handler
    def refuse(self, session: Session, payload: Any) -> None:
        raise RequestError(402, "no money", "SHOP-1")

    @handler
    async def refuse_async(self, session: Session, payload: Any) -> None:
        raise RequestError(402, "no money", "SHOP-1")

    @handler
    def fail(self, session: Session, payload: Any) -> None:
        raise LookupError("the secret word")

    @handler
    async def fail_async(self, session: Session, payload: Any) -> None:
        raise LookupError("the secret word")

    @handler
    def odd(self, session: Session, payload: Any) -> object:
        return object()

    @handler
    async def odd_async(self, session: Session, payload: Any) -> object:
        return object()

    @handler
    async def slow(self, session: Session, payload: Any) -> str:
        try:
            await self.free.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "done"

    @handler
    async def ask_the_dead(self, session: Session, payload: Any) -> str:
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone
        return "never"

    @handler
    def ask_the_dead_at_once(self, session: Session, payload: Any) -> str:
        gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        gone.cancel()
        return gone.result()

    @handler
    async def say_badly(self, session: Session, payload: Any) -> str:
        raise RequestError(400, "half a pair: \ud800")


BOTH = pytest.mark.parametrize("suffix", ["", "_async"])


@BOTH
async def test_a_result_answers_the_request(suffix: str) -> None:
    world = World(Service())
    answer = await world.client().request(f"Service.echo{suffix}", [1])
    assert answer == ({"echo": [1]}, False)
    counts = world.metrics.route(f"Service.echo{suffix}")
    assert (counts.requests, counts.responses, counts.notifies) == (1, 1, 0)


@BOTH
async def test_no_result_is_answered_500(suffix: str) -> None:
    answer = await World(Service()).client().request(f"Service.silent{suffix}")
    assert answer.status == 500
    assert answer.value["msg"] == f"Service.silent{suffix} answered nothing"


@BOTH
async def test_a_request_error_passes_through(suffix: str) -> None:
    answer = await World(Service()).client().request(f"Service.refuse{suffix}")
    assert answer == ({"code": "SHOP-1", "msg": "no money", "status": 402}, True)


@BOTH
async def test_an_exception_is_answered_500_without_its_text_and_logged_once(
    suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(Service())
    answer = await world.client().request(f"Service.fail{suffix}")
    assert answer.status == 500
    assert "secret" not in str(answer.value)
    (record,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert record.name == "nano.runtime.dispatch"
    assert f"Service.fail{suffix}" in record.getMessage()
    assert record.exc_info
    assert isinstance(record.exc_info[1], LookupError)
    assert record.exc_info[2] is not None
    assert world.metrics.failures == {500: 1}


@BOTH
async def test_a_result_that_cannot_be_encoded_is_answered_500_and_not_counted(
    suffix: str,
) -> None:
    world = World(Service())
    answer = await world.client().request(f"Service.odd{suffix}")
    assert answer.status == 500
    assert world.metrics.route(f"Service.odd{suffix}").responses == 0


async def test_an_unknown_route_is_answered_404_and_counted_as_unknown() -> None:
    world = World(Service())
    client = world.client()
    answer = await client.request("Service.nothing")
    assert answer.status == 404
    assert "'Service.nothing'" in answer.value["msg"]
    client.notify("Service.nothing")
    counts = world.metrics.route("unknown")
    assert (counts.requests, counts.notifies) == (1, 1)
    assert "Service.nothing" not in world.metrics.routes


async def test_only_a_part_of_a_long_unknown_route_is_sent_back() -> None:
    answer = await World(Service()).client().request("\r\n" + "x" * 250)
    assert answer.status == 404
    assert len(answer.value["msg"]) < 120
    assert "\n" not in answer.value["msg"]


async def test_a_handler_that_takes_too_long_is_cancelled_and_answered_504() -> None:
    service = Service()
    world = World(service, timeout=0.02)
    answer = await world.client().request("Service.slow")
    assert answer.status == 504
    assert answer.value["msg"] == "Service.slow took too long"
    assert service.cancelled.is_set()
    await until(lambda: not world.dispatcher.tasks)


@pytest.mark.parametrize("suffix", ["", "_at_once"])
async def test_a_cancelled_future_inside_a_handler_is_answered_500(suffix: str) -> None:
    world = World(Service())
    client = world.client()
    answer = await client.request(f"Service.ask_the_dead{suffix}")
    assert answer.status == 500
    assert (await client.request("Service.echo", 1)).status == 200


async def test_an_error_that_no_wire_can_carry_is_answered_all_the_same() -> None:
    answer = await World(Service()).client().request("Service.say_badly")
    assert answer.status == 400


@pytest.mark.parametrize("method", ["echo", "silent", "refuse", "odd", "fail"])
@BOTH
async def test_a_notify_has_no_answer(method: str, suffix: str) -> None:
    world = World(Service())
    client = world.client()
    client.notify(f"Service.{method}{suffix}", 1)
    await until(lambda: not world.dispatcher.tasks)
    assert client.answers == {}
    assert world.metrics.route(f"Service.{method}{suffix}").notifies == 1


async def test_a_request_with_id_0_is_a_notify_as_in_nano() -> None:
    service = Service()
    world = World(service)
    client = world.client()
    client.send("Service.echo", 1, number=0)
    assert service.calls == 1
    assert client.answers == {}
    counts = world.metrics.route("Service.echo")
    assert (counts.requests, counts.notifies, counts.responses) == (0, 1, 0)


async def test_while_some_are_not_met_nobody_says_that_nobody_serves() -> None:
    world = World()
    world.dispatcher.unmet.add("rooms")
    client = world.client()
    assert (await client.request("Nobody.knows")).status == 503
    world.dispatcher.unmet.clear()
    assert (await client.request("Nobody.knows")).status == 404


async def test_what_another_node_sends_here_is_for_this_node_or_for_nobody() -> None:
    world = World()
    world.dispatcher.unmet.add("rooms")
    client = world.client()
    client.deliver = world.dispatcher.dispatch_here
    assert (await client.request("Nobody.knows")).status == 404


async def test_messages_of_other_nodes_reach_handlers_of_this_node_only() -> None:
    world = World(Service())
    client = world.client()
    world.dispatcher.routes["Remote.route"] = world.dispatcher.local["Service.echo"]
    assert (await client.request("Remote.route")).status == 200
    client.deliver = world.dispatcher.dispatch_here
    assert (await client.request("Service.echo", 1)).status == 200
    assert (await client.request("Remote.route")).status == 404


async def test_stop_cancels_what_runs_and_starts_nothing_that_waits() -> None:
    service = Service()
    world = World(service)
    client = world.client()
    client.send("Service.slow")
    client.send("Service.slow")
    client.send("Service.echo")
    await asyncio.sleep(0)  # the first handler begins
    await asyncio.sleep(0)
    await world.dispatcher.stop()
    assert service.cancelled.is_set()
    assert not world.dispatcher.tasks
    assert service.calls == 0
    assert not [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
