"""The processes of one supervisor: what it waits for, and how it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

from nano.local.child import Child
from nano.local.life import Phase, Stimulus

__all__ = ["Family", "has_failed", "is_ready"]


class Family:
    """Children under one supervisor.

    Attributes:
        children: All of them.
        stop_wanted: Set when a signal asks for the end.
        stopped_by: The first signal that did.
    """

    def __init__(self) -> None:
        self.children: list[Child] = []
        self.stop_wanted = asyncio.Event()
        self.stopped_by: signal.Signals | None = None
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Say that something has happened to a child."""
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* holds; it is tried after each change."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def start(self, children: Iterable[Child]) -> list[Child]:
        """Start *children*; wait until all are ready, or some have failed.

        Returns:
            Those that have failed.
        """
        started = list(children)
        for child in started:
            child.feed(Stimulus.START)
        await self.until(
            lambda: all(map(is_ready, started)) or any(map(has_failed, started))
        )
        return [child for child in started if has_failed(child)]

    async def stop(self, children: Iterable[Child]) -> None:
        """Stop *children* at once, each within its time; wait until all are over."""
        stopped = list(children)
        for child in stopped:
            child.feed(Stimulus.STOP)
        await self.until(lambda: all(child.life.over for child in stopped))

    async def leave(self, children: Iterable[Child], seconds: float | None) -> None:
        """Let *children* drain and stop; wait until all are over.

        Args:
            children: Those that leave, while others stay.
            seconds: How long they may drain; ``None``: somebody else counts.
        """
        leaving = list(children)
        for child in leaving:
            child.leave(seconds)
        await self.until(lambda: all(child.life.over for child in leaving))

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Set :attr:`stop_wanted` by SIGINT, SIGTERM and SIGHUP.

        A second one is for who is in a hurry: what drains stops, what stops is killed.
        """
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self._told_to_stop, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _told_to_stop(self, number: signal.Signals) -> None:
        if self.stop_wanted.is_set():
            for child in self.children:
                child.hurry()
        else:
            self.stopped_by = number
        self.stop_wanted.set()

    async def until_stopped(self, serving: Coroutine[Any, Any, None]) -> None:
        """Run *serving*, and return when told to stop, even in the middle of it."""
        task = asyncio.create_task(serving, name="serve")
        stopping = asyncio.create_task(self.stop_wanted.wait(), name="stop wanted")
        both: set[asyncio.Task[Any]] = {task, stopping}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)


def is_ready(child: Child) -> bool:
    """Return whether *child* is ready."""
    return child.life.phase is Phase.READY


def has_failed(child: Child) -> bool:
    """Return whether *child* is given up."""
    return child.life.phase is Phase.FAILED
