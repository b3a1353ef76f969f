"""The processes of a cluster as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TextIO

from nano.local.console import coloured, is_colourful

__all__ = ["duration", "table"]

COLUMNS: Final = ("node", "role", "pid", "address", "ready", "restarts", "sessions")
NUMBERS: Final = ("pid", "restarts", "sessions")  # their digits stand below each other
GREEN: Final = 32
RED: Final = 31
BOLD: Final = 1


def table(nodes: Iterable[Mapping[str, Any]], out: TextIO) -> Iterator[str]:
    """Yield the lines of the table of *nodes*, coloured if *out* is a terminal.

    Args:
        nodes: As the supervisor's status has them.
        out: Where it will be written.
    """
    rows = [dict(zip(COLUMNS, map(str.upper, COLUMNS), strict=True))]
    rows += map(_row, nodes)
    widths = {name: max(len(row[name]) for row in rows) for name in COLUMNS}
    colourful = is_colourful(out)
    for number, row in enumerate(rows):
        cells = []
        for name in COLUMNS:
            width = widths[name]
            text = row[name]
            cell = text.rjust(width) if name in NUMBERS else text.ljust(width)
            if colourful and number == 0:
                cell = coloured(cell, BOLD)
            elif colourful and name == "ready":
                cell = coloured(cell, GREEN if text == "yes" else RED)
            cells.append(cell)
        yield "  ".join(cells).rstrip()


def _row(node: Mapping[str, Any]) -> dict[str, str]:
    sessions = node["sessions"]
    return {
        "node": node["name"],
        "role": node["role"],
        "pid": str(node["pid"] or "-"),
        "address": node["address"],
        "ready": "yes" if node["ready"] else f"no: {node['reason']}",
        "restarts": str(node["restarts"]),
        "sessions": "-" if sessions is None else str(sessions),
    }


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
