"""Components: classes whose methods clients and other nodes can reach.

A method marked with :func:`handler` is reached by the route ``Class.method``.  It
takes the session and one payload, and its annotation decides how the payload is
decoded.  This module reads classes; who calls the methods, and when, is decided in
:mod:`nano.runtime.dispatch` for clients and :mod:`nano.runtime.calls` for nodes.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    NamedTuple,
    ParamSpec,
    TypeVar,
    TypeVarTuple,
    overload,
)

from nano.errors import UsageError
from nano.protocol.messages import LONGEST_ROUTE

if TYPE_CHECKING:
    from nano.protocol.messages import Message
    from nano.runtime.calls import Calls
    from nano.runtime.greeting import Handshake
    from nano.runtime.group import Group
    from nano.runtime.groups import Groups
    from nano.runtime.inbox import Inbox
    from nano.runtime.pipeline import Pipeline, Pipelines
    from nano.runtime.session import Session
    from nano.runtime.threads import Threads
    from nano.runtime.timers import Condition, Function, Timer, Timers

__all__ = [
    "HOOKS",
    "Component",
    "Handler",
    "NodeInfo",
    "collect_handlers",
    "handler",
    "overrides",
]

MARK: Final = "__nano_handler__"
BY_POSITION: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)

HOOKS: Final = (
    "session_opened",
    "session_closed",
    "before_handler",
    "after_handler",
)
"""What a component may define besides handlers; plain functions."""

HANDSHAKE: Final = "handshake"  # a hook that may be a coroutine function

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
F = TypeVar("F", bound=Callable[..., Any])


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

    def group(self, name: str) -> Group:
        """Return the group *name*: the same set of sessions on every node.

        Raises:
            UsageError: *name* is empty or longer than 255 bytes, or this is no node.
        """
        return _there(self.groups).group(name)

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
        timeout: float | None = ...,
        wanted: Any = ...,
    ) -> Any: ...
    async def call(
        self,
        route: str,
        payload: Any = None,
        *,
        session: Session | None = None,
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
            timeout: Seconds to wait; at most, and if not given, the setting
                ``requestTimeoutSeconds``, when the other side gives up as well.
            wanted: The type of the result, as a handler declares its payload's.

        Returns:
            What the handler returned, decoded as *wanted*; nothing returned is an
            empty payload, in JSON ``None``.

        Raises:
            RequestError: The handler raised it; or 503: no node serves the route, or
                is out of reach or overloaded; 504: it took too long; 400: it refuses
                the payload, or needs a session; 404: the session has ended; 500: it
                failed.
            PayloadError: The result is not what is *wanted*.
            TypeError: *payload* cannot be encoded, or nothing becomes *wanted*.
            EncodeError: *payload* is too long.
            UsageError: *timeout* is not positive, or this is no node.
        """
        return await _there(self.calls).call(route, payload, session, timeout, wanted)

    def notify(
        self, route: str, payload: Any = None, *, session: Session | None = None
    ) -> None:
        """Tell a handler, of this node or another one, something; never waits.

        It goes where :meth:`call` would go.  With a session it has its turn among the
        messages of that session.  If it cannot be delivered, that is logged and
        counted (``nano_dropped_total{stage="notify"}``), and nobody is told.

        Args:
            route: ``Service.method``.
            payload: What the handler gets, encoded and decoded on the way.
            session: Whose notify it is.

        Raises:
            TypeError: *payload* cannot be encoded.
            EncodeError: *payload* is too long.
            UsageError: This is no node.
        """
        _there(self.calls).notify(route, payload, session)

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
            "this component is on no node; in a test, nano.testing.LocalCluster is one"
        )
        raise UsageError(message)
    return part


class Component:
    """What an application derives from; one object per node.

    The four hooks run in the order of the manifest on the way up, and in reverse
    on the way down: ``start`` before the node joins, ``started`` when clients can
    reach it, ``stopping`` before it leaves, ``stop`` when nobody reaches it any more.

    Attributes:
        service: What routes begin with; the name of the class unless set.
        node: Where it runs; there before ``start``.
    """

    service: ClassVar[str] = ""
    node: NodeInfo

    async def start(self) -> None:
        """Prepare: connect to a database, load a map."""

    async def started(self) -> None:
        """Clients can reach this node now."""

    async def stopping(self) -> None:
        """The node is about to leave."""

    async def stop(self) -> None:
        """Release what ``start`` took."""

    def handshake(self, session: Session, handshake: Handshake) -> Any:
        """Decide whether a client may come in; on gates only, and in one component.

        A plain function, or an ``async def``: nothing of the client is read meanwhile,
        and the setting ``handshakeTimeoutSeconds`` bounds it.  The session is not
        known to anybody yet; bind its uid and set its data here, so that no handler
        ever sees the client without them.

        Args:
            session: Of the client, should it be let in; ``remote_address`` is known.
            handshake: What the client says.

        Returns:
            What the client is told besides, as ``user`` of the answer; ``None``:
            nothing.

        Raises:
            HandshakeRefused: The client may not come in; it is told code and body.
            RequestError: The same, with its status, and its code and message as body.
        """

    def name_func(self, name: str) -> str:
        """Return what the route of the method *name* ends with; *name* itself.

        For a service whose routes follow another manner than Python's, as nano's
        ``WithNameFunc``; a name that ``@handler`` gives goes before.
        """
        return name

    def session_opened(self, session: Session) -> None:
        """A session has come to this node.

        On a gate that is each of its clients, once greeted; on a backend each client
        with its first message to this node, which is served afterwards.
        """

    def session_closed(self, session: Session) -> None:
        """A session of this node has ended; ``session.closed`` says why.

        Its uid, data and ``local`` can be read, and it has left its groups.  On a
        backend this is the end of the client, or of the link to its gate.

        What these two raise is logged and changes nothing.
        """

    def before_handler(self, session: Session, message: Message) -> None:
        """See every message of a client that a handler of this node is about to get.

        A filter: those of all components run in the manifest's order, whosever the
        handler is, before the payload is decoded; what nodes call passes none.  It may
        raise :class:`~nano.errors.RequestError` to refuse the message, or answer a
        request by ``session.respond``; the handler is not called then, nor are later
        filters.  Any other exception refuses the message as an internal error.

        Args:
            session: Whose message it is.
            message: Its ``route``, its ``payload`` in bytes, its ``id`` (0: a notify).
        """

    def after_handler(self, session: Session, message: Message) -> None:
        """See every message of a client that a handler has served, or failed at.

        The counterpart of :meth:`before_handler`; those of all components run in the
        reverse order.  What it raises is logged and changes nothing.
        """


@dataclass(frozen=True, slots=True)
class Handler:
    """A method that a route leads to.

    Attributes:
        route: ``Service.method``.
        function: Takes session and payload: the bound method, as a rule.
        payload: The type that the method declares for its payload.
        is_async: The method is an ``async def``.
        internal: It is for nodes, never for clients.
        needs_session: It cannot be called without a session.
    """

    route: str
    function: Callable[..., Any]
    payload: Any
    is_async: bool
    internal: bool = False
    needs_session: bool = True

    @property
    def service(self) -> str:
        """The route up to its last dot, as nano splits it."""
        return self.route.rpartition(".")[0]


class _Mark(NamedTuple):
    """What :func:`handler` writes on a method."""

    name: str  # empty: as Component.name_func has it
    internal: bool


@overload
def handler(method: F, /) -> F: ...
@overload
def handler(name: str = "", /, *, internal: bool = False) -> Callable[[F], F]: ...
def handler(given: F | str = "", /, *, internal: bool = False) -> F | Callable[[F], F]:
    """Mark a method as reachable by clients, or by other nodes alone.

    Args:
        given: The method, as plain ``@handler``; or the name that its route ends
            with, as ``@handler("JoinRoom")``.
        internal: Only nodes reach it, by :meth:`NodeInfo.call` and
            :meth:`NodeInfo.notify`; to a client it is a route that nobody serves.
            Such a method may leave the session out, or declare ``Session | None``.
    """
    mark = _Mark(given if isinstance(given, str) else "", internal)

    def write(method: F) -> F:
        setattr(getattr(method, "__func__", method), MARK, mark)  # of a classmethod
        return method

    return write if isinstance(given, str) else write(given)


def collect_handlers(components: Iterable[Component]) -> list[Handler]:
    """Return the handlers of *components*, in order.

    Raises:
        UsageError: A class has neither handler nor hook, a handler has the wrong
            parameters, or two handlers have the same route.
    """
    found: dict[str, Handler] = {}
    for component in components:
        service = component.service or type(component).__name__
        handlers = list(_handlers_of(component, service))
        hooked = any(overrides(component, name) for name in HOOKS)
        hooked = hooked or overrides(component, HANDSHAKE, may_wait=True)
        if not handlers and not hooked:
            message = f"{service} has no handler; mark methods with @handler"
            raise UsageError(message)
        for item in handlers:
            if item.route in found:
                message = f"two handlers have the route {item.route}; rename one"
                raise UsageError(message)
            found[item.route] = item
    return list(found.values())


def overrides(component: Component, name: str, *, may_wait: bool = False) -> bool:
    """Whether *component* defines the hook *name*.

    Args:
        component: One that may.
        name: Of :data:`HOOKS`, or :data:`HANDSHAKE`.
        may_wait: The hook may be a coroutine function.

    Raises:
        UsageError: It does, but as a handler or as a coroutine function.
    """
    method = getattr(type(component), name)
    if method is getattr(Component, name):
        return False
    where = f"{type(component).__name__}.{name}"
    if hasattr(method, MARK):
        raise UsageError(
            f"{where} cannot be a handler: nano itself calls it; rename it"
        )
    if inspect.iscoroutinefunction(method) and not may_wait:
        raise UsageError(f"{where} is called and not awaited; make it a plain def")
    return True


def _handlers_of(component: Component, service: str) -> Iterable[Handler]:
    for name, function in inspect.getmembers(type(component)):
        mark: _Mark | None = getattr(function, MARK, None)
        if mark is None:
            _refuse_unmarked(type(component), name, function)
            continue
        method = getattr(component, name)
        suffix = mark.name or component.name_func(name)
        yield _read(method, _route(service, suffix), mark.internal)


def _refuse_unmarked(cls: type, name: str, function: object) -> None:
    """Refuse a method that replaces a handler and would take its route away."""
    if inspect.isroutine(function) and any(
        hasattr(vars(base).get(name), MARK) for base in cls.__mro__
    ):
        message = (
            f"{cls.__name__}.{name} replaces a handler of a base class; mark it with "
            f"@handler too, or write {name} = None to have no such route"
        )
        raise UsageError(message)


def _route(service: str, suffix: str) -> str:
    route = f"{service}.{suffix}"
    try:
        size = len(route.encode())
    except UnicodeEncodeError:
        raise UsageError(f"the route {route[:40]!a} is no text in UTF-8") from None
    if size > LONGEST_ROUTE:
        message = f"the route {route[:40]}… has more than {LONGEST_ROUTE} bytes"
        raise UsageError(message)
    if not suffix:
        raise UsageError(f"a handler of {service} has no name for its route to end in")
    return route


def _read(method: Callable[..., Any], route: str, internal: bool) -> Handler:
    """Return the handler that *method* is.

    Raises:
        UsageError: It cannot be one; the text says why.
    """
    if inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        message = f"{route} yields; a handler returns one value, the answer"
        raise UsageError(message)
    names = _parameters(method, route, internal)
    is_async = inspect.iscoroutinefunction(method)
    payload = _hint(method, names[-1], route)
    if len(names) == 1:
        function = partial(_without_session, method)
        return Handler(route, function, payload, is_async, internal, False)
    needs = not _may_be_none(method, names[0], unless_said=internal)
    return Handler(route, method, payload, is_async, internal, needs)


def _without_session(
    method: Callable[[Any], Any], session: Session | None, payload: Any
) -> Any:
    return method(payload)


def _parameters(method: Callable[..., Any], route: str, internal: bool) -> list[str]:
    """Return the names of what *method* takes: a session, maybe, and the payload."""
    parameters = inspect.signature(method).parameters
    if not 2 - internal <= len(parameters) <= 2:
        wanted = (
            "an internal handler takes the payload, and the session in front of it "
            "if it wants it"
            if internal
            else "a handler takes two, the session and the payload"
        )
        message = f"{route} takes {len(parameters)} parameters besides self; {wanted}"
        raise UsageError(message)
    for name, parameter in parameters.items():
        if parameter.kind not in BY_POSITION:
            message = f"{route} takes {name} by name only; a handler's are by position"
            raise UsageError(message)
    return list(parameters)


def _hint(method: Callable[..., Any], name: str, route: str) -> Any:
    """Return the type that *method* declares for its parameter *name*.

    Only this one is resolved: what else a handler mentions may be imported for type
    checkers alone.
    """
    function = inspect.unwrap(getattr(method, "__func__", method))
    hints = getattr(function, "__annotations__", {})
    if name not in hints:
        return Any
    only = SimpleNamespace(__annotations__={name: hints[name]})
    names = getattr(function, "__globals__", {})
    try:
        return typing.get_type_hints(only, names, include_extras=True)[name]
    except Exception as error:
        message = (
            f"{route}: the annotation of {name} cannot be resolved: {error}; what it "
            "names has to be there when the module is imported"
        )
        raise UsageError(message) from error


def _may_be_none(method: Callable[..., Any], name: str, *, unless_said: bool) -> bool:
    """Tell whether *method* takes ``None`` for its session."""
    function = inspect.unwrap(getattr(method, "__func__", method))
    hint = getattr(function, "__annotations__", {}).get(name)
    if hint is None:
        return unless_said
    if isinstance(hint, str):  # it may name what is imported for type checkers alone
        return re.search(r"\b(None|Optional|Any|object)\b", hint) is not None
    return hint in (Any, object) or type(None) in typing.get_args(hint)
