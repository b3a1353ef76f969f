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

__all__ = ["Measured", "as_json", "render"]


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
    lines = [HEADER, *(_line(result) for result in results)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    text = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    text += [note for result in results for note in _notes(result)]
    return "\n".join(text)


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
    notes = []
    for name, outcome in (("ours", result.ours), ("Go nano", result.theirs)):
        if outcome.faults:
            counts = ("errors", "wrong", "late", "lost", "closed")
            sums = {
                kind: sum(getattr(report, kind) for report in outcome.reports)
                for kind in counts
            }
            told = ", ".join(f"{count} {kind}" for kind, count in sums.items() if count)
            notes.append(f"! {result.row.title}: {name} has {told}")
    return notes


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
        "work_us": outcome.work,
        "rounds": outcome.reports,
    }


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()
