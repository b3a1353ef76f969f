"""What all connections of one node share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from nano.metrics import Gauge, ListenerCounts, Metrics
from nano.protocol.dictionary import EMPTY, RouteDictionary
from nano.protocol.messages import head_of_push
from nano.runtime.deadlines import Deadlines
from nano.runtime.dispatch import Dispatcher
from nano.runtime.greeting import Greeter
from nano.runtime.pipeline import Pipeline
from nano.runtime.session import Session
from nano.runtime.sessions import Sessions
from nano.transports.addresses import Proxies
from nano.transports.admission import Admission, Bucket
from nano.transports.resuming import Resumptions
from nano.transports.sending import Unsent
from nano.transports.wheel import Wheel

__all__ = ["Arriving", "Client", "Doorway", "Front", "Limits", "Terms"]

MOST_HEADS: Final = 500  # encoded heads of push routes, kept to be used again
LONGEST_GREETING: Final = 16 * 1024  # bytes of one packet of a client not yet greeted
CLOSING_TIME: Final = 5.0  # seconds to read what was sent before a close


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may do.

    Attributes:
        packet: The longest packet body, in bytes.
        backlog: Bytes that may wait for a client that reads slowly.
        heartbeat: Seconds between two heartbeats.
        handshake: Seconds in which a client must have been greeted.
        connections: How many there may be.
        per_address: How many of one address; 0 for any number.
        messages: Of one connection a second; 0 for any number.
        handshakes: Of all connections a second; 0 for any number.
        resume: Seconds that a session waits for its client; 0 for not at all.
        rate: New connections a second; 0 for any number.
        rate_per_address: New connections of one address a second; 0 for any number.
    """

    packet: int
    backlog: int
    heartbeat: float
    handshake: float
    connections: int = 50_000
    per_address: int = 0
    messages: int = 0
    handshakes: int = 0
    resume: float = 0
    rate: int = 0
    rate_per_address: int = 0

    @property
    def stranger(self) -> int:
        """The longest packet body of a client that is not yet greeted, in bytes."""
        return min(self.packet, LONGEST_GREETING)


@dataclass(frozen=True, slots=True)
class Terms:
    """What one listener asks of its clients, and what it offers them.

    Attributes:
        path: Where WebSockets are served; empty for everywhere.
        origins: The pages that may open WebSockets, as ``https://example.com`` in
            lower case; empty for all.  Who names no origin is no browser, and may.
        dictionary: Which routes go as codes.
        name: What the listener is called in the manifest.
        pipeline: What the application does to payloads.
        proxies: Who is believed when it says whom it speaks for.
        proxy_protocol: Every connection begins with a header of the PROXY protocol.
    """

    path: str = ""
    origins: frozenset[str] = frozenset()
    dictionary: RouteDictionary = EMPTY
    name: str = ""
    pipeline: Pipeline = field(default_factory=Pipeline)
    proxies: Proxies = field(default_factory=Proxies)
    proxy_protocol: bool = False


class Arriving(Protocol):
    """A connection that may not have become a client's yet."""

    @property
    def behind(self) -> int:
        """Bytes that wait because the client reads too slowly; 0 if it does not."""

    @property
    def session(self) -> Session | None:
        """The client's session, once it has one."""

    def late_greeting(self) -> None:
        """The handshake has not ended in time."""

    def stop(self) -> None:
        """The node goes."""


class Client(Arriving, Protocol):
    """A connection, as those see it who watch the clock or close the door."""

    def abort(self) -> None:
        """What was sent before the close has not been read in time."""

    def read_on(self, now: float) -> None:
        """It was not read because it sent too fast; that time is over."""


class Front:
    """A node's side towards clients: its tables, its limits and its clocks.

    Args:
        dispatcher: Where messages go.
        sessions: Where sessions are kept.
        metrics: Where things are counted.
        limits: What clients may do.
        time: The clock for deadlines.
        wall: Seconds since 1970, for the handshake.
        greeter: Who decides which clients come in; by default all do.

    Attributes:
        unsent: Who has something to be sent at the end of this turn of the loop.
        doors: What the connections of each listener share.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        sessions: Sessions,
        metrics: Metrics,
        limits: Limits,
        *,
        time: Callable[[], float],
        wall: Callable[[], float],
        greeter: Greeter | None = None,
    ) -> None:
        self.dispatcher = dispatcher
        self.sessions = sessions
        self.metrics = metrics
        self.limits = limits
        self.time = time
        self.wall = wall
        self.wheel = Wheel(limits.heartbeat)
        self.greetings: Deadlines[Arriving] = Deadlines(limits.handshake)
        self.closings: Deadlines[Client] = Deadlines(CLOSING_TIME)
        self.admission = Admission(
            limits.connections,
            limits.per_address,
            limits.rate,
            limits.rate_per_address,
            time(),
        )
        rate = limits.handshakes
        self.greeting_rate = Bucket(rate, time()) if rate else None
        self.resumptions: Resumptions | None = None
        if limits.resume:
            self.resumptions = Resumptions(
                limits.resume, limits.connections, limits.backlog, sessions, metrics
            )
        self.throttled: dict[Client, float] = {}  # until when each is not read
        self.greeter = greeter or Greeter()
        self.unsent = Unsent(time)
        self.doors: list[Doorway] = []
        metrics.gauges.append(self._gauges)
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """Keep a task that finds out whether a client may come in, until its end.

        There are no more of them than connections.
        """
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _gauges(self) -> Iterator[Gauge]:
        clients = "Clients that read more slowly than they are sent to, at this moment."
        size = "Bytes that wait for slow clients."
        for door in self.doors:
            waiting = [behind for it in door.open if (behind := it.behind)]
            labels = {"listener": door.terms.name}
            yield "nano_slow_clients", clients, labels, len(waiting)
            yield "nano_backlog_bytes", size, labels, sum(waiting)

    def stop(self) -> None:
        """End what waits for clients: the node goes, and they with it."""
        if self.resumptions is not None:
            self.resumptions.stop()

    def tick(self, now: float) -> None:
        """Look at everything that has a time."""
        self.wheel.advance(now)
        for connection in self.greetings.expired(now):
            connection.late_greeting()
        for connection in self.closings.expired(now):
            connection.abort()
        if self.resumptions is not None:
            self.resumptions.tick(now)
        for client, until in list(self.throttled.items()) if self.throttled else ():
            if until <= now:
                del self.throttled[client]
                client.read_on(now)


class Doorway:
    """What the connections of one listener share.

    Attributes:
        front: The node's side towards clients.
        counts: What this listener has seen.
        terms: What is asked of them and offered to them.
        heads: Encoded heads of pushes by route; :meth:`head` makes the missing ones.
        open: The connections that there are.
        shut: Nobody is let in any more.
        deserted: Nobody is connected.
    """

    def __init__(
        self, front: Front, counts: ListenerCounts, terms: Terms | None = None
    ) -> None:
        self.front = front
        self.counts = counts
        self.terms = terms or Terms()
        front.doors.append(self)
        self.heads: dict[str, bytes] = {}
        self.open: set[Arriving] = set()
        self.shut = False
        self.deserted = asyncio.Event()
        self.deserted.set()

    def head(self, route: str) -> bytes:
        """Make the head of a push to *route*, and keep those of the first routes.

        Raises:
            EncodeError: *route* does not fit the wire.
        """
        head = head_of_push(route, self.terms.dictionary)
        if len(self.heads) < MOST_HEADS:
            self.heads[route] = head
        return head

    def enter(self, client: Arriving) -> None:
        """A client has connected."""
        self.counts.opened += 1
        self.open.add(client)
        self.deserted.clear()

    def become(self, arrived: Arriving, client: Client) -> None:
        """A connection has become a client's."""
        self.open.discard(arrived)
        self.open.add(client)

    def leave(self, client: Arriving, reason: str) -> None:
        """A client has gone, for *reason*."""
        self.counts.closed[reason] += 1
        self.open.discard(client)
        if not self.open:
            self.deserted.set()
