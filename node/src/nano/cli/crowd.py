"""Many clients that ask, each again and again: what ``nanoctl load`` runs."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from string import Template
from typing import Final

from nano.cli.figures import Figures
from nano.cli.forms import JSON, Form
from nano.cli.server import Server
from nano.client import Client
from nano.errors import ConnectionClosed, NanoError, RequestError, UsageError

__all__ = ["Load", "run_load"]

AT_ONCE: Final = 50  # clients that connect at the same time
MOST_UNANSWERED: Final = 100  # of one client, with a rate
LOOK: Final = 0.02  # seconds between two looks at how late this program is

Progress = Callable[[Figures], None]


@dataclass(frozen=True)
class Load:
    """What is to be done.

    Attributes:
        clients: How many.
        seconds: How long, once all are connected.
        rate: Requests a second, of all clients together; 0: each client asks again as
            soon as it is answered.
        route: What is asked.
        payload: A text in which ``$n`` is the number of the request, from 0 on, and
            ``$client`` that of the client; ``$$`` is a dollar sign.
        form: What that text is.
    """

    clients: int
    seconds: float
    rate: float
    route: str
    payload: str
    form: Form = JSON

    def body(self, client: int, number: int) -> bytes:
        """Return what is sent.

        Raises:
            UsageError: It is not of that form, or has other names behind dollar signs.
        """
        try:
            text = Template(self.payload).substitute(n=number, client=client)
        except (KeyError, ValueError) as error:
            message = (
                f"the payload: {error}; $n and $client are replaced, and $$ is a "
                "dollar sign"
            )
            raise UsageError(message) from error
        return self.form.read(self.route, text)


async def run_load(server: Server, load: Load, progress: Progress) -> Figures:
    """Connect, ask, and say what came of it.

    Args:
        server: Who is asked.
        load: What.
        progress: Called every second.

    Raises:
        UsageError: The payload or the URL make no sense.
        NanoError: Not a single client was let in.
    """
    load.body(0, 0)
    figures = Figures()
    clients = await _connect(server, load.clients, figures)
    try:
        await _ask(clients, load, figures, progress)
    finally:
        await asyncio.gather(*(it.close() for it in clients))
    return figures


async def _connect(server: Server, number: int, figures: Figures) -> list[Client]:
    gate = asyncio.Semaphore(AT_ONCE)
    errors: list[Exception] = []

    async def one() -> Client | None:
        async with gate:
            try:
                return await server.client().open()
            except UsageError:
                raise
            except (NanoError, TimeoutError) as error:
                errors.append(error)
                figures.failures["connect"] += 1
                return None

    opened = await asyncio.gather(*(one() for _ in range(number)))
    clients = [it for it in opened if it is not None]
    if not clients:
        raise ConnectionClosed(f"nobody was let in: {errors[0]!s}")
    figures.connected = len(clients)
    return clients


async def _ask(
    clients: list[Client], load: Load, figures: Figures, progress: Progress
) -> None:
    loop = asyncio.get_running_loop()
    numbers = itertools.count()
    begin, used = loop.time(), time.process_time()
    end = begin + load.seconds
    one = _steadily if load.rate else _closely
    watching = asyncio.create_task(_watch(figures, begin, progress))
    try:
        async with asyncio.TaskGroup() as group:
            for place, client in enumerate(clients):
                crowd = _Asking(client, place, len(clients), load, figures, numbers)
                group.create_task(one(crowd, begin, end))
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        figures.seconds = loop.time() - begin
        figures.busy = (time.process_time() - used) / max(figures.seconds, 1e-9)


class _Asking:
    """One client of the crowd."""

    def __init__(
        self,
        client: Client,
        place: int,
        of: int,
        load: Load,
        figures: Figures,
        numbers: itertools.count[int],
    ) -> None:
        self.client = client
        self.place = place
        self.pause = of / load.rate if load.rate else 0.0
        self.first = place / load.rate if load.rate else 0.0
        self._load = load
        self._figures = figures
        self._numbers = numbers

    async def ask(self, since: float) -> bool:
        """Ask once; *since* is when that was due.  False: the connection is over."""
        loop = asyncio.get_running_loop()
        figures = self._figures
        body = self._load.body(self.place, next(self._numbers))
        figures.sent += 1
        try:
            await self.client.request(self._load.route, body, wanted=None)
        except RequestError as error:
            figures.answers[error.status] += 1
        except TimeoutError:
            figures.failures["timeout"] += 1
        except ConnectionClosed:
            figures.failures["closed"] += 1
            return False
        else:
            figures.answers[200] += 1
            figures.took.add(loop.time() - since)
        return True

    def skip(self) -> None:
        """Note a request that is not even sent."""
        self._figures.failures["behind"] += 1


async def _closely(asking: _Asking, _: float, end: float) -> None:
    """Ask again as soon as there is an answer."""
    loop = asyncio.get_running_loop()
    while (now := loop.time()) < end:
        if not await asking.ask(now):
            return


async def _steadily(asking: _Asking, begin: float, end: float) -> None:
    """Ask at a rate, answered or not.

    Times are taken from when a request was due: a server that stands still for a second
    is not told kindly that only one request has noticed.
    """
    loop = asyncio.get_running_loop()
    open_: set[asyncio.Task[bool]] = set()
    due = begin + asking.first
    while due < end and not asking.client.closed:
        await asyncio.sleep(due - loop.time())
        if len(open_) < MOST_UNANSWERED:
            task = asyncio.create_task(asking.ask(due))
            open_.add(task)
            task.add_done_callback(open_.discard)
        else:
            asking.skip()
        due += asking.pause
    if open_:
        await asyncio.wait(open_)


async def _watch(figures: Figures, begin: float, progress: Progress) -> None:
    """Measure how late this program is, and show how far it is."""
    loop = asyncio.get_running_loop()
    told = begin
    while True:
        before = loop.time()
        await asyncio.sleep(LOOK)
        now = loop.time()
        figures.lag.add(max(0.0, now - before - LOOK))
        figures.seconds = now - begin
        if now - told >= 1:
            told = now
            progress(figures)
