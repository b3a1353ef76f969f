"""Counts the calls that our nodes make for a message: where the work is.

A list and no time, so it is the same on every machine however busy.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["Calls"]

SELDOM: Final = 0.02  # calls for a message below which a line tells nothing


class Calls:
    """What ``components/calls.py`` has written on the nodes of one row.

    Attributes:
        component: What nodes must run.
    """

    component = "calls:Calls"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        os.environ["BENCH_CALLS"] = str(folder)  # servers inherit it

    def render(self, messages: int) -> str:
        """Return the calls for each of *messages*, those of all nodes, and forget them.

        Python's own are told by where they are defined; with an arrow, those of
        functions in C by where they are called.
        """
        counts: Counter[str] = Counter()
        for file in self._folder.glob("calls.*"):
            counts.update(msgspec.json.decode(file.read_bytes(), type=dict[str, int]))
            file.unlink()
        lines = [
            f"{count / messages:8.2f}  {name}"
            for name, count in counts.most_common()
            if count / messages >= SELDOM
        ]
        native = sum(count for name, count in counts.items() if "→" in name)
        python = counts.total() - native
        lines.append(f"{python / messages:8.2f}  of functions in Python")
        lines.append(f"{native / messages:8.2f}  of functions in C")
        return "\n".join(lines)
