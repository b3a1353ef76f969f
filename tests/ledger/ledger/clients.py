"""Clients that write down what they see: ``… ledger.clients URL RUN CLIENTS READY``.

Those of one process of several, by ``JOB_COMPLETION_INDEX``.  When all have joined, the
file ``READY`` is made; SIGUSR1 begins, SIGTERM ends.  Then each prints its log.

A request that fails is never sent again.  A client whose connection ends comes back as
a client of nano does, and writes that down.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Final

import msgspec

from nano.client import Backoff, Client, Greeting, Reconnecting
from nano.errors import ConnectionClosed, OutboxFull, RequestError

from .records import ClientLog, News
from .service import Entry

__all__ = ["BURST", "Crowd"]

BURST: Final = 3  # requests of a client that are on their way together
PERIOD: Final = 1.5  # seconds from one burst of a client to the next
PATIENCE: Final = 30.0  # seconds for an answer; the gate says 504 after 10
LINGER: Final = 20.0  # seconds for the last news, once nobody asks any more
BACKOFF: Final = Backoff(base=0.5, cap=2.0)


class Crowd:
    """Clients of one process.

    Args:
        url: The gates.
        run: What is written into the journal.
        first: The number of the first client.
        clients: How many there are.
        heralds: The clients that publish, of all processes.
    """

    def __init__(
        self, url: str, run: str, first: int, clients: int, heralds: set[int]
    ) -> None:
        self._heralds = heralds
        self._begin = asyncio.Event()
        self._over = asyncio.Event()
        self._clients = [
            _Writer(url, run, first + at, at * PERIOD / clients)
            for at in range(clients)
        ]

    async def join(self) -> None:
        """Have all clients let in, a few at a time."""
        gate = asyncio.Semaphore(20)

        async def one(client: _Writer) -> None:
            async with gate:
                await client.join()

        await asyncio.gather(*(one(client) for client in self._clients))

    def begin(self) -> None:
        """Let them ask."""
        self._begin.set()

    def end(self) -> None:
        """Let them finish."""
        self._begin.set()
        self._over.set()

    async def work(self) -> list[ClientLog]:
        """Ask until the end, and return what each has seen."""
        await self._begin.wait()
        logs = await asyncio.gather(
            *(client.work(self._over, self._heralds) for client in self._clients)
        )
        for client in self._clients:
            await client.close()
        return logs


class _Writer:
    """One client."""

    def __init__(self, url: str, run: str, number: int, offset: float) -> None:
        self.log = ClientLog(number)
        self._run = run
        self._offset = offset  # so that they do not all ask in the same moment
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._finished: set[int] = set()  # heralds
        self._heard = asyncio.Event()
        self._client = Client(url, reconnect=BACKOFF, request_timeout=PATIENCE)
        self._client.on("onEntry", self.log.pushed.append, wanted=int)
        self._client.on("onNews", self._hear, wanted=News)
        self._client.events.on("open", self._enlist)
        self._client.events.on("reconnecting", self._lose)
        self._client.events.on("reconnected", self._return)

    async def join(self) -> None:
        await self._client.open()

    async def close(self) -> None:
        await self._client.close()

    async def _enlist(self, _: Greeting) -> None:
        await self._client.request("LedgerService.join", self._run)

    def _hear(self, news: News) -> None:
        self.log.news.append(news)
        if news.last:
            self._finished.add(news.client)
            self._heard.set()

    def _lose(self, told: Reconnecting) -> None:
        self.log.losses.append(f"{self._now}: {told.reason} ({told.code})")

    def _return(self, _: Greeting) -> None:
        self.log.reconnects += 1

    @property
    def _now(self) -> str:
        return f"{self._loop.time() - self._since:.1f} s"

    async def work(self, over: asyncio.Event, heralds: set[int]) -> ClientLog:
        """Ask until *over*, and wait for the last news of all heralds."""
        herald = self.log.client in heralds
        self._since = self._loop.time()
        due = self._since + self._offset
        while not over.is_set():
            await self._wait(over, due)
            due = max(due + PERIOD, self._loop.time())
            await self._burst(publish=herald)
        if herald:
            await self._ask(self._next(), publish=True, last=True)
        try:
            async with asyncio.timeout(LINGER):
                while not heralds <= self._finished:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            pass  # the log shows what has not come
        return self.log

    async def _wait(self, over: asyncio.Event, due: float) -> None:
        try:
            async with asyncio.timeout_at(due):
                await over.wait()
        except TimeoutError:
            pass

    async def _burst(self, publish: bool) -> None:
        """Send a few requests without waiting for each other's answers."""
        numbers = [self._next() for _ in range(BURST)]
        asked = (
            self._ask(number, publish=publish and number == numbers[0])
            for number in numbers
        )
        await asyncio.gather(*asked)

    def _next(self) -> int:
        self.log.sent += 1
        return self.log.sent - 1

    async def _ask(self, number: int, *, publish: bool, last: bool = False) -> None:
        entry = Entry(self._run, self.log.client, number, publish, last)
        sent = self._now
        try:
            said = await self._client.request("LedgerService.enter", entry)
        except ConnectionClosed as closed:
            failed = "lost" if closed.sent else "never sent"
        except OutboxFull:
            failed = "never sent"
        except RequestError as refused:
            failed = str(refused)
        except TimeoutError:
            failed = "no answer"
        else:
            if said == number:
                self.log.answered.append(number)
                return
            failed = f"wrong answer {said!r}"
        self.log.failed[number] = f"{failed}; sent at {sent}, known at {self._now}"


async def main(url: str, run: str, clients: int, ready: Path) -> None:
    """Run the clients of this process, and make the file *ready* in between."""
    index = int(os.environ.get("JOB_COMPLETION_INDEX", "0"))
    processes = int(os.environ.get("PROCESSES", "1"))
    heralds = {each * clients for each in range(processes)}
    crowd = Crowd(url, run, index * clients, clients, heralds)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, crowd.begin)
    loop.add_signal_handler(signal.SIGTERM, crowd.end)
    await crowd.join()
    await asyncio.to_thread(ready.touch)
    for log in await crowd.work():
        sys.stdout.write(f"{msgspec.json.encode(log).decode()}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
