"""Clients outside the cluster that ask without end, and what they are answered."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final, Self

from nano.client import Backoff, Client
from nano.errors import ConnectionClosed, RequestError

__all__ = ["Crowd", "crowd"]

PAUSE: Final = 0.05  # seconds between an answer and the next request of a client
QUICK: Final = Backoff(base=0.1, cap=1.0)


class Crowd:
    """What the clients have seen since :meth:`forget`.

    Attributes:
        answered: Requests with their own answer.
        troubles: Everything else, by what it was.
        lost: Requests on their way when their client's connection ended.
    """

    def __init__(self) -> None:
        self._reconnects: Counter[int] = Counter()
        self.forget()

    def forget(self) -> None:
        """Count from nought again."""
        self.answered = 0
        self.lost = 0
        self.troubles: Counter[str] = Counter()
        self._reconnects.clear()

    @property
    def reconnects(self) -> list[int]:
        """How often each client that came back has done so."""
        return list(self._reconnects.values())

    def __str__(self) -> str:
        return (
            f"{self.answered} answered, {self.lost} lost with their connection, "
            f"troubles {dict(self.troubles)}; {len(self._reconnects)} clients "
            f"reconnected, at most {max(self.reconnects, default=0)} times"
        )

    async def ask(self, client: Client, number: int) -> None:
        """Have client *number* ask until cancelled."""

        def count(_: object) -> None:
            self._reconnects[number] += 1

        client.events.on("reconnected", count)
        for turn in itertools.count():
            text = f"{number}/{turn}"
            try:
                said = await client.request("EchoService.echo", {"text": text})
            except ConnectionClosed:
                self.lost += 1
            except RequestError as refused:
                self.troubles[str(refused.status)] += 1
            except TimeoutError:
                self.troubles["no answer"] += 1
            else:
                if said["text"] == text:
                    self.answered += 1
                else:
                    self.troubles["wrong answer"] += 1
            await asyncio.sleep(PAUSE)

    async def more(self, number: int) -> Self:
        """Wait until *number* more requests were answered."""
        wanted = self.answered + number
        while self.answered < wanted:  # noqa: ASYNC110  # they count, nobody tells
            await asyncio.sleep(PAUSE)
        return self


@contextlib.asynccontextmanager
async def crowd(url: str, number: int) -> AsyncIterator[Crowd]:
    """Let *number* clients ask at *url* until the block ends."""
    seen = Crowd()
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        clients = [
            await stack.enter_async_context(await Client(url, reconnect=QUICK).open())
            for _ in range(number)
        ]
        tasks = [
            group.create_task(seen.ask(client, at)) for at, client in enumerate(clients)
        ]
        yield seen
        for task in tasks:
            task.cancel()
