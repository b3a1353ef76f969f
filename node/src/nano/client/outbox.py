"""Who waits for a connection: in order, and bounded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nano.errors import OutboxFull

if TYPE_CHECKING:
    from nano.client.connection import Connection

__all__ = ["Outbox"]


class Outbox:
    """The messages that have no connection to go out by, each held by its sender.

    Args:
        limit: Bytes that may wait.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._waiting: dict[asyncio.Future[Connection], None] = {}

    async def wait(self, size: int) -> Connection:
        """Wait for a connection, as *size* bytes; whoever came first goes on first.

        Raises:
            OutboxFull: Too much waits already.
            ConnectionClosed: There will be none.
        """
        if self._size + size > self._limit:
            message = (
                f"not connected, and {self._size} bytes wait already; "
                f"{self._limit} is the most (outbox_bytes)"
            )
            raise OutboxFull(message)
        self._size += size
        future: asyncio.Future[Connection]
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = None
        try:
            return await future
        finally:
            self._size -= size
            self._waiting.pop(future, None)

    def release(self, connection: Connection) -> bool:
        """Let all go on with *connection*; false if nobody waited."""
        waiting = self._take()
        for future in waiting:
            future.set_result(connection)
        return bool(waiting)

    def fail(self, error: Exception) -> None:
        """Tell all that there will be none."""
        for future in self._take():
            future.set_exception(error)

    def _take(self) -> list[asyncio.Future[Connection]]:
        waiting = [future for future in self._waiting if not future.done()]
        self._waiting.clear()
        return waiting

    def __len__(self) -> int:
        return len(self._waiting)
