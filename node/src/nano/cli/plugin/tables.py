"""Columns for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import chain

__all__ = ["age", "table"]


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return *rows* below *header* in columns, as ``kubectl`` writes them."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(
        "   ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in chain([header], rows)
    )


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
