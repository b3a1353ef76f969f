"""Which cluster is looked at next, and when.

A key that is added many times within a short while is handed out once; a key that
is being worked on is never handed out a second time, but remembered; one that
failed comes back later and later.  That is all: the queue knows no clock (every
method is told the time), no tasks and no Kubernetes.
:mod:`nano_operator.controller` owns one and turns it into workers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

__all__ = ["BASE_SECONDS", "CAP_SECONDS", "COALESCE_SECONDS", "WorkQueue"]

COALESCE_SECONDS: Final = 0.2
"""One change of a cluster makes several events; they become one reconcile."""

BASE_SECONDS: Final = 1.0
CAP_SECONDS: Final = 300.0
"""After n failures in a row the pause is 2^(n-1) s, at most five minutes."""

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Entry:
    """One key.  *due* is None while nothing but a failure count is remembered."""

    due: float | None = None
    started: float | None = None
    failures: int = 0


class WorkQueue(Generic[K]):
    """The keys that need work.  Not safe to share between threads.

    Each key that :meth:`take` hands out must come back by :meth:`done` or
    :meth:`failed`, whatever happened to it.
    """

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        """*jitter* returns numbers in [0, 1): they spread retries by up to a fifth."""
        self._jitter = jitter
        self._entries: dict[K, _Entry] = {}

    def add(self, key: K, now: float, delay: float = COALESCE_SECONDS) -> None:
        """Ask for work on *key* after *delay* seconds, or earlier if it is due."""
        entry = self._entries.setdefault(key, _Entry())
        due = now + delay
        entry.due = due if entry.due is None else min(entry.due, due)

    def remind(self, key: K, now: float) -> None:
        """Ask for work on *key* unless it waits already, be it after a failure."""
        if key not in self._entries:
            self.add(key, now)

    def take(self, now: float) -> K | None:
        """Return the key that is due for the longest time, if there is one."""
        due = [
            (entry.due, position, key)
            for position, (key, entry) in enumerate(self._entries.items())
            if entry.due is not None and entry.due <= now and entry.started is None
        ]
        if not due:
            return None
        key = min(due)[2]
        entry = self._entries[key]
        entry.due, entry.started = None, now
        return key

    def done(self, key: K) -> None:
        """Say that the work on *key* succeeded."""
        self._back(key).failures = 0
        self._drop_idle(key)

    def failed(self, key: K, now: float) -> float:
        """Say that it failed; return after how many seconds it will be tried again.

        If it was added meanwhile, something has changed and it is tried at once.
        """
        entry = self._back(key)
        entry.failures += 1
        pause = min(CAP_SECONDS, BASE_SECONDS * 2 ** min(entry.failures - 1, 20))
        pause *= 1 - self._jitter() / 5
        self.add(key, now, pause)
        assert entry.due is not None
        return max(0.0, entry.due - now)

    def next_due(self) -> float | None:
        """Return when the next idle key is due; None if none is waiting."""
        waiting = [
            entry.due
            for entry in self._entries.values()
            if entry.due is not None and entry.started is None
        ]
        return min(waiting, default=None)

    def depth(self) -> int:
        """Return how many keys wait or are worked on."""
        return len(self._entries)

    def oldest(self, now: float) -> float:
        """Return how long the oldest key has been due or worked on, in seconds."""
        since = [
            entry.started if entry.started is not None else entry.due
            for entry in self._entries.values()
        ]
        return max((now - time for time in since if time is not None), default=0.0)

    def _back(self, key: K) -> _Entry:
        entry = self._entries[key]
        entry.started = None
        return entry

    def _drop_idle(self, key: K) -> None:
        if self._entries[key].due is None:
            del self._entries[key]
