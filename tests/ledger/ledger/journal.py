"""A journal that outlives who writes it: lines to a collector, which keeps them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Self

from .records import Record

__all__ = ["Journal"]


class Journal:
    """A connection to the collector; :meth:`open` makes one.

    A line that the collector has is kept whatever becomes of this process.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._written = 0  # lines
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._reading = asyncio.create_task(self._read(), name="journal")

    @classmethod
    async def open(cls, place: str) -> Self:
        """Connect to the collector at *place*, ``host:port``."""
        host, _, port = place.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    def write(self, records: Iterable[Record]) -> asyncio.Future[None]:
        """Send *records*; what is returned is done when the collector has them.

        It fails with ConnectionError if the collector cannot be reached any more.
        """
        lines = [f"{record.line}\n" for record in records]
        kept = asyncio.get_running_loop().create_future()
        if self._reading.done():
            kept.set_exception(ConnectionError("the collector is gone"))
            return kept
        self._written += len(lines)
        self._waiting.append((self._written, kept))
        self._writer.write("".join(lines).encode())
        return kept

    async def _read(self) -> None:
        """Take the counts of what the collector has."""
        try:
            while line := await self._reader.readline():
                have = int(line)
                while self._waiting and self._waiting[0][0] <= have:
                    self._done(None)
        finally:
            while self._waiting:
                self._done(ConnectionError("the collector is gone"))

    def _done(self, error: Exception | None) -> None:
        _, kept = self._waiting.popleft()
        if kept.done():  # the handler was cancelled
            return
        if error is None:
            kept.set_result(None)
        else:
            kept.set_exception(error)

    async def close(self) -> None:
        """Close; whoever still waits is told."""
        self._writer.close()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
