"""What was said last in each room, the same on every room backend.

Pure.  Each node is told every line, by itself or by another node, in any order and
maybe twice; after that all of them have the same.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from typing import Final

from .terms import ROOMS, Line

__all__ = ["KEPT", "History"]

KEPT: Final = 50  # lines of a room


def _order(line: Line) -> tuple[int, str]:
    return line.at, line.id


class History:
    """The last lines of all rooms."""

    def __init__(self) -> None:
        self._lines: dict[str, list[Line]] = {room: [] for room in ROOMS}

    def add(self, line: Line) -> bool:
        """Keep *line*, and say whether it is new; of an unknown room it is not kept."""
        lines = self._lines.get(line.room)
        if lines is None or self.has(line.room, line.name, line.id):
            return False
        insort(lines, line, key=_order)
        del lines[:-KEPT]
        return True

    def merge(self, lines: Iterable[Line]) -> None:
        """Keep all *lines*, some of which may be known."""
        for line in lines:
            self.add(line)

    def has(self, room: str, name: str, number: str) -> bool:
        """Whether *name* has said the line of that id in *room*, lately."""
        return any(it.id == number and it.name == name for it in self._lines[room])

    def of(self, room: str) -> list[Line]:
        """Return the lines of *room*, the oldest first."""
        return list(self._lines[room])

    def last(self, room: str) -> int:
        """Return when something was said last in *room*; 0 if it is not known."""
        lines = self._lines[room]
        return lines[-1].at if lines else 0

    def all(self) -> list[Line]:
        """Return the lines of all rooms."""
        return [line for lines in self._lines.values() for line in lines]
