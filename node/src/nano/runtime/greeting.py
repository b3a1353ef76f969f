"""Whether a client may come in: what an application says to a handshake.

A gate's component may define :meth:`Component.handshake
<nano.runtime.component.Component.handshake>`.  Without one, everybody may.  Whatever
the hook does, there is a verdict: what it returns, the refusal that it raises, or
that it failed.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct as Record

from nano.errors import (
    ACCEPTED,
    INTERNAL,
    HandshakeRefused,
    RequestError,
    UsageError,
)
from nano.runtime.component import HANDSHAKE, Component, overrides
from nano.runtime.tasks import FAILURES

if TYPE_CHECKING:
    from nano.runtime.session import Session

__all__ = ["WELCOME", "Greeter", "Handshake", "Verdict"]

logger = logging.getLogger(__name__)


class Handshake(Record, frozen=True):
    """What a client says when it introduces itself.

    Attributes:
        user: What it has put there for the application, of any shape JSON has.
        body: The whole of it as it came, for clients with a form of their own.
        client: What kind of client it calls itself, such as ``js-websocket``.
        version: The version it gives.
        listener: By which listener of the manifest it came.
    """

    user: Any = None
    body: bytes = b""
    client: str = ""
    version: str = ""
    listener: str = ""


class Verdict(Record, frozen=True):
    """What becomes of a handshake.

    Attributes:
        code: 200, or why the client may not come in.
        user: What an accepted client is told besides.
        body: More members of the answer that refuses.
    """

    code: int = ACCEPTED
    user: Any = None
    body: Mapping[str, Any] = {}


WELCOME: Final = Verdict()


class Greeter:
    """Asks the component that decides.

    Args:
        components: Those of the gate, in the manifest's order.

    Raises:
        UsageError: Two of them want to decide.
    """

    def __init__(self, components: Iterable[Component] = ()) -> None:
        self._hook: Callable[[Session, Handshake], Any] | None = None
        for component in components:
            if not overrides(component, HANDSHAKE, may_wait=True):
                continue
            if self._hook is not None:
                name = type(component).__name__
                message = f"{name} is the second component with handshake(); have one"
                raise UsageError(message)
            self._hook = component.handshake

    def judge(self, session: Session, handshake: Handshake) -> Verdict | Awaitable[Any]:
        """Return what becomes of a handshake, or what :meth:`wait` has to wait for."""
        if self._hook is None:
            return WELCOME
        try:
            said = self._hook(session, handshake)
            return said if inspect.isawaitable(said) else _accept(said)
        except FAILURES as error:
            return _refuse(error)

    async def wait(self, said: Awaitable[Any]) -> Verdict:
        """Return what becomes of a handshake once the hook has decided."""
        try:
            return _accept(await said)
        except FAILURES as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the client has gone
            return _refuse(error)


def _accept(user: Any) -> Verdict:
    """Accept a client, if what it is to be told has a form in JSON."""
    if user is None:
        return WELCOME
    msgspec.json.encode(user)
    return Verdict(ACCEPTED, user)


def _refuse(error: BaseException) -> Verdict:
    if isinstance(error, HandshakeRefused):
        try:
            msgspec.json.encode(error.body)
        except (TypeError, UnicodeEncodeError):
            logger.exception("a refusal's body has no form in JSON; sent without it")
            return Verdict(error.code)
        return Verdict(error.code, None, error.body)
    if isinstance(error, RequestError):
        body = {"error": error.code, "msg": error.message}
        return Verdict(error.status, None, body)
    logger.error("the handshake hook failed", exc_info=error)
    return Verdict(INTERNAL, None, {"msg": "the server could not decide"})
