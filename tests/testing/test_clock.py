"""The manual clock: what waits follows it, and nothing waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
import unittest

import pytest
import uvloop

from nano.errors import UsageError
from nano.testing import ManualClock, NothingHappens


async def test_waiting_takes_no_time_and_the_clock_says_how_long() -> None:
    before = time.process_time()
    with ManualClock() as clock:
        begun = clock.now
        await asyncio.sleep(86_400 / 24)
        assert clock.now - begun == pytest.approx(3600)
        assert asyncio.get_running_loop().time() == clock.now
    assert time.process_time() - before < 3600  # hours of it would have timed out


async def test_time_stands_still_while_there_is_something_to_do() -> None:
    with ManualClock() as clock:
        begun = clock.now
        for _ in range(1000):
            await asyncio.sleep(0)
        await clock.settle()
        assert clock.now == begun


async def test_timers_run_in_order_each_at_its_time() -> None:
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await asyncio.sleep(nap)
            seen.append((name, round(clock.now - begun, 6)))

    with ManualClock() as clock:
        begun = clock.now
        tasks = [
            asyncio.create_task(sleeper("a", 3, 3)),
            asyncio.create_task(sleeper("b", 1, 4, 10)),
        ]
        await clock.advance(6)
        assert seen == [("b", 1), ("a", 3), ("b", 5), ("a", 6)]
        assert round(clock.now - begun, 6) == 6
        await asyncio.gather(*tasks)
    assert seen[-1] == ("b", 15)


async def test_time_outs_follow_it() -> None:
    with ManualClock() as clock:
        begun = clock.now
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        assert clock.now - begun == pytest.approx(30)


async def test_a_deadline_from_outside_goes_by_real_time() -> None:
    async with asyncio.timeout(60) as outer:
        with ManualClock() as clock:
            assert clock.now == 1
            await clock.advance(1)
    assert not outer.expired()


async def test_without_jumps_time_passes_in_advance_only() -> None:
    with ManualClock(jump=False) as clock:
        done = asyncio.create_task(asyncio.sleep(5))
        await clock.settle()
        await clock.advance(4.9)
        assert not done.done()
        await clock.advance(0.1)
        assert done.done()


async def test_the_wall_clock_begins_at_the_same_moment_in_each_run() -> None:
    with ManualClock() as clock:
        assert clock.wall == 1_767_225_600
        await clock.advance(60)
        assert clock.wall == pytest.approx(1_767_225_660)


async def test_threads_of_executors_are_waited_for() -> None:
    may_end = threading.Event()

    async def release() -> None:
        await asyncio.sleep(0)
        may_end.set()

    with ManualClock() as clock:
        begun = clock.now
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(1):  # of the clock: no time passes meanwhile
            call = loop.run_in_executor(None, may_end.wait, 10)
            releasing = asyncio.create_task(release())
            assert await call
        await releasing
        assert clock.now == begun


def test_waiting_in_vain_ends_with_the_reason() -> None:
    async def for_nothing() -> None:
        with ManualClock():
            await asyncio.Event().wait()

    async def for_ever() -> None:
        async def tick() -> None:
            while True:  # noqa: ASYNC110  # nothing will ever come
                await asyncio.sleep(1)

        with ManualClock(patience=100):
            ticking = asyncio.create_task(tick())
            await ticking

    with pytest.raises(NothingHappens, match="not even a timer"):
        asyncio.run(for_nothing())
    with pytest.raises(NothingHappens, match="100 s have passed"):
        asyncio.run(for_ever())


async def test_everything_is_as_before_afterwards() -> None:
    loop = asyncio.get_running_loop()
    with ManualClock():
        with pytest.raises(UsageError, match="by a manual clock already"):
            ManualClock().__enter__()
        await asyncio.sleep(100)
    assert "time" not in vars(loop)
    assert abs(loop.time() - time.monotonic()) < 50  # not a hundred seconds ahead
    clock = ManualClock()
    for using in (clock.settle(), clock.advance(1)):
        with pytest.raises(UsageError, match="not installed"):
            await using


def test_it_says_where_it_cannot_be_used() -> None:
    async def main() -> None:
        with ManualClock():
            pass

    with pytest.raises(UsageError, match="needs a running event loop"):
        ManualClock().__enter__()
    with pytest.raises(UsageError, match="run the test without uvloop"):
        uvloop.run(main())


class WithUnittest(unittest.IsolatedAsyncioTestCase):
    async def test_it_works_with_unittest_too(self) -> None:
        with ManualClock() as clock:
            begun = clock.now
            await asyncio.sleep(100)
            assert round(clock.now - begun) == 100
