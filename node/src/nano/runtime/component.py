"""Components: classes whose methods clients can reach.

A method marked with :func:`handler` is reached by the route ``Class.method``.  It
takes the session and one payload, and its annotation decides how the payload is
decoded.  This module reads classes; who calls the methods, and when, is decided in
:mod:`nano.runtime.dispatch`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, ParamSpec, TypeVar, overload

from nano.errors import UsageError
from nano.protocol.messages import LONGEST_ROUTE

if TYPE_CHECKING:
    from nano.protocol.messages import Message
    from nano.runtime.greeting import Handshake
    from nano.runtime.group import Group
    from nano.runtime.groups import Groups
    from nano.runtime.pipeline import Pipeline, Pipelines
    from nano.runtime.session import Session
    from nano.runtime.threads import Threads
    from nano.runtime.timers import Function, Timer, Timers

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
        timers: Behind :meth:`every` and :meth:`after`; the node sets it.
        threads: Behind :meth:`run_blocking`; the node sets it.
        pipelines: Behind :meth:`pipeline`; the node sets it.
    """

    name: str
    role: str
    backend: str
    cluster: str
    groups: Groups | None = field(default=None, compare=False, repr=False)
    timers: Timers | None = field(default=None, compare=False, repr=False)
    threads: Threads | None = field(default=None, compare=False, repr=False)
    pipelines: Pipelines | None = field(default=None, compare=False, repr=False)

    def group(self, name: str) -> Group:
        """Return the group *name*: the same set of sessions on every node.

        Raises:
            UsageError: *name* is empty or longer than 255 bytes, or this is no node.
        """
        return _there(self.groups).group(name)

    def every(self, seconds: float, function: Function) -> Timer:
        """Call *function* every so many *seconds*, until cancelled or the node stops.

        The first call is after one interval.  An ``async`` function is awaited before
        it is called again; what it raises is logged, and the timer goes on.

        Returns:
            A handle; its ``cancel()`` ends the calls.

        Raises:
            UsageError: *seconds* is less than a millisecond, or this is no node.
        """
        return _there(self.timers).every(seconds, function)

    def after(self, seconds: float, function: Function) -> Timer:
        """Call *function* once, in so many *seconds*; otherwise as :meth:`every`.

        Raises:
            UsageError: *seconds* is negative, or this is no node.
        """
        return _there(self.timers).after(seconds, function)

    async def run_blocking(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call a *function* that blocks in one of the node's eight threads.

        Returns:
            What it returns; what it raises is raised here.

        Raises:
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
        ever sees the client without them.  Pushes wait for ``session_opened``: one from
        here would overtake the answer, and is dropped.

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
        """See every message that a handler of this node is about to get.

        A filter: those of all components run in the manifest's order, whosever the
        handler is, before the payload is decoded.  It may raise
        :class:`~nano.errors.RequestError` to refuse the message, or answer a request
        by ``session.respond``; the handler is not called then, nor are later filters.
        Any other exception refuses the message as an internal error.

        Args:
            session: Whose message it is.
            message: Its ``route``, its ``payload`` in bytes, its ``id`` (0: a notify).
        """

    def after_handler(self, session: Session, message: Message) -> None:
        """See every message that a handler of this node has served, or failed at.

        The counterpart of :meth:`before_handler`; those of all components run in the
        reverse order.  What it raises is logged and changes nothing.
        """


@dataclass(frozen=True, slots=True)
class Handler:
    """A method that a route leads to.

    Attributes:
        route: ``Service.method``.
        function: The bound method.
        payload: The type that it declares for its payload.
        is_async: It is an ``async def``.
    """

    route: str
    function: Callable[..., Any]
    payload: Any
    is_async: bool

    @property
    def service(self) -> str:
        """The route up to its last dot, as nano splits it."""
        return self.route.rpartition(".")[0]


@overload
def handler(method: F, /) -> F: ...
@overload
def handler(name: str, /) -> Callable[[F], F]: ...
def handler(given: F | str, /) -> F | Callable[[F], F]:
    """Mark a method as reachable by clients.

    Args:
        given: The method, as plain ``@handler``; or the name that its route ends
            with, as ``@handler("JoinRoom")``.
    """
    if isinstance(given, str):
        name = given

        def mark(method: F) -> F:
            setattr(method, MARK, name)
            return method

        return mark
    setattr(given, MARK, given.__name__)
    return given


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
    for name, _ in inspect.getmembers(type(component), inspect.isfunction):
        method = getattr(component, name)
        suffix = getattr(method, MARK, None)
        if suffix is None:
            continue
        route = f"{service}.{suffix}"
        if len(route.encode()) > LONGEST_ROUTE:
            message = f"the route {route[:40]}… has more than {LONGEST_ROUTE} bytes"
            raise UsageError(message)
        payload = _payload_type(method, route)
        yield Handler(route, method, payload, inspect.iscoroutinefunction(method))


def _payload_type(method: Callable[..., Any], route: str) -> Any:
    parameters = inspect.signature(method).parameters
    names = list(parameters)
    if len(names) != 2:
        message = (
            f"{route} takes {len(names)} parameters besides self; a handler takes two, "
            "the session and the payload"
        )
        raise UsageError(message)
    for name, parameter in parameters.items():
        if parameter.kind not in BY_POSITION:
            message = f"{route} takes {name} by name only; a handler's are by position"
            raise UsageError(message)
    try:
        hints = typing.get_type_hints(method)
    except Exception as error:
        message = f"{route}: its annotations cannot be resolved: {error}"
        raise UsageError(message) from error
    return hints.get(names[1], Any)
