"""One stream between two nodes, from its greeting to its end.

A :class:`Link` owns a stream that is already open, whichever side dialled it.  It
greets, then moves envelopes: those that arrive go to one callback, those to be sent
are collected by :class:`~nano.cluster.outbox.Outbox` and leave once a turn of the
loop.  Which peers there are, and what envelopes mean, is :mod:`nano.cluster.links`'
business.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum
from typing import Final, Protocol

from nano.cluster.members import Member
from nano.cluster.outbox import Outbox, Packed, numbered, packed
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.unconfirmed import Unconfirmed
from nano.errors import ClusterError
from nano.metrics import LinkCounts, Metrics

__all__ = [
    "TRANSITIONS",
    "VERSION",
    "Link",
    "LinkInput",
    "LinkState",
    "Stream",
    "make_hello",
]

VERSION: Final = 2  # of the link protocol; in 1 ids had no fixed length
GREETING_TIME: Final = 5.0  # seconds for the peer's HELLO
WRITE_TIME: Final = 5.0  # seconds for one batch; a link stuck for longer is broken
PING_INTERVAL: Final = 1.0
MOST_AT_ONCE: Final = 1.0  # seconds of silence that one look at the clock can add
SILENCE: Final = 5.0  # seconds without a word after which a link is broken
FAREWELL_TIME: Final = 1.0  # seconds to send what waits and hear the peer's GOODBYE


class Stream(Protocol):
    """Batches both ways, over gRPC or in memory."""

    async def read(self) -> pb.Batch | None:
        """Return the next batch, or ``None`` at the end."""

    async def write(self, batch: bytes) -> None:
        """Send *batch*, encoded; waits while the peer does not read."""


def make_hello(
    cluster: str, me: Member, routes: Iterable[str], internal: Iterable[str] = ()
) -> pb.Hello:
    """Return what a node says of itself on its links.

    Args:
        cluster: ``namespace/name``; links do not cross clusters.
        me: The node as the member list shows it.
        routes: What it serves to clients and nodes.
        internal: What it serves to nodes alone.
    """
    return pb.Hello(
        version=VERSION,
        cluster=cluster,
        address=me.address,
        incarnation=me.incarnation,
        role=me.role,
        backend=me.kind,
        app_version=me.app_version,
        handlers=[
            *(pb.Handler(route=route) for route in routes),
            *(pb.Handler(route=route, internal=True) for route in internal),
        ],
    )


class LinkState(Enum):
    """Where a link stands."""

    GREETING = "greeting"  # our HELLO is on its way; the peer's is awaited
    OPEN = "open"  # envelopes flow
    CLOSED = "closed"


class LinkInput(Enum):
    """What can happen to a link."""

    HELLO = "hello"
    END = "end"  # GOODBYE, the end of the stream, silence, or our own wish


TRANSITIONS: Final[dict[tuple[LinkState, LinkInput], LinkState]] = {
    (LinkState.GREETING, LinkInput.HELLO): LinkState.OPEN,
    (LinkState.GREETING, LinkInput.END): LinkState.CLOSED,
    (LinkState.OPEN, LinkInput.END): LinkState.CLOSED,
    (LinkState.CLOSED, LinkInput.END): LinkState.CLOSED,
}


class Link:
    """An open stream to one peer.

    Args:
        stream: What the envelopes travel on.
        hello: What we say of ourselves.
        metrics: Where traffic is counted.
        time: The clock for pings.

    Attributes:
        state: Where the link stands.
        address: The peer's cluster address; empty before its HELLO.
        peer: What the peer said of itself, once it has.
        outbox: What waits to be sent.
        message: Sends a message at the end of this turn of the loop; see
            :meth:`Outbox.message <nano.cluster.outbox.Outbox.message>`.
        send: Sends any other envelope at the end of this turn of the loop.
        unconfirmed: Changes that the peer may not have taken; see :meth:`change`.
        ordinals: The numbers of changes; Links has one series for all links.
        round_trip: Seconds that the last ping took; 0 before the first.
        silent: Seconds without a word of the peer, as of the last tick.
        suspect: It has been silent for so long that nobody new should go there.
        draining: The peer is leaving, and nobody new should go there either.
        reason: Why the link ended.
        left: The peer has said that it stops and will not come back.
    """

    def __init__(
        self,
        stream: Stream,
        hello: pb.Hello,
        metrics: Metrics,
        time: Callable[[], float],
    ) -> None:
        self.state = LinkState.GREETING
        self.address = ""
        self.peer = pb.Hello()
        self.unconfirmed = Unconfirmed()
        self.ordinals = itertools.count(1)
        self.round_trip = 0.0
        self.silent = 0.0
        self.suspect = False
        self.draining = False
        self.reason = ""
        self.left = False
        self._stream = stream
        self._hello = hello
        self._metrics = metrics
        self._traffic = LinkCounts()  # of a stranger; see greet()
        self._time = time
        self._wake = asyncio.Event()
        self.outbox = Outbox(wake=self._wake.set)
        self.message = self.outbox.message
        self.send = self.outbox.add
        self._ending = asyncio.Event()
        self._early: list[pb.Envelope] = []  # came in one batch with the HELLO
        self._over = False  # the peer has said GOODBYE
        self._sent = 0  # the number of our last batch
        self._taken = 0  # ... and of the peer's, if it counts
        self._ticked = time()
        self._pinged = time()
        self._ping = 0

    @property
    def kind(self) -> str:
        """Which entry of ``spec.backends`` the peer is, or its role."""
        return self.peer.backend or self.peer.role

    @property
    def version(self) -> str:
        """Which version of the application the peer runs; empty: it does not say."""
        return self.peer.app_version

    def step(self, happened: LinkInput) -> None:
        """Take one step in the life of the link.

        Raises:
            ClusterError: It has no place in the current state.
        """
        try:
            self.state = TRANSITIONS[self.state, happened]
        except KeyError:
            message = f"{happened.value} while {self.state.value}"
            raise ClusterError(message) from None

    def change(self, envelope: pb.Envelope) -> bool:
        """Send what must not be lost with the link, for it changes what the peer keeps.

        Until the peer is known to have taken it, the next link to it brings it again;
        so does one that comes while there is none.  The peer takes it once.

        Returns:
            False: the peer is gone, and nobody will ever take it.
        """
        if not envelope.ordinal:
            envelope.ordinal = next(self.ordinals)
        if not self.unconfirmed.add(envelope, self._ping):
            return False
        if not self.reason:
            self.send(envelope)
        return True

    def end(self, reason: str, *, leaving: bool = False) -> None:
        """End the link and tell the peer why; a second time is harmless.

        Args:
            reason: For people.
            leaving: This node stops, and the peer need keep nothing for it.
        """
        if not self.reason:
            self.reason = reason
            flags = pb.LEAVING if leaving else pb.FLAG_NONE
            self.send(pb.Envelope(kind=pb.GOODBYE, reason=reason, flags=flags))
            self._ending.set()

    def goodbye(self, envelope: pb.Envelope) -> None:
        """Take the peer's GOODBYE, its last word, and say ours."""
        self._over = True
        self.left = bool(envelope.flags & pb.LEAVING)
        self.end(envelope.reason)

    # -------------------------------------------------------------- the stream

    async def greet(self) -> None:
        """Exchange HELLOs.

        Raises:
            ClusterError: The peer refuses, we refuse the peer, or it says nothing.
        """
        try:
            self.peer = await self._exchange_hellos()
        except BaseException:
            self.step(LinkInput.END)
            raise
        self.address = self.peer.address
        self._traffic = self._metrics.peer(self.address)
        self.step(LinkInput.HELLO)

    async def _exchange_hellos(self) -> pb.Hello:
        await self._write(packed(pb.Envelope(kind=pb.HELLO, hello=self._hello)))
        try:
            async with asyncio.timeout(GREETING_TIME):
                batch = await self._stream.read()
        except TimeoutError:
            raise ClusterError("the peer did not greet in time") from None
        self._taken = batch.number if batch else 0
        first, *self._early = (batch and batch.envelopes) or [pb.Envelope()]
        if first.kind == pb.GOODBYE:
            raise ClusterError(first.reason)
        if first.kind != pb.HELLO:
            raise ClusterError("the peer did not greet")
        objection = self._objection(first.hello)
        if objection:
            goodbye = pb.Envelope(kind=pb.GOODBYE, reason=objection)
            with suppress(ClusterError):  # the peer may have objected, too, and gone
                await self._write(packed(goodbye))
            raise ClusterError(objection)
        return first.hello

    def _objection(self, theirs: pb.Hello) -> str:
        ours = self._hello
        if theirs.version != VERSION:
            return f"link protocol {theirs.version} and {VERSION} do not meet"
        if theirs.cluster != ours.cluster:
            return f"this is cluster {ours.cluster!r}, not {theirs.cluster!r}"
        if theirs.address == ours.address:
            return f"{ours.address} cannot have a link with itself"
        return ""

    async def run(
        self,
        receive: Callable[[Link, pb.Envelope], None],
        ending: Callable[[Link], None],
    ) -> None:
        """Move envelopes until the link ends; :attr:`reason` then says why.

        Args:
            receive: Takes each envelope; must not raise.
            ending: Called when nothing more should be sent, before the farewell.
        """
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read(receive), name="link reader")
                writer = group.create_task(self._send_batches(), name="link writer")
                await self._ending.wait()
                self.outbox.close()
                ending(self)
                # Both end by themselves.  Cancelling the reader at once would end
                # the whole call, in gRPC, before our GOODBYE is out.
                await asyncio.wait({reader, writer}, timeout=FAREWELL_TIME)
                reader.cancel()
                writer.cancel()
        finally:
            self.reason = self.reason or "stopped"
            self.outbox.close()
            self.outbox.clear()
            self.step(LinkInput.END)

    async def _read(self, receive: Callable[[Link, pb.Envelope], None]) -> None:
        try:
            for envelope in self._early:
                receive(self, envelope)
            while not self._over and (batch := await self._stream.read()) is not None:
                self.silent = 0.0
                self._traffic.received(len(batch.envelopes))
                if self._is_old(batch):
                    continue
                for envelope in batch.envelopes:
                    receive(self, envelope)
        except ClusterError as error:
            self.reason = self.reason or str(error)
        self.reason = self.reason or "the peer ended the stream"
        self._ending.set()
        self._wake.set()  # the writer is to see it

    def _is_old(self, batch: pb.Batch) -> bool:
        """Tell whether *batch* has come before.

        Raises:
            ClusterError: There is one missing in front of it.
        """
        number = batch.number
        if not number:
            return False
        if number <= self._taken:
            self._metrics.dropped["link", "duplicate"] += len(batch.envelopes)
            return True
        if number > self._taken + 1:
            raise ClusterError("a batch is missing")
        self._taken = number
        return False

    async def _send_batches(self) -> None:
        outbox = self.outbox
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while (batch := outbox.take()) is not None:
                    await self._write(batch)
                    outbox.sent(len(batch.data))
                if self._ending.is_set():
                    return
        except ClusterError as error:
            self.reason = self.reason or str(error)
            self._ending.set()

    async def _write(self, batch: Packed) -> None:
        self._sent += 1
        try:
            async with asyncio.timeout(WRITE_TIME):
                await self._stream.write(numbered(batch.data, self._sent))
        except TimeoutError:
            message = f"the peer took nothing for {WRITE_TIME:g} s"
            raise ClusterError(message) from None
        self._traffic.sent(batch.envelopes, len(batch.data))

    # ------------------------------------------------------------------- pings

    def tick(self, now: float) -> None:
        """Ping when due, and give the link up when nothing has come for too long."""
        if self.state is not LinkState.OPEN:
            return
        # A node that was frozen itself must not take that for the others' silence.
        self.silent += min(now - self._ticked, MOST_AT_ONCE)
        self._ticked = now
        if self.silent > SILENCE:
            self.end(f"nothing came for {SILENCE:g} s")
        elif now - self._pinged >= PING_INTERVAL:
            self._pinged = now
            self._ping += 1
            self.send(pb.Envelope(kind=pb.PING, id=self._ping))

    def pong(self, number: int) -> None:
        """Note the answer to a ping: what was sent before it has been taken."""
        self.unconfirmed.confirm(number)
        if number == self._ping:
            self.round_trip = self._time() - self._pinged
