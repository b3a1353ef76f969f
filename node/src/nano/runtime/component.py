"""Components: classes whose methods clients and other nodes can reach.

A method marked with :func:`handler` is reached by the route ``Class.method``.  It
takes the session and one payload, and its annotation decides how the payload is
decoded.  This module reads classes; who calls the methods, and when, is decided in
:mod:`nano.runtime.dispatch` for clients and :mod:`nano.runtime.calls` for nodes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    NamedTuple,
    TypeVar,
    overload,
)

from nano.errors import UsageError
from nano.runtime.handlers import Handler, read_handler, route_of

if TYPE_CHECKING:
    from nano.protocol.messages import Message
    from nano.runtime.greeting import Handshake
    from nano.runtime.info import NodeInfo
    from nano.runtime.session import Session

__all__ = [
    "HOOKS",
    "Component",
    "collect_handlers",
    "handler",
    "hands_over",
    "overrides",
]

MARK: Final = "__nano_handler__"

HOOKS: Final = (
    "session_opened",
    "session_closed",
    "before_handler",
    "after_handler",
)
"""What a component may define besides handlers; plain functions."""

HANDSHAKE: Final = "handshake"  # a hook that may be a coroutine function

LIFE: Final = ("start", "started", "stopping", "stop")  # coroutine functions

HANDING: Final = ("handover", "takeover")  # the same, and both or none

F = TypeVar("F", bound=Callable[..., Any])


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
        backend this is the end of the client, or of the link to its gate; or, with the
        reason ``moved``, of its stay here: another member serves it.

        What these two raise is logged and changes nothing.
        """

    async def handover(self, session: Session) -> bytes:
        """Give away what this component keeps for *session*, which is about to move.

        Awaited on the member that the session leaves, in its turn: everything that
        came before has been handled, and nothing of the session is handled meanwhile.
        Forget here what was kept, and stop what was started for the session.  What
        another member needs is returned, and handed to :meth:`takeover` there.
        Whoever defines one of the two defines the other.

        Answers that were promised by ``session.defer()`` can still be given, and
        pushes still arrive.  ``session_closed`` follows, with ``moved`` as the reason,
        if nothing else of the session is served here.

        Whatever this raises is logged, and the session goes on elsewhere without the
        state; so it does if this takes longer than three seconds.

        Returns:
            At most 256 KiB, in any form; empty: there is nothing to take over.
        """
        return b""

    async def takeover(self, session: Session, state: bytes) -> None:
        """Go on with *session* as another member has left it.

        Awaited on the member that the session moves to, before the first message that
        it gets there.  What this raises is logged, and the session goes on all the
        same; so it does if this takes longer than three seconds.

        Args:
            session: What moves; uid and data have come along.
            state: What :meth:`handover` has returned, on a member that may run an older
                or newer version of this class.
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
        hands_over(component)
        handlers = list(_handlers_of(component, service))
        hooked = any(overrides(component, name) for name in HOOKS)
        hooked = hooked or overrides(component, HANDSHAKE, may_wait=True)
        hooked = hooked or any(_defines(component, name) for name in LIFE)
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
    if not _defines(component, name):
        return False
    method = getattr(type(component), name)
    where = f"{type(component).__name__}.{name}"
    if hasattr(method, MARK):
        raise UsageError(
            f"{where} cannot be a handler: nano itself calls it; rename it"
        )
    if inspect.iscoroutinefunction(method) and not may_wait:
        raise UsageError(f"{where} is called and not awaited; make it a plain def")
    return True


def hands_over(component: Component) -> bool:
    """Whether *component* hands sessions over, and takes them over.

    Raises:
        UsageError: It does one of the two, or one is a handler or a plain function.
    """
    defined = [name for name in HANDING if _defines(component, name)]
    for name in defined:
        where = f"{type(component).__name__}.{name}"
        method = getattr(type(component), name)
        if hasattr(method, MARK):
            raise UsageError(
                f"{where} cannot be a handler: nano itself calls it; rename it"
            )
        if not inspect.iscoroutinefunction(method):
            raise UsageError(f"{where} is awaited; make it an async def")
    if len(defined) == 1:
        message = (
            f"{type(component).__name__} defines {defined[0]} alone; handover and "
            "takeover belong together"
        )
        raise UsageError(message)
    return bool(defined)


def _defines(component: Component, name: str) -> bool:
    return getattr(type(component), name) is not getattr(Component, name)


def _handlers_of(component: Component, service: str) -> Iterable[Handler]:
    for name, function in inspect.getmembers(type(component)):
        mark: _Mark | None = getattr(function, MARK, None)
        if mark is None:
            _refuse_unmarked(type(component), name, function)
            continue
        method = getattr(component, name)
        suffix = mark.name or component.name_func(name)
        yield read_handler(method, route_of(service, suffix), mark.internal)


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
