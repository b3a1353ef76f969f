"""How often somebody may, and how often it happened: two small counters.

Pure: the time, in seconds of any clock that only goes forward, is an argument.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

__all__ = ["Bucket", "Buckets", "Minute"]

SECONDS: Final = 60


class Bucket:
    """So many at once, and then one at an interval.

    Args:
        size: How many at once.
        seconds: The interval.
        now: The time.
    """

    def __init__(self, size: int, seconds: float, now: float) -> None:
        self._size = size
        self._seconds = seconds
        self._left = float(size)
        self._at = now

    def take(self, now: float) -> float:
        """Take one and return 0, or the seconds after which there is one."""
        passed = (now - self._at) / self._seconds
        self._left = min(self._size, self._left + passed)
        self._at = now
        if self._left < 1:
            return (1 - self._left) * self._seconds
        self._left -= 1
        return 0.0


class Buckets:
    """A bucket for each of many, the latest of them.

    Args:
        size: As of :class:`Bucket`.
        seconds: The same.
        most: How many are kept; whoever was idle the longest is forgotten.
    """

    def __init__(self, size: int, seconds: float, most: int) -> None:
        self._size = size
        self._seconds = seconds
        self._most = most
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, who: str, now: float) -> float:
        """Take one of the bucket of *who*; see :meth:`Bucket.take`."""
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = Bucket(self._size, self._seconds, now)
        self._buckets.move_to_end(who)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return bucket.take(now)


class Minute:
    """How often something happened in the last minute."""

    def __init__(self) -> None:
        self._counts = [0] * SECONDS
        self._second = 0

    def count(self, now: float) -> None:
        """It happened."""
        self._forget(now)
        self._counts[self._second % SECONDS] += 1

    def total(self, now: float) -> int:
        """Return how often it did."""
        self._forget(now)
        return sum(self._counts)

    def _forget(self, now: float) -> None:
        second = int(now)
        for passed in range(min(second - self._second, SECONDS)):
            self._counts[(second - passed) % SECONDS] = 0
        self._second = max(second, self._second)
