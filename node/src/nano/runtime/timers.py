"""Timers of components: functions that are called later, or again and again.

A timer never overlaps with itself: an ``async`` function is a task, and its next call
waits until it has ended.  Calls that were missed, because the loop was busy or the
function slow, are not made up for.  What a function raises is logged, and its timer
goes on.  All timers of a node end with it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from nano.errors import UsageError
from nano.runtime.tasks import FAILURES, end_tasks, task_for

__all__ = ["Timer", "Timers"]

logger = logging.getLogger(__name__)

SHORTEST: Final = 0.001  # seconds between two calls

Function = Callable[[], Awaitable[object] | object]
Condition = Callable[[], object]


class Timer:
    """One function, to be called once or at an interval; made by ``node.every``."""

    __slots__ = (
        "_cancelled",
        "_condition",
        "_due",
        "_function",
        "_handle",
        "_interval",
        "_left",
        "_owner",
    )

    def __init__(
        self,
        owner: Timers,
        function: Function,
        delay: float,
        interval: float,
        times: int | None,
        condition: Condition | None = None,
    ) -> None:
        self._owner = owner
        self._function = function
        self._interval = interval
        self._left = times  # calls to come; None for any number
        self._condition = condition
        self._cancelled = False
        loop = asyncio.get_running_loop()
        self._due = loop.time() + delay
        self._handle = loop.call_at(self._due, self._tick)

    def cancel(self) -> None:
        """Call the function no more; a call that is under way goes on to its end."""
        self._cancelled = True
        self._handle.cancel()
        self._owner.forget(self)

    @property
    def active(self) -> bool:
        """It will call its function again, or for the first time."""
        return not self._cancelled

    def _tick(self) -> None:
        try:
            due = self._condition is None or self._condition()
            result = self._call() if due else None
        except FAILURES:
            logger.exception("the timer of %r failed", self._function)
        else:
            if inspect.isawaitable(result):
                name = f"timer of {self._function!r}"
                self._owner.keep(task_for(result, self._finish(result), name))
                return
        self._again()

    def _call(self) -> Awaitable[object] | object:
        if self._left is not None:
            self._left -= 1
            if not self._left:
                self.cancel()
        return self._function()

    async def _finish(self, result: Awaitable[object]) -> None:
        try:
            await result
        except asyncio.CancelledError:
            if self._owner.stopped:
                raise
            logger.warning("what the timer of %r waited for ended", self._function)
        except Exception:
            logger.exception("the timer of %r failed", self._function)
        self._again()

    def _again(self) -> None:
        """Wait for the next call; those whose time has passed are left out."""
        if self._cancelled:
            return
        loop = asyncio.get_running_loop()
        missed = max(0.0, loop.time() - self._due) // self._interval
        self._due += (missed + 1) * self._interval
        self._handle = loop.call_at(self._due, self._tick)


class Timers:
    """All timers of one node.

    Attributes:
        stopped: No timer calls anything any more.
    """

    def __init__(self) -> None:
        self._timers: set[Timer] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.stopped = False

    def every(
        self, seconds: float, function: Function, *, times: int | None = None
    ) -> Timer:
        """Call *function* every so many *seconds*, first after as many.

        Raises:
            UsageError: *seconds* is less than a millisecond, *times* less than 1, or
                the node stops.
        """
        return self._add(function, _interval(seconds), seconds, _counted(times))

    def after(self, seconds: float, function: Function) -> Timer:
        """Call *function* once, in so many *seconds*.

        Raises:
            UsageError: *seconds* is negative, or the node stops.
        """
        if not seconds >= 0:
            raise UsageError(f"a timer cannot have been due {seconds!r} s from now")
        return self._add(function, seconds, seconds, 1)

    def when(
        self,
        condition: Condition,
        function: Function,
        *,
        every: float,
        times: int | None = None,
    ) -> Timer:
        """Ask *condition* at an interval, and call *function* whenever it is true.

        Raises:
            UsageError: As of :meth:`every`; or *condition* is ``async``.
        """
        if inspect.iscoroutinefunction(condition):
            raise UsageError("a timer's condition is called and not awaited; plain def")
        seconds = _interval(every)
        return self._add(function, seconds, seconds, _counted(times), condition)

    def _add(
        self,
        function: Function,
        delay: float,
        interval: float,
        times: int | None,
        condition: Condition | None = None,
    ) -> Timer:
        if self.stopped:
            raise UsageError("the node is stopping; timers are over")
        timer = Timer(self, function, delay, interval, times, condition)
        self._timers.add(timer)
        return timer

    def forget(self, timer: Timer) -> None:
        """Know *timer* no longer; called by it."""
        self._timers.discard(timer)

    def keep(self, task: asyncio.Task[None]) -> None:
        """Know of what a timer's ``async`` function does until its end."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Call nothing any more, and cancel what is under way."""
        self.stopped = True
        for timer in list(self._timers):
            timer.cancel()
        await end_tasks(list(self._tasks))


def _interval(seconds: float) -> float:
    if not seconds >= SHORTEST:
        message = f"a timer's interval is at least {SHORTEST} s, not {seconds!r}"
        raise UsageError(message)
    return seconds


def _counted(times: int | None) -> int | None:
    if times is not None and times < 1:
        raise UsageError(f"a timer calls at least once, not {times!r} times")
    return times
