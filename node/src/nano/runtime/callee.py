"""Handlers as other nodes reach them: served at once, or in their turn.

What a call comes to is an :data:`Outcome`.  The texts of errors name no route: a
handler that does not catch one passes it on to its client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from nano.errors import (
    BAD_REQUEST,
    INTERNAL,
    NOT_FOUND,
    UNAVAILABLE,
    EncodeError,
    RequestError,
)
from nano.metrics import RouteCounts
from nano.protocol.messages import NOTIFY, FromNode
from nano.protocol.packets import LARGEST_BODY
from nano.runtime.dispatch import (
    Clock,
    Dispatcher,
    LocalRoute,
    make_route,
    refusal_of,
)
from nano.runtime.handlers import Handler
from nano.runtime.session import CALLED, Session
from nano.runtime.tasks import FAILURES
from nano.serializers import Serializer

__all__ = [
    "Asked",
    "Callee",
    "Done",
    "Outcome",
    "encoded",
    "ended",
    "lacking",
    "overloaded",
    "unknown",
    "unserved",
    "word_of",
]

logger = logging.getLogger(__name__)

Outcome: TypeAlias = bytes | RequestError
"""What a call came to: the encoded result, or why there is none."""

Done: TypeAlias = Callable[[Outcome], None]


class Asked(Protocol):
    """What nodes reach: a handler, or what stands for it to time a call."""

    @property
    def needs_session(self) -> bool:
        """It cannot be called without one."""

    def notify(self, session: Session, data: bytes) -> None:
        """Handle a notify for *session*, in its turn."""

    def call(
        self, session: Session | None, data: bytes, done: Done
    ) -> asyncio.Task[None] | None:
        """Handle a call; see :meth:`Callee.call`."""


class Callee:
    """A handler, as nodes reach it.

    Attributes:
        needs_session: It cannot be called without one.
        counts: Its times, which are those of the route; messages of nodes are no
            client's, and are not counted as such.
    """

    __slots__ = (
        "_decode",
        "_dispatcher",
        "_handler",
        "_turn",
        "counts",
        "needs_session",
    )

    def __init__(self, handler: Handler, dispatcher: Dispatcher) -> None:
        self.needs_session = handler.needs_session
        self._handler = handler
        self._dispatcher = dispatcher
        self._decode = dispatcher.serializer.decoder(handler.payload)
        self._turn: LocalRoute = make_route(handler, dispatcher)
        self.counts = RouteCounts()
        self.counts.handling = self._turn.counts.handling
        self.counts.queueing = self._turn.counts.queueing
        self._turn.counts = self.counts

    def notify(self, session: Session, data: bytes) -> None:
        """Handle a notify for *session*, in its turn."""
        message = FromNode(NOTIFY, 0, self._handler.route, data)
        self._turn.deliver(session, message)

    def sample_notify(self, session: Session, data: bytes, time: Clock) -> None:
        """Do as :meth:`notify`, and note how long it waits and takes."""
        message = FromNode(NOTIFY, 0, self._handler.route, data)
        self._turn.sample(session, message, time)

    def call(
        self, session: Session | None, data: bytes, done: Done
    ) -> asyncio.Task[None] | None:
        """Handle a call at once, and tell *done* what it came to.

        Returns:
            The task that does it, if it is not done yet.
        """
        if self._handler.is_async:
            return self._start(session, data, done)
        token = CALLED.set(session)
        outcome: Outcome
        try:
            outcome = self._result(self._handler.function(session, self._decode(data)))
        except FAILURES as error:
            outcome = self._failure(error)
        finally:
            CALLED.reset(token)
        self._end(outcome, done)
        return None

    def _start(
        self, session: Session | None, data: bytes, done: Done
    ) -> asyncio.Task[None]:
        tasks = self._dispatcher.tasks
        task = asyncio.get_running_loop().create_task(
            self._serve(session, data, done), name=f"{self._handler.route} called"
        )
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    async def _serve(self, session: Session | None, data: bytes, done: Done) -> None:
        CALLED.set(session)
        outcome: Outcome
        try:
            async with asyncio.timeout(self._dispatcher.timeout):
                function = self._handler.function
                outcome = self._result(await function(session, self._decode(data)))
        except asyncio.CancelledError as error:
            if self._dispatcher.stopping:
                raise
            outcome = self._failure(error)
        except Exception as error:
            outcome = self._failure(error)
        self._end(outcome, done)

    def _end(self, outcome: Outcome, done: Done) -> None:
        self._dispatcher.metrics.calls["in", word_of(outcome)] += 1
        done(outcome)

    def _result(self, value: Any) -> bytes:
        return encoded(value, self._dispatcher.serializer)

    def _failure(self, error: BaseException) -> RequestError:
        """Say why there is no result, in words that may travel on to a client."""
        route = self._handler.route
        refusal = refusal_of(error, route, "a node", said="what was asked")
        if refusal.status == INTERNAL and refusal is not error:
            self._dispatcher.metrics.route(route).exceptions += 1
        return refusal


def unknown() -> RequestError:
    """Return the error for a route that nobody has ever served."""
    return RequestError(NOT_FOUND, "no node serves what was asked")


def unserved() -> RequestError:
    """Return the error for a route that nobody serves now, or nobody of those meant."""
    return RequestError(UNAVAILABLE, "no node serves what was asked; try again")


def overloaded() -> RequestError:
    """Return the error for a call that finds no room."""
    return RequestError(UNAVAILABLE, "the node that was asked is overloaded; try again")


def ended() -> RequestError:
    """Return the error for a call about a session that is no more, or not yet."""
    return RequestError(NOT_FOUND, "the session has ended, or has not begun")


def lacking() -> RequestError:
    """Return the error for a call without the session that the handler declares."""
    text = "what was asked needs a session; call it with session="
    return RequestError(BAD_REQUEST, text)


def encoded(value: Any, serializer: Serializer) -> bytes:
    """Return *value* as it travels; nothing stands for ``None`` in every format.

    Raises:
        TypeError: It cannot be encoded.
        EncodeError: No link takes so much.
    """
    data = b"" if value is None else serializer.encode(value)
    if len(data) > LARGEST_BODY:
        message = f"a payload of {len(data)} bytes; {LARGEST_BODY} is the most"
        raise EncodeError(message)
    return data


def word_of(outcome: Outcome) -> str:
    """Return what *outcome* is counted as."""
    return str(outcome.status) if isinstance(outcome, RequestError) else "ok"
