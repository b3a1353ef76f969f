"""Heartbeats, with time as a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano.transports.wheel import SPOKES, Wheel

INTERVAL = 30.0
STEP = INTERVAL / SPOKES


class Heart:
    """Somebody on the wheel; notes what happens, and when."""

    def __init__(self, clock: Clock) -> None:
        self.heard = False
        self.silent = 0
        self.spoke = 0
        self.beats: list[float] = []
        self.lost: float | None = None
        self._clock = clock

    def beat(self) -> None:
        self.beats.append(self._clock.now)

    def lose(self) -> None:
        self.lost = self._clock.now
        self._clock.wheel.remove(self)


class Clock:
    """Time, and the wheel that it turns."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wheel = Wheel(INTERVAL)
        self.wheel.advance(self.now)

    def heart(self) -> Heart:
        heart = Heart(self)
        self.wheel.add(heart)
        return heart

    def pass_time(self, seconds: float, by: float = STEP / 3) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now = min(self.now + by, until)
            self.wheel.advance(self.now)


def close_to(*seconds: float) -> list[object]:
    """Return times since the start, as exact as the wheel is: a spoke and a look."""
    return [pytest.approx(1000.0 + at, abs=1.5 * STEP) for at in seconds]


def test_a_client_that_speaks_gets_a_beat_each_interval_and_stays() -> None:
    clock = Clock()
    heart = clock.heart()
    for _ in range(5):
        heart.heard = True
        clock.pass_time(INTERVAL)
    clock.pass_time(2 * STEP)
    assert heart.beats == close_to(30, 60, 90, 120, 150)
    assert heart.lost is None


def test_a_client_that_never_speaks_is_lost_at_its_third_beat() -> None:
    clock = Clock()
    heart = clock.heart()
    clock.pass_time(200)
    assert heart.beats == close_to(30, 60)
    assert [heart.lost] == close_to(90)


def test_silence_is_counted_from_the_last_word() -> None:
    clock = Clock()
    heart = clock.heart()
    clock.pass_time(75)
    heart.heard = True
    clock.pass_time(200)
    assert heart.beats == close_to(30, 60, 90, 120)
    assert [heart.lost] == close_to(150)


def test_whoever_was_removed_hears_nothing() -> None:
    clock = Clock()
    heart = clock.heart()
    clock.wheel.remove(heart)
    clock.wheel.remove(heart)
    clock.pass_time(100)
    assert heart.beats == []
    assert heart.lost is None


def test_a_beat_may_take_others_off_the_wheel() -> None:
    clock = Clock()
    hearts = [clock.heart() for _ in range(3)]
    for heart in hearts:
        heart.silent = 2  # all are lost at their next beat
    clock.pass_time(31)
    assert all(heart.lost for heart in hearts)


def test_time_in_which_the_process_stood_still_is_nobodys_silence() -> None:
    clock = Clock()
    heart = clock.heart()
    clock.pass_time(1000, by=1000)  # a debugger, a stopped process, a blocking handler
    assert heart.lost is None
    assert len(heart.beats) == 1
    heart.heard = True  # its heartbeats waited in the socket
    clock.pass_time(75)
    assert heart.lost is None
    clock.pass_time(30)
    assert heart.lost is not None


def test_clients_that_come_over_time_are_served_over_time() -> None:
    clock = Clock()
    hearts = []
    for _ in range(200):
        hearts.append(clock.heart())
        clock.pass_time(INTERVAL / 200)
    clock.pass_time(INTERVAL)
    moments = [heart.beats[0] for heart in hearts]
    busiest = max(moments.count(moment) for moment in set(moments))
    assert busiest <= 200 / SPOKES + 1


@given(st.lists(st.floats(0.01, INTERVAL / 2), min_size=1, max_size=60))
def test_no_beat_is_missed_or_doubled_however_often_one_looks(
    looks: list[float],
) -> None:
    clock = Clock()
    heart = clock.heart()
    for seconds in looks:
        heart.heard = True
        clock.pass_time(seconds, by=seconds)
    turns = (clock.now - 1000.0) / INTERVAL
    assert int(turns - 0.05) <= len(heart.beats) <= int(turns + 0.05)
