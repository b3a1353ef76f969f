"""The tables and the pure functions of the client."""

from __future__ import annotations

import itertools

import pytest

from nano.client import Backoff, Kicked, State
from nano.client.callbacks import Callbacks
from nano.client.returning import ONCE, delay, worth_returning
from nano.client.states import TRANSITIONS, Input, next_state


@pytest.mark.parametrize(
    ("state", "happened"),
    [*itertools.product(State, Input)],
    ids=lambda it: it.value,
)
def test_every_cell_leads_where_it_should(state: State, happened: Input) -> None:
    where = TRANSITIONS.get((state, happened))
    if where is None:
        with pytest.raises(RuntimeError, match=f"{happened.value} while {state.value}"):
            next_state(state, happened)
    else:
        assert next_state(state, happened) is where


def test_over_is_possible_everywhere_and_nothing_follows_it() -> None:
    assert {state for state, happened in TRANSITIONS if happened is Input.OVER} == set(
        State
    )
    assert [it for it in TRANSITIONS if it[0] is State.CLOSED] == [
        (State.CLOSED, Input.OVER)
    ]


@pytest.mark.parametrize(
    ("attempt", "most"), [(0, 0.5), (1, 1), (2, 2), (5, 15), (10_000, 15)]
)
def test_a_delay_is_anything_up_to_a_limit_that_doubles(
    attempt: int, most: float
) -> None:
    assert delay(attempt, Backoff(), lambda: 0.0) == 0
    assert delay(attempt, Backoff(), lambda: 0.5) == most / 2


@pytest.mark.parametrize(
    ("kick", "code", "returns"),
    [
        (None, 1006, True),
        (None, 1000, True),
        (Kicked("logged in elsewhere"), 1000, False),
        (Kicked("logged in elsewhere"), 1006, False),
        (Kicked("stopping", True), 1000, True),
        (Kicked("stopping"), 1001, True),
        (Kicked("stopping"), 1012, True),
        (Kicked("busy"), 1013, True),
        (Kicked("no heartbeat came for two intervals"), 1008, True),
        (Kicked("no handshake came in time"), 1006, True),
    ],
)
def test_who_is_kicked_stays_away_unless_told_otherwise(
    kick: Kicked | None, code: int, returns: bool
) -> None:
    assert worth_returning(kick, code) is returns


def test_the_defaults_are_those_of_the_javascript_client() -> None:
    backoff = Backoff()
    assert (backoff.base, backoff.cap, backoff.first) == (0.5, 15, False)
    assert ONCE.attempts == 0


def test_callbacks_are_called_in_order_until_they_are_taken_off() -> None:
    failures: list[tuple[str, str]] = []
    callbacks = Callbacks(lambda name, error: failures.append((name, str(error))))
    seen: list[object] = []

    def fail(value: object) -> None:
        raise ValueError(value)

    def again(value: object) -> None:
        seen.append(("again", value))

    callbacks.on("a", again)
    callbacks.once("a", seen.append)
    callbacks.on("a", fail)
    callbacks.on("b", again)
    assert "a" in callbacks
    callbacks.emit("a", 1)
    callbacks.off("a", fail)
    callbacks.emit("a", 2)
    callbacks.off("a", again)
    callbacks.off("a", again)
    callbacks.emit("a", 3)
    callbacks.off("b")
    callbacks.emit("b", 4)
    assert seen == [("again", 1), 1, ("again", 2)]
    assert failures == [("a", "1")]
    assert "a" not in callbacks
    assert "b" not in callbacks


def test_a_callback_may_take_itself_off() -> None:
    callbacks = Callbacks(lambda _, error: pytest.fail(str(error)))
    seen: list[int] = []

    def only_once(value: int) -> None:
        seen.append(value)
        callbacks.off("a", only_once)

    callbacks.on("a", only_once)
    callbacks.on("a", seen.append)
    callbacks.emit("a", 1)
    callbacks.emit("a", 2)
    assert seen == [1, 1, 2]
