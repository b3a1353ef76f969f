"""Blocking functions, in threads beside the event loop.

The data path has no threads; this is for what cannot be awaited: a library that
blocks, a computation that takes longer than clients should wait.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar

from nano.errors import QueueFull, UsageError

__all__ = ["MOST_THREADS", "Threads"]

logger = logging.getLogger(__name__)

MOST_THREADS: Final = 8
MOST_CALLS: Final = 10_000  # that run or wait for a thread
STOP_TIME: Final = 2.0  # seconds that running functions get when the node stops

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """The threads of one node; none before the first call."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._calls: set[asyncio.Future[Any]] = set()
        self._stopped = False

    async def run(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call *function* in a thread, and return or raise what it does.

        Whoever waits may be cancelled; the function itself runs to its end.

        Raises:
            QueueFull: So many calls wait for a thread that this one is not taken.
            UsageError: The node has stopped.
        """
        if self._stopped:
            raise UsageError("the node has stopped; it runs nothing any more")
        if len(self._calls) >= MOST_CALLS:
            raise QueueFull(f"{MOST_CALLS} calls run or wait for a thread already")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(MOST_THREADS, "nano-blocking")
        context = contextvars.copy_context()  # as asyncio.to_thread does
        call = asyncio.get_running_loop().run_in_executor(
            self._pool, functools.partial(context.run, function, *args, **kwargs)
        )
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return await call

    async def stop(self) -> None:
        """Begin nothing any more, and wait for what runs, for two seconds at most."""
        self._stopped = True
        if self._pool is None:
            return
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._calls:
            _, running = await asyncio.wait(self._calls, timeout=STOP_TIME)
            if running:
                text = "%d blocking functions still run; the process ends after them"
                logger.warning(text, len(running))
