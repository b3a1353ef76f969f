"""The life of one supervised process, written as a table.

A process is started, becomes ready, may die and be started again after a pause,
and is stopped.  This module knows in which order, and when to give up; it starts
nothing, reads no clock and prints nothing.  :mod:`nano.local.child` feeds it and
carries out the actions that it returns.

The table is the specification; ``tests/local/test_life.py`` visits every cell.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["TRANSITIONS", "Action", "Life", "Phase", "Stimulus"]

USAGE_EXIT: Final = 2  # the node was called wrongly: trying again cannot help
FIRST_TRIES: Final = 3  # starts that may fail before the process was ever ready
SHORTEST_PAUSE: Final = 0.2  # seconds before the first restart; doubled each time
LONGEST_PAUSE: Final = 5.0  # somebody is watching and has just mended the cause
STEADY_AFTER: Final = 10.0  # seconds of being ready that wipe out earlier deaths
STOP_GRACE: Final = 8.0  # seconds from SIGINT to SIGKILL


class Phase(Enum):
    """Where a process stands."""

    IDLE = "idle"  # never started
    STARTING = "starting"  # it runs, and is not ready
    READY = "ready"
    PAUSING = "pausing"  # it died, and is started again soon
    STOPPING = "stopping"  # it was told to stop, and still runs
    STOPPED = "stopped"
    FAILED = "failed"  # it cannot be started; nobody tries any more


class Stimulus(Enum):
    """What can happen to a process."""

    START = "start"  # the supervisor wants it
    READY = "ready"  # its probe says so
    EXIT = "exit"  # it has ended
    DUE = "due"  # the time in :attr:`Life.due` has come
    STOP = "stop"  # the supervisor wants it no more


class Action(Enum):
    """What is to be done now."""

    SPAWN = "spawn"
    TERMINATE = "terminate"
    KILL = "kill"


_P, _S = Phase, Stimulus

# What is not here changes nothing: a probe that answers late, a second stop.
# Where an EXIT leads to PAUSING, Life may judge that it is FAILED instead.
TRANSITIONS: Final[dict[tuple[Phase, Stimulus], tuple[Phase, Action | None]]] = {
    (_P.IDLE, _S.START): (_P.STARTING, Action.SPAWN),
    (_P.IDLE, _S.STOP): (_P.STOPPED, None),
    (_P.STARTING, _S.READY): (_P.READY, None),
    (_P.STARTING, _S.EXIT): (_P.PAUSING, None),
    (_P.STARTING, _S.STOP): (_P.STOPPING, Action.TERMINATE),
    (_P.READY, _S.EXIT): (_P.PAUSING, None),
    (_P.READY, _S.STOP): (_P.STOPPING, Action.TERMINATE),
    (_P.PAUSING, _S.DUE): (_P.STARTING, Action.SPAWN),
    (_P.PAUSING, _S.STOP): (_P.STOPPED, None),
    (_P.STOPPING, _S.EXIT): (_P.STOPPED, None),
    (_P.STOPPING, _S.DUE): (_P.STOPPING, Action.KILL),
}


class Life:
    """Follows one process from its first start to its last end.

    Owned by one child of the supervisor; times are seconds of any steady clock.

    Attributes:
        phase: Where the process stands.
        stop_grace: Seconds from STOP to KILL; ``None``: somebody else counts.
        due: When to feed DUE; ``None`` while nothing is waited for.
    """

    def __init__(self) -> None:
        self.phase = Phase.IDLE
        self.stop_grace: float | None = STOP_GRACE
        self.due: float | None = None
        self._deaths = 0  # since it was last steady
        self._ready_since: float | None = None
        self._was_ready = False

    @property
    def over(self) -> bool:
        """Whether nothing runs and nothing will be started again."""
        return self.phase in (Phase.STOPPED, Phase.FAILED, Phase.IDLE)

    def feed(
        self, happened: Stimulus, now: float, code: int | None = None
    ) -> Action | None:
        """Take one step; return what is to be done.

        Args:
            happened: What has happened.
            now: The time.
            code: With EXIT, how it ended; negative for a signal.
        """
        step = TRANSITIONS.get((self.phase, happened))
        if step is None:
            return None
        self.phase, action = step
        self.due = None
        if self.phase is Phase.READY:
            self._ready_since = now
            self._was_ready = True
        elif self.phase is Phase.PAUSING:
            self._died(now, code)
        elif action is Action.TERMINATE and self.stop_grace is not None:
            self.due = now + self.stop_grace
        return action

    def _died(self, now: float, code: int | None) -> None:
        if self._ready_since is not None and now - self._ready_since >= STEADY_AFTER:
            self._deaths = 0
        self._ready_since = None
        self._deaths += 1
        hopeless = code == USAGE_EXIT or self._deaths >= FIRST_TRIES
        if hopeless and not self._was_ready:
            self.phase = Phase.FAILED
            return
        pause = SHORTEST_PAUSE * 2.0 ** min(self._deaths - 1, 10)
        self.due = now + min(pause, LONGEST_PAUSE)
