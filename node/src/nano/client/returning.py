"""Whether, and when, to connect again: two pure functions.

The rules are those of the JavaScript client.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from nano.protocol.client import Kicked

__all__ = ["ONCE", "Backoff", "delay", "worth_returning"]

RETURN_CODES: Final = frozenset({1001, 1012, 1013})
"""Close codes of RFC 6455 that say "elsewhere, or later": going away, restart, busy."""

RETURN_REASONS: Final = frozenset(
    {"no heartbeat came for two intervals", "no handshake came in time"}
)
"""Kicks of servers that do not say so otherwise: we were asleep, and are awake now."""

LARGEST_EXPONENT: Final = 30


class Backoff(Struct, frozen=True, kw_only=True):
    """When to connect again.

    Attributes:
        base: Seconds before the first new attempt, at most.
        cap: Seconds before any attempt, at most.
        attempts: How many in a row before giving up.
        first: Also if the very first connection fails.
    """

    base: float = 0.5
    cap: float = 15.0
    attempts: float = math.inf
    first: bool = False


ONCE: Final = Backoff(attempts=0)
"""Never again."""


def delay(attempt: int, backoff: Backoff, random: Callable[[], float]) -> float:
    """Return how many seconds to wait before an attempt.

    Full jitter: anything between nothing and the doubling limit.  So a gate that goes
    is not followed by all of its clients at the same moments.

    Args:
        attempt: 0 for the first.
        backoff: The limits.
        random: Gives numbers from 0 up to, and without, 1.
    """
    limit = backoff.base * 2.0 ** min(attempt, LARGEST_EXPONENT)
    return random() * min(backoff.cap, limit)


def worth_returning(kick: Kicked | None, close_code: int) -> bool:
    """Return whether a connection that has ended is worth another.

    One that was cut is.  Who was kicked stays away, unless the server said otherwise:
    in the kick itself, by the close code, or by a reason that we know.
    """
    if kick is None or kick.reconnect:
        return True
    return close_code in RETURN_CODES or kick.reason in RETURN_REASONS
