"""What can go wrong on the way between two ends.

::

    ann.line.freeze()  # nothing arrives in either direction ...
    ann.line.thaw()  # ... until now
    ann.line.up.drop()  # the next packet to the node is lost
    ann.line.down.duplicate(2)  # the next two to the client come twice
    ann.line.down.delay(0.2)  # each takes 200 ms from now on
    ann.line.cut()  # the connection is reset
    ann.line.disturb(seed=7, drop=0.01, duplicate=0.01, delay=0.3)  # a bad day

A :class:`Line` has two :class:`Course` s.  What travels is never torn: a client's line
carries whole packets, a link's whole batches.  They arrive in the order in which they
were sent, whatever happens to them.  The same seed and the same sending give the same
faults.
"""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["Course", "Line"]


class Course:
    """One direction of a line.

    Attributes:
        frozen: Nothing arrives.
        sent: How many things were sent.
        dropped: How many of them were lost.
        duplicated: How many of them arrive twice.
    """

    def __init__(self) -> None:
        self.frozen = False
        self.sent = self.dropped = self.duplicated = 0
        self._to_drop = self._to_duplicate = 0
        self._delay = 0.0
        self._chance_of_drop = self._chance_of_duplicate = 0.0
        self._longest_delay = 0.0
        self._random = random.Random(0)
        self._pumps: list[Callable[[], None]] = []

    def drop(self, number: int = 1) -> None:
        """Lose the next *number* of packets or batches."""
        self._to_drop += number

    def duplicate(self, number: int = 1) -> None:
        """Let the next *number* of packets or batches arrive twice."""
        self._to_duplicate += number

    def delay(self, seconds: float) -> None:
        """Let what is sent from now on take *seconds*; 0 to be quick again."""
        self._delay = seconds

    def freeze(self) -> None:
        """Let nothing arrive until :meth:`thaw`; what is sent waits."""
        self.frozen = True

    def thaw(self) -> None:
        """Let what has waited arrive, and everything else as before."""
        self.frozen = False
        for pump in list(self._pumps):
            pump()

    def heal(self) -> None:
        """Have nothing go wrong from now on, and let what has waited arrive."""
        self._to_drop = self._to_duplicate = 0
        self.delay(0)
        self.disturb(0)
        self.thaw()

    def disturb(
        self,
        seed: int | str,
        *,
        drop: float = 0.0,
        duplicate: float = 0.0,
        delay: float = 0.0,
    ) -> None:
        """Have things go wrong at random from now on; without chances, no more.

        Args:
            seed: The same gives the same.
            drop: Chance of each packet or batch to be lost, from 0 to 1.
            duplicate: Chance to arrive twice.
            delay: Seconds that it may take at most, besides those of :meth:`delay`.
        """
        self._random = random.Random(seed)
        self._chance_of_drop = drop
        self._chance_of_duplicate = duplicate
        self._longest_delay = delay

    # --------------------------------------------------- for what moves along it

    def copies(self) -> int:
        """Return how often the next thing arrives: 0, 1 or 2 times."""
        self.sent += 1
        if self._to_drop or self._random.random() < self._chance_of_drop:
            self._to_drop = max(0, self._to_drop - 1)
            self.dropped += 1
            return 0
        if self._to_duplicate or self._random.random() < self._chance_of_duplicate:
            self._to_duplicate = max(0, self._to_duplicate - 1)
            self.duplicated += 1
            return 2
        return 1

    def due(self, now: float) -> float:
        """Return when what is sent now arrives."""
        return now + self._delay + self._random.uniform(0, self._longest_delay)

    def attach(self, pump: Callable[[], None]) -> None:
        """Have *pump* called after a thaw."""
        self._pumps.append(pump)

    def detach(self, pump: Callable[[], None]) -> None:
        """Forget *pump*; it need not be there."""
        if pump in self._pumps:
            self._pumps.remove(pump)


class Line:
    """Both directions between two ends.

    Attributes:
        up: From the first end to the second: from a client to its node.
        down: From the second to the first.
    """

    def __init__(self) -> None:
        self.up = Course()
        self.down = Course()
        self._cuts: list[Callable[[], None]] = []

    def turned(self) -> Line:
        """Return the same line, seen from its other end."""
        line = Line.__new__(Line)
        line.up, line.down, line._cuts = self.down, self.up, self._cuts
        return line

    def heal(self) -> None:
        """Have nothing go wrong from now on, and let what has waited arrive."""
        self.up.heal()
        self.down.heal()

    def freeze(self) -> None:
        """Let nothing arrive in either direction until :meth:`thaw`."""
        self.up.freeze()
        self.down.freeze()

    def thaw(self) -> None:
        """Let what has waited arrive."""
        self.up.thaw()
        self.down.thaw()

    def delay(self, seconds: float) -> None:
        """Let everything take *seconds*, in each direction; 0 to be quick again."""
        self.up.delay(seconds)
        self.down.delay(seconds)

    def disturb(
        self,
        seed: int,
        *,
        drop: float = 0.0,
        duplicate: float = 0.0,
        delay: float = 0.0,
    ) -> None:
        """Have things go wrong at random in both directions; see :class:`Course`."""
        for name, course in (("up", self.up), ("down", self.down)):
            course.disturb(
                f"{seed} {name}", drop=drop, duplicate=duplicate, delay=delay
            )

    def cut(self) -> None:
        """Reset what is connected over this line; what was under way is lost.

        It can be connected anew at once; to prevent that, freeze it as well.
        """
        for cut in list(self._cuts):
            cut()

    def on_cut(self, cut: Callable[[], None]) -> Callable[[], None]:
        """Have *cut* called by :meth:`cut`; return a function that forgets it."""
        self._cuts.append(cut)

        def forget() -> None:
            if cut in self._cuts:
                self._cuts.remove(cut)

        return forget
