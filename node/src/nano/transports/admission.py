"""Who may come in and how fast: connections, handshakes and messages.

Counts and token buckets that are told the time and never ask for it.  They know no
socket; :mod:`~nano.transports.connection` asks them and acts upon the answer.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

__all__ = ["OVER_FOR", "Admission", "Arrivals", "Bucket", "Meter"]

BURST: Final = 2.0  # seconds' worth that may come at once
OVER_FOR: Final = 10.0  # seconds for which a client may keep sending too fast
MOST_ADDRESSES: Final = 65_536  # whose new connections are counted at a time
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


class Arrivals:
    """How fast each address connects.

    Only those are kept that have connected lately, and never more than a fixed number:
    when that is reached the eldest are forgotten, and begin anew.

    Args:
        rate: Connections of one address a second.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._buckets: dict[str, tuple[Bucket, float]] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def allow(self, address: str, now: float) -> bool:
        """Note that *address* connects; false if it does so too often."""
        self._forget(now)
        bucket, _ = self._buckets.pop(address, (None, 0.0))
        if bucket is None:
            bucket = Bucket(self._rate, now)
        self._buckets[address] = bucket, now  # at the end: the order is that of time
        return bucket.allow(now)

    def _forget(self, now: float) -> None:
        """Drop whose bucket is full again, and who is too much."""
        full = max(BURST, 1.0 / self._rate)
        while self._buckets:
            address, (_, since) = next(iter(self._buckets.items()))
            if now - since < full and len(self._buckets) < MOST_ADDRESSES:
                return
            del self._buckets[address]


class Admission:
    """How many connections there are and how fast they come, in all and of an address.

    An address is a text, and the empty one belongs to nobody: to a proxy that has not
    said yet whom it speaks for, or to a program on this machine.

    Args:
        most: Connections of the whole node.
        per_address: Connections of one address; 0 for any number.
        rate: New connections a second; 0 for any number.
        rate_per_address: New connections of one address a second; 0 for any number.
        now: The time.
    """

    def __init__(
        self,
        most: int,
        per_address: int,
        rate: int = 0,
        rate_per_address: int = 0,
        now: float = 0.0,
    ) -> None:
        self._most = most
        self._per_address = per_address
        self._open = 0
        self._addresses: Counter[str] = Counter()
        self._rate = Bucket(rate, now) if rate else None
        self._arrivals = Arrivals(rate_per_address) if rate_per_address else None
        self.by_address = bool(per_address or rate_per_address)

    def enter(self, address: str, now: float) -> str:
        """Let a connection in; or return why not, and forget it."""
        if not self._may_come(address, now):
            return "too-many-new-of-address"
        if self._rate is not None and not self._rate.allow(now):
            return "too-many-new"
        if self._open >= self._most:
            return "too-many-connections"
        if not self._count(address):
            return "too-many-of-address"
        self._open += 1
        return ""

    def identify(self, address: str, now: float) -> str:
        """Note whose a connection is that was let in as nobody's; or return why not.

        A refused one stays nobody's until it leaves.
        """
        if not self._may_come(address, now):
            return "too-many-new-of-address"
        return "" if self._count(address) else "too-many-of-address"

    def _may_come(self, address: str, now: float) -> bool:
        arrivals = self._arrivals
        return arrivals is None or not address or arrivals.allow(address, now)

    def _count(self, address: str) -> bool:
        if self._per_address and address:
            if self._addresses[address] >= self._per_address:
                return False
            self._addresses[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Note that a connection that was let in has gone."""
        self._open -= 1
        if self._per_address and address:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]
