"""From a message to its handler, and from what the handler does to an answer.

Every request is answered, whatever happens: a result, the error that the handler
raised, or why there was no handler to ask.  Messages of one session reach this
node's handlers one after the other; a plain ``def`` runs at once, an ``async def``
becomes a task, and what comes meanwhile waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, Final, Protocol

from nano.errors import (
    BAD_REQUEST,
    INTERNAL,
    NOT_FOUND,
    OVERLOADED,
    TIMEOUT,
    UNAVAILABLE,
    PayloadError,
    RequestError,
    UsageError,
)
from nano.metrics import UNKNOWN, Metrics, RouteCounts
from nano.protocol.messages import NOTIFY, Message
from nano.protocol.packets import LARGEST_BODY
from nano.runtime.answers import ANSWERED, Answers, Deferred
from nano.runtime.filters import Filters
from nano.runtime.handlers import Handler
from nano.runtime.session import Session
from nano.runtime.tasks import FAILURES, end_tasks
from nano.serializers import Serializer

__all__ = [
    "Clock",
    "Dispatcher",
    "LocalRoute",
    "Queued",
    "Route",
    "Turn",
    "Watched",
    "answer_error",
    "make_route",
    "refusal_of",
]

logger = logging.getLogger(__name__)

PAUSE_AT: Final = 32  # messages that wait for one session: its client is not read
RESUME_AT: Final = 8
HERE: Final = ""  # who holds a session back; other nodes are known by address
MOST_WAITING: Final = 4096  # what may still be under way when the pause takes effect


NO_FILTERS: Final = Filters()
NO_MESSAGE: Final = Message(NOTIFY, 0, "", b"")

Clock = Callable[[], float]


class Queued(Protocol):
    """What may have its turn among the messages of a session."""

    def deliver(self, session: Session, message: Message) -> None:
        """Take one message; requests are answered, now or later."""


class Route(Queued, Protocol):
    """Where messages to one route go; on this node or another."""

    @property
    def counts(self) -> RouteCounts:
        """What it has seen."""


class Watched(Route, Protocol):
    """A route of which one message can be timed; :mod:`nano.runtime.sampling`."""

    def sample(self, session: Session, message: Message, time: Clock) -> None:
        """Do as :meth:`deliver`, and note how long it takes."""


class Dispatcher:
    """The routes of a node, and the tasks that its handlers run in.

    Args:
        serializer: Decodes payloads and encodes answers.
        metrics: Where messages are counted.
        timeout: Seconds that an ``async`` handler may take for one message.
        largest: Bytes of the largest payload that a client is sent.

    Attributes:
        hidden: Routes that are for nodes, not for clients, here or on other nodes.
        unmet: Kinds of backends whose routes are not known here yet.
    """

    def __init__(
        self,
        serializer: Serializer,
        metrics: Metrics,
        timeout: float,
        largest: int = LARGEST_BODY,
    ) -> None:
        self.serializer = serializer
        self.largest = largest
        self.metrics = metrics
        self.hidden: set[str] = set()
        self.unmet: set[str] = set()
        self.timeout = timeout
        self.answers = Answers(serializer, metrics, timeout)
        self.routes: dict[str, Watched] = {}
        self.local: dict[str, Watched] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.stopping = False
        self.unknown: Route = _UnknownRoute(self, self.unmet)
        self._absent: Route = _UnknownRoute(self, ())

    def add(self, handlers: Iterable[Handler], filters: Filters = NO_FILTERS) -> None:
        """Serve *handlers* on this node to clients, each with *filters* around it.

        Raises:
            UsageError: A handler's payload type cannot be decoded.
        """
        for item in handlers:
            if item.internal:
                self.hidden.add(item.route)
                continue
            try:
                route = make_route(item, self, filters)
            except TypeError as error:
                message = (
                    f"{item.route}: cannot decode the payload it declares: {error}"
                )
                raise UsageError(message) from error
            self.routes[item.route] = self.local[item.route] = route

    def dispatch(self, session: Session, message: Message) -> None:
        """Hand *message* to whoever serves its route."""
        self.routes.get(message.route, self.unknown).deliver(session, message)

    def dispatch_here(self, session: Session, message: Message) -> None:
        """Hand a message that another node has sent on to a handler of this node."""
        self.local.get(message.route, self._absent).deliver(session, message)

    def tick(self, now: float) -> None:
        """Look at the clock: promised answers have a deadline."""
        self.answers.tick(now)

    async def stop(self) -> None:
        """Cancel the handlers that still run and wait until they have ended.

        Called when no more messages come.  What is cancelled gets no answer: its
        client has gone, or is told by its gate.
        """
        self.stopping = True
        await end_tasks(list(self.tasks))


def answer_error(
    dispatcher: Dispatcher, session: Session, message: Message, error: RequestError
) -> None:
    """Tell the client that its request failed; a notify is only counted."""
    dispatcher.metrics.failures[error.status] += 1
    if message.id:
        body = dispatcher.serializer.encode_error(error)
        session.home.respond(message.id, body, True)


def refusal_of(
    error: BaseException, culprit: str, whom: object, said: str = "", route: str = ""
) -> RequestError:
    """Return what is told of *error* to who asked, and log what is not told.

    Args:
        error: What was raised.
        culprit: What has raised it, for the log.
        whom: For whom, for the log.
        said: What who asked is told in place of *culprit*.
        route: What was asked for, if that is not the culprit.
    """
    what = said or culprit
    if isinstance(error, RequestError):
        return error
    if isinstance(error, PayloadError):
        return RequestError(BAD_REQUEST, str(error))
    if isinstance(error, TimeoutError):
        return RequestError(TIMEOUT, f"{what} took too long")
    about = {"route": route or culprit}
    logger.error("%s failed for %s", culprit, whom, exc_info=error, extra=about)
    return RequestError(INTERNAL, f"{what} failed")


class _UnknownRoute:
    """Where messages go that nobody serves to clients.

    One to an internal handler is answered as if there were none: a client learns
    nothing of what nodes say to each other.

    Args:
        dispatcher: Whose routes there are.
        unmet: Who might serve it all the same, for nothing is known of them yet.
    """

    def __init__(self, dispatcher: Dispatcher, unmet: Collection[str]) -> None:
        self._dispatcher = dispatcher
        self._unmet = unmet
        self.counts = dispatcher.metrics.route(UNKNOWN)

    def deliver(self, session: Session, message: Message) -> None:
        """Refuse *message*."""
        self.counts.received(message.id, len(message.payload))
        dispatcher, text = self._dispatcher, f"nobody serves {message.route[:80]!r}"
        if message.route in dispatcher.hidden:
            dispatcher.metrics.dropped["client", "internal-route"] += 1
        if self._unmet:
            error = RequestError(UNAVAILABLE, f"{text} yet; try again")
        else:
            error = RequestError(NOT_FOUND, text)
        answer_error(dispatcher, session, message, error)


class LocalRoute:
    """A handler of this node; this class serves plain functions."""

    __slots__ = (
        "_decode",
        "_dispatcher",
        "_encode",
        "_filters",
        "_function",
        "_quick",
        "counts",
        "ended",
        "route",
    )

    def __init__(
        self, handler: Handler, dispatcher: Dispatcher, filters: Filters
    ) -> None:
        self.route = handler.route
        self.counts = dispatcher.metrics.route(handler.route, handler.internal)
        self.ended: Callable[[Message], None] | None = None  # of one that is timed
        self._dispatcher = dispatcher
        self._filters = filters
        self._function = handler.function
        serializer = dispatcher.serializer
        self._decode: Callable[[bytes], Any] = serializer.decoder(handler.payload)
        self._quick = serializer.quick(handler.payload) or self._decode
        self._encode: Callable[[Any], bytes] = serializer.encode

    def deliver(self, session: Session, message: Message) -> None:
        """Run the handler to its end and answer; or let the message wait for its turn.

        Whatever waits is given to this method again when its turn has come.
        """
        turns = session.turns
        if turns.busy:
            self._wait(session, message)
            return
        number, counts = message.id, self.counts
        if number:
            counts.requests += 1
            counts.request_bytes += len(message.payload)
        else:
            counts.notifies += 1
            counts.notify_bytes += len(message.payload)
        turns.asked = message
        turns.asked_of = self
        try:
            try:
                payload = self._quick(message.payload)
            except Exception:
                payload = self._decode(message.payload)
            result = self._function(session, payload)
            if number:
                if result is None or turns.asked is ANSWERED:
                    self._answer(session, message, result)
                else:
                    answer = self._encode(result)
                    session.home.respond(number, answer, False)
                    counts.responses += 1
                    counts.response_bytes += len(answer)
        except FAILURES as error:
            self._fail(session, message, error)
        finally:
            turns.asked = None

    def respond(self, session: Session, message: Message, value: Any) -> None:
        """Answer *message*, which is in hand; behind ``session.respond``."""
        if message is ANSWERED:
            self._dispatcher.answers.twice(session, self.route, None)
        elif message.id:
            payload = self._encode(value)
            session.home.respond(message.id, payload, False)
            self.counts.answered(len(payload))
            session.turns.asked = ANSWERED

    def defer(self, session: Session, message: Message) -> Deferred:
        """Promise to answer *message*, which is in hand; behind ``session.defer``."""
        answers = self._dispatcher.answers
        if message is ANSWERED:
            answers.twice(session, self.route, None)
        deferred = answers.defer(session, message, self.counts)
        if message.id:
            session.turns.asked = ANSWERED
        return deferred

    def _answer(self, session: Session, message: Message, result: Any) -> None:
        if session.turns.asked is ANSWERED:
            if result is not None:
                self._dispatcher.answers.twice(session, self.route, None)
            return
        if result is None:
            raise RequestError(INTERNAL, f"{self.route} answered nothing")
        payload = self._encode(result)
        session.home.respond(message.id, payload, False)
        self.counts.answered(len(payload))

    def _fail(self, session: Session, message: Message, error: BaseException) -> None:
        if session.turns.asked is ANSWERED:
            self._dispatcher.answers.twice(session, self.route, error)
            return
        refusal = refusal_of(error, self.route, session)
        if refusal.status == INTERNAL and refusal is not error:
            self._dispatcher.metrics.route(self.route).exceptions += 1
        answer_error(self._dispatcher, session, message, refusal)

    def _passes(self, session: Session, message: Message) -> bool:
        turns = session.turns
        turns.asked = message
        turns.asked_of = self
        try:
            for check in self._filters.before:
                check(session, message)
                if turns.asked is ANSWERED:
                    self.counts.received(message.id, len(message.payload))
                    return False
        except FAILURES as error:
            self.counts.received(message.id, len(message.payload))
            self._fail(session, message, error)
            return False
        finally:
            turns.asked = None
        return True

    def sample(self, session: Session, message: Message, time: Clock) -> None:
        """Do as :meth:`deliver`, and note how long it takes."""
        if session.turns.busy:
            self._wait(session, message, _Waiting(self, time))
        else:
            self.counts.queueing.observe(0.0)
            self.timed(session, message, time)

    def timed(self, session: Session, message: Message, time: Clock) -> None:
        """Do as :meth:`deliver` when it is the message's turn, and time the handler."""
        begun, handling = time(), self.counts.handling

        def ended(what: Message) -> None:
            if what is message:
                handling.observe(time() - begun)
                self.ended = None

        self.ended = ended
        self.deliver(session, message)
        if not session.turns.busy:
            ended(message)

    def _wait(
        self, session: Session, message: Message, route: Route | None = None
    ) -> None:
        turns = session.turns
        if turns.waiting is not None and len(turns.waiting) >= MOST_WAITING:
            self._dispatcher.metrics.dropped["session", "queue-full"] += 1
            refusal = RequestError(OVERLOADED, "too many messages wait; send slower")
            answer_error(self._dispatcher, session, message, refusal)
            return
        if turns.wait(route or self, message) == PAUSE_AT:
            session.hold(HERE)


class _AsyncRoute(LocalRoute):
    """A handler that is a coroutine function."""

    __slots__ = ()

    def deliver(self, session: Session, message: Message) -> None:
        """Start the handler; the session's next message waits for its end."""
        turns = session.turns
        if turns.busy:
            self._wait(session, message)
            return
        self.counts.received(message.id, len(message.payload))
        turns.busy = True
        turns.asked = message
        turns.asked_of = self
        task = asyncio.get_running_loop().create_task(
            self._serve(session, message), name=f"{self.route} {session.id}"
        )
        self._dispatcher.tasks.add(task)
        task.add_done_callback(self._dispatcher.tasks.discard)

    async def _serve(self, session: Session, message: Message) -> None:
        try:
            async with asyncio.timeout(self._dispatcher.timeout):
                payload = self._decode(message.payload)
                result = await self._function(session, payload)
            if message.id:
                self._answer(session, message, result)
        except asyncio.CancelledError as error:
            if self._dispatcher.stopping:
                raise
            self._fail(session, message, error)  # what it waited for was cancelled
        except Exception as error:
            self._fail(session, message, error)
        finally:
            session.turns.asked = None
            if self.ended is not None:
                self.ended(message)
            if not self._dispatcher.stopping:
                self._filters.ended(session, message)
                session.turns.busy = False
                _go_on(session)


class _FilteredRoute(LocalRoute):
    """A plain handler with filters around it."""

    __slots__ = ()

    def deliver(self, session: Session, message: Message) -> None:
        """Run the filters, and the handler if they let the message pass."""
        if session.turns.busy:
            self._wait(session, message)
        elif self._passes(session, message):
            LocalRoute.deliver(self, session, message)
            self._filters.ended(session, message)


class _FilteredAsyncRoute(_AsyncRoute):
    """A coroutine function with filters around it."""

    __slots__ = ()

    def deliver(self, session: Session, message: Message) -> None:
        """Run the filters, and start the handler if they let the message pass."""
        if session.turns.busy:
            self._wait(session, message)
        elif self._passes(session, message):
            _AsyncRoute.deliver(self, session, message)


class _Waiting:
    """A timed message of a session that is busy, from its arrival to its turn."""

    __slots__ = ("_arrived", "_route", "_time", "counts")

    def __init__(self, route: LocalRoute, time: Clock) -> None:
        self._arrived = time()
        self._route = route
        self._time = time
        self.counts = route.counts

    def deliver(self, session: Session, message: Message) -> None:
        """It is its turn."""
        self.counts.queueing.observe(self._time() - self._arrived)
        self._route.timed(session, message, self._time)


class Turn:
    """Work of the node itself for a session, in its turn among the messages.

    Args:
        name: For the log.
        dispatcher: Whose task it is.
        work: What is done; what it raises is logged.
    """

    __slots__ = ("_dispatcher", "_name", "_work")

    def __init__(
        self, name: str, dispatcher: Dispatcher, work: Callable[[], Awaitable[None]]
    ) -> None:
        self._name = name
        self._dispatcher = dispatcher
        self._work = work

    def take(self, session: Session) -> None:
        """Begin at once, or behind what waits; what comes meanwhile waits in turn."""
        self.deliver(session, NO_MESSAGE)

    def deliver(self, session: Session, message: Message) -> None:
        """Begin, or wait; *message* is none, and for the queue alone."""
        turns = session.turns
        if turns.busy:
            turns.wait(self, message)
            return
        turns.busy = True
        task = asyncio.get_running_loop().create_task(
            self._do(session), name=f"{self._name} {session.id}"
        )
        self._dispatcher.tasks.add(task)
        task.add_done_callback(self._dispatcher.tasks.discard)

    async def _do(self, session: Session) -> None:
        try:
            await self._work()
        except asyncio.CancelledError:
            if self._dispatcher.stopping:
                raise
            logger.exception("%s failed for %r", self._name, session)
        except Exception:
            logger.exception("%s failed for %r", self._name, session)
        finally:
            if not self._dispatcher.stopping:
                session.turns.busy = False
                _go_on(session)


def make_route(
    item: Handler, dispatcher: Dispatcher, filters: Filters = NO_FILTERS
) -> LocalRoute:
    """Return the route to *item*, with *filters* around it.

    Raises:
        TypeError: The payload that it declares cannot be decoded.
    """
    kind: type[LocalRoute]
    if filters:
        kind = _FilteredAsyncRoute if item.is_async else _FilteredRoute
    else:
        kind = _AsyncRoute if item.is_async else LocalRoute
    return kind(item, dispatcher, filters)


def _go_on(session: Session) -> None:
    """Serve what waited while an async handler ran."""
    turns = session.turns
    waiting = turns.waiting
    while waiting and not turns.busy and not session.closed:
        route, message = waiting.popleft()
        if len(waiting) == RESUME_AT:
            turns.busy = True  # what comes at once has its place behind the others
            session.release(HERE)
            turns.busy = False
        route.deliver(session, message)
