"""Heartbeats of all connections by one wheel.

nano's rule: the server sends a heartbeat at every interval from the first moment
on, and whoever has left two of them without a sign of life is gone at the third,
which is between two and three intervals after its last byte.  A timer a connection
would be ten thousand timers; here connections stand on the spokes of a wheel, and
one spoke is served at a time, which also spreads the writes over the interval.
"""

from __future__ import annotations

from typing import Final, Protocol

__all__ = ["SPOKES", "Wheel"]

SPOKES: Final = 50
TOLERATED: Final = 2  # beats since the last sign of life


class Beating(Protocol):
    """A connection on the wheel.

    Attributes:
        heard: Something came since the last beat; the connection sets it.
        silent: Beats since something came; the wheel's.
        spoke: Where it stands; the wheel's.
    """

    heard: bool
    silent: int
    spoke: int

    def beat(self) -> None:
        """Send a heartbeat."""

    def lose(self) -> None:
        """Close: nothing has come for too long."""


class Wheel:
    """Beats for everyone on it, once an interval.

    Args:
        interval: Seconds between two beats of one connection.
    """

    def __init__(self, interval: float) -> None:
        self._step = interval / SPOKES
        self._spokes: list[dict[Beating, None]] = [{} for _ in range(SPOKES)]
        self._at = 0
        self._due: float | None = None

    def add(self, connection: Beating) -> None:
        """Let *connection* have its first beat one interval from now."""
        connection.spoke = self._at
        self._spokes[self._at][connection] = None

    def remove(self, connection: Beating) -> None:
        """Forget *connection*; it need not be there."""
        self._spokes[connection.spoke].pop(connection, None)

    def advance(self, now: float) -> None:
        """Serve the spokes whose time has come, and each of them once.

        If more than an interval has passed, the process itself stood still, and
        what its clients sent meanwhile has yet to be read: they are not to blame.
        """
        if self._due is None:
            self._due = now + self._step
        for _ in range(SPOKES):
            if self._due > now:
                return
            self._due += self._step
            self._at = (self._at + 1) % SPOKES
            for connection in list(self._spokes[self._at]):
                self._serve(connection)
        self._due = max(self._due, now + self._step)

    def _serve(self, connection: Beating) -> None:
        if connection.heard:
            connection.heard = False
            connection.silent = 0
        connection.silent += 1
        if connection.silent > TOLERATED:
            connection.lose()
        else:
            connection.beat()
