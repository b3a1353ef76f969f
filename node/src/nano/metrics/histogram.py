"""A histogram of plain integers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

__all__ = ["LAG", "SECONDS", "Histogram"]

SECONDS: Final = (
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Bounds for times: from a plain handler's microseconds to a late answer."""

LAG: Final = SECONDS[6:]
"""Bounds for the event loop's lateness, which it knows to a millisecond."""


class Histogram:
    """How often a time was at most so long.

    Args:
        bounds: Upper bounds of the buckets, in ascending order; one without a bound
            is added.

    Attributes:
        total: The sum of all that was observed.
    """

    __slots__ = ("_bounds", "_numbers", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self._bounds = bounds
        self._numbers = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count *value*."""
        self._numbers[bisect_left(self._bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self._numbers)

    def buckets(self) -> list[tuple[str, float]]:
        """Return bounds and how many values were not above, as Prometheus wants it."""
        names = [*(repr(bound) for bound in self._bounds), "+Inf"]
        return list(zip(names, accumulate(self._numbers), strict=True))
