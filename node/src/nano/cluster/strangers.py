"""Who was refused at the cluster port, or refused by us: counted, and told in the log.

A stranger may come again a thousand times a second, so there is one line for each
reason and :data:`REMIND` seconds; the counts are exact.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Final

__all__ = ["REMIND", "Strangers"]

logger = logging.getLogger(__name__)

REMIND: Final = 10.0
"""Seconds between two lines with the same reason."""


class Strangers:
    """The refusals of one node.

    Args:
        counts: Where they are counted, by reason.
        time: The clock for the log.
    """

    def __init__(
        self,
        counts: Counter[str] | None = None,
        time: Callable[[], float] = monotonic,
    ) -> None:
        self.counts = Counter[str]() if counts is None else counts
        self._time = time
        self._told: dict[str, float] = {}
        self._untold: Counter[str] = Counter()

    def refuse(self, reason: str, text: str, number: int = 1) -> None:
        """Count *number* refusals for *reason*, one of a few words; tell *text*."""
        self.counts[reason] += number
        now = self._time()
        if now < self._told.get(reason, float("-inf")) + REMIND:
            self._untold[reason] += number
            return
        self._told[reason] = now
        untold = self._untold.pop(reason, 0)
        more = f" ({untold} more since the last line)" if untold else ""
        logger.warning("%s%s", text, more)
