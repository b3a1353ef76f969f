"""Timers and threads of components."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextvars import ContextVar

import pytest

from nano import NodeInfo
from nano.errors import QueueFull, UsageError
from nano.runtime import tasks as tasks_module
from nano.runtime import threads as threads_module
from nano.runtime.threads import MOST_THREADS, Threads
from nano.runtime.timers import Timers

from .clients import until

SOON = 0.002  # seconds


@pytest.fixture
async def timers() -> AsyncIterator[Timers]:
    """Timers that end with the test, and leave no task behind."""
    timers = Timers()
    yield timers
    await timers.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    threads = Threads()
    yield threads
    await threads.stop()


# ---------------------------------------------------------------------- timers


async def test_every_calls_again_and_again_until_cancelled(timers: Timers) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    calls: list[float] = []
    timer = timers.every(SOON, lambda: calls.append(loop.time()))
    assert timer.active
    await until(lambda: len(calls) >= 5)
    timer.cancel()
    timer.cancel()
    assert not timer.active
    number = len(calls)
    assert calls[0] - begun >= SOON
    assert calls[4] - begun >= 5 * SOON
    done = asyncio.Event()
    timers.after(5 * SOON, done.set)
    await done.wait()
    assert len(calls) == number


async def test_after_calls_once(timers: Timers) -> None:
    calls: list[int] = []
    first = timers.after(SOON, lambda: calls.append(1))
    never = timers.after(SOON, lambda: calls.append(2))
    never.cancel()
    last = asyncio.Event()
    timers.after(10 * SOON, last.set)
    await last.wait()
    assert calls == [1]
    assert not first.active


async def test_calls_that_were_missed_are_not_made_up_for(timers: Timers) -> None:
    calls: list[int] = []
    held = threading.Event()

    def work() -> None:
        calls.append(1)
        if len(calls) == 1:
            held.wait(20 * SOON)  # the loop stands still
            timers.after(0, lambda: calls.append(0))

    timers.every(SOON, work)
    await until(lambda: 0 in calls)
    assert calls.index(0) <= 2


async def test_an_async_function_does_not_overlap_with_itself(timers: Timers) -> None:
    running = 0
    most = 0
    calls = 0

    async def work() -> None:
        nonlocal running, most, calls
        running += 1
        most = max(most, running)
        await asyncio.sleep(3 * SOON)
        calls += 1
        running -= 1

    timers.every(SOON, work)
    await until(lambda: calls >= 3)
    assert most == 1


async def test_a_timer_goes_on_after_an_exception(
    timers: Timers, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def broken() -> None:
        calls.append("plain")
        raise LookupError("one")

    async def broken_async() -> None:
        calls.append("async")
        raise LookupError("two")

    async def waits_for_the_dead() -> None:
        calls.append("dead")
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    def asks_the_dead() -> None:
        calls.append("dead at once")
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        gone.result()

    for function in (broken, broken_async, waits_for_the_dead, asks_the_dead):
        timers.every(SOON, function)
    every = ("plain", "async", "dead", "dead at once")
    await until(lambda: min(map(calls.count, every)) >= 2)
    assert "LookupError: one" in caplog.text
    assert "LookupError: two" in caplog.text


async def test_a_timer_may_cancel_itself(timers: Timers) -> None:
    ended = asyncio.Event()

    async def work() -> None:
        timer.cancel()
        await asyncio.sleep(0)
        ended.set()

    timer = timers.every(SOON, work)
    await ended.wait()
    assert not timer.active


async def test_timers_end_with_their_node_and_what_they_do_is_cancelled() -> None:
    timers = Timers()
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    timers.every(SOON, work)
    waiting = timers.every(60.0, work)
    await begun.wait()
    await timers.stop()
    await timers.stop()
    assert cancelled.is_set()
    assert not waiting.active
    with pytest.raises(UsageError, match="the node is stopping"):
        timers.after(1.0, work)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
async def test_an_interval_that_is_none_is_refused(
    timers: Timers, seconds: float
) -> None:
    with pytest.raises(UsageError, match="at least"):
        timers.every(seconds, list)
    if seconds:
        with pytest.raises(UsageError, match="cannot have been due"):
            timers.after(seconds, list)


async def test_a_counted_timer_calls_so_often_and_is_over(timers: Timers) -> None:
    calls: list[int] = []
    timer = timers.every(SOON, lambda: calls.append(1), times=3)
    last = asyncio.Event()
    await until(lambda: not timer.active)
    timers.after(5 * SOON, last.set)
    await last.wait()
    assert calls == [1, 1, 1]


async def test_a_counted_timer_counts_failures_and_awaits_the_last(
    timers: Timers, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []
    ended = asyncio.Event()

    async def work() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise LookupError("on purpose")
        await asyncio.sleep(SOON)
        ended.set()

    timer = timers.every(SOON, work, times=2)
    await ended.wait()
    assert (len(calls), timer.active) == (2, False)
    assert "LookupError: on purpose" in caplog.text


async def test_when_calls_at_each_interval_at_which_the_condition_holds(
    timers: Timers,
) -> None:
    asked: list[bool] = []
    calls: list[int] = []

    def condition() -> bool:
        asked.append(len(asked) in (2, 3, 5))
        return asked[-1]

    timer = timers.when(condition, lambda: calls.append(len(asked)), every=SOON)
    await until(lambda: len(asked) >= 7)
    timer.cancel()
    assert calls == [3, 4, 6]


async def test_when_with_times_waits_for_the_condition_once(timers: Timers) -> None:
    ready = asyncio.Event()
    called = asyncio.Event()
    timer = timers.when(ready.is_set, called.set, every=SOON, times=1)
    asleep = asyncio.Event()
    timers.after(5 * SOON, asleep.set)
    await asleep.wait()
    assert (called.is_set(), timer.active) == (False, True)
    ready.set()
    await called.wait()
    assert not timer.active


async def test_a_condition_that_fails_is_logged_and_asked_again(
    timers: Timers, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[int] = []
    called = asyncio.Event()

    def condition() -> bool:
        asked.append(1)
        if len(asked) < 3:
            raise LookupError("not yet")
        return True

    timers.when(condition, called.set, every=SOON, times=1)
    await called.wait()
    assert caplog.text.count("LookupError: not yet") == 2


async def test_a_condition_is_not_asked_while_the_function_runs(timers: Timers) -> None:
    busy = False
    asked: list[bool] = []
    calls = 0

    async def work() -> None:
        nonlocal busy, calls
        busy = True
        await asyncio.sleep(5 * SOON)
        busy = False
        calls += 1

    def condition() -> bool:
        asked.append(busy)
        return True

    timers.when(condition, work, every=SOON)
    await until(lambda: calls >= 2)
    assert not any(asked)


async def test_conditions_and_counts_of_the_wrong_kind_are_refused(
    timers: Timers,
) -> None:
    async def condition() -> bool:
        return True

    with pytest.raises(UsageError, match="called and not awaited"):
        timers.when(condition, list, every=1.0)
    with pytest.raises(UsageError, match="at least once, not 0 times"):
        timers.every(1.0, list, times=0)
    with pytest.raises(UsageError, match="at least once, not -1 times"):
        timers.when(bool, list, every=1.0, times=-1)
    with pytest.raises(UsageError, match="at least"):
        timers.when(bool, list, every=0.0)


async def test_a_thousand_timers_call_twice_each_and_are_kept(timers: Timers) -> None:
    """nano's TestNewTimer; there two ticks after 5 ms give exactly 2,000 calls."""
    calls: Counter[int] = Counter()
    made = [
        timers.every(SOON, functools.partial(calls.update, [number]))
        for number in range(1000)
    ]
    await until(lambda: len(calls) == 1000 and min(calls.values()) >= 2)
    assert all(timer.active for timer in made)


async def test_a_thousand_timers_call_once_each_and_are_forgotten(
    timers: Timers,
) -> None:
    """nano's TestNewAfterTimer."""
    calls: Counter[int] = Counter()
    made = [
        timers.after(SOON, functools.partial(calls.update, [number]))
        for number in range(1000)
    ]
    await until(lambda: calls.total() >= 1000)
    last = asyncio.Event()
    timers.after(2 * SOON, last.set)
    await last.wait()
    assert calls == Counter(range(1000))
    assert not any(timer.active for timer in made)


async def test_what_will_not_end_does_not_keep_a_node_from_stopping(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(tasks_module, "STOP_TIME", 0.01)
    timers = Timers()
    begun, free = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        begun.set()
        while not free.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await free.wait()

    timers.after(0, stubborn)
    await begun.wait()
    await timers.stop()
    assert "was cancelled and goes on" in caplog.text
    free.set()
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


# --------------------------------------------------------------------- threads


async def test_a_blocking_function_runs_in_a_thread(threads: Threads) -> None:
    def work(number: int, *, more: int) -> tuple[int, str]:
        return number + more, threading.current_thread().name

    result, name = await threads.run(work, 1, more=2)
    assert result == 3
    assert name.startswith("nano-blocking")
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 1, 0)


async def test_calls_that_wait_for_a_thread_are_bounded(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads_module, "MOST_CALLS", 2)
    free = threading.Event()
    running = [asyncio.create_task(threads.run(free.wait, 10.0)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull, match="2 calls run or wait"):
        await threads.run(int)
    free.set()
    assert await asyncio.gather(*running) == [True, True]
    assert await threads.run(int) == 0


async def test_a_thread_sees_the_context_of_who_calls(threads: Threads) -> None:
    trace: ContextVar[str] = ContextVar("trace")
    trace.set("abc")
    assert await threads.run(trace.get) == "abc"


async def test_threads_are_few_and_the_loop_goes_on(threads: Threads) -> None:
    free = threading.Event()
    running: set[str] = set()

    def work() -> None:
        running.add(threading.current_thread().name)
        free.wait(10.0)

    async with asyncio.TaskGroup() as group:
        for _ in range(3 * MOST_THREADS):
            group.create_task(threads.run(work))
        await until(lambda: len(running) == MOST_THREADS)
        free.set()
    assert len(running) == MOST_THREADS


async def test_what_blocks_for_ever_does_not_keep_a_node_from_stopping(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(threads_module, "STOP_TIME", 0.01)
    threads = Threads()
    free = threading.Event()
    call = asyncio.create_task(threads.run(free.wait, 10.0))
    await asyncio.sleep(0)
    await threads.stop()
    assert "1 blocking functions still run" in caplog.text
    free.set()
    assert await call
    with pytest.raises(UsageError, match="the node has stopped"):
        await threads.run(int)


# ----------------------------------------------------------------- by the node


async def test_a_component_has_them_of_its_node(
    timers: Timers, threads: Threads
) -> None:
    info = NodeInfo("a:1", "gate", "", "c", timers=timers, threads=threads)
    called = asyncio.Event()
    info.after(0, called.set)
    await called.wait()
    assert info.every(60.0, called.set).active
    assert await info.run_blocking(int, "7") == 7


async def test_without_a_node_the_error_says_what_to_do() -> None:
    info = NodeInfo("a:1", "gate", "", "c")
    for call in (info.every, info.after):
        with pytest.raises(UsageError, match=r"nano\.testing\.MemoryNode"):
            call(1.0, list)
    with pytest.raises(UsageError, match=r"nano\.testing\.MemoryNode"):
        await info.run_blocking(int)


async def test_a_call_that_is_cancelled_before_it_began_is_closed(
    recwarn: pytest.WarningsRecorder,
) -> None:
    timers = Timers()
    called = asyncio.Event()

    async def never() -> None:
        raise AssertionError("the node has stopped")

    def begin() -> Awaitable[None]:
        called.set()
        return never()

    timers.after(0, begin)
    await called.wait()  # its task has not had a turn
    await timers.stop()
    gc.collect()
    assert not recwarn.list
