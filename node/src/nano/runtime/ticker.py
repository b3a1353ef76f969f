"""The one timer of a node.

Heartbeats, handshakes that take too long, answers that do not come: all are looked
at here, ten times a second, instead of by a timer each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from nano.runtime.tasks import FAILURES

__all__ = ["PERIOD", "Ticker"]

logger = logging.getLogger(__name__)

PERIOD: Final = 0.1  # seconds; how late a deadline may be noticed


def _ignore(_: float) -> None:
    """Nobody wants to know."""


class Ticker:
    """Calls functions with the time, again and again, until stopped.

    Args:
        period: Seconds between two ticks.
        late: Is told by how many seconds each tick came too late.
    """

    def __init__(
        self, period: float = PERIOD, late: Callable[[float], None] = _ignore
    ) -> None:
        self._period = period
        self._late = late
        self._due: float | None = None
        self._calls: list[Callable[[float], None]] = []
        self._handle: asyncio.TimerHandle | None = None

    def add(self, call: Callable[[float], None]) -> None:
        """Have *call* called with the loop's time at every tick."""
        self._calls.append(call)

    def start(self) -> None:
        """Begin with a first tick at once; needs a running loop."""
        self._tick(asyncio.get_running_loop())

    def stop(self) -> None:
        """Call nothing any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        if self._due is not None:
            self._late(max(0.0, now - self._due))
        self._due = now + self._period
        self._handle = loop.call_at(self._due, self._tick, loop)
        for call in self._calls:
            try:
                call(now)
            except FAILURES:
                logger.exception("in %r", call)
