"""The rules of four in a row.

Pure: a position is the list of columns that were played, and everything else follows
from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["COLUMNS", "ROWS", "four", "is_full", "place"]

COLUMNS: Final = 7
ROWS: Final = 6
WANTED: Final = 4
DIRECTIONS: Final = ((1, 0), (0, 1), (1, 1), (1, -1))

Place = tuple[int, int]  # column from the left, row from the bottom


def place(moves: Sequence[int], column: int) -> Place | None:
    """Return where a piece ends that is dropped into *column*; None if it is full."""
    row = sum(1 for it in moves if it == column)
    return (column, row) if row < ROWS else None


def is_full(moves: Sequence[int]) -> bool:
    """Whether no piece can be dropped any more."""
    return len(moves) == COLUMNS * ROWS


def four(moves: Sequence[int]) -> list[Place]:
    """Return the places of the four or more that the last move has put in a row."""
    owners: dict[Place, int] = {}
    last = None
    for number, column in enumerate(moves):
        last = place(moves[:number], column)
        if last is not None:
            owners[last] = number % 2
    if last is None:
        return []
    for direction in DIRECTIONS:
        row = [*_same(owners, last, direction, -1)[::-1], last]
        row += _same(owners, last, direction, 1)
        if len(row) >= WANTED:
            return row
    return []


def _same(
    owners: dict[Place, int], start: Place, direction: Place, sign: int
) -> list[Place]:
    """Return the neighbours of *start* in a line that have its owner."""
    found: list[Place] = []
    column, row = start
    while True:
        column, row = column + sign * direction[0], row + sign * direction[1]
        if owners.get((column, row)) != owners[start]:
            return found
        found.append((column, row))
