"""What a component can have of its node, as ``self.node``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, TypeVarTuple, overload

from nano.errors import UsageError
from nano.runtime.target import Replies, target_of

if TYPE_CHECKING:
    from nano.metrics import Metrics
    from nano.runtime.calls import Calls
    from nano.runtime.group import Group
    from nano.runtime.groups import Groups
    from nano.runtime.inbox import Inbox
    from nano.runtime.pipeline import Pipeline, Pipelines
    from nano.runtime.policies import Policies, RouteFunction
    from nano.runtime.session import Delivery, Session
    from nano.runtime.threads import Threads
    from nano.runtime.timers import Condition, Function, Timer, Timers
    from nano.runtime.users import (
        GateAddress,
        Online,
        Reached,
        SessionCounts,
        Users,
        Whom,
    )

__all__ = ["NodeInfo"]

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """Where a component runs, and what it can have of its node.

    Attributes:
        name: The node's name, unique in the cluster: its address.
        role: ``master``, ``gate`` or ``backend``.
        backend: Which entry of ``spec.backends``; empty on a gate.
        cluster: ``namespace/name`` of the cluster.
        groups: Behind :meth:`group`; the node sets it.
        timers: Behind :meth:`every`, :meth:`after` and :meth:`when`; the node sets it.
        threads: Behind :meth:`run_blocking`; the node sets it.
        pipelines: Behind :meth:`pipeline`; the node sets it.
        inbox: Behind :meth:`call_soon` and :meth:`from_thread`; the node sets it.
        calls: Behind :meth:`call` and :meth:`notify`; the node sets it.
        users: Behind :meth:`push`, :meth:`kick` and the like; the node sets it.
        policies: Behind :meth:`route`; the node sets it.
        metrics: Behind :meth:`count`; the node sets it.
    """

    name: str
    role: str
    backend: str
    cluster: str
    groups: Groups | None = field(default=None, compare=False, repr=False)
    timers: Timers | None = field(default=None, compare=False, repr=False)
    threads: Threads | None = field(default=None, compare=False, repr=False)
    pipelines: Pipelines | None = field(default=None, compare=False, repr=False)
    inbox: Inbox | None = field(default=None, compare=False, repr=False)
    calls: Calls | None = field(default=None, compare=False, repr=False)
    users: Users | None = field(default=None, compare=False, repr=False)
    policies: Policies | None = field(default=None, compare=False, repr=False)
    metrics: Metrics | None = field(default=None, compare=False, repr=False)

    def group(self, name: str) -> Group:
        """Return the group *name*: the same set of sessions on every node.

        Raises:
            UsageError: *name* is empty or longer than 255 bytes, or this is no node.
        """
        return _there(self.groups).group(name)

    def route(self, service: str, function: RouteFunction) -> None:
        """Have *function* choose who serves *service* for a session of this node.

        For a component of the gates, in ``start``; the same as ``spec.routing`` with
        strategy ``function``.  It is asked once for each session that is bound to
        nobody, at its first message to the service, and must return at once.

        Args:
            service: The part of a route before the last dot.
            function: A plain function of the session and a tuple of
                :class:`~nano.Candidate`: those of the members that are fit, so that
                one that is silent or leaves is there only if all are.  It returns one
                of them.  ``None`` answers the client 503, a ``RequestError`` is its
                answer, and whatever else is returned or raised is logged and answered
                500; all four are counted, and leave the session unbound.

        Raises:
            UsageError: Something else chooses for *service* already, *function* is a
                coroutine function, or this is no node.
        """
        _there(self.policies).route(service, function)

    def every(
        self, seconds: float, function: Function, *, times: int | None = None
    ) -> Timer:
        """Call *function* every so many *seconds*, until cancelled or the node stops.

        The first call is after one interval.  An ``async`` function is awaited before
        it is called again; what it raises is logged, and the timer goes on.

        Args:
            seconds: The interval, at least a millisecond.
            function: Called without arguments.
            times: After so many calls the timer is over; any number if not given.

        Returns:
            A handle; its ``cancel()`` ends the calls.

        Raises:
            UsageError: *seconds* or *times* is too small, or this is no node.
        """
        return _there(self.timers).every(seconds, function, times=times)

    def after(self, seconds: float, function: Function) -> Timer:
        """Call *function* once, in so many *seconds*; otherwise as :meth:`every`.

        Raises:
            UsageError: *seconds* is negative, or this is no node.
        """
        return _there(self.timers).after(seconds, function)

    def when(
        self,
        condition: Condition,
        function: Function,
        *,
        every: float = 1.0,
        times: int | None = None,
    ) -> Timer:
        """Call *function* at every interval at which *condition* holds.

        A condition that stays true leads to a call at each interval, as in nano; with
        ``times=1`` the timer waits for it once.  While an ``async`` function runs, the
        condition is not asked.  What it raises is logged, and counts as false.

        Args:
            condition: A plain function, called without arguments.
            function: As of :meth:`every`.
            every: Seconds between two looks at the condition; the first is after one.
            times: After so many calls of *function* the timer is over.

        Raises:
            UsageError: *every* or *times* is too small, *condition* is ``async``, or
                this is no node.
        """
        timers = _there(self.timers)
        return timers.when(condition, function, every=every, times=times)

    def call_soon(self, function: Callable[[*Ts], object], *args: *Ts) -> None:
        """Have ``function(*args)`` called in the event loop; from any thread.

        It never waits, and calls are made in the order in which they were handed in.
        An ``async`` function becomes a task; what is raised is logged.  All else that
        a node offers may be used in its event loop only.

        Raises:
            QueueFull: 10,000 calls are not done yet; this one is not taken.
            UsageError: This is no node, or it does not run.
        """
        _there(self.inbox).post(function, *args)

    @overload
    def from_thread(
        self,
        function: Callable[[*Ts], Coroutine[Any, Any, T]],
        *args: *Ts,
        timeout: float = ...,
    ) -> T: ...
    @overload
    def from_thread(
        self, function: Callable[[*Ts], T], *args: *Ts, timeout: float = ...
    ) -> T: ...
    def from_thread(
        self, function: Callable[[*Ts], object], *args: *Ts, timeout: float = 10.0
    ) -> Any:
        """Call ``function(*args)`` in the event loop, and wait for it in this thread.

        The way back from :meth:`run_blocking`, and from threads of one's own.

        Args:
            function: May be ``async``; it is awaited there.
            args: What it is called with.
            timeout: Seconds to wait; an ``async`` function is cancelled then.

        Returns:
            What it returns; what it raises is raised here.

        Raises:
            TimeoutError: It took longer.
            UsageError: This is no node, or it stops; or the thread runs an event loop.
        """
        return _there(self.inbox).ask(timeout, function, *args)

    @overload
    async def call(
        self,
        route: str,
        payload: Any = ...,
        *,
        session: Session | None = ...,
        member: str | None = ...,
        kind: str | None = ...,
        timeout: float | None = ...,
        wanted: type[T],
    ) -> T: ...
    @overload
    async def call(
        self,
        route: str,
        payload: Any = ...,
        *,
        session: Session | None = ...,
        member: str | None = ...,
        kind: str | None = ...,
        timeout: float | None = ...,
        wanted: Any = ...,
    ) -> Any: ...
    async def call(
        self,
        route: str,
        payload: Any = None,
        *,
        session: Session | None = None,
        member: str | None = None,
        kind: str | None = None,
        timeout: float | None = None,
        wanted: Any = Any,
    ) -> Any:
        """Ask a handler, of this node or another one, and wait for its result.

        The handler may be internal or not.  Without a session it is this node's own,
        if it has it, or else that of any member; with one, of the member that the
        session is bound to, as for a message of its client.  A call does not wait for
        the messages of the session that are in hand, and no filter sees it.

        Args:
            route: ``Service.method``.
            payload: What the handler gets, encoded and decoded on the way.
            session: Whose call it is; the handler gets it, wherever it runs.
            member: The address of the only member that is meant.
            kind: Any member of this entry of ``spec.backends`` is meant, or ``gate``;
                with a session, the one that it is bound to, if that is of the kind.
            timeout: Seconds to wait; at most, and if not given, the setting
                ``requestTimeoutSeconds``, when the other side gives up as well.
            wanted: The type of the result, as a handler declares its payload's.

        Returns:
            What the handler returned, decoded as *wanted*; nothing returned is an
            empty payload, in JSON ``None``.

        Raises:
            RequestError: The handler raised it; or 404: no node has ever served the
                route, the member or kind that is meant does not, or the session has
                ended; 503: no node serves it now, or it went away or is overloaded;
                504: it took too long; 400: it refuses the payload, or needs a session;
                500: it failed, or its result is not what is *wanted*.
            TypeError: *payload* cannot be encoded, or nothing becomes *wanted*.
            EncodeError: *payload* is too long.
            UsageError: *timeout* is not positive, both *member* and *kind* are given,
                or this is no node.
        """
        target = target_of(member, kind)
        calls = _there(self.calls)
        return await calls.call(route, payload, session, timeout, wanted, target)

    @overload
    async def call_all(
        self,
        route: str,
        payload: Any = ...,
        *,
        session: Session | None = ...,
        kind: str | None = ...,
        timeout: float | None = ...,
        wanted: type[T],
    ) -> Replies[T]: ...
    @overload
    async def call_all(
        self,
        route: str,
        payload: Any = ...,
        *,
        session: Session | None = ...,
        kind: str | None = ...,
        timeout: float | None = ...,
        wanted: Any = ...,
    ) -> Replies[Any]: ...
    async def call_all(
        self,
        route: str,
        payload: Any = None,
        *,
        session: Session | None = None,
        kind: str | None = None,
        timeout: float | None = None,
        wanted: Any = Any,
    ) -> Replies[Any]:
        """Ask the handler of a route at all members that serve it, this one included.

        Waits for all of them, at most as long as :meth:`call`, of which the arguments
        are.  A member that cannot be reached at the moment has failed.

        Args:
            route: ``Service.method``.
            payload: What the handlers get.
            session: Whose call it is.
            kind: Only members of this entry of ``spec.backends`` are meant, or
                ``gate``.
            timeout: Seconds to wait.
            wanted: The type of each result.

        Returns:
            Results and failures by the members' addresses; a failure is what
            :meth:`call` would have raised.  None of either, if nobody serves it now.

        Raises:
            RequestError: 404: no node has ever served the route; 503: it is not known
                yet who does.
            TypeError: *payload* cannot be encoded, or nothing becomes *wanted*.
            EncodeError: *payload* is too long.
            UsageError: *timeout* is not positive, or this is no node.
        """
        target = target_of(None, kind)
        calls = _there(self.calls)
        return await calls.call_all(
            route, payload, session, timeout, wanted, target.kind
        )

    def notify(
        self,
        route: str,
        payload: Any = None,
        *,
        session: Session | None = None,
        member: str | None = None,
        kind: str | None = None,
    ) -> None:
        """Tell a handler, of this node or another one, something; never waits.

        It goes where :meth:`call` would go.  With a session it has its turn among the
        messages of that session.  If it cannot be delivered, that is logged and
        counted (``nano_dropped_total{stage="notify"}``), and nobody is told.

        Args:
            route: ``Service.method``.
            payload: What the handler gets, encoded and decoded on the way.
            session: Whose notify it is.
            member: As of :meth:`call`.
            kind: As of :meth:`call`.

        Raises:
            TypeError: *payload* cannot be encoded.
            EncodeError: *payload* is too long.
            UsageError: Both *member* and *kind* are given, or this is no node.
        """
        target = target_of(member, kind)
        _there(self.calls).notify(route, payload, session, target)

    def notify_all(
        self,
        route: str,
        payload: Any = None,
        *,
        session: Session | None = None,
        kind: str | None = None,
    ) -> None:
        """Tell the handler of a route something at all members that serve it.

        This node is one of them, if it does.  Otherwise as :meth:`notify`.

        Args:
            route: ``Service.method``.
            payload: What the handlers get.
            session: Whose notify it is.
            kind: Only members of this entry of ``spec.backends`` are meant, or
                ``gate``.

        Raises:
            TypeError: *payload* cannot be encoded.
            EncodeError: *payload* is too long.
            UsageError: This is no node.
        """
        target = target_of(None, kind)
        _there(self.calls).notify_all(route, payload, session, target.kind)

    async def push(
        self,
        uids: Whom,
        route: str,
        value: Any,
        *,
        delivery: Delivery = "must",
        timeout: float = 5.0,
    ) -> Reached:
        """Send *value* to all sessions of a uid, or of several, at whichever gate.

        Args:
            uids: One or up to 1,000.  For more, and for the same ones again and again,
                there are groups.
            route: What the clients listen to.
            value: What the serializer can encode, or bytes.
            delivery: As of :meth:`Session.push <nano.runtime.session.Session.push>`.
            timeout: Seconds to wait for the gates to say who is there.

        Returns:
            Who was found, who was not, and which gates did not answer.

        Raises:
            RequestError: 503: 10,000 questions wait already.
            TypeError: *value* cannot be encoded.
            EncodeError: It is too long for a client.
            ValueError: There is no such *delivery*, or no such uid can be.
            UsageError: There are too many uids, *timeout* is not positive, or this is
                no node.
        """
        return await _there(self.users).push(uids, route, value, delivery, timeout)

    async def kick(
        self,
        uids: Whom,
        reason: str = "kicked",
        *,
        reconnect: bool = False,
        timeout: float = 5.0,
    ) -> Reached:
        """Send all sessions of a uid, or of several, away, from whichever gate.

        Args:
            uids: One or up to 1,000.
            reason: What they are told, and may show to a person.
            reconnect: They may come back at once.
            timeout: As of :meth:`push`.

        Returns:
            Who was found, who was not, and which gates did not answer.

        Raises:
            RequestError: 503: 10,000 questions wait already.
            ValueError: No such uid can be.
            UsageError: There are too many uids, *timeout* is not positive, or this is
                no node.
        """
        return await _there(self.users).kick(uids, reason, reconnect, timeout)

    async def online(self, uid: str | int, *, timeout: float = 5.0) -> Online:
        """Tell whether a uid is connected anywhere, and to which gates.

        Returns:
            What is true if it is.  If it is false while gates are ``silent``, it is
            not known.

        Raises:
            RequestError: 503: 10,000 questions wait already.
            ValueError: No such uid can be.
            UsageError: *timeout* is not positive, or this is no node.
        """
        return await _there(self.users).online(uid, timeout)

    async def count_sessions(self, *, timeout: float = 5.0) -> SessionCounts:
        """Tell how many clients the cluster has: in all, and by gate.

        Raises:
            RequestError: 503: 10,000 questions wait already.
            UsageError: *timeout* is not positive, or this is no node.
        """
        return await _there(self.users).counts(timeout)

    def gates(self) -> list[GateAddress]:
        """Return the gates that let clients in, and where: for a login server.

        Gates that leave, or that this node does not reach, are left out, and so are
        those of Go nano, which tell nobody where clients find them.

        Raises:
            UsageError: This is no node.
        """
        return _there(self.users).elsewhere.gates()

    def count(self, metric: str, /, **labels: str) -> float:
        """Return what this node has counted: one of its metrics, as it is now.

        The numbers are those that Prometheus reads, of this node alone and since it
        has started; ``docs/metrics.md`` lists them.  Asking costs about what a scrape
        costs, so it is for every few seconds and not for every message::

            said = self.node.count("nano_messages_total", direction="in")

        Args:
            metric: A counter or gauge, by the name that queries use.
            labels: Only samples that have them are meant; the sum of all if none is
                given.

        Returns:
            The sum of these samples; 0 while there are none.

        Raises:
            UsageError: There is no such counter or gauge, it has no such label, or
                this is no node.
        """
        return _there(self.metrics).count(metric, labels)

    async def run_blocking(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call a *function* that blocks in one of the node's eight threads.

        Returns:
            What it returns; what it raises is raised here.

        Raises:
            QueueFull: 10,000 calls wait for a thread; this one is not taken.
            UsageError: This is no node, or it has stopped.
        """
        return await _there(self.threads).run(function, *args, **kwargs)

    def pipeline(self, listener: str) -> Pipeline:
        """Return what is done to the payloads of the clients of *listener*.

        For ``start`` of a gate's component::

            self.node.pipeline("ws").inbound.push_back(self.decrypt)

        Raises:
            UsageError: This node has no such listener, or this is no node.
        """
        return _there(self.pipelines).of(listener)


def _there(part: T | None) -> T:
    if part is None:
        message = (
            "this component is on no node; in a test, nano.testing.MemoryNode is one"
        )
        raise UsageError(message)
    return part
