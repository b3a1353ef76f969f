"""A client without a socket, that remembers what it was pushed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from nano.client import Client, Pushes
from nano.client.streams import Stream
from nano.protocol.messages import Message
from nano.testing.faults import Line

__all__ = ["MOST_ROUTES", "MemoryClient"]

MOST_ROUTES: Final = 1000  # whose pushes are remembered, each as many as Pushes keeps


class MemoryClient(Client):
    """A :class:`nano.client.Client`, and what a test wants to know besides.

    Attributes:
        line: The way to its node, and what may go wrong there.
    """

    def __init__(
        self, opener: Callable[[], Awaitable[Stream]], line: Line, **options: Any
    ) -> None:
        super().__init__(opener, **options)
        self.line = line
        self._memory: dict[str, Pushes] = {}

    def pushed(self, message: Message) -> None:
        """Take a push, and remember it."""
        if message.route not in self._memory and len(self._memory) < MOST_ROUTES:
            self._remember(message.route)
        super().pushed(message)

    def _remember(self, route: str) -> Pushes:
        if route not in self._memory:
            self._memory[route] = self.pushes(route)
        return self._memory[route]

    async def next_push(self, route: str, *, timeout: float = 10.0) -> Any:
        """Return the next push to *route* that has not been asked for yet, decoded.

        It may have come long ago.  If none is there, wait for it.

        Raises:
            TimeoutError: None came in *timeout* seconds of the clock.
            ConnectionClosed: None will come any more.
        """
        return await self._remember(route).next(timeout=timeout)

    def received(self, route: str) -> list[Any]:
        """Return the pushes to *route* that were not asked for yet, and forget them.

        ``await clock.settle()`` in front of it lets arrive what is on its way.
        """
        return self._remember(route).take()
