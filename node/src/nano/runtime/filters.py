"""Filters: what components do around every handler of their node.

A node without filters pays nothing for them: only where there are some, the routes
that :mod:`nano.runtime.dispatch` makes ask :class:`Filters` before and after.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from nano.protocol.messages import Message
from nano.runtime.component import Component, overrides
from nano.runtime.session import Session
from nano.runtime.tasks import FAILURES

__all__ = ["Filter", "Filters"]

logger = logging.getLogger(__name__)

Filter = Callable[[Session, Message], None]


class Filters:
    """The filters of one node.

    Args:
        components: In the manifest's order.

    Attributes:
        before: Called in order before a handler; what one raises refuses the message.
        after: Called in order when a handler has ended.

    Raises:
        UsageError: A filter is a handler or a coroutine function.
    """

    def __init__(self, components: Iterable[Component] = ()) -> None:
        found = list(components)
        self.before: list[Filter] = [
            it.before_handler for it in found if overrides(it, "before_handler")
        ]
        self.after: list[Filter] = [
            it.after_handler for it in reversed(found) if overrides(it, "after_handler")
        ]

    def __bool__(self) -> bool:
        return bool(self.before or self.after)

    def ended(self, session: Session, message: Message) -> None:
        """Call the filters after a handler; none keeps another from its turn."""
        for call in self.after:
            try:
                call(session, message)
            except FAILURES:
                logger.exception("after %s for %r", message.route, session)
