"""The loop around the reconciles: who is looked at, when, and what errors do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from nano_operator.controller import Controller, Key
from nano_operator.errors import RefusedError, UnavailableError
from nano_operator.metrics import Metrics

ARENA, LOBBY = Key("demo", "arena"), Key("demo", "lobby")


class Work:
    """Reconciles that a test can see and steer.

    Attributes:
        seen: Which keys were looked at, in order.
        fail: What to raise for a key, the first time.
    """

    def __init__(self, *keys: Key) -> None:
        self.keys = list(keys)
        self.seen: list[Key] = []
        self.fail: dict[Key, Exception] = {}
        self.again: float | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self._changed = asyncio.Condition()

    async def reconcile(self, key: Key) -> float | None:
        async with self._changed:
            self.seen.append(key)
            self._changed.notify_all()
        await self.hold.wait()
        if key in self.fail:
            raise self.fail.pop(key)
        return self.again

    async def list_keys(self) -> list[Key]:
        return self.keys

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what was seen to satisfy *condition*."""
        async with asyncio.timeout(20.0), self._changed:
            await self._changed.wait_for(condition)


@asynccontextmanager
async def running(
    work: Work, list_keys: Callable[[], Awaitable[list[Key]]] | None = None
) -> AsyncIterator[tuple[Controller, Metrics]]:
    metrics = Metrics()
    controller = Controller(work.reconcile, list_keys or work.list_keys, metrics)
    task = asyncio.create_task(controller.run(), name="controller")
    await controller.started.wait()
    try:
        yield controller, metrics
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def counted(metrics: Metrics, name: str) -> float:
    """Return the value of a line of the metrics, 0 when there is none."""
    prefix = f"nanocluster_operator_{name} "
    for line in metrics.render().decode().splitlines():
        if line.startswith(prefix):
            return float(line.removeprefix(prefix))
    return 0.0


async def test_every_cluster_is_looked_at_when_the_operator_starts() -> None:
    work = Work(ARENA, LOBBY)
    async with running(work) as (controller, _):
        await work.until(lambda: {*work.seen} == {ARENA, LOBBY})
        assert controller.listed


async def test_an_event_leads_to_a_look() -> None:
    work = Work()
    async with running(work) as (controller, _):
        await controller.add(ARENA)
        await work.until(lambda: work.seen == [ARENA])


async def test_an_unexpected_error_is_logged_once_counted_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work = Work(ARENA)
    work.fail[ARENA] = ValueError("a bug")
    async with running(work) as (_, metrics):
        await work.until(lambda: len(work.seen) == 2)
        assert counted(metrics, 'reconciles_total{result="failed"}') == 1
    traces = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in traces] == [
        "demo/arena: reconcile failed unexpectedly"
    ]


async def test_one_failing_cluster_does_not_hold_up_another() -> None:
    work = Work(ARENA, LOBBY)
    work.fail[ARENA] = ValueError("a bug")
    async with running(work) as (controller, _):
        await work.until(lambda: LOBBY in work.seen)
        await controller.add(LOBBY)
        await work.until(lambda: work.seen.count(LOBBY) == 2)


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (RefusedError(422, "Invalid", "bad affinity", "patch"), "refused"),
        (UnavailableError(503, "", "busy", "patch"), "failed"),
    ],
)
async def test_an_error_of_the_api_server_is_told_without_a_traceback(
    error: Exception, result: str, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(ARENA)
    work.fail[ARENA] = error
    async with running(work) as (_, metrics):
        await work.until(lambda: len(work.seen) == 2)
        assert counted(metrics, f'reconciles_total{{result="{result}"}}') == 1
    assert not [record for record in caplog.records if record.exc_info]
    (told,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert told.getMessage().startswith(f"demo/arena: {error}; next try in ")


async def test_a_reconcile_may_ask_to_be_called_again() -> None:
    work = Work(ARENA)
    work.again = 0.01
    async with running(work):
        await work.until(lambda: len(work.seen) >= 3)


async def test_at_most_eight_clusters_are_worked_on_at_a_time() -> None:
    keys = [Key("demo", f"c{number}") for number in range(12)]
    work = Work(*keys)
    work.hold.clear()
    async with running(work) as (controller, metrics):
        await work.until(lambda: len(work.seen) == 8)
        controller.observe()
        assert counted(metrics, "queue_depth") == 12
        assert len(work.seen) == 8
        work.hold.set()
        await work.until(lambda: {*work.seen} == {*keys})


async def test_a_failing_listing_does_not_end_the_controller() -> None:
    work = Work()

    async def broken() -> list[Key]:
        raise UnavailableError(0, "", "connection refused", "list nanoclusters")

    async with running(work, broken) as (controller, metrics):
        await controller.add(ARENA)
        await work.until(lambda: work.seen == [ARENA])
        assert counted(metrics, 'resyncs_total{result="failed"}') == 1
        assert not controller.listed


def test_the_process_is_well_until_its_loop_stands_still_or_a_cluster_waits() -> None:
    now = [0.0]
    work = Work()
    controller = Controller(
        work.reconcile, work.list_keys, Metrics(), clock=lambda: now[0]
    )
    assert controller.trouble() is None
    now[0] = 11.0
    assert controller.trouble() == "the event loop stood still for 11 s"
