"""The result as a table for people and as JSON for programs."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cores import Cores
from bench.measuring import Outcome
from bench.rows import Row

__all__ = ["Measured", "as_json", "render", "render_work"]


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
    def ratio(self) -> float:
        """Ours : Go nano, of the median rounds; 0 if Go nano answered nothing."""
        return self.ours.rate / self.theirs.rate if self.theirs.rate else 0.0

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and highest ratio of two neighbouring rounds."""
        pairs = zip(self.ours.reports, self.theirs.reports, strict=True)
        ratios = [one.rate / other.rate for one, other in pairs if other.rate]
        return (min(ratios), max(ratios)) if ratios else (0.0, 0.0)


HEADER = (
    "",
    "ours",
    "CPU",
    "p50 / p99",
    "Go nano",
    "CPU",
    "p50 / p99",
    "ours : Go",
    "rounds",
    "must",
    "aim",
    "ceiling",
)


def render(results: Sequence[Measured]) -> str:
    """Return the table, with a note below it for every row that has faults."""
    text = _aligned([HEADER, *(_line(result) for result in results)])
    text += [note for result in results for note in _notes(result)]
    return "\n".join(text)


WORK_HEADER = ("µs of processor time", "lowest", "median", "user", "system", "rate")


def render_work(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> str:
    """Return the processor time for a message in each row, with notes on faults.

    What disturbs only adds: the lowest round is the best guess, and user and system
    are its parts.
    """
    lines: list[tuple[str, ...]] = [WORK_HEADER]
    notes: list[str] = []
    for row, outcome in zip(rows, outcomes, strict=True):
        work = [report.work for report in outcome.reports]
        lowest = min(work, key=lambda one: one.total)
        figures = (lowest.total, outcome.cost, lowest.user, lowest.system)
        lines.append(
            (row.name, *(f"{one:.2f}" for one in figures), _rate(outcome.rate))
        )
        notes += _faults(row, "ours", outcome)
    return "\n".join(_aligned(lines) + notes)


def _aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def _line(result: Measured) -> tuple[str, ...]:
    low, high = result.spread
    return (
        result.row.title,
        _rate(result.ours.rate),
        f"{result.ours.cost:.1f} µs",
        _latency(result.ours),
        _rate(result.theirs.rate),
        f"{result.theirs.cost:.1f} µs",
        _latency(result.theirs),
        f"{result.ratio:.2f}",
        f"{low:.2f} to {high:.2f}",
        f"{result.row.must:g}",
        f"{result.row.aim:g}",
        _rate(result.ceiling) if result.ceiling else "",
    )


def _notes(result: Measured) -> list[str]:
    return [
        *_faults(result.row, "ours", result.ours),
        *_faults(result.row, "Go nano", result.theirs),
    ]


def _faults(row: Row, side: str, outcome: Outcome) -> list[str]:
    if not outcome.faults:
        return []
    sums = {
        kind: sum(getattr(report, kind) for report in outcome.reports)
        for kind in ("errors", "wrong", "late", "lost", "closed")
    }
    told = ", ".join(f"{count} {kind}" for kind, count in sums.items() if count)
    return [f"! {row.title}: {side} has {told}"]


def _rate(rate: float) -> str:
    return f"{rate / 1000:.1f}k/s"


def _latency(outcome: Outcome) -> str:
    return f"{outcome.p50 / 1000:.2f} / {outcome.p99 / 1000:.2f} ms"


def as_json(
    results: Sequence[Measured], cores: Cores, busy: float
) -> dict[str, object]:
    """Return everything that was measured, with the machine it was measured on.

    Args:
        results: The rows.
        cores: Who ran where.
        busy: The machine's load average before it began.
    """
    return {
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "layout": str(cores),
            "load_before": busy,
        },
        "rows": [
            {
                "name": result.row.name,
                "title": result.row.title,
                "ratio": result.ratio,
                "spread": result.spread,
                "must": result.row.must,
                "aim": result.row.aim,
                "ceiling": result.ceiling,
                "ours": _sides(result.ours),
                "go": _sides(result.theirs),
            }
            for result in results
        ],
    }


def _sides(outcome: Outcome) -> dict[str, object]:
    return {
        "rate": outcome.rate,
        "p50_us": outcome.p50,
        "p99_us": outcome.p99,
        "faults": outcome.faults,
        "cost_us": outcome.cost,
        "rounds": outcome.reports,
    }


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()
