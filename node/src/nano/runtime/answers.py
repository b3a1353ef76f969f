"""Answers that do not wait for the end of a handler.

A handler usually answers by what it returns.  It may also answer earlier
(:meth:`Session.respond <nano.runtime.session.Session.respond>`) or promise to answer
later (:meth:`Session.defer <nano.runtime.session.Session.defer>`): a :class:`Deferred`
is that promise, and can be kept from anywhere on the node.  However it is done, a
request has one answer; what comes after it is refused, logged and counted.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from nano.errors import OVERLOADED, TIMEOUT, RequestError
from nano.protocol.messages import NOTIFY, Message
from nano.runtime.deadlines import Deadlines

if TYPE_CHECKING:
    from nano.metrics import Gauge, Metrics, RouteCounts
    from nano.runtime.session import Session
    from nano.serializers import Serializer

__all__ = ["ANSWERED", "Answers", "Deferred"]

logger = logging.getLogger(__name__)

MOST_DEFERRED: Final = 100_000  # promises of one node, some 30 MB

ANSWERED: Final = Message(NOTIFY, 0, "", b"")
"""What a session handles once it has answered what it was handling."""


class Answers:
    """The promised answers of one node, and what goes wrong with answers.

    Args:
        serializer: Encodes them.
        metrics: Where they are counted.
        timeout: Seconds in which a promise is to be kept.
    """

    def __init__(
        self, serializer: Serializer, metrics: Metrics, timeout: float
    ) -> None:
        self.serializer = serializer
        self.metrics = metrics
        self._open: Deadlines[Deferred] = Deadlines(timeout)
        self._now = 0.0  # as of the last tick: near enough for a deadline
        metrics.gauges.append(self._gauges)

    def defer(
        self, session: Session, message: Message, counts: RouteCounts
    ) -> Deferred:
        """Promise an answer to *message*; for a notify it is a promise of nothing.

        Raises:
            RequestError: So many promises are open that this is refused.
        """
        deferred = Deferred(session, message, counts, self)
        if message.id:
            if len(self._open) >= MOST_DEFERRED:
                raise RequestError(OVERLOADED, "too many answers are waited for")
            self._open.add(deferred, self._now)
        return deferred

    def close(self, deferred: Deferred) -> None:
        """Wait for *deferred* no longer."""
        self._open.discard(deferred)

    def __contains__(self, deferred: object) -> bool:
        return deferred in self._open

    def __len__(self) -> int:
        """Return how many promises are open."""
        return len(self._open)

    def holders(self) -> set[int]:
        """Return the ids of the sessions that wait for an answer that was promised."""
        sessions = (deferred.session for deferred in self._open)
        return {session.id for session in sessions if not session.closed}

    def twice(self, session: Session, route: str, error: BaseException | None) -> None:
        """Note that *route* has tried to answer what it had answered before."""
        self.metrics.dropped["answer", "second"] += 1
        text = "%s has answered %r before; what came of it afterwards is dropped"
        about = {"route": route}
        logger.error(text, route, session, exc_info=error, extra=about)

    def tick(self, now: float) -> None:
        """Answer what was promised and not kept in time."""
        self._now = now
        for deferred in self._open.expired(now):
            deferred.expire()

    def _gauges(self) -> list[Gauge]:
        text = "Requests to which an answer was promised by defer()."
        return [("nano_deferred_requests", text, {}, len(self._open))]


class Deferred:
    """The promise to answer one request; made by ``session.defer()``.

    Keep it by calling :meth:`respond` or :meth:`fail`, once, from anywhere in the
    node's event loop.  A promise that is not kept within the request time-out is
    answered 504.  If the client has gone, or its message was a notify, nothing is
    sent.

    Attributes:
        session: Whose request it is.
        route: What was asked.
    """

    __slots__ = ("_answers", "_counts", "_late", "_number", "route", "session")

    def __init__(
        self,
        session: Session,
        message: Message,
        counts: RouteCounts,
        answers: Answers,
    ) -> None:
        self.session = session
        self.route = message.route
        self._number = message.id
        self._counts = counts
        self._answers = answers
        self._late = False

    @property
    def done(self) -> bool:
        """It needs no answer any more: it was given, came too late, or nobody waits."""
        return bool(self.session.closed) or self not in self._answers

    def respond(self, value: Any) -> None:
        """Answer with *value*.

        Raises:
            TypeError: *value* cannot be encoded; another answer may still be given.
            EncodeError: The same, as it is too long.
        """
        if self._is_open():
            payload = self._answers.serializer.encode(value)
            self.session.home.respond(self._number, payload, False)
            self._counts.answered(len(payload))
            self._answers.close(self)

    def fail(self, error: RequestError) -> None:
        """Answer with *error*."""
        if self._is_open():
            self._answers.close(self)
            self._refuse(error)

    def expire(self) -> None:
        """Answer that it took too long; for the runtime."""
        self._late = True
        if not self.session.closed:
            error = RequestError(TIMEOUT, f"{self.route} was not answered in time")
            self._refuse(error)

    def _is_open(self) -> bool:
        """Whether an answer is still wanted; if it was given before, say so."""
        if not self._number:
            return False
        if self.session.closed:
            self._answers.close(self)
            return False
        if self in self._answers:
            return True
        if self._late:
            self._answers.metrics.dropped["answer", "late"] += 1
        else:
            self._answers.twice(self.session, self.route, None)
        return False

    def _refuse(self, error: RequestError) -> None:
        self._answers.metrics.failures[error.status] += 1
        body = self._answers.serializer.encode_error(error)
        self.session.home.respond(self._number, body, True)
