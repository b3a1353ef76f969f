"""When a key is worked on: told by a clock that the test turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano_operator.workqueue import (
    BASE_SECONDS,
    CAP_SECONDS,
    COALESCE_SECONDS,
    WorkQueue,
)

SOON = COALESCE_SECONDS


def calm() -> WorkQueue[str]:
    """Return a queue whose pauses are not spread."""
    return WorkQueue(jitter=lambda: 0.0)


def test_many_events_within_a_short_while_are_one_piece_of_work() -> None:
    queue = calm()
    for step in range(10):
        queue.add("a", now=step / 100)
    assert queue.take(SOON - 0.01) is None
    assert queue.take(SOON) == "a"
    queue.done("a")
    assert queue.take(100.0) is None
    assert queue.depth() == 0


def test_a_key_is_never_worked_on_twice_at_the_same_time() -> None:
    queue = calm()
    queue.add("a", 0.0)
    assert queue.take(1.0) == "a"
    queue.add("a", 1.0)
    assert queue.take(5.0) is None
    queue.done("a")
    assert queue.take(5.0) == "a"


def test_keys_come_in_the_order_in_which_they_were_due() -> None:
    queue = calm()
    for position, key in enumerate("cab"):
        queue.add(key, now=float(position))
    assert [queue.take(10.0) for _ in range(4)] == ["c", "a", "b", None]


def test_a_failing_key_comes_back_later_and_later() -> None:
    queue = calm()
    queue.add("a", 0.0)
    now, pauses = 1.0, []
    for _ in range(11):
        assert queue.take(now) == "a"
        pauses.append(queue.failed("a", now))
        assert queue.take(now + pauses[-1] - 0.01) is None
        now += pauses[-1]
    expected = [BASE_SECONDS * 2**count for count in range(9)]
    assert pauses == pytest.approx([*expected, CAP_SECONDS, CAP_SECONDS])


def test_success_forgets_earlier_failures() -> None:
    queue = calm()
    queue.add("a", 0.0)
    for now in (1.0, 3.0):
        assert queue.take(now) == "a"
        queue.failed("a", now)
    assert queue.take(10.0) == "a"
    queue.done("a")
    queue.add("a", 10.0)
    assert queue.take(11.0) == "a"
    assert queue.failed("a", 11.0) == pytest.approx(BASE_SECONDS)


def test_an_event_ends_a_pause_and_a_reminder_does_not() -> None:
    queue = calm()
    queue.add("a", 0.0)
    for now in (1.0, 2.0, 4.0, 8.0):
        assert queue.take(now) == "a"
        pause = queue.failed("a", now)
    assert pause == pytest.approx(8.0)
    queue.remind("a", 8.5)
    assert queue.take(9.0) is None
    queue.add("a", 9.0)
    assert queue.take(9.0 + SOON) == "a"


def test_a_key_that_changed_while_it_failed_is_tried_at_once() -> None:
    queue = calm()
    queue.add("a", 0.0)
    assert queue.take(1.0) == "a"
    queue.add("a", 1.0)
    assert queue.failed("a", 1.0) == pytest.approx(SOON)


@given(jitter=st.floats(0.0, 1.0, exclude_max=True))
def test_a_pause_is_spread_by_at_most_a_fifth(jitter: float) -> None:
    queue = WorkQueue[str](jitter=lambda: jitter)
    queue.add("a", 0.0)
    queue.take(1.0)
    assert 0.8 <= queue.failed("a", 1.0) <= 1.0


def test_the_queue_tells_when_to_look_again() -> None:
    queue = calm()
    assert queue.next_due() is None
    queue.add("a", 0.0, delay=5.0)
    queue.add("b", 0.0, delay=3.0)
    assert queue.next_due() == 3.0
    queue.take(3.0)
    assert queue.next_due() == 5.0


def test_age_counts_from_when_a_key_was_due_or_begun() -> None:
    queue = calm()
    assert queue.oldest(50.0) == 0.0
    queue.add("a", 0.0)
    assert queue.oldest(10.0) == pytest.approx(10.0 - SOON)
    queue.take(10.0)
    assert queue.oldest(10.0) == 0.0
    assert queue.oldest(70.0) == pytest.approx(60.0)


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["add", "remind", "take", "done", "failed"]),
            st.sampled_from("abc"),
            st.floats(0.0, 2.0),
        ),
        max_size=60,
    )
)
def test_no_request_is_ever_lost(
    steps: list[tuple[str, str, float]],
) -> None:
    queue, now = calm(), 0.0
    asked: set[str] = set()
    working: set[str] = set()
    for step, key, passed in steps:
        now += passed
        if step in ("add", "remind"):
            (queue.add if step == "add" else queue.remind)(key, now)
            if step == "add" or key not in working:
                asked.add(key)
        elif step == "take":
            taken = queue.take(now)
            if taken is not None:
                assert taken not in working
                working.add(taken)
                asked.discard(taken)
        elif key in working:
            working.discard(key)
            if step == "done":
                queue.done(key)
            else:
                queue.failed(key, now)
                asked.add(key)
    for key in working:
        queue.done(key)
    later = [queue.take(now + 1000.0) for _ in range(4)]
    assert {key for key in later if key} == asked
