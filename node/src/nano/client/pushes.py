"""Pushes that wait to be asked for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Self

from nano.errors import ConnectionClosed

__all__ = ["MOST_PUSHES", "Pushes"]

MOST_PUSHES: Final = 1000


class Pushes:
    """The pushes to one route, in order, from its making on.

    ::

        with client.pushes("onNews") as news:
            await client.notify("Room.join", None)
            first = await news.next()
            async for item in news:  # until the client is closed
                print(item)

    Made by :meth:`nano.client.Client.pushes`.  What comes while nobody asks is kept, up
    to a limit; beyond it the oldest are dropped and counted.

    Attributes:
        dropped: How many were, so far.
    """

    def __init__(
        self,
        route: str,
        decode: Callable[[bytes], Any],
        limit: int,
        leave: Callable[[Pushes], None],
    ) -> None:
        self.dropped = 0
        self.route = route
        self._decode = decode
        self._kept: deque[bytes] = deque(maxlen=limit)
        self._leave = leave
        self._over = ""
        self._changed = asyncio.Event()

    def put(self, payload: bytes) -> None:
        """Take one push; for the client."""
        self.dropped += len(self._kept) == self._kept.maxlen
        self._kept.append(payload)
        self._changed.set()

    def end(self, reason: str) -> None:
        """Nothing more will come; for the client."""
        self._over = self._over or reason
        self._changed.set()

    async def next(self, *, timeout: float = 10.0) -> Any:
        """Wait for the next push, and return it decoded.

        Raises:
            TimeoutError: None came in *timeout* seconds.
            ConnectionClosed: None will come any more.
            PayloadError: It is not what is wanted.
        """
        if not self._kept:
            async with asyncio.timeout(timeout):
                await self._wait()
        if not self._kept:
            raise ConnectionClosed(self._over)
        return self._decode(self._kept.popleft())

    def take(self) -> list[Any]:
        """Return what has come so far, decoded, and wait for nothing.

        Raises:
            PayloadError: One of them is not what is wanted.
        """
        taken = [self._decode(payload) for payload in self._kept]
        self._kept.clear()
        return taken

    async def _wait(self) -> None:
        while not self._kept and not self._over:
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        """Keep nothing any more; whoever waits learns that."""
        self._leave(self)
        self._kept.clear()
        self.end("these pushes are closed")

    def __len__(self) -> int:
        return len(self._kept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        await self._wait()
        if not self._kept:
            raise StopAsyncIteration
        return self._decode(self._kept.popleft())
