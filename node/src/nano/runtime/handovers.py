"""What components keep for a session that moves to another member, given and taken.

Both take their turn among the session's messages: what came before is handled first,
and what comes meanwhile waits.  How the state travels is the cluster's business.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from nano.runtime.component import Component, hands_over
from nano.runtime.dispatch import Dispatcher, Turn
from nano.runtime.session import Session

__all__ = ["LARGEST_STATE", "Given", "Handovers"]

logger = logging.getLogger(__name__)

LARGEST_STATE: Final = 256 * 1024  # bytes that travel with one session and service
TIME: Final = 3.0  # seconds for one handover or takeover; the gate waits for five

OUTCOMES: Final = (
    *(("given", it) for it in ("ok", "empty", "failed", "late", "too-large")),
    *(("taken", it) for it in ("ok", "failed", "late")),
)
"""What can come of it; beside these ``not-defined``, where nothing is."""

Given = Callable[[bytes | None], None]
"""Is told the state that was handed over; ``None``: that failed."""


class Handovers:
    """The hooks of a node's components, by service.

    Args:
        components: Those of the node.
        dispatcher: Whose tasks the hooks run in.

    Raises:
        UsageError: A component defines one hook alone, or not as a coroutine function.
    """

    def __init__(self, components: Iterable[Component], dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._counts = dispatcher.metrics.handovers
        self._components = {
            component.service or type(component).__name__: component
            for component in components
            if hands_over(component)
        }
        if self._components:  # from zero on, or a rate would not see the first ones
            self._counts.update(dict.fromkeys(OUTCOMES, 0))

    def give(self, session: Session, service: str, given: Given) -> None:
        """Finish what came for *session* so far, then have its state handed over."""
        component = self._components.get(service)
        if component is None and not session.turns.busy:
            given(b"")
            return
        work = partial(self._give, session, service, component, given)
        Turn(f"{service}.handover", self._dispatcher, work).take(session)

    async def _give(
        self,
        session: Session,
        service: str,
        component: Component | None,
        given: Given,
    ) -> None:
        if component is None or session.closed:
            given(b"")
            return
        outcome, state = "failed", None
        try:
            async with asyncio.timeout(TIME):
                state = await component.handover(session)
            outcome, state = _judged(service, state)
        except TimeoutError:
            outcome = "late"
            logger.error(
                "%s.handover took longer than %g s for %r; it goes on without a state",
                service,
                TIME,
                session,
            )
        except asyncio.CancelledError:
            if self._dispatcher.stopping:
                raise
            logger.exception("%s.handover failed for %r", service, session)
        except Exception:
            logger.exception("%s.handover failed for %r", service, session)
        self._counts["given", outcome] += 1
        given(state)

    def take(self, session: Session, service: str, state: bytes) -> None:
        """Have *state* taken over, in front of what comes for *session* from now on."""
        component = self._components.get(service)
        if component is None:
            self._counts["taken", "not-defined"] += 1
            text = "%s takes no state over here; %d bytes of %r are lost"
            logger.error(text, service, len(state), session)
            return
        work = partial(self._take, session, service, component, state)
        Turn(f"{service}.takeover", self._dispatcher, work).take(session)

    async def _take(
        self, session: Session, service: str, component: Component, state: bytes
    ) -> None:
        outcome = "failed"
        try:
            async with asyncio.timeout(TIME):
                await component.takeover(session, state)
            outcome = "ok"
        except TimeoutError:
            outcome = "late"
            text = "%s.takeover took longer than %g s for %r; it goes on without it"
            logger.error(text, service, TIME, session)
        finally:
            self._counts["taken", outcome] += 1


def _judged(service: str, state: object) -> tuple[str, bytes | None]:
    """Return what *state* counts as, and what of it travels."""
    if not isinstance(state, bytes):
        text = "%s.handover returned %s and not bytes; encode the state, or return b''"
        logger.error(text, service, type(state).__name__)
        return "failed", None
    if len(state) > LARGEST_STATE:
        text = (
            "%s.handover returned %d bytes; %d is the most: store what is larger "
            "elsewhere and hand over where"
        )
        logger.error(text, service, len(state), LARGEST_STATE)
        return "too-large", None
    return ("ok" if state else "empty"), state
