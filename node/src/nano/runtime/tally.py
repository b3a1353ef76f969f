"""How many sessions are bound to whom, for what service.

Kept beside the bindings, which are plain dicts because each message reads one.  Whoever
binds sessions says so here; what is not said, as by a part of the node that moves
sessions, is put right by the next count, once a second at most and only if somebody has
asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["Tally"]

INTERVAL: Final = 1.0  # seconds between two counts; 10,000 sessions take one or two ms


class Tally:
    """The numbers of one node's own sessions."""

    def __init__(self) -> None:
        self._numbers: Counter[tuple[str, str]] = Counter()
        self._asked = False
        self._counted = float("-inf")

    def number(self, service: str, member: str) -> int:
        """Return how many sessions are bound to *member* for *service*."""
        self._asked = True
        return self._numbers[service, member]

    def more(self, service: str, member: str) -> None:
        """Note that one more is bound."""
        self._numbers[service, member] += 1

    def less(self, service: str, member: str) -> None:
        """Note that one is bound no more."""
        number = self._numbers[service, member]
        if number > 1:
            self._numbers[service, member] = number - 1
        else:
            self._numbers.pop((service, member), None)

    def is_due(self, now: float) -> bool:
        """Whether it is time to count anew, at *now* in seconds; if so, it is done."""
        due = self._asked and now - self._counted >= INTERVAL
        if due:
            self._asked = False
            self._counted = now
        return due

    def recount(self, bindings: Iterable[Mapping[str, str]]) -> None:
        """Take the numbers from what the sessions themselves say."""
        self._numbers = Counter(item for it in bindings for item in it.items())
