"""How long messages take, of a few of them.

To look at the clock for every message would cost a tenth of it.  So at each tick of
the node every route is replaced, in the tables where messages find it, by one that
times the first message that comes and puts the route back.  All other messages know
nothing of it.  Calls of nodes are timed in the same way, one of each handler.
"""

from __future__ import annotations

import asyncio

from nano.metrics import RouteCounts
from nano.protocol.messages import Message
from nano.runtime.callee import Asked, Callee, Done, Outcome
from nano.runtime.calls import Calls
from nano.runtime.dispatch import Clock, Dispatcher, Watched
from nano.runtime.session import Session

__all__ = ["Sampler"]


class Sampler:
    """Times one message of each route, and one call, between two ticks.

    Args:
        dispatcher: Whose routes are meant, those that lead to other nodes as well.
        calls: Whose handlers are meant, as nodes reach them.
        time: The clock.
    """

    def __init__(self, dispatcher: Dispatcher, calls: Calls, time: Clock) -> None:
        self._tables = (dispatcher.routes, dispatcher.local)
        self._callees = calls.callees
        self._time = time

    def tick(self, _: float) -> None:
        """Time the next message of every route, and the next call."""
        for name, route in self._tables[0].items():
            if type(route) is not _Sampled:
                self._put(name, route, _Sampled(self, name, route))
        for name, callee in self._callees.items():
            if isinstance(callee, Callee):
                self._callees[name] = _SampledCallee(self._callees, name, callee, self)

    def restore(self, name: str, sampled: _Sampled, route: Watched) -> None:
        """Time nothing more until the next tick."""
        self._put(name, sampled, route)

    def time(self) -> float:
        """Look at the clock."""
        return self._time()

    def _put(self, name: str, old: Watched, new: Watched) -> None:
        for table in self._tables:
            if table.get(name) is old:
                table[name] = new


class _Sampled:
    """Stands for a route until its next message."""

    __slots__ = ("_name", "_route", "_sampler")

    def __init__(self, sampler: Sampler, name: str, route: Watched) -> None:
        self._sampler = sampler
        self._name = name
        self._route = route

    @property
    def counts(self) -> RouteCounts:
        """Those of the route."""
        return self._route.counts

    def deliver(self, session: Session, message: Message) -> None:
        """Time this message, and no other one."""
        self._sampler.restore(self._name, self, self._route)
        self._route.sample(session, message, self._sampler.time)

    def sample(self, session: Session, message: Message, time: Clock) -> None:
        """Do as :meth:`deliver`: it is timed anyway."""
        del time
        self.deliver(session, message)


class _SampledCallee:
    """Stands for a handler, as nodes reach it, until its next call or notify."""

    __slots__ = ("_callee", "_name", "_sampler", "_table")

    def __init__(
        self, table: dict[str, Asked], name: str, callee: Callee, sampler: Sampler
    ) -> None:
        self._table = table
        self._name = name
        self._callee = callee
        self._sampler = sampler

    @property
    def needs_session(self) -> bool:
        """As of the handler."""
        return self._callee.needs_session

    def notify(self, session: Session, data: bytes) -> None:
        """Time this notify, and no other one."""
        self._table[self._name] = self._callee
        self._callee.sample_notify(session, data, self._sampler.time)

    def call(
        self, session: Session | None, data: bytes, done: Done
    ) -> asyncio.Task[None] | None:
        """Time this call, and no other one; it waits for nobody, and so has no wait."""
        self._table[self._name] = self._callee
        time, handling = self._sampler.time, self._callee.counts.handling
        begun = time()

        def timed(outcome: Outcome) -> None:
            handling.observe(time() - begun)
            done(outcome)

        return self._callee.call(session, data, timed)
