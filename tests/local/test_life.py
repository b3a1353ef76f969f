from __future__ import annotations

from itertools import product

import pytest

from nano.local.life import (
    FIRST_TRIES,
    LONGEST_PAUSE,
    SHORTEST_PAUSE,
    STEADY_AFTER,
    STOP_GRACE,
    TRANSITIONS,
    Action,
    Life,
    Phase,
    Stimulus,
)

# The shortest way into each phase.
WAYS = {
    Phase.IDLE: [],
    Phase.STARTING: [Stimulus.START],
    Phase.READY: [Stimulus.START, Stimulus.READY],
    Phase.PAUSING: [Stimulus.START, Stimulus.READY, Stimulus.EXIT],
    Phase.STOPPING: [Stimulus.START, Stimulus.STOP],
    Phase.STOPPED: [Stimulus.STOP],
}


def at(phase: Phase) -> Life:
    life = Life()
    if phase is Phase.FAILED:
        life.feed(Stimulus.START, 0)
        life.feed(Stimulus.EXIT, 0, 2)
    for stimulus in WAYS.get(phase, []):
        life.feed(stimulus, 0, 1)
    assert life.phase is phase
    return life


def died(life: Life, now: float, code: int = 1) -> float:
    """Let it die; return how long the pause is."""
    life.feed(Stimulus.EXIT, now, code)
    assert life.phase is Phase.PAUSING
    assert life.due is not None
    return life.due - now


@pytest.mark.parametrize(
    ("phase", "stimulus"),
    list(product(Phase, Stimulus)),
    ids=lambda value: value.value,
)
def test_every_cell_leads_where_the_table_says(
    phase: Phase, stimulus: Stimulus
) -> None:
    life = at(phase)
    action = life.feed(stimulus, 100.0, 1)
    expected = TRANSITIONS.get((phase, stimulus), (phase, None))
    assert (life.phase, action) == expected


def test_nothing_leaves_the_end() -> None:
    for phase, stimulus in product((Phase.STOPPED, Phase.FAILED), Stimulus):
        assert (phase, stimulus) not in TRANSITIONS


@pytest.mark.parametrize("phase", Phase)
def test_a_process_is_over_when_nothing_runs_and_nothing_will(phase: Phase) -> None:
    running = {Phase.STARTING, Phase.READY, Phase.PAUSING, Phase.STOPPING}
    assert at(phase).over is (phase not in running)


def test_a_process_that_is_called_wrongly_is_not_started_again() -> None:
    life = at(Phase.STARTING)
    assert life.feed(Stimulus.EXIT, 0, 2) is None
    assert life.phase is Phase.FAILED


def test_a_process_that_never_gets_ready_is_given_up_after_some_tries() -> None:
    life = at(Phase.STARTING)
    for _ in range(FIRST_TRIES - 1):
        died(life, 0)
        assert life.feed(Stimulus.DUE, 0) is Action.SPAWN
    life.feed(Stimulus.EXIT, 0, 1)
    assert life.phase is Phase.FAILED


def test_a_process_that_was_ready_once_is_started_again_for_ever() -> None:
    life = at(Phase.READY)
    for _ in range(50):
        died(life, 0, 2)
        life.feed(Stimulus.DUE, 0)


def test_the_pause_doubles_up_to_a_limit() -> None:
    life = at(Phase.READY)
    pauses = []
    for _ in range(7):
        pauses.append(died(life, 0))
        life.feed(Stimulus.DUE, 0)
    assert pauses[:3] == pytest.approx(
        [SHORTEST_PAUSE, 2 * SHORTEST_PAUSE, 4 * SHORTEST_PAUSE]
    )
    assert pauses[-1] == LONGEST_PAUSE


def test_a_steady_process_starts_again_after_the_shortest_pause() -> None:
    life = at(Phase.READY)
    for _ in range(5):
        died(life, 0)
        life.feed(Stimulus.DUE, 0)
    life.feed(Stimulus.READY, 10)
    assert died(life, 10 + STEADY_AFTER) == pytest.approx(SHORTEST_PAUSE)


def test_a_process_that_dies_soon_after_it_was_ready_waits_longer() -> None:
    life = at(Phase.READY)
    died(life, 0)
    life.feed(Stimulus.DUE, 0)
    life.feed(Stimulus.READY, 10)
    assert died(life, 10 + STEADY_AFTER - 1) == pytest.approx(2 * SHORTEST_PAUSE)


def test_a_process_that_ignores_the_stop_is_killed_when_its_time_is_over() -> None:
    life = at(Phase.READY)
    assert life.feed(Stimulus.STOP, 7) is Action.TERMINATE
    assert life.due == 7 + STOP_GRACE
    assert life.feed(Stimulus.DUE, 7 + STOP_GRACE) is Action.KILL
    assert life.due is None
    life.feed(Stimulus.EXIT, 20, -9)
    assert life.phase is Phase.STOPPED


def test_a_process_that_is_stopped_while_it_pauses_is_not_started_again() -> None:
    life = at(Phase.PAUSING)
    life.feed(Stimulus.STOP, 0)
    assert life.due is None
    assert life.feed(Stimulus.DUE, 1) is None
    assert life.phase is Phase.STOPPED
