"""Calls between nodes: a component asks a handler, here or on another node.

:class:`Calls` is what ``node.call`` and ``node.notify`` speak to.  It serves what is
to be done on this node, keeps the one table of calls that wait for their outcome, and
hands everything else to :mod:`nano.runtime.others`, behind which the cluster stands.

What is called may be internal or public, and may be called with a session or without
one; payloads and results are encoded on this node as well, so that a component does
the same wherever it runs.  A call runs at once, beside the session's own messages: its
caller may be the very handler that the session's next message waits for.  A notify for
a session has its turn among them.  Neither passes filters, which are for clients.

A call may be for anyone, for a kind of members, for one of them
(:mod:`nano.runtime.target`) or for all at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from nano.errors import (
    INTERNAL,
    NOT_FOUND,
    TIMEOUT,
    UNAVAILABLE,
    PayloadError,
    RequestError,
    UsageError,
)
from nano.metrics import Gauge
from nano.runtime.callee import (
    Asked,
    Callee,
    Done,
    Outcome,
    encoded,
    ended,
    lacking,
    overloaded,
    word_of,
)
from nano.runtime.deadlines import Deadlines
from nano.runtime.dispatch import Dispatcher
from nano.runtime.handlers import Handler
from nano.runtime.others import Elsewhere, Nowhere
from nano.runtime.session import CALLED, Session
from nano.runtime.target import ANYONE, Replies, Target

__all__ = ["MOST_AT_ONE", "Calls"]

logger = logging.getLogger(__name__)

MOST_OPEN: Final = 10_000  # calls of this node that wait, or that it serves
MOST_AT_ONE: Final = 4000  # of those that wait for one peer: it may be stuck
MOST_DECODERS: Final = 1000  # kept for the types that callers want
MOST_WARNINGS: Final = 1000  # of notifies that came to nothing
PRECISION: Final = 0.1  # seconds; the clock looks no more often


class _Open(msgspec.Struct, gc=False):
    """A call that waits for its outcome."""

    done: Done
    where: object  # what the outcome comes from; None: this node
    timeout: float


class Calls:
    """The calls of one node, those that it makes and those that it serves.

    Args:
        dispatcher: Whose serializer, deadlines and tasks handlers share.

    Attributes:
        elsewhere: The other nodes.
        callees: The handlers of this node, by route.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.elsewhere: Elsewhere = Nowhere()
        self._dispatcher = dispatcher
        self._serializer = dispatcher.serializer
        self._metrics = dispatcher.metrics
        self.callees: dict[str, Asked] = {}
        self._open: dict[int, _Open] = {}
        self._at: Counter[object] = Counter()  # how many of them wait for whom
        self._due: dict[float, Deadlines[int]] = {}  # by the time that each gets
        self._last = 0
        self._now = 0.0  # as of the last tick: near enough for a deadline
        self._posted = 0  # notifies to this node itself that are not begun
        self._lost: set[tuple[str, int]] = set()  # notifies, by route and status
        self._served: set[asyncio.Task[None]] = set()
        self._decoders: dict[Any, Callable[[bytes], Any]] = {}
        self._metrics.gauges.append(self._gauges)

    def add(self, handlers: Iterable[Handler]) -> None:
        """Serve *handlers* to nodes.

        Raises:
            UsageError: A handler's payload type cannot be decoded.
        """
        for item in handlers:
            try:
                self.callees[item.route] = Callee(item, self._dispatcher)
            except TypeError as error:
                message = (
                    f"{item.route}: cannot decode the payload it declares: {error}"
                )
                raise UsageError(message) from error

    def serves(self, route: str) -> bool:
        """Whether a handler of this node has *route*."""
        return route in self.callees

    # ------------------------------------------------------------ what nodes make

    async def call(
        self,
        route: str,
        payload: Any,
        session: Session | None,
        timeout: float | None,
        wanted: Any,
        target: Target = ANYONE,
    ) -> Any:
        """Ask the handler of *route*; see :meth:`NodeInfo.call`."""
        _check_timeout(timeout)
        decode = self._decoder(wanted)
        data = encoded(payload, self._serializer)
        number, future = self._ask(route, session, data, timeout, target)
        try:
            outcome = await future
        finally:
            self._forget(number)
        return self._result(route, outcome, decode)

    async def call_all(
        self,
        route: str,
        payload: Any,
        session: Session | None,
        timeout: float | None,
        wanted: Any,
        kind: str,
    ) -> Replies[Any]:
        """Ask the handlers of *route*; see :meth:`NodeInfo.call_all`."""
        _check_timeout(timeout)
        decode = self._decoder(wanted)
        data = encoded(payload, self._serializer)
        replies: Replies[Any] = Replies()
        asked: dict[str, tuple[int, asyncio.Future[Outcome]]] = {}
        try:
            for member in self.elsewhere.everyone(route, kind):
                target = Target(member=member)
                asked[member] = self._ask(route, session, data, timeout, target)
            for member, (_, future) in asked.items():
                try:
                    result = self._result(route, await future, decode)
                except RequestError as error:
                    replies.failures[member] = error
                else:
                    replies.results[member] = result
        finally:
            for number, _ in asked.values():
                self._forget(number)
        return replies

    def _ask(
        self,
        route: str,
        session: Session | None,
        data: bytes,
        timeout: float | None,
        target: Target,
    ) -> tuple[int, asyncio.Future[Outcome]]:
        """Make a call; return its number in the table, and what it will come to."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            if not future.done():  # its caller may have been cancelled
                future.set_result(outcome)

        return self.begin(route, session, data, done, timeout, target), future

    def _result(
        self, route: str, outcome: Outcome, decode: Callable[[bytes], Any]
    ) -> Any:
        self._metrics.calls["out", word_of(outcome)] += 1
        if isinstance(outcome, RequestError):
            # a new one: the callee's may be a constant, and is raised more than once
            raise _of_call(route, outcome.status, outcome.message, outcome.code)
        try:
            return decode(outcome)
        except PayloadError as error:  # not of the client of whoever calls: no 400
            text = "what was asked answered something else than was wanted"
            raise _of_call(route, INTERNAL, text) from error

    def notify(
        self,
        route: str,
        payload: Any,
        session: Session | None,
        target: Target = ANYONE,
    ) -> None:
        """Tell the handler of *route*; see :meth:`NodeInfo.notify`."""
        data = encoded(payload, self._serializer)
        self._metrics.calls["out", "notify"] += 1
        self.tell(route, session, data, target)

    def notify_all(
        self, route: str, payload: Any, session: Session | None, kind: str
    ) -> None:
        """Tell the handlers of *route*; see :meth:`NodeInfo.notify_all`."""
        data = encoded(payload, self._serializer)
        try:
            members = self.elsewhere.everyone(route, kind)
        except RequestError as error:
            self.lose(route, error)
            return
        self._metrics.calls["out", "notify"] += len(members)
        for member in members:
            self.tell(route, session, data, Target(member=member))

    def tell(
        self, route: str, session: Session | None, data: bytes, target: Target
    ) -> None:
        """Send a notify, or have it begin here; what comes to nothing is counted."""
        try:
            to = self._way(route, session, target)
            if to is None:
                self._post(route, session, data)
            else:
                self.elsewhere.send(route, session, 0, data, to)
        except RequestError as error:
            self.lose(route, error)

    def begin(
        self,
        route: str,
        session: Session | None,
        data: bytes,
        done: Done,
        timeout: float | None = None,
        target: Target = ANYONE,
    ) -> int:
        """Make a call; *done* is told its outcome, once, maybe before this returns.

        Returns:
            Its number in the table; 0 if its outcome is there already.
        """
        longest = self._dispatcher.timeout
        within = longest if timeout is None else min(timeout, longest)
        if session is not None and session.closed:
            done(ended())
        elif len(self._open) >= MOST_OPEN:
            self._metrics.dropped["call", "too-many"] += 1
            done(overloaded())
        else:
            self._last = number = self._last + 1
            entry = self._open[number] = _Open(done, None, _rounded(within))
            self._deadlines(entry.timeout).add(number, self._now)
            try:
                to = self._way(route, session, target)
                if to is None:
                    self.serve(route, session, data, self._settler(number))
                else:
                    where = self.elsewhere.send(route, session, number, data, to)
                    entry.where = where
                    self._at[where] += 1
            except RequestError as error:
                self.settle(number, None, error)
            return number
        return 0

    def _way(self, route: str, session: Session | None, target: Target) -> str | None:
        """Return to which member to send; empty: to any, ``None``: it is for here."""
        if target is not ANYONE:
            return self.elsewhere.find(route, session, target)
        here = route in self.callees and not self.elsewhere.is_for_home(session)
        return None if here else ""

    def _post(self, route: str, session: Session | None, data: bytes) -> None:
        """Begin a notify to this node once the handler that sends it has its end."""
        if self._posted >= MOST_OPEN:
            raise overloaded()
        self._posted += 1
        asyncio.get_running_loop().call_soon(self._posted_one, route, session, data)

    def _posted_one(self, route: str, session: Session | None, data: bytes) -> None:
        self._posted -= 1
        CALLED.set(None)  # it is no part of the call that it may have been sent in
        self.take(route, session, data)

    def _settler(self, number: int) -> Done:
        return lambda outcome: self.settle(number, None, outcome)

    # ----------------------------------------------------- what nodes are asked for

    def serve(
        self, route: str, session: Session | None, data: bytes, done: Done
    ) -> None:
        """Have a handler of this node answer a call; *done* is told the outcome."""
        callee = self.callees.get(route)
        dispatcher = self._dispatcher
        if callee is None:
            done(RequestError(NOT_FOUND, "the node that was asked does not serve this"))
        elif callee.needs_session and session is None:
            done(lacking())
        elif dispatcher.stopping or len(self._served) >= MOST_OPEN:
            self._metrics.dropped["call", "too-many"] += 1
            done(overloaded())
        else:
            task = callee.call(session, data, done)
            if task is not None:
                self._served.add(task)
                task.add_done_callback(self._served.discard)

    def take(self, route: str, session: Session | None, data: bytes) -> None:
        """Have a handler of this node take a notify."""
        callee = self.callees.get(route)
        if session is None or callee is None or self._dispatcher.stopping:
            self.serve(route, None, data, lambda outcome: self._told(route, outcome))
        elif session.closed:
            self.lose(route, ended())
        else:
            self._metrics.calls["in", "notify"] += 1
            callee.notify(session, data)

    def _told(self, route: str, outcome: Outcome) -> None:
        if isinstance(outcome, RequestError):
            self.lose(route, outcome)

    def lose(self, route: str, error: RequestError) -> None:
        """Note that a notify to *route* came to nothing; nobody is told of it.

        The first one of each kind is a warning: an outage would fill the log.
        """
        kind = (route, error.status)
        self._metrics.dropped["notify", str(error.status)] += 1
        first = kind not in self._lost and len(self._lost) < MOST_WARNINGS
        if first:
            self._lost.add(kind)
        level = logging.WARNING if first else logging.DEBUG
        logger.log(level, "a notify to %s came to nothing: %s", route, error)

    # ---------------------------------------------------------------- the table

    def settle(self, number: int, where: object, outcome: Outcome) -> None:
        """Take what the call *number* came to; *where* has to be where it went."""
        entry = self._open.get(number)
        if entry is None:
            self._metrics.dropped["call", "late"] += 1
        elif entry.where is not where:
            self._metrics.dropped["call", "stranger"] += 1
        else:
            self._forget(number)
            entry.done(outcome)

    def lost(self, where: object) -> None:
        """Give up all calls that went to *where*, which cannot be reached any more."""
        lost = [number for number, it in self._open.items() if it.where is where]
        for number in lost:
            error = RequestError(UNAVAILABLE, "the node that was asked went away")
            self.settle(number, where, error)

    def tick(self, now: float) -> None:
        """Give up the calls whose time is over."""
        self._now = now
        for timeout, deadlines in list(self._due.items()):
            for number in deadlines.expired(now):
                self._pop(number).done(
                    RequestError(TIMEOUT, "what was asked took too long")
                )
            if not deadlines:
                del self._due[timeout]

    def _forget(self, number: int) -> None:
        if number in self._open:
            self._deadlines(self._pop(number).timeout).discard(number)

    def _pop(self, number: int) -> _Open:
        entry = self._open.pop(number)
        where = entry.where
        if where is not None:
            self._at[where] -= 1
            if not self._at[where]:
                del self._at[where]
        return entry

    def open_at(self, where: object) -> int:
        """Return how many calls wait for *where*."""
        return self._at[where]

    def _deadlines(self, timeout: float) -> Deadlines[int]:
        found = self._due.get(timeout)
        if found is None:
            found = self._due[timeout] = Deadlines(timeout)
        return found

    def _decoder(self, wanted: Any) -> Callable[[bytes], Any]:
        try:
            found = self._decoders.get(wanted)
        except TypeError:  # an annotation that cannot be hashed
            return self._serializer.decoder(wanted)
        if found is None:
            found = self._serializer.decoder(wanted)
            if len(self._decoders) < MOST_DECODERS:
                self._decoders[wanted] = found
        return found

    def _gauges(self) -> list[Gauge]:
        text = "Calls to handlers of nodes that wait for their outcome."
        return [("nano_open_calls", text, {}, len(self._open))]


def _of_call(route: str, status: int, text: str, code: str = "") -> RequestError:
    """Return an error whose note, which does not travel, names the route."""
    error = RequestError(status, text, code)
    error.add_note(f"in a call of {route}")
    return error


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None and not timeout > 0:
        raise UsageError(f"a call's time-out is more than 0 s, not {timeout!r}")


def _rounded(seconds: float) -> float:
    """Return *seconds* as a whole number of ticks, so that few times are different."""
    ticks = max(1, round(seconds / PRECISION))
    return ticks * PRECISION
