"""Who may come in and how fast: connections, handshakes and messages.

Counts and token buckets that are told the time and never ask for it.  They know no
socket; :mod:`~nano.transports.connection` asks them and acts upon the answer.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

__all__ = ["OVER_FOR", "Admission", "Bucket", "Meter"]

BURST: Final = 2.0  # seconds' worth that may come at once
OVER_FOR: Final = 10.0  # seconds for which a client may keep sending too fast
CALM: Final = 2.0  # seconds without a pause after which it sends too fast no more


class Bucket:
    """Tokens that come at a rate, of which two seconds' worth can be saved.

    Args:
        rate: Tokens a second.
        now: The time; the bucket begins full.
    """

    __slots__ = ("_at", "_rate", "_tokens")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._tokens = max(1.0, rate * BURST)
        self._at = now

    def _fill(self, now: float) -> None:
        most = max(1.0, self._rate * BURST)
        self._tokens = min(most, self._tokens + (now - self._at) * self._rate)
        self._at = now

    def allow(self, now: float) -> bool:
        """Take a token if there is one."""
        self._fill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def spend(self, number: int, now: float) -> float:
        """Take *number* tokens, on credit too; return the seconds until it is paid."""
        self._fill(now)
        self._tokens -= number
        return max(0.0, -self._tokens / self._rate)


class Meter:
    """How fast one client sends.

    Who has sent too much is not read until its bucket is even.  Who is stopped again
    within two seconds, over and over for ten seconds, sends too fast for good.

    Args:
        rate: Messages a second.
        now: The time.
    """

    __slots__ = ("_bucket", "_over_since", "until")

    def __init__(self, rate: float, now: float) -> None:
        self._bucket = Bucket(rate, now)
        self._over_since = now
        self.until = float("-inf")  # not read before this

    def spend(self, number: int, now: float) -> bool:
        """Note *number* messages; true if the client is to be paused."""
        debt = self._bucket.spend(number, now)
        if not debt:
            return False
        if now - self.until > CALM:
            self._over_since = now
        self.until = min(now + debt, max(now, self._over_since + OVER_FOR))
        return True

    def exhausted(self, now: float) -> bool:
        """The client has been sending too fast for too long."""
        return now - self._over_since >= OVER_FOR


class Admission:
    """How many connections there are, in all and of each address.

    Args:
        most: Connections of the whole node.
        per_address: Connections of one address; 0 for any number.
    """

    def __init__(self, most: int, per_address: int) -> None:
        self._most = most
        self._per_address = per_address
        self._open = 0
        self._addresses: Counter[str] = Counter()

    def enter(self, address: str) -> str:
        """Let a connection in; or return why not, and forget it."""
        if self._open >= self._most:
            return "too-many-connections"
        if self._per_address:
            if self._addresses[address] >= self._per_address:
                return "too-many-of-address"
            self._addresses[address] += 1
        self._open += 1
        return ""

    def leave(self, address: str) -> None:
        """Note that a connection that was let in has gone."""
        self._open -= 1
        if self._per_address:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]
