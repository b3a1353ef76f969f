"""Handlers: what a method's signature says of the messages that it takes."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from nano.errors import UsageError
from nano.protocol.messages import LONGEST_ROUTE

if TYPE_CHECKING:
    from nano.runtime.session import Session

__all__ = ["Handler", "read_handler", "route_of"]

BY_POSITION: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


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


def route_of(service: str, suffix: str) -> str:
    """Return the route that *service* and *suffix* make.

    Raises:
        UsageError: It fits no message.
    """
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


def read_handler(method: Callable[..., Any], route: str, internal: bool) -> Handler:
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
    names = getattr(function, "__globals__", {})
    try:
        hints = getattr(function, "__annotations__", {})
        if name not in hints:
            return Any
        only = SimpleNamespace(__annotations__={name: hints[name]})
        return typing.get_type_hints(only, names, include_extras=True)[name]
    except Exception as error:
        message = (
            f"{route}: the annotation of {name} cannot be resolved: {error}; what it "
            "names has to be there when the module is imported"
        )
        if code := getattr(function, "__code__", None):
            message += f"\n  at {code.co_filename}:{code.co_firstlineno}"
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
