"""Measures both sides in turn, under the same load."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import Contender
from bench.cores import Cores
from bench.instructions import Counter
from bench.measuring import Load, Outcome
from bench.processes import Servers
from bench.rows import Row, Setup
from bench.table import Measured

__all__ = ["Bench", "Progress"]


class Progress:
    """One line that changes, on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """Show *text* in place of what was shown."""
        if self._on:
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One run: the load, the cores and the sides.

    Both sides of a row are started fresh, on the same cores, and take turns, so that
    whatever else the machine does hits both.
    """

    load: Load
    cores: Cores
    rounds: int
    folder: Path
    progress: Progress

    def compare(
        self, rows: Sequence[Row], ours: Contender, theirs: Contender
    ) -> list[Measured]:
        """Measure *rows* on both sides."""
        found = self._measure(rows, (ours, theirs), ceiling=True)
        return [
            Measured(row=row, ours=sides[0], theirs=sides[1], ceiling=ceiling)
            for row, (sides, ceiling) in zip(rows, found, strict=True)
        ]

    def alone(self, rows: Sequence[Row], side: Contender) -> list[Outcome]:
        """Measure *rows* on one side."""
        return [sides[0] for sides, _ in self._measure(rows, (side,), ceiling=False)]

    def instructions(
        self, rows: Sequence[Row], side: Contender, counter: Counter
    ) -> list[float]:
        """Count the instructions for a message in *rows* on one side."""
        found: dict[str, float] = {}
        for setup in dict.fromkeys(row.setup for row in rows):
            with ExitStack() as stack:
                _, servers, address = self._start(side, setup, stack)
                for row in rows:
                    if row.setup == setup:
                        self.progress.say(f"{row.title}: counting instructions")
                        found[row.name] = counter.count(
                            row, address, servers, self.load
                        )
        return [found[row.name] for row in rows]

    def _measure(
        self, rows: Sequence[Row], sides: Sequence[Contender], *, ceiling: bool
    ) -> list[tuple[list[Outcome], float]]:
        results: dict[str, tuple[list[Outcome], float]] = {}
        for setup in dict.fromkeys(row.setup for row in rows):
            with ExitStack() as stack:
                running = [self._start(side, setup, stack) for side in sides]
                for row in rows:
                    if row.setup == setup:
                        outcomes = self._row(row, running)
                        limit = self._ceiling(row) if ceiling else 0.0
                        results[row.name] = (outcomes, limit)
        return [results[row.name] for row in rows]

    def _start(
        self, side: Contender, setup: Setup, stack: ExitStack
    ) -> tuple[str, Servers, str]:
        self.progress.say(f"{setup.title}: starting {side.name}")
        place = self.folder / f"{side.name}, {setup.title}".replace(" ", "-")
        servers = stack.enter_context(Servers(place))
        address = side.start(setup, self.cores, servers)
        self.load.settle(setup, address)
        return side.name, servers, address

    def _row(
        self, row: Row, running: Sequence[tuple[str, Servers, str]]
    ) -> list[Outcome]:
        outcomes = [Outcome() for _ in running]
        for turn in range(self.rounds):
            for (name, servers, address), outcome in zip(
                running, outcomes, strict=True
            ):
                self.progress.say(
                    f"{row.title}: round {turn + 1} of {self.rounds}, {name}"
                )
                self.load.round(row, address, servers, outcome)
        return outcomes

    def _ceiling(self, row: Row) -> float:
        self.progress.say(f"{row.title}: ceiling")
        with self.load.bare(self.cores.gate) as address:
            return self.load.measure(row, address).rate
