"""What a run of ``nanoctl load`` has counted, and what that says.  Pure."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Final

__all__ = ["Durations", "Figures"]

STEP: Final = 0.01  # how far two durations may be apart that count as one
SHORTEST: Final = 1e-6
BUSY: Final = 0.9  # of a core; from there on the generator measures itself
LATE: Final = 0.02  # seconds; from there on its own lag is in every figure


class Durations:
    """A bounded table of durations, each kept to within one per cent.

    Attributes:
        longest: The longest, in seconds, as it was.
        number: How many there were.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self.number = 0
        self._counts: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Take one."""
        self.number += 1
        self.longest = max(self.longest, seconds)
        self._counts[_place(seconds)] += 1

    def percentile(self, share: float) -> float:
        """Return the seconds within which *share* (0 to 1) of them ended; 0 if none."""
        wanted = max(1, math.ceil(self.number * share))
        for place in sorted(self._counts):
            wanted -= self._counts[place]
            if wanted <= 0:
                return min(self.longest, SHORTEST * (1 + STEP) ** place)
        return 0.0


def _place(seconds: float) -> int:
    ratio = max(seconds, SHORTEST) / SHORTEST
    return math.ceil(math.log(ratio) / math.log(1 + STEP))


class Figures:
    """Everything that one run counts.

    Attributes:
        connected: Clients that were let in.
        sent: Requests that left.
        answers: By status; 200 are those that were no errors.
        failures: What had no answer, by the reason: ``connect``, ``timeout``,
            ``closed`` (the server ended the connection), ``behind`` (it was not sent:
            too many of its client were unanswered).
        took: How long the answers took that were no errors.
        lag: How much later than wanted this program itself did things.
        seconds: How long it ran, without connecting.
        busy: The share of a core that this program has used meanwhile.
    """

    def __init__(self) -> None:
        self.connected = 0
        self.sent = 0
        self.answers: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        self.took = Durations()
        self.lag = Durations()
        self.seconds = 0.0
        self.busy = 0.0

    @property
    def failed(self) -> bool:
        """Whether anything was not answered, or answered with an error."""
        return bool(self.failures) or any(it != 200 for it in self.answers)

    @property
    def doubts(self) -> list[str]:
        """Why the figures may be of this program rather than of the server."""
        found = []
        if self.busy >= BUSY:
            found.append(
                f"this program has used {self.busy:.0%} of a core: the server may be "
                "faster than it; run several at once, elsewhere than the server"
            )
        lag = self.lag.percentile(0.99)
        if lag >= LATE:
            found.append(
                f"this program was up to {_ms(lag)} ms late itself (p99): that is in "
                "all figures; use fewer clients, or a machine that is less busy"
            )
        return found

    def as_json(self) -> dict[str, Any]:
        """Return everything, JSON-able; times in milliseconds, if there are any."""
        took = self.took
        times = {
            "p50": _ms(took.percentile(0.5)),
            "p90": _ms(took.percentile(0.9)),
            "p99": _ms(took.percentile(0.99)),
            "max": _ms(took.longest),
        }
        return {
            "clients": self.connected,
            "seconds": round(self.seconds, 3),
            "sent": self.sent,
            "answersPerSecond": round(self._rate(), 1),
            "answers": {str(it): n for it, n in sorted(self.answers.items())},
            "failures": dict(sorted(self.failures.items())),
            "milliseconds": times if took.number else None,
            "generator": {
                "busy": round(self.busy, 3),
                "lagP99": _ms(self.lag.percentile(0.99)),
                "lagMax": _ms(self.lag.longest),
            },
            "doubts": self.doubts,
        }

    def lines(self) -> list[str]:
        """Return everything for a person to read."""
        it = self.as_json()
        times = (it["milliseconds"] or {}).items()
        own = it["generator"]
        return [
            f"clients   {self.connected}",
            f"sent      {self.sent} in {self.seconds:.1f} s",
            f"answers   {self.answers.total()}, {self._rate():.0f} a second; "
            + (_counts(it["answers"]) or "none"),
            f"failures  {_counts(it['failures']) or 'none'}",
            f"took      {', '.join(f'{name} {ms} ms' for name, ms in times) or '-'}",
            f"generator {own['busy']:.0%} of a core, late by {own['lagP99']} ms (p99)",
            *(f"doubt     {doubt}" for doubt in it["doubts"]),
        ]

    def _rate(self) -> float:
        return self.answers.total() / self.seconds if self.seconds else 0.0


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in counts.items())
