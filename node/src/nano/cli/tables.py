"""Columns and durations for people.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Final

__all__ = ["HEADER", "Paint", "age", "duration", "table"]

GAP: Final = "  "
HEADER: Final = -1
"""The number by which :data:`Paint` knows the line of the columns' names."""

Paint = Callable[[int, str, str], str]
"""Given the number of a row, the column and the cell, returns the cell in colour."""


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    numbers: Collection[str] = (),
    paint: Paint | None = None,
) -> Iterator[str]:
    """Yield the lines of *rows* below *header*.

    Args:
        header: The columns' names.
        rows: As many cells each.
        numbers: Columns whose digits stand below each other.
        paint: What colours a cell; none: nothing is coloured.
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for number, row in enumerate([header, *rows], HEADER):
        cells = []
        for name, cell, width in zip(header, row, widths, strict=True):
            fitted = cell.rjust(width) if name in numbers else cell.ljust(width)
            cells.append(paint(number, name, fitted) if paint else fitted)
        yield GAP.join(cells).rstrip()


def duration(seconds: float) -> str:
    """Return *seconds* as one says it: ``42 s``, ``3 min 20 s``, ``5 h 2 min``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def age(since: str, now: datetime) -> str:
    """Return how long *since* is ago, in the largest unit of which there are two.

    Args:
        since: A time as Kubernetes writes it; empty for one that is not known.
        now: The time.
    """
    if not since:
        return ""
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
