"""The result as a table for people and as JSON for programs."""

from __future__ import annotations

import os
import platform
import re
import statistics
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.cores import Cores
from bench.measuring import Outcome
from bench.rows import Kind, Row
from nano.version import compiled

__all__ = [
    "Measured",
    "as_json",
    "interpreter",
    "render",
    "render_metrics",
    "render_work",
]

PLAIN: Final = "without --enable-optimizations (slower, unless it is a distribution's)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One row with what both sides did.

    Attributes:
        row: What was measured.
        ours: Our rounds.
        theirs: Go nano's, in the same order.
        ceiling: What the generator reaches with this load against a server that
            does almost nothing, in answers per second; 0 if it was not measured.
    """

    row: Row
    ours: Outcome
    theirs: Outcome
    ceiling: float

    @property
    def ratios(self) -> list[float]:
        """Ours : Go nano of each two neighbouring rounds."""
        pairs = zip(self.ours.figures, self.theirs.figures, strict=True)
        return [one / other for one, other in pairs if other] or [0.0]

    @property
    def ratio(self) -> float:
        """The median of them; 0 if Go nano answered nothing."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest of them."""
        return min(self.ratios), max(self.ratios)

    @property
    def verdict(self) -> str:
        """``short`` of what must be, ``met``, or ``aim met``."""
        if self.row.kind is Kind.IDLE:  # less is better, and Go nano no measure
            must, aim = (self.ours.figure <= goal for goal in self._goals)
        else:
            must, aim = (self.ratio >= goal for goal in self._goals)
        if not must:
            return "short"
        return "aim met" if aim else "met"

    @property
    def _goals(self) -> tuple[float, float]:
        return self.row.must, self.row.aim


HEADER = (
    "",
    "",
    "ours",
    "Go nano",
    "ours : Go",
    "rounds",
    "must",
    "aim",
    "verdict",
    "CPU ours",
    "Go",
    "ceiling",
)


def render(results: Sequence[Measured]) -> str:
    """Return the table, with a note below it for every row that has faults."""
    text = _aligned([HEADER, *(_line(result) for result in results)], left=2)
    for result in results:
        text += _faults(result.row, "ours", result.ours)
        text += _faults(result.row, "Go nano", result.theirs)
    return "\n".join(text)


METRICS_HEADER = ("", "counted", "uncounted", "counted : not", "rounds", "CPU", "not")


def render_metrics(results: Sequence[Measured]) -> str:
    """Return what counting costs in each row, with notes on faults."""
    lines: list[tuple[str, ...]] = [METRICS_HEADER]
    notes: list[str] = []
    for result in results:
        low, high = result.spread
        lines.append(
            (
                result.row.name,
                _rate(result.ours.figure),
                _rate(result.theirs.figure),
                f"{result.ratio:.3f}",
                f"{low:.3f}…{high:.3f}",
                f"{result.ours.cost:.2f} µs",
                f"{result.theirs.cost:.2f} µs",
            )
        )
        notes += _faults(result.row, "counted", result.ours)
        notes += _faults(result.row, "uncounted", result.theirs)
    return "\n".join(_aligned(lines, left=1) + notes)


WORK_HEADER = ("µs of processor time", "lowest", "median", "user", "system", "rate")


def render_work(rows: Sequence[Row], outcomes: Mapping[str, Outcome]) -> str:
    """Return the processor time for a message in each row, with notes on faults.

    What disturbs only adds: the lowest round is the best guess, and user and system
    are its parts.
    """
    lines: list[tuple[str, ...]] = [WORK_HEADER]
    notes: list[str] = []
    for row in rows:
        outcome = outcomes.get(row.name)
        if outcome is None:
            continue
        work = [report.work for report in outcome.reports]
        lowest = min(work, key=lambda one: one.total)
        figures = (lowest.total, outcome.cost, lowest.user, lowest.system)
        lines.append(
            (row.name, *(f"{one:.2f}" for one in figures), _rate(outcome.figure))
        )
        notes += _faults(row, "ours", outcome)
    return "\n".join(_aligned(lines, left=1) + notes)


def _aligned(lines: Sequence[tuple[str, ...]], left: int) -> list[str]:
    """Return *lines* in columns, of which the first *left* begin together."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def _line(result: Measured) -> tuple[str, ...]:
    low, high = result.spread
    idle = result.row.kind is Kind.IDLE
    show, bound = (_memory, "≤ ") if idle else (_rate, "")
    return (
        result.row.name,
        result.row.title,
        show(result.ours.figure),
        show(result.theirs.figure),
        f"{result.ratio:.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{bound}{result.row.must:g}",
        f"{bound}{result.row.aim:g}",
        result.verdict,
        "" if idle else f"{result.ours.cost:.1f} µs",
        "" if idle else f"{result.theirs.cost:.1f} µs",
        _rate(result.ceiling) if result.ceiling else "",
    )


def _faults(row: Row, side: str, outcome: Outcome) -> list[str]:
    if not outcome.faults:
        return []
    sums = {
        kind: sum(getattr(report, kind) for report in outcome.reports)
        for kind in ("errors", "wrong", "late", "lost", "closed")
    }
    told = ", ".join(f"{count} {kind}" for kind, count in sums.items() if count)
    return [f"! {row.name}: {side} has {told}"]


def _rate(rate: float) -> str:
    return f"{rate / 1000:.1f}k/s"


def _memory(size: float) -> str:
    return f"{size:.1f} KiB"


def as_json(
    results: Sequence[Measured],
    failures: Mapping[str, str],
    cores: Cores,
    busy: float,
) -> dict[str, object]:
    """Return everything that was measured, with the machine it was measured on.

    Args:
        results: The rows.
        failures: Why others could not be measured, by their names.
        cores: Who ran where.
        busy: The machine's load average before it began.
    """
    return {
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release(),
            "python": interpreter(),
            "layout": str(cores),
            "load_before": busy,
        },
        "failures": failures,
        "rows": [
            {
                "name": result.row.name,
                "title": result.row.title,
                "kind": result.row.kind.value,
                "ratio": result.ratio,
                "spread": result.spread,
                "must": result.row.must,
                "aim": result.row.aim,
                "verdict": result.verdict,
                "ceiling": result.ceiling,
                "ours": _side(result.ours),
                "go": _side(result.theirs),
            }
            for result in results
        ],
    }


def _side(outcome: Outcome) -> dict[str, object]:
    """Return one side: in an idle row ``figure`` is KiB, else messages per second."""
    return {
        "figure": outcome.figure,
        "p50_us": outcome.p50,
        "p99_us": outcome.p99,
        "faults": outcome.faults,
        "cost_us": outcome.cost,
        "rounds": outcome.reports,
    }


def interpreter() -> str:
    """Return which Python our nodes run, and whether both are built to be fast."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    asked = [
        word for word in ("--enable-optimizations", "--with-lto") if word in options
    ]
    built = f"built with {' '.join(asked)}" if asked else f"built {PLAIN}"
    how = "compiled" if compiled() else "as source (slower: make compiled)"
    return f"Python {platform.python_version()}, {built}; {how}"


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()
