"""The loop that keeps every cluster as its resource says.

Level-based: an event carries nothing but the name of a cluster.  Whatever happened,
whoever noticed, the answer is the same reconcile, which looks for itself; and once
in a while all clusters are listed and looked at, should an event have been lost.

The controller knows neither Kubernetes nor kopf, only a way to reconcile one key and
a way to list all of them.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from nano_operator.errors import ApiError, RefusedError
from nano_operator.metrics import Metrics
from nano_operator.workqueue import WorkQueue

__all__ = ["Controller", "Key"]

WORKERS: Final = 8
"""Clusters that are reconciled at the same time; the API server has other clients."""

RESYNC_SECONDS: Final = 60.0
RECONCILE_SECONDS: Final = 120.0
"""When a reconcile is given up and tried again: its requests have shorter limits."""

HEARTBEAT_SECONDS: Final = 10.0
STUCK_SECONDS: Final = 300.0
DEAF_SECONDS: Final = 120.0

logger = logging.getLogger("nano_operator")


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Which cluster."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Controller:
    """Owns the queue and the workers.  Lives in one event loop, from :meth:`run` on.

    A failing reconcile is logged, counted and tried again later; it disturbs neither
    the other clusters nor the controller.

    Args:
        reconcile: Brings one cluster closer to its resource; returns after how many
            seconds to look again, or None when events will tell.
        list_keys: Returns every cluster there is.
        metrics: Where to count.
        clock: The time in seconds, from any origin.
        watch_age: For how many seconds the watch has failed to tell of a change.

    Attributes:
        started: Set when every task that the controller will ever have exists.
        listed: Whether all clusters have been listed at least once.
        standby: Whether another operator does the work, and this one waits its turn.
    """

    def __init__(
        self,
        reconcile: Callable[[Key], Awaitable[float | None]],
        list_keys: Callable[[], Awaitable[list[Key]]],
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        watch_age: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._watch_age = watch_age
        self._reconcile = reconcile
        self._list_keys = list_keys
        self._metrics = metrics
        self._clock = clock
        self._queue = WorkQueue[Key]()
        self._changed = asyncio.Condition()
        self._beat = clock()
        self.started = asyncio.Event()
        self.listed = False
        self.standby = False

    def trouble(self) -> str | None:
        """Say why the process should be restarted; None while it is well."""
        if self.standby:
            return None
        now = self._clock()
        if now - self._beat > HEARTBEAT_SECONDS:
            return f"the event loop stood still for {now - self._beat:.0f} s"
        if self._queue.oldest(now) > STUCK_SECONDS:
            return f"a cluster waits for {self._queue.oldest(now):.0f} s"
        if self._watch_age() > DEAF_SECONDS:
            return f"the watch has missed changes for {self._watch_age():.0f} s"
        return None

    def observe(self) -> None:
        """Bring the gauges up to date; called before they are read."""
        self._metrics.depth.set(self._queue.depth())
        self._metrics.oldest.set(self._queue.oldest(self._clock()))
        self._metrics.watch_age.set(self._watch_age())

    async def add(self, key: Key) -> None:
        """Ask for a reconcile of *key*, soon."""
        async with self._changed:
            self._queue.add(key, self._clock())
            self._changed.notify()

    async def run(self) -> None:
        """Work until cancelled."""
        self._beat = self._clock()
        self.standby = False
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._heartbeat(), name="heartbeat")
            tasks.create_task(self._resync(), name="resync")
            for number in range(WORKERS):
                tasks.create_task(self._work(), name=f"worker {number}")
            self.started.set()

    async def resync(self) -> None:
        """List all clusters and ask for a reconcile of each."""
        keys = await self._list_keys()
        self._metrics.keep_clusters({(key.namespace, key.name) for key in keys})
        async with self._changed:
            for key in keys:
                self._queue.remind(key, self._clock())
            self._changed.notify()
        self.listed = True

    async def _heartbeat(self) -> None:
        while True:
            self._beat = self._clock()
            await asyncio.sleep(1.0)

    async def _resync(self) -> None:
        while True:
            try:
                await self.resync()
            except ApiError as error:
                self._metrics.resyncs.labels("failed").inc()
                logger.warning("listing all clusters failed, will try again: %s", error)
                await asyncio.sleep(RESYNC_SECONDS / 10)
                continue
            self._metrics.resyncs.labels("done").inc()
            await asyncio.sleep(RESYNC_SECONDS * random.uniform(0.8, 1.2))

    async def _work(self) -> None:
        while True:
            key = await self._next()
            started = self._clock()
            outcome = await self._try(key)
            self._metrics.reconciles.labels(outcome.result).inc()
            self._metrics.seconds.observe(self._clock() - started)
            async with self._changed:
                self._file(key, outcome)
                self._changed.notify()

    async def _next(self) -> Key:
        async with self._changed:
            while (key := self._queue.take(self._clock())) is None:
                due = self._queue.next_due()
                pause = None if due is None else max(0.0, due - self._clock())
                try:
                    async with asyncio.timeout(pause):
                        await self._changed.wait()
                except TimeoutError:
                    continue
            self._changed.notify()  # somebody else has to watch the next one
            return key

    async def _try(self, key: Key) -> _Outcome:
        """Reconcile *key* and say how it went; only cancellation gets out."""
        try:
            async with asyncio.timeout(RECONCILE_SECONDS):
                return _Outcome("done", again=await self._reconcile(key))
        except RefusedError as error:
            return _Outcome("refused", str(error))
        except ApiError as error:
            return _Outcome("failed", str(error))
        except TimeoutError:
            return _Outcome("failed", f"not done in {RECONCILE_SECONDS:.0f} s")
        except Exception:
            logger.exception("%s: reconcile failed unexpectedly", key)
            return _Outcome("failed", "see the traceback above")

    def _file(self, key: Key, outcome: _Outcome) -> None:
        if outcome.result != "done":
            pause = self._queue.failed(key, self._clock())
            text = "%s: %s; next try in %.1f s"
            logger.warning(text, key, outcome.trouble, pause)
            return
        self._queue.done(key)
        if outcome.again is not None:
            self._queue.add(key, self._clock(), outcome.again)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a reconcile went; *trouble* in words, *again* in seconds."""

    result: str
    trouble: str = ""
    again: float | None = None
