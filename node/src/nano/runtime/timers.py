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
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final

from nano.errors import UsageError

__all__ = ["Timer", "Timers"]

logger = logging.getLogger(__name__)

SHORTEST: Final = 0.001  # seconds between two calls

Function = Callable[[], Awaitable[object] | object]


class Timer:
    """One function, to be called once or at an interval; made by ``node.every``."""

    __slots__ = ("_cancelled", "_due", "_function", "_handle", "_interval", "_owner")

    def __init__(
        self, owner: Timers, function: Function, delay: float, interval: float | None
    ) -> None:
        self._owner = owner
        self._function = function
        self._interval = interval
        self._cancelled = False
        loop = asyncio.get_running_loop()
        self._due = loop.time() + delay
        self._handle = loop.call_at(self._due, self._call)

    def cancel(self) -> None:
        """Call the function no more; a call that is under way goes on to its end."""
        self._cancelled = True
        self._handle.cancel()
        self._owner.forget(self)

    @property
    def active(self) -> bool:
        """It will call its function again, or for the first time."""
        return not self._cancelled

    def _call(self) -> None:
        if self._interval is None:
            self.cancel()
        try:
            result = self._function()
        except Exception:
            logger.exception("the timer of %r failed", self._function)
        else:
            if inspect.isawaitable(result):
                self._owner.run(self, self._finish(result))
                return
        self._again()

    async def _finish(self, result: Awaitable[object]) -> None:
        try:
            await result
        except asyncio.CancelledError:
            if self._cancelled:
                raise  # by the node, which stops
            logger.warning("what the timer of %r waited for ended", self._function)
        except Exception:
            logger.exception("the timer of %r failed", self._function)
        self._again()

    def _again(self) -> None:
        """Wait for the next call; those whose time has passed are left out."""
        if self._cancelled or self._interval is None:
            return
        loop = asyncio.get_running_loop()
        missed = max(0.0, loop.time() - self._due) // self._interval
        self._due += (missed + 1) * self._interval
        self._handle = loop.call_at(self._due, self._call)


class Timers:
    """All timers of one node."""

    def __init__(self) -> None:
        self._timers: set[Timer] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    def every(self, seconds: float, function: Function) -> Timer:
        """Call *function* every so many *seconds*, first after as many.

        Raises:
            UsageError: *seconds* is less than a millisecond, or the node stops.
        """
        if not seconds >= SHORTEST:
            message = f"a timer's interval is at least {SHORTEST} s, not {seconds!r}"
            raise UsageError(message)
        return self._add(function, seconds, seconds)

    def after(self, seconds: float, function: Function) -> Timer:
        """Call *function* once, in so many *seconds*.

        Raises:
            UsageError: *seconds* is negative, or the node stops.
        """
        if not seconds >= 0:
            raise UsageError(f"a timer cannot have been due {seconds!r} s from now")
        return self._add(function, seconds, None)

    def _add(self, function: Function, delay: float, interval: float | None) -> Timer:
        if self._stopped:
            raise UsageError("the node is stopping; timers are over")
        timer = Timer(self, function, delay, interval)
        self._timers.add(timer)
        return timer

    def forget(self, timer: Timer) -> None:
        """Know *timer* no longer; called by it."""
        self._timers.discard(timer)

    def run(self, timer: Timer, work: Coroutine[object, object, None]) -> None:
        """Run what a timer's ``async`` function does, in a task of this node."""
        task = asyncio.get_running_loop().create_task(work, name=f"timer {timer!r}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Call nothing any more, and cancel what is under way."""
        self._stopped = True
        for timer in list(self._timers):
            timer.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
