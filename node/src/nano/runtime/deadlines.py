"""Things that end by themselves if nothing happens, all after the same time.

Because each gets the same time, the order of arrival is the order of expiry: a
dict does it, with no timer and no heap.  The clock is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Deadlines"]

K = TypeVar("K")


class Deadlines(Generic[K]):
    """Keys with one life time.

    Args:
        life: Seconds from :meth:`add` to expiry.
    """

    __slots__ = ("_due", "life")

    def __init__(self, life: float) -> None:
        self.life = life
        self._due: dict[K, float] = {}

    def add(self, key: K, now: float) -> None:
        """Let *key* expire after its time, counted from *now*, also if it was there."""
        self._due.pop(key, None)
        self._due[key] = now + self.life

    def discard(self, key: K) -> None:
        """Forget *key*; it need not be there."""
        self._due.pop(key, None)

    def expired(self, now: float) -> list[K]:
        """Return and forget the keys whose time is over."""
        over = []
        for key, due in self._due.items():
            if due > now:
                break
            over.append(key)
        for key in over:
            del self._due[key]
        return over

    def __len__(self) -> int:
        return len(self._due)

    def __iter__(self) -> Iterator[K]:
        return iter(self._due)

    def __contains__(self, key: object) -> bool:
        return key in self._due
