"""The component that is watched: it writes down whatever it does."""

from __future__ import annotations

import asyncio
import os
import signal

import msgspec

from nano import Component, Session, handler

from .journal import Journal
from .records import News, Record

__all__ = ["Entry", "LedgerService"]


class Entry(msgspec.Struct):
    """A request.

    Attributes:
        run: The case that it belongs to.
        client: Who asks.
        number: Which of the client's requests this is.
        publish: All clients of the run are to hear of it.
        last: The client will ask no more.
    """

    run: str
    client: int
    number: int
    publish: bool = False
    last: bool = False


class LedgerService(Component):
    """Pushes the number of each request, and answers when that is written down."""

    async def start(self) -> None:
        """Connect to the collector, ``COLLECTOR`` in the environment.

        SIGUSR2 is a sudden death: what is in hand and what is not sent yet is gone.  In
        a container that is the only way to have one, for SIGKILL does not reach its
        first process, and ``kubectl delete --force`` leaves it time for a drain.
        """
        self.journal = await Journal.open(os.environ["COLLECTOR"])
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR2, os._exit, 137)

    async def stop(self) -> None:
        """Let the collector go."""
        await self.journal.close()

    @handler
    def join(self, session: Session, run: str) -> str:
        """Let the client hear what is published in *run*."""
        self.node.group(run).add(session)
        return self.node.name

    @handler
    async def enter(self, session: Session, entry: Entry) -> int:
        """Execute a request.

        The lines are on their way before anything is seen of it, and kept before the
        answer: an answer means that the journal knows.
        """
        run, client, number, node = (
            entry.run,
            entry.client,
            entry.number,
            self.node.name,
        )
        records = [
            Record(run, "ran", client, number, node),
            Record(run, "pushed", client, number, node),
        ]
        if entry.publish:
            records.append(Record(run, "published", client, number, node))
        kept = self.journal.write(records)
        session.push("onEntry", number)
        if entry.publish:
            news = News(client, number, node, entry.last)
            self.node.group(run).publish("onNews", news)
        await kept
        return number
