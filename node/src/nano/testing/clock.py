"""Time that passes when a test wants it to.

::

    with ManualClock() as clock:
        begun = clock.now
        await asyncio.sleep(3600)  # takes no time
        assert clock.now == begun + 3600

While it is installed, the running event loop goes by this clock: every timer, time-out
and sleep in it, of nano and of the application alike.  Time stands still while anything
can be done; when every task waits, it jumps to the next timer.  So a test waits for
nothing, and the order of events is the same in each run.

It replaces the loop's ``time`` and looks into its selector to see when nothing is left
to do, which works on asyncio's own loops only; uvloop keeps its time to itself.  What a
real socket, a process or a thread of its own will bring is not known to it: time jumps
ahead of those.  It waits for ``run_in_executor``, and so for ``node.run_blocking``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol, Self, cast

from nano.errors import UsageError

__all__ = ["PATIENCE", "ManualClock", "NothingHappens"]

PATIENCE: Final = 3600.0
"""Seconds that may pass by themselves before a test is taken to wait in vain."""

BEGINNING: Final = 1.0
"""The loop's time at first: always the same, for sums of fractions depend on it.

Machines count from their start, so a deadline from outside of the block is further away
in there; it goes by real time again when the block is over.
"""

MIDNIGHT: Final = 1_767_225_600.0  # the first of January 2026, in seconds since 1970


class NothingHappens(AssertionError):
    """The test waits for something that will not come, however much time passes."""


class _Selector(Protocol):
    def select(self, timeout: float | None = None) -> list[Any]:
        """Wait for sockets."""


class ManualClock:
    """The time of the running event loop, from ``with`` to the end of its block.

    Args:
        jump: Whether time jumps to the next timer when every task waits.  Without it,
            time passes in :meth:`advance` only, and the loop waits for real sockets.
        patience: Seconds that may pass without an :meth:`advance`, before the loop is
            stopped with :class:`NothingHappens`.

    Raises:
        UsageError: There is no running event loop, or it is not one of asyncio's.
    """

    def __init__(self, *, jump: bool = True, patience: float = PATIENCE) -> None:
        self._jump = jump
        self._patience = patience
        self._now = self._begun = 0.0
        self._horizon = 0.0  # as far as advance() goes
        self._limit = 0.0
        self._settling: list[asyncio.Future[None]] = []
        self._threads = 0  # calls that run in executors
        self._undo: list[Callable[[], None]] = []
        self._real_select: Callable[[float | None], list[Any]]

    @property
    def now(self) -> float:
        """The time of the event loop, in seconds from any origin."""
        return self._now

    @property
    def wall(self) -> float:
        """Seconds since 1970; it is midnight of the first of January 2026 at first."""
        return MIDNIGHT + self._now - self._begun

    async def advance(self, seconds: float) -> None:
        """Let *seconds* pass, timer by timer, with all that follows from each.

        Raises:
            UsageError: The clock is not installed.
        """
        self._check_installed()
        self._horizon = self._now + seconds
        self._limit = self._horizon + self._patience
        await asyncio.sleep(seconds)
        await self.settle()
        self._limit = self._now + self._patience

    async def settle(self) -> None:
        """Wait until nothing is left to do before time passes.

        Raises:
            UsageError: The clock is not installed.
        """
        self._check_installed()
        waiter = asyncio.get_running_loop().create_future()
        self._settling.append(waiter)
        await waiter

    def _check_installed(self) -> None:
        if not self._undo:
            raise UsageError("the clock is not installed: use it in a with statement")

    # ---------------------------------------------------------------- the loop

    def __enter__(self) -> Self:
        loop = _running_loop()
        selector = cast("_Selector", getattr(loop, "_selector", None))
        if not isinstance(loop, asyncio.SelectorEventLoop) or selector is None:
            name = f"{type(loop).__module__}.{type(loop).__name__}"
            raise UsageError(
                f"the manual clock needs asyncio's own event loop, and this is {name}; "
                "run the test without uvloop"
            )
        if self._undo or "time" in vars(loop):
            raise UsageError("the event loop goes by a manual clock already; share it")
        self._now = self._begun = self._horizon = BEGINNING
        self._limit = self._now + self._patience
        self._real_select = selector.select
        in_executor = loop.run_in_executor

        def run_in_executor(*args: Any) -> asyncio.Future[Any]:
            future = in_executor(*args)
            self._threads += 1
            future.add_done_callback(self._back)
            return future

        self._replace(loop, "time", lambda: self._now)
        self._replace(loop, "run_in_executor", run_in_executor)
        self._replace(selector, "select", self._select)
        return self

    def __exit__(self, *_: object) -> None:
        while self._undo:
            self._undo.pop()()
        for waiter in self._settling:
            waiter.cancel()
        self._settling.clear()

    def _replace(self, owner: object, name: str, function: Callable[..., Any]) -> None:
        setattr(owner, name, function)  # on this one object; its class has the old
        self._undo.append(lambda: delattr(owner, name))

    def _back(self, _: asyncio.Future[Any]) -> None:
        self._threads -= 1

    def _select(self, timeout: float | None = None) -> list[Any]:
        """Be asked by the loop to wait: for *timeout* until the next timer, if any."""
        events = self._real_select(0)
        if events or timeout == 0:
            return events
        if self._threads:
            return self._real_select(None)
        if self._settling:
            for waiter in self._settling:
                if not waiter.done():
                    waiter.set_result(None)
            self._settling.clear()
            return []
        if timeout is None:
            if self._jump:
                raise NothingHappens("every task waits, and there is not even a timer")
            return self._real_select(None)
        return self._pass_time(timeout)

    def _pass_time(self, timeout: float) -> list[Any]:
        due = self._now + timeout
        if not self._jump and due > self._horizon:
            return self._real_select(None)
        if due > self._limit:
            self._limit = due + self._patience  # for what tidies up after this
            raise NothingHappens(
                f"{self._patience:g} s have passed by the manual clock, and what the "
                "test waits for has not come"
            )
        self._now = due
        return []


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError("the manual clock needs a running event loop") from None
