"""Deadlines with the clock of the caller, and the one timer of a node."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano.runtime.deadlines import Deadlines
from nano.runtime.ticker import Ticker

from .clients import until


def test_keys_expire_after_their_time_in_the_order_of_arrival() -> None:
    deadlines: Deadlines[str] = Deadlines(10.0)
    deadlines.add("a", 0.0)
    deadlines.add("b", 1.0)
    deadlines.add("c", 5.0)
    assert deadlines.expired(9.9) == []
    assert deadlines.expired(11.0) == ["a", "b"]
    assert (len(deadlines), "c" in deadlines, "a" in deadlines) == (1, True, False)


def test_a_key_that_is_added_again_lives_longer() -> None:
    deadlines: Deadlines[str] = Deadlines(10.0)
    deadlines.add("a", 0.0)
    deadlines.add("b", 1.0)
    deadlines.add("a", 2.0)
    assert deadlines.expired(11.5) == ["b"]
    assert deadlines.expired(12.0) == ["a"]


def test_a_key_that_is_discarded_does_not_expire() -> None:
    deadlines: Deadlines[str] = Deadlines(1.0)
    deadlines.add("a", 0.0)
    deadlines.discard("a")
    deadlines.discard("never there")
    assert deadlines.expired(100.0) == []


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "drop", "look"]), st.integers(0, 5)),
        max_size=50,
    )
)
def test_deadlines_agree_with_a_plain_table(steps: list[tuple[str, int]]) -> None:
    deadlines: Deadlines[int] = Deadlines(3.0)
    due: dict[int, float] = {}
    for now, (what, key) in enumerate(steps):
        if what == "add":
            deadlines.add(key, now)
            due[key] = now + 3.0
        elif what == "drop":
            deadlines.discard(key)
            due.pop(key, None)
        else:
            over = {k for k, at in due.items() if at <= now}
            assert set(deadlines.expired(now)) == over
            due = {k: at for k, at in due.items() if k not in over}
    assert len(deadlines) == len(due)


async def test_the_ticker_calls_with_the_time_of_the_loop_from_its_start_on() -> None:
    ticker = Ticker(0.001)
    times: list[float] = []
    ticker.add(times.append)
    ticker.start()
    assert len(times) == 1  # nobody works with a clock that was never set
    await until(lambda: len(times) >= 3)
    ticker.stop()
    assert times == sorted(times)
    assert times[-1] <= asyncio.get_running_loop().time()


async def test_a_stopped_ticker_calls_nobody_and_leaves_no_timer() -> None:
    ticker = Ticker(0.001)
    calls: list[float] = []
    ticker.add(calls.append)
    ticker.start()
    ticker.stop()
    ticker.stop()
    await asyncio.sleep(0.01)
    assert len(calls) == 1


async def test_a_call_that_fails_is_logged_and_keeps_nobody_from_ticking(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ticker = Ticker(0.001)
    calls: list[float] = []

    def fail(now: float) -> None:
        raise RuntimeError("on purpose")

    ticker.add(fail)
    ticker.add(calls.append)
    ticker.start()
    await until(lambda: len(calls) >= 2)
    ticker.stop()
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
