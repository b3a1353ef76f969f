"""Work for the event loop that other threads hand in.

Handlers, timers and hooks run in the event loop, and nothing of a node but what is
here may be touched from another thread.  :meth:`Inbox.post` never waits, whichever
thread calls it: work goes into a queue of limited length, and the loop is woken once
for all that waits.  (nano's ``PushTask`` blocks when its queue is full, and from a
handler that stops the whole server for good.)
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVarTuple

from nano.errors import QueueFull, UsageError
from nano.metrics import Metrics
from nano.runtime.tasks import FAILURES, end_tasks, task_for

__all__ = ["MOST_WAITING", "Inbox"]

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 10_000  # calls that are not done yet

Ts = TypeVarTuple("Ts")


class Inbox:
    """What other threads want done in the loop of one node.

    Args:
        metrics: Where what is thrown away is counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        metrics.dropped["thread", "queue-full"] += 0  # no thread may add a key later
        self._lock = threading.Lock()  # held for a few instructions, never for work
        self._waiting: list[functools.partial[object]] = []
        self._awake = False  # the loop has been told
        self._loop: asyncio.AbstractEventLoop | None = None  # while work is taken
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: set[concurrent.futures.Future[Any]] = set()

    def start(self) -> None:
        """Take work from now on; called in the loop that is to do it."""
        self._loop = asyncio.get_running_loop()

    def post(self, function: Callable[[*Ts], object], *args: *Ts) -> None:
        """Have ``function(*args)`` called in the loop, soon; never waits.

        Calls are made in the order in which they were posted.  An ``async`` function
        becomes a task.  What is raised is logged.

        Raises:
            QueueFull: 10,000 calls are not done yet; this one is not taken.
            UsageError: The node does not run.
        """
        with self._lock:
            loop = self._running()
            if len(self._waiting) + len(self._tasks) >= MOST_WAITING:
                self._metrics.dropped["thread", "queue-full"] += 1
                message = f"{MOST_WAITING} calls wait for the event loop; post slower"
                raise QueueFull(message)
            self._waiting.append(functools.partial(function, *args))
            if not self._awake:
                self._awake = True
                loop.call_soon_threadsafe(self._work)

    def ask(self, timeout: float, function: Callable[[*Ts], object], *args: *Ts) -> Any:
        """Have ``function(*args)`` called in the loop, and wait here for the result.

        Args:
            timeout: Seconds to wait; an ``async`` function is cancelled then.
            function: May be ``async``; what it raises is raised here.
            args: What it is called with.

        Raises:
            TimeoutError: It took longer.
            UsageError: The node does not run or stops meanwhile; or this is the
                loop's own thread, which would wait for itself.
        """
        if _runs_a_loop():
            message = "this thread runs an event loop; await there instead of waiting"
            raise UsageError(message)
        with self._lock:
            call = _called(function, *args)
            try:
                future = asyncio.run_coroutine_threadsafe(call, self._running())
            except UsageError:
                call.close()
                raise
            self._asked.add(future)
        try:
            return future.result(timeout)
        except concurrent.futures.CancelledError:
            raise UsageError("the node has stopped meanwhile") from None
        finally:
            future.cancel()
            with self._lock:
                self._asked.discard(future)

    async def stop(self) -> None:
        """Take nothing any more, and give up what waits or is under way."""
        with self._lock:
            self._loop = None
            if self._waiting:
                self._metrics.dropped["thread", "stopped"] += len(self._waiting)
                self._waiting.clear()
            asked = list(self._asked)
        for future in asked:
            future.cancel()
        await end_tasks(list(self._tasks))

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise UsageError("the node does not run: it has not started or has stopped")
        return self._loop

    def _work(self) -> None:
        """Do what waits; what comes meanwhile has the loop's next turn."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            self._awake = False
        for call in waiting:
            try:
                result = call()
            except FAILURES:
                logger.exception("%r, posted to the loop, failed", call.func)
                continue
            if inspect.isawaitable(result):
                task = task_for(result, _ended(result), f"posted {call.func!r}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)


def _runs_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _called(function: Callable[[*Ts], object], *args: *Ts) -> object:
    result = function(*args)
    return await result if inspect.isawaitable(result) else result


async def _ended(work: Awaitable[object]) -> None:
    try:
        await work
    except Exception:
        logger.exception("what was posted to the loop failed")
