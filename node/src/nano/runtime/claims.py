"""One session for each uid: the newer login ends the older one.

A session that is bound to a uid claims it, with a stamp of its gate; every gate that
hears of a newer claim sends its own session of that uid away.  Stamps are wall-clock
time, but later than every stamp that the gate has seen (a hybrid logical clock), so
that clocks that differ do not let the older win once a gate has heard of it.  Of two
claims that cross, both gates find the same one newer: by the stamp, then by the
session's id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from nano.metrics import Metrics
from nano.runtime.session import Session
from nano.runtime.sessions import Sessions

__all__ = ["REASON", "Claim", "Claims"]

logger = logging.getLogger(__name__)

REASON: Final = "signed in elsewhere"
"""What the older session's client is told."""

TICKS: Final = 1_000_000  # of the stamps, in a second


class Claim(NamedTuple):
    """What a session has of a uid.

    Attributes:
        uid: The uid.
        session: The session's id.
        stamp: When it was bound, in microseconds since 1970 or a little later.
    """

    uid: str
    session: int
    stamp: int


class Claims:
    """The claims of one gate's own sessions.

    Args:
        sessions: Those that this node holds.
        is_at_home: Whether a session's client is connected to this node.
        metrics: Where sessions are counted that were sent away.
        wall: Gives seconds since 1970.

    Attributes:
        tell: Called with each new claim, for the other gates.
    """

    def __init__(
        self,
        sessions: Sessions,
        is_at_home: Callable[[Session], bool],
        metrics: Metrics,
        wall: Callable[[], float],
    ) -> None:
        self.tell: Callable[[Claim], None] = lambda claim: None
        self._sessions = sessions
        self._is_at_home = is_at_home
        self._metrics = metrics
        self._wall = wall
        self._newest = 0  # of all stamps, our own and others'
        self._stamps: dict[int, int] = {}  # of our own sessions, by id
        sessions.uids.watchers.append(self._bound)
        sessions.on_closed(self._closed)

    def _bound(self, session: Session) -> None:
        if not self._is_at_home(session):
            return
        self._newest = max(self._newest + 1, int(self._wall() * TICKS))
        self._stamps[session.id] = self._newest
        claim = Claim(session.uid, session.id, self._newest)
        self._yield_to(claim)
        self.tell(claim)

    def _closed(self, session: Session) -> None:
        self._stamps.pop(session.id, None)

    def hear(self, claim: Claim) -> None:
        """Take note of a claim at another gate."""
        self._newest = max(self._newest, claim.stamp)
        self._yield_to(claim)

    def _yield_to(self, claim: Claim) -> None:
        """Send away what of this gate is older than *claim*."""
        for session in self._sessions.uids.of(claim.uid):
            stamp = self._stamps.get(session.id)
            if stamp is None or (stamp, session.id) >= (claim.stamp, claim.session):
                continue
            self._metrics.dropped["session", "signed-in-elsewhere"] += 1
            logger.debug("%r makes way for %d", session, claim.session)
            session.kick(REASON)

    def all(self) -> Iterable[Claim]:
        """Return the claims of all sessions that are at home here."""
        for number, stamp in list(self._stamps.items()):
            session = self._sessions.get(number)
            if session is not None and session.uid:
                yield Claim(session.uid, number, stamp)
