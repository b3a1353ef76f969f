"""How members are chosen, by service: a strategy, or a function of the application.

The manifest names strategies, and functions by where they are; components hand in
functions by :meth:`nano.NodeInfo.route`.  What a function gets wrong ends here: it is
logged and counted, and whoever asked is told.
"""

from __future__ import annotations

import inspect
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from nano.errors import INTERNAL, UNAVAILABLE, RequestError, UsageError
from nano.runtime.strategies import Candidate, Random, Strategy
from nano.runtime.tally import Tally
from nano.runtime.tasks import FAILURES

if TYPE_CHECKING:
    from nano.runtime.session import Session

__all__ = ["Policies", "RouteFunction"]

logger = logging.getLogger(__name__)

RouteFunction: TypeAlias = "Callable[[Session, Sequence[Candidate]], Candidate | None]"
"""Chooses a member for a session; see :meth:`nano.NodeInfo.route`."""

_RANDOM: Final = Random()


class Policies:
    """The ways to choose of one node, by service.

    Args:
        dropped: Where failures of functions are counted, as (where, why).

    Attributes:
        tally: How many sessions that are at home here are bound to whom.
    """

    def __init__(self, dropped: Counter[tuple[str, str]]) -> None:
        self.tally = Tally()
        self._dropped = dropped
        self._strategies: dict[str, Strategy] = {}
        self._functions: dict[str, RouteFunction] = {}

    def add(self, service: str, strategy: Strategy) -> None:
        """Have *strategy* choose who serves *service*.

        Raises:
            UsageError: Something else does already.
        """
        self._refuse_second(service)
        self._strategies[service] = strategy

    def route(self, service: str, function: RouteFunction) -> None:
        """Have *function* choose who serves *service*.

        Raises:
            UsageError: Something else does already, or it is a coroutine function.
        """
        self._refuse_second(service)
        if inspect.iscoroutinefunction(function):
            text = f"the route function of {service} is called and not awaited; make it"
            raise UsageError(f"{text} a plain def")
        self._functions[service] = function

    def _refuse_second(self, service: str) -> None:
        if not service:
            raise UsageError("a service is what routes begin with; it is not empty")
        if service in self._strategies or service in self._functions:
            text = f"who serves {service} is chosen in two ways; keep one, in"
            raise UsageError(f"{text} spec.routing or by node.route")

    def are_random(self, service: str) -> bool:
        """Whether nobody has said how to choose: then it is at random."""
        return service not in self._strategies and service not in self._functions

    def choose(
        self, session: Session | None, service: str, candidates: Sequence[Candidate]
    ) -> Candidate | None:
        """Return who of *candidates*, which are equally fit, serves *service*.

        Args:
            session: Who is bound; ``None``: a call that has no session, which no
                function is asked for.
            service: The part of a route before the last dot.
            candidates: In any order.

        Returns:
            One of them; ``None``: there are none.

        Raises:
            RequestError: The function has failed, or has chosen nobody.
        """
        if not candidates:
            return None
        function = self._functions.get(service)
        if function is None or session is None:
            strategy = self._strategies.get(service, _RANDOM)
            return strategy.choose(session, candidates)
        return self._ask(function, session, service, candidates)

    def _ask(
        self,
        function: RouteFunction,
        session: Session,
        service: str,
        candidates: Sequence[Candidate],
    ) -> Candidate:
        dropped = self._dropped
        try:
            chosen = function(session, tuple(candidates))
        except RequestError:
            dropped["route", "function-refused"] += 1
            raise
        except FAILURES:
            dropped["route", "function-failed"] += 1
            logger.exception("the route function of %s, for %r", service, session)
            raise RequestError(INTERNAL, "internal error") from None
        if chosen is None:
            dropped["route", "function-chose-nobody"] += 1
            logger.info("the route function of %s chose nobody", service)
            text = f"{service} is served by nobody for this session now; try again"
            raise RequestError(UNAVAILABLE, text)
        if not isinstance(chosen, Candidate) or chosen not in candidates:
            dropped["route", "function-wrong"] += 1
            text = "the route function of %s returned %.200r: none of the members"
            logger.error(text, service, chosen)
            raise RequestError(INTERNAL, "internal error")
        return chosen
