"""What is on its way to one client: one write a turn, and never more than its backlog.

Whatever is sent within one turn of the loop leaves in one write.  A client that reads
more slowly than it is sent to makes things wait, and what may wait is bounded in
bytes.  At the bound the class of a push decides
(:data:`~nano.runtime.session.Delivery`):

=========  =====================================================================
class      while the client lags behind
=========  =====================================================================
``latest`` the newest of each route is kept, and sent when the client catches up
``drop``   dropped, once half the backlog waits
``must``   waits; a client for which more than the backlog waits is closed
=========  =====================================================================

Responses are ``must``.  A client lags behind when its socket takes no more, which
asyncio and uvloop say at 64 KiB.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from nano.runtime.session import SPARE, Delivery

if TYPE_CHECKING:
    from nano.transports.context import Front

__all__ = ["LONGEST_WAIT", "Sender", "Unsent"]

logger = logging.getLogger(__name__)

LONGEST_WAIT: Final = 0.002  # seconds of a turn until what was sent in it is written


class Unsent:
    """Who has something to be sent at the end of this turn of the loop.

    In a turn first all is read and understood that has come, then all is written: a
    processor is faster at many of one kind than at both by turns (of 50 clients, a
    request takes a sixth less of its time, over TLS a quarter), and whoever is sent
    several things gets them in one write.  No answer waits long for the others.

    Args:
        time: A clock, in seconds.
    """

    __slots__ = ("_due", "_loop", "_senders", "_time")

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._senders: list[Sender] = []
        self._due = 0.0  # when they may wait no longer
        self._loop: asyncio.AbstractEventLoop | None = None  # to ask is a system call

    def add(self, sender: Sender) -> None:
        """Have *sender* flushed when this turn is over; once a turn is enough."""
        if not self._senders:
            self._due = self._time() + LONGEST_WAIT
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self.flush)
        self._senders.append(sender)

    def hurry(self) -> None:
        """Write at once if this turn has lasted too long already."""
        if self._senders and self._time() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Write what was sent in this turn, to everybody."""
        senders, self._senders = self._senders, []
        for sender in senders:
            try:
                sender.flush()
            except Exception:  # one broken socket must not silence the others
                logger.exception("a client could not be sent anything")


class Sender:
    """The writing half of a connection; the reading half derives from it.

    An :class:`asyncio.Protocol` by what it does, not by descent: a class that mypyc
    compiles cannot have a base that is not.

    Args:
        front: The node's side towards clients.

    Attributes:
        _flushing: Somebody will call :meth:`flush` in this turn of the loop.
        _closing: Why the connection is being closed, once it is, or was.
    """

    __slots__ = (
        "_backlog",
        "_closing",
        "_congested",
        "_flushing",
        "_front",
        "_latest",
        "_latest_size",
        "_out",
        "_size",
        "_transport",
        "_unsent",
    )

    def __init__(self, front: Front) -> None:
        self._front = front
        self._unsent: Unsent = front.unsent
        self._backlog = front.limits.backlog
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._size = 0  # bytes in it
        self._latest: dict[str, bytes] | None = None  # by route, while congested
        self._latest_size = 0
        self._flushing = False
        self._congested = False  # the socket takes no more for now
        self._closing = ""

    def forward(self, data: bytes) -> bool:
        """Send *data*, packets as they lie in the stream; false if nobody is there."""
        if self._closing:
            self._front.metrics.dropped["client", "closed"] += 1
            return False
        self._out.append(data)
        self._size += len(data)
        if not self._flushing or self._size > self._backlog:
            self.settle()
        return True

    def settle(self) -> None:
        """See to it that what was added is sent, in time."""
        if self._size > self._backlog:
            self.flush()  # a turn's output is bounded too
        elif not self._flushing:
            self._flushing = True
            self._unsent.add(self)

    def offer(self, route: str, data: bytes, delivery: Delivery) -> bool:
        """Send a push as its class says; false if it is dropped.

        Args:
            route: Which of the ``latest`` are of one kind.
            data: As for :meth:`forward`.
            delivery: What may happen to it.
        """
        transport = self._transport
        if delivery == "must" or not self._congested or transport is None:
            return self.forward(data)
        room = self._backlog // SPARE
        if delivery == "latest":
            return self._keep(route, data, room)
        if self._size + transport.get_write_buffer_size() + len(data) > room:
            self._front.metrics.dropped["push", "slow-client"] += 1
            return False
        return self.forward(data)

    def _keep(self, route: str, data: bytes, room: int) -> bool:
        """Let *data* wait in place of what waited of its route."""
        if self._latest is None:
            self._latest = {}
        old = self._latest.pop(route, b"")  # the new one has its place behind others
        size = self._latest_size - len(old) + len(data)
        dropped = self._front.metrics.dropped
        if old:
            dropped["push", "superseded"] += 1
        if size > room:
            self._latest_size -= len(old)
            dropped["push", "slow-client"] += 1
            return False
        self._latest[route] = data
        self._latest_size = size
        return True

    def flush(self) -> None:
        """Write what was sent in this turn of the loop, all at once."""
        self._flushing = False
        if not self._size:
            return
        self._size, out = 0, self._out
        transport = self._transport
        if transport is not None and (not self._congested or self._has_room(transport)):
            transport.write(b"".join(out))
        out.clear()

    def _has_room(self, transport: asyncio.Transport) -> bool:
        """Look whether too much has been waiting for the client; then cut it off.

        What is about to be written does not count: it may be large, and uvloop calls
        everything waiting that was written in this turn of the loop.
        """
        waiting = transport.get_write_buffer_size()
        if waiting <= self._backlog:
            return True
        logger.info("a client reads too slowly: %d bytes wait", waiting)
        self._closing = "slow-client"
        transport.abort()
        return False

    @property
    def behind(self) -> int:
        """Bytes that wait because the client reads too slowly; 0 if it does not."""
        transport = self._transport
        if not self._congested or transport is None:
            return 0
        return self._size + self._latest_size + transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        """The socket is full: from now on the backlog is watched."""
        self._congested = True

    def resume_writing(self) -> None:
        """The client has caught up; it gets the latest of what it has missed."""
        self._congested = False
        latest, self._latest = self._latest, None
        self._latest_size = 0
        if latest and not self._closing:
            for data in latest.values():
                self.forward(data)

    def discard(self, reason: str) -> None:
        """Forget what waits: nobody will take it, for *reason*."""
        self._transport = None
        self._closing = reason
        self._out.clear()
        self._size = 0
        self._latest = None
