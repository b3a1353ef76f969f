"""Figures as words and columns.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from nano.cli.tables import Paint, table
from nano.cli.top.figures import Figures, Total

__all__ = ["headline", "lines", "ordered"]

COLUMNS: Final = (
    "NODE", "ROLE", "STATE", "CLIENTS", "SESSIONS", "IN/S", "OUT/S", "P99", "LAG",
    "DROPS/S", "MOVING", "CPU", "MEMORY",
)  # fmt: skip
NUMBERS: Final = COLUMNS[3:]
UNKNOWN: Final = "-"

_FIELDS: Final = {"in": "received", "out": "sent", "drops": "dropped"}


def ordered(rows: Iterable[Figures], sort: str) -> list[Figures]:
    """Return *rows* sorted by one of ``SORTS``; unknown figures come last.

    Sorted by ``node`` they stay as they are: master, gates, backends.
    """
    if sort == "node":
        return list(rows)
    if sort == "state":
        return sorted(rows, key=lambda row: (row.state == "ready", row.state))
    name = _FIELDS.get(sort, sort)

    def largest_first(row: Figures) -> float:
        value: float | None = getattr(row, name)
        return 1.0 if value is None else -value

    return sorted(rows, key=largest_first)


def headline(name: str, sum_: Total) -> str:
    """Say how the whole cluster is, in one line."""
    nodes = "1 node" if sum_.nodes == 1 else f"{sum_.nodes} nodes"
    troubles = [
        f"{number} {what}"
        for number, what in ((sum_.silent, "silent"), (sum_.draining, "draining"))
        if number
    ]
    if troubles:
        nodes += f" ({', '.join(troubles)})"
    return (
        f"{name}: {nodes}, {sum_.clients:.0f} clients, "
        f"{_number(sum_.received)} in/s, {_number(sum_.sent)} out/s, "
        f"p99 {_time(sum_.p99)}, lag {_time(sum_.lag)}"
    )


def lines(rows: Sequence[Figures], paint: Paint | None = None) -> Iterator[str]:
    """Yield the table of *rows*."""
    return table(COLUMNS, [_cells(row) for row in rows], NUMBERS, paint)


def _cells(row: Figures) -> tuple[str, ...]:
    return (
        row.name,
        row.role,
        row.state,
        _whole(row.clients),
        _whole(row.sessions),
        _number(row.received),
        _number(row.sent),
        _time(row.p99),
        _time(row.lag),
        _number(row.dropped),
        _whole(row.moving),
        UNKNOWN if row.cpu is None else f"{row.cpu:.0%}",
        UNKNOWN if row.memory is None else f"{row.memory / 2**20:.0f} MiB",
    )


def _whole(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f}"


def _number(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.1f}" if 0 < value < 10 else f"{value:.0f}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_digits(seconds / size)} {unit}"
    return f"{_digits(seconds / 1e-6)} µs"


def _digits(value: float) -> str:
    """Return *value* with two digits at least."""
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
