"""Measures the rows: on both sides in turn, or on ours alone."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from bench.contenders import Contender
from bench.cores import Cores
from bench.instructions import Counter
from bench.measuring import Load, Outcome
from bench.processes import BenchError, Servers
from bench.rows import Kind, Row, Setup
from bench.table import Measured

__all__ = ["Bench", "Progress", "seconds"]

CONNECTING: Final = 0.6  # seconds for each turn, beside counting: a guess
STARTING: Final = 3.0  # for each side of a set-up
CROWDING: Final = 0.0008  # for each of thousands of connections

T = TypeVar("T")


def seconds(rows: Sequence[Row], load: Load, rounds: int, sides: int) -> float:
    """Guess how long measuring *rows* takes."""
    turn = load.warmup + load.seconds + CONNECTING
    total = STARTING * sides * len({row.setup for row in rows})
    for row in rows:
        if row.kind is Kind.IDLE:
            total += CROWDING * row.connections * sides
        else:
            total += turn * (rounds * sides + row.ceiling * (sides > 1))
    return total


class Progress:
    """What is done at the moment: a line that changes on a terminal.

    Elsewhere there is one line for every row that is begun.
    """

    def __init__(self) -> None:
        self._changes = sys.stderr.isatty()
        self._row = ""

    def begin(self, row: Row, at: int, of: int) -> None:
        """Tell that *row* is measured now."""
        self._row = f"[{at}/{of}] {row.name}"
        if not self._changes:
            sys.stderr.write(f"{self._row}: {row.title}\n")
            sys.stderr.flush()

    def say(self, text: str) -> None:
        """Show *text* in place of what was shown."""
        if self._changes:
            sys.stderr.write(f"\r\033[K{self._row} {text}" if text else "\r\033[K")
            sys.stderr.flush()


Running = Sequence[tuple[Contender, Servers, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One run: the load, the cores and the sides.

    Both sides of a row are started fresh, on the same cores, and take turns, so that
    whatever else the machine does hits both.

    Attributes:
        failures: Why rows could not be measured, by their names.
    """

    load: Load
    cores: Cores
    rounds: int
    folder: Path
    progress: Progress
    failures: dict[str, str] = field(default_factory=dict)

    def compare(
        self, rows: Sequence[Row], ours: Contender, theirs: Contender
    ) -> list[Measured]:
        """Measure *rows* on both sides."""

        def measured(row: Row, running: Running) -> Measured:
            one, other = self._turns(row, running)
            ceiling = self._ceiling(row) if row.ceiling else 0.0
            return Measured(row=row, ours=one, theirs=other, ceiling=ceiling)

        return list(self._each(rows, (ours, theirs), measured).values())

    def alone(self, rows: Sequence[Row], side: Contender) -> dict[str, Outcome]:
        """Measure *rows* on one side; by their names."""
        return self._each(rows, (side,), lambda *row: self._turns(*row)[0])

    def instructions(
        self, rows: Sequence[Row], side: Contender, counter: Counter
    ) -> dict[str, float]:
        """Count the instructions for a message in *rows*; by their names."""

        def counted(row: Row, running: Running) -> float:
            _, servers, address = running[0]
            self.progress.say("counting instructions")
            return counter.count(row, address, servers, self.load)

        return self._each(rows, (side,), counted)

    def calls(self, row: Row, side: Contender) -> int:
        """Put *row*'s load on one side and return how many messages the nodes had."""

        def counted(row: Row, running: Running) -> int:
            _, servers, address = running[0]
            self.progress.say("counting calls")
            report = self.load.measure(row, address, servers.processes)
            return report.served + self.load.tried

        return self._each([row], (side,), counted).get(row.name, 0)

    def _each(
        self,
        rows: Sequence[Row],
        sides: Sequence[Contender],
        measure: Callable[[Row, Running], T],
    ) -> dict[str, T]:
        """Do *measure* for every row, on servers that rows of one set-up share."""
        found: dict[str, T] = {}
        done = 0
        for setup in dict.fromkeys(row.setup for row in rows):
            alike = [row for row in rows if row.setup == setup]
            with ExitStack() as stack:
                running: Running = []
                for row in alike:
                    done += 1
                    self.progress.begin(row, done, len(rows))
                    try:
                        running = running or self._start(sides, setup, stack)
                        found[row.name] = measure(row, running)
                    except BenchError as problem:
                        self.failures[row.name] = str(problem)
        return {row.name: found[row.name] for row in rows if row.name in found}

    def _start(
        self, sides: Sequence[Contender], setup: Setup, stack: ExitStack
    ) -> Running:
        running = []
        for side in sides:
            self.progress.say(f"starting {side.name}")
            servers = stack.enter_context(Servers(self._place()))
            address = side.start(setup, self.cores, servers)
            self.load.settle(setup, address)
            running.append((side, servers, address))
        return running

    def _place(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))

    def _turns(self, row: Row, running: Running) -> list[Outcome]:
        outcomes = [Outcome(row.kind) for _ in running]
        # a second crowd would find the memory that the first one has left
        rounds = 1 if row.setup.fresh else self.rounds
        for turn in range(rounds):
            for (side, servers, address), outcome in zip(
                running, outcomes, strict=True
            ):
                self.progress.say(f"round {turn + 1} of {rounds}, {side.name}")
                self.load.round(row, address, servers, outcome)
        return outcomes

    def _ceiling(self, row: Row) -> float:
        self.progress.say("ceiling")
        with self.load.bare(self.cores.gate) as address:
            return self.load.measure(row, address).rate
