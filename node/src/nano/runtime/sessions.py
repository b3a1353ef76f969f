"""All sessions that a node holds, homes and mirrors alike."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from nano.metrics import Metrics
from nano.runtime.component import Component, overrides
from nano.runtime.routing import NOWHERE, Routing
from nano.runtime.session import Session, unnoticed
from nano.runtime.tasks import FAILURES
from nano.runtime.uids import Uids

__all__ = ["Sessions", "new_session_id", "tell_components"]

logger = logging.getLogger(__name__)

LOWEST_ID: Final = 1 << 62  # Go nano's snowflakes stay below until 2045


def new_session_id() -> int:
    """Return a random id; gates need no numbers of their own to stay apart."""
    return LOWEST_ID | secrets.randbits(62)


class Sessions:
    """A table of sessions by id.

    Whoever must know of a session's end is told exactly once, after the session
    has left the table; whoever must know of its beginning, when it has entered.

    Args:
        metrics: Where messages are counted that a session's end leaves unserved.

    Attributes:
        routing: Who could serve the sessions; behind ``session.router``.
        uids: Those that are bound to one, by it.
    """

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()
        self.routing: Routing = NOWHERE
        self.uids = Uids()
        self._renamed = self.uids.renamed  # one for all: they keep it
        self._sessions: dict[int, Session] = {}
        self._openings: list[Callable[[Session], None]] = []
        self._callbacks: list[Callable[[Session], None]] = []

    def on_opened(self, callback: Callable[[Session], None]) -> None:
        """Have *callback* called with each session that begins."""
        self._openings.append(callback)

    def on_closed(self, callback: Callable[[Session], None]) -> None:
        """Have *callback* called with each session that ends."""
        self._callbacks.append(callback)

    def add(self, session: Session) -> None:
        """Take *session* in."""
        session.routing = self.routing
        session.named = self._renamed
        self._sessions[session.id] = session
        self.uids.enter(session)
        for callback in self._openings:
            try:
                callback(session)
            except FAILURES:
                logger.exception("at the beginning of %r", session)

    def get(self, number: int) -> Session | None:
        """Return the session with that id, if it is here."""
        return self._sessions.get(number)

    def close(self, session: Session, reason: str) -> None:
        """Note that *session* has ended; a second time is harmless."""
        if self._sessions.get(session.id) is not session:
            return
        del self._sessions[session.id]
        self.uids.leave(session, session.uid)
        session.named = unnoticed
        session.closed = reason
        turns = session.turns
        if turns.waiting:
            self._metrics.dropped["session", "closed"] += len(turns.waiting)
        turns.waiting = None
        for callback in self._callbacks:
            try:
                callback(session)
            except FAILURES:
                logger.exception("after the end of %r", session)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)


def tell_components(components: Iterable[Component], sessions: Sessions) -> None:
    """Have *components* told of the sessions that begin and end, if they want to be.

    Raises:
        UsageError: A hook is a handler or a coroutine function.
    """
    for component in components:
        if overrides(component, "session_opened"):
            sessions.on_opened(component.session_opened)
        if overrides(component, "session_closed"):
            sessions.on_closed(component.session_closed)
