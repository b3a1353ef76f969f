"""Sessions that outlive their connection: a client that lost it may come back.

A client that knows how says so in its handshake (``sys.resume``), and is given a
*token*.  When its connection breaks, its session waits for some seconds: it stays in
its groups, keeps its uid, data and bindings, and what is sent to it is kept, up to the
backlog.  Whoever shows the token takes the session up, is told a new token and the
next *epoch*, and gets what was kept.

What was under way in the moment of the break may be lost, as with any new connection:
an epoch above one says "still me", not "nothing was missed".  A client that closes its
WebSocket properly, is kicked, breaks the protocol or reads too slowly does not wait.
A token is good for one take-up, on the gate that issued it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nano.errors import EncodeError
from nano.metrics import Gauge, Metrics
from nano.runtime.deadlines import Deadlines
from nano.runtime.session import SPARE, Delivery, Home, Session, too_large
from nano.runtime.sessions import Sessions

__all__ = ["Absent", "Resumptions"]

TOKEN_BYTES: Final = 16  # of randomness: nobody guesses it
OVERHEAD: Final = 128  # bytes that something kept costs besides its payload


@dataclass(frozen=True, slots=True)
class _Kept:
    """Something sent to a session whose client is away."""

    size: int
    replay: Callable[[Home], None]


class Absent:
    """The home of a session whose client is away: keeps what is sent to it.

    Args:
        session: Whose home this is.
        backlog: Bytes that are kept at most.
        largest: Bytes of the largest payload that its client is sent.
        metrics: Where what is dropped is counted.
        give_up: Ends the session, with the reason.
    """

    def __init__(
        self,
        session: Session,
        backlog: int,
        largest: int,
        metrics: Metrics,
        give_up: Callable[[Session, str], None],
    ) -> None:
        self._session = session
        self._backlog = backlog
        self._largest = largest
        self._metrics = metrics
        self._give_up = give_up
        self._kept: dict[str | int, _Kept] = {}  # the latest by their route
        self._number = 0
        self._size = 0

    def respond(self, number: int, payload: bytes, failed: bool) -> None:
        """Keep an answer; it is ``must``.

        Raises:
            EncodeError: The client is not sent so much.
        """
        if not failed:
            self._measure(payload)
        kept = _Kept(
            len(payload) + OVERHEAD, lambda home: home.respond(number, payload, failed)
        )
        self._keep(self._next(), kept, "must")

    def push(self, route: str, payload: bytes, delivery: Delivery = "must") -> None:
        """Keep a push as its class says.

        Raises:
            EncodeError: The client is not sent so much.
        """
        self.deliver(route, payload, delivery)

    def deliver(self, route: str, payload: bytes, delivery: Delivery) -> bool:
        """Do as :meth:`push`; false if it is dropped."""
        self._measure(payload)
        kept = _Kept(
            len(payload) + OVERHEAD,
            lambda home: home.push(route, payload, delivery),
        )
        key = route if delivery == "latest" else self._next()
        return self._keep(key, kept, delivery)

    def _measure(self, payload: bytes) -> None:
        if len(payload) > self._largest:
            raise too_large(len(payload), self._largest)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _keep(self, key: str | int, kept: _Kept, delivery: Delivery) -> bool:
        old = self._kept.pop(key, None)
        if old is not None:
            self._size -= old.size
            self._metrics.dropped["push", "superseded"] += 1
        room = self._backlog if delivery == "must" else self._backlog // SPARE
        if self._size + kept.size > room:
            if delivery == "must":
                self._give_up(self._session, "slow-client")
            else:
                self._metrics.dropped["push", "slow-client"] += 1
            return False
        self._kept[key] = kept
        self._size += kept.size
        return True

    def hand_over(self, home: Home) -> None:
        """Send what was kept, in order; what does not fit *home*'s wire is dropped."""
        kept, self._kept = self._kept, {}
        for item in kept.values():
            try:
                item.replay(home)
            except EncodeError:
                self._metrics.dropped["push", "does-not-fit"] += 1

    def kick(self, reason: str, reconnect: bool = False) -> None:
        """End the session: there is nobody to tell why."""
        del reason, reconnect
        self._give_up(self._session, "kicked")

    def pause(self) -> None:
        """Nothing is read anyway."""

    def resume(self) -> None:
        """Nothing is read anyway."""

    def changed(self, session: Session) -> None:
        """Note that uid or data have changed, as the home that was does."""
        session.version += 1


class Resumptions:
    """The sessions of one gate that may be taken up again.

    Args:
        life: Seconds that a session waits for its client.
        most: Sessions that may wait at once.
        backlog: Bytes that are kept for each.
        sessions: Where all sessions are.
        metrics: Where things are counted.
    """

    def __init__(
        self,
        life: float,
        most: int,
        backlog: int,
        sessions: Sessions,
        metrics: Metrics,
    ) -> None:
        self._most = most
        self._backlog = backlog
        self._sessions = sessions
        self._metrics = metrics
        self._by_token: dict[str, Session] = {}
        self._tokens: dict[int, str] = {}  # by the session's id
        self._waiting: Deadlines[Session] = Deadlines(life)
        self._reasons: dict[int, str] = {}  # why each has to wait
        sessions.on_closed(self._forget)
        metrics.gauges.append(self._gauges)

    def issue(self, session: Session) -> str:
        """Return a new token for *session*; the one before is good no more."""
        self._by_token.pop(self._tokens.get(session.id, ""), None)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._by_token[token] = session
        self._tokens[session.id] = token
        return token

    def find(self, token: str) -> Session | None:
        """Return the session that *token* is good for, whether it waits or not."""
        return self._by_token.get(token)

    def take_up(self, session: Session, home: Home) -> None:
        """Let *session* go on at *home*; call :meth:`Absent.hand_over` after it."""
        self._waiting.discard(session)
        self._reasons.pop(session.id, None)
        session.home = home
        session.epoch += 1
        session.version += 1  # mirrors are to learn the new address

    def wait(self, session: Session, largest: int, reason: str, now: float) -> bool:
        """Let *session* wait for its client; false if it has to end.

        Args:
            session: Whose connection has ended.
            largest: Bytes of the largest payload that its client is sent.
            reason: Why; what the session ends with, if nobody comes.
            now: The time.
        """
        if session.id not in self._tokens or session.closed:
            return False
        if len(self._waiting) >= self._most:
            return False
        session.home = Absent(
            session, self._backlog, largest, self._metrics, self._sessions.close
        )
        self._waiting.add(session, now)
        self._reasons[session.id] = reason
        return True

    def tick(self, now: float) -> None:
        """End the sessions that have waited long enough."""
        for session in self._waiting.expired(now):
            self._sessions.close(session, self._reasons[session.id])

    def stop(self) -> None:
        """End all sessions that wait: the gate goes."""
        self.tick(float("inf"))

    def _forget(self, session: Session) -> None:
        token = self._tokens.pop(session.id, None)
        if token is not None:
            self._by_token.pop(token, None)
            self._waiting.discard(session)
            self._reasons.pop(session.id, None)

    def _gauges(self) -> list[Gauge]:
        text = "Sessions whose clients are away and may come back."
        return [("nano_sessions_waiting", text, {}, len(self._waiting))]
