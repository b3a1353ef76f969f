"""How often somebody may, and by how much a count has grown lately.

Pure: the time, in seconds of any clock that only goes forward, is an argument.
"""

from __future__ import annotations

from collections import OrderedDict, deque
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
    """By how much a count, which only ever grows, has grown in the last minute.

    It is exact to the interval at which it is looked at.

    Args:
        now: The time.
        count: What it was then.
    """

    def __init__(self, now: float, count: float) -> None:
        self._looks = deque([(now, count)])  # the first is a minute old, or the oldest

    def look(self, now: float, count: float) -> None:
        """Note what the count is; it wants to be looked at regularly."""
        self._looks.append((now, count))
        while len(self._looks) > 1 and self._looks[1][0] <= now - SECONDS:
            self._looks.popleft()

    @property
    def growth(self) -> int:
        """What has come in the minute before the last look."""
        return int(self._looks[-1][1] - self._looks[0][1])
