"""All links of one node: whom to dial, whom to let in, what envelopes mean.

Of two nodes, the one with the lower address dials, so that a pair has one link
and not two.  A link that ends is dialled again, after at most about a second, for
as long as the peer is a member.

What an envelope does is looked up by its kind in a table that the parts of the node
fill (:meth:`Links.act`); a kind without an entry is refused politely.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final, Protocol

from nano.cluster.link import Link, LinkState, Stream
from nano.cluster.members import Member
from nano.cluster.pb import link_pb2 as pb
from nano.errors import ClusterError
from nano.metrics import Gauge, Metrics
from nano.runtime.tasks import FAILURES

__all__ = ["Act", "Dial", "Links", "Observer"]

logger = logging.getLogger(__name__)

FIRST_DELAY: Final = 0.1  # seconds before a link is dialled again
LONGEST_DELAY: Final = 1.0
SETTLING_TIME: Final = 2.0  # seconds that a starting node waits for its first links

Act = Callable[[Link, pb.Envelope], None]
Dial = Callable[[str], "DialledStream"]


class DialledStream(Stream, Protocol):
    """A stream that we opened, and so must close."""

    async def close(self) -> None:
        """End the stream."""


class Observer(Protocol):
    """A part of the node that wants to know which peers can be reached."""

    def link_up(self, link: Link) -> None:
        """*link* is open."""

    def link_down(self, link: Link) -> None:
        """*link*, which was open, has ended."""


class Links:
    """The links of one node.

    Args:
        hello: What this node says of itself.
        dial: Opens a stream to an address.
        metrics: Where traffic is counted.
        time: The clock for pings.
    """

    def __init__(
        self,
        hello: pb.Hello,
        dial: Dial,
        metrics: Metrics,
        time: Callable[[], float],
    ) -> None:
        self._hello = hello
        self._dial = dial
        self._metrics = metrics
        self._time = time
        self._open: dict[str, Link] = {}
        self._all: set[Link] = set()  # those that still greet, too
        self._expected: dict[str, asyncio.Event] = {}  # first attempt made, by peer
        self._dialling: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # those that still end, too
        self._acts: dict[pb.Kind.ValueType, Act] = {
            pb.PING: self._on_ping,
            pb.PONG: lambda link, envelope: link.pong(envelope.id),
            pb.GOODBYE: lambda link, envelope: link.goodbye(envelope.reason),
            pb.UNSUPPORTED: self._on_unsupported,
        }
        self._observers: list[Observer] = []
        self._stopping = False
        self._quiet = asyncio.Event()  # no link is left
        self._quiet.set()
        metrics.gauges.append(self._gauges)

    def act(self, kind: pb.Kind.ValueType, act: Act) -> None:
        """Have *act* called with every envelope of *kind*."""
        self._acts[kind] = act

    def observe(self, observer: Observer) -> None:
        """Tell *observer* of links that open and end."""
        self._observers.append(observer)

    def get(self, address: str) -> Link | None:
        """Return the open link to the member at *address*."""
        return self._open.get(address)

    def expects(self, address: str) -> bool:
        """Whether there is to be a link with *address*: it is a member."""
        return address in self._expected

    @property
    def hello(self) -> pb.Hello:
        """What this node says of itself."""
        return self._hello

    @property
    def open(self) -> list[Link]:
        """The links that are open."""
        return list(self._open.values())

    # ----------------------------------------------------------------- members

    def add(self, member: Member) -> None:
        """Have a link with *member* from now on, if there is to be one."""
        address = member.address
        if self._stopping or not member.link or member.is_master:
            return
        if address in self._expected or address == self._hello.address:
            return
        tried = self._expected[address] = asyncio.Event()
        if self._hello.address < address:
            task = asyncio.create_task(
                self._keep(address, tried), name=f"link to {address}"
            )
            self._dialling[address] = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def remove(self, address: str) -> None:
        """Have no link with the member at *address* any more."""
        self._expected.pop(address, asyncio.Event()).set()
        task = self._dialling.pop(address, None)
        link = self._open.get(address)
        if link is not None:
            link.end("not a member any more")  # its task ends by itself
        elif task is not None:
            task.cancel()

    async def settle(self) -> None:
        """Wait until every known member was reached, tried or slow to dial us."""
        waiting = [event.wait() for event in self._expected.values()]
        try:
            async with asyncio.timeout(SETTLING_TIME):
                await asyncio.gather(*waiting)
        except TimeoutError:
            logger.info("some members have no link yet; going on without")

    # ------------------------------------------------------------------ streams

    async def _keep(self, address: str, tried: asyncio.Event) -> None:
        """Dial *address* again and again, for as long as it is a member."""
        delay = FIRST_DELAY
        while True:
            link = await self._dial_once(address)
            tried.set()
            if self._stopping or self._expected.get(address) is not tried:
                return
            delay = min(delay * 2, LONGEST_DELAY) if link is None else FIRST_DELAY
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))

    async def _dial_once(self, address: str) -> Link | None:
        try:
            stream = self._dial(address)
            try:
                return await self.serve(stream)
            finally:
                await stream.close()
        except ClusterError as error:
            logger.info("no link to %s: %s", address, error)
        except Exception:
            logger.exception("the link to %s failed", address)
        return None

    async def serve(self, stream: Stream) -> Link:
        """Greet on *stream* and move envelopes until it ends; return what was.

        Raises:
            ClusterError: There was no greeting.
        """
        if self._stopping:
            raise ClusterError("this node is stopping")
        if not self._hello.features:
            self._hello.features.extend(sorted({pb.HELLO, *self._acts}))
        link = Link(stream, self._hello, self._metrics, self._time)
        self._all.add(link)
        self._quiet.clear()
        try:
            await link.greet()
            try:
                self._opened(link)
                await link.run(self._receive, self._ended)
            finally:
                self._ended(link)
        finally:
            self._all.discard(link)
            if not self._all:
                self._quiet.set()
        return link

    def _opened(self, link: Link) -> None:
        previous = self._open.get(link.address)
        if previous is not None:
            previous.end("replaced by a newer link")
            self._ended(previous)
        self._open[link.address] = link
        logger.info("link with %s is open", link.address)
        for observer in self._observers:
            observer.link_up(link)
        expected = self._expected.get(link.address)
        if expected is not None:
            expected.set()

    def _ended(self, link: Link) -> None:
        if self._open.get(link.address) is not link:
            return
        del self._open[link.address]
        logger.info("link with %s has ended: %s", link.address, link.reason)
        for observer in self._observers:
            observer.link_down(link)

    def tick(self, now: float) -> None:
        """Let every link look at the clock."""
        for link in self._open.values():
            link.tick(now)

    async def stop(self) -> None:
        """End all links and wait until they have ended."""
        self._stopping = True
        for link in list(self._all):
            link.end("the node is stopping")
        for address, task in self._dialling.items():
            if address not in self._open:
                task.cancel()
        try:
            async with asyncio.timeout(SETTLING_TIME):
                await self._quiet.wait()
        except TimeoutError:
            logger.info("some links did not end in time")
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()  # their own callbacks may come a turn of the loop later

    # ---------------------------------------------------------------- envelopes

    def _receive(self, link: Link, envelope: pb.Envelope) -> None:
        if link.reason and envelope.kind != pb.GOODBYE:
            # Whoever served its sessions was told of the end: a mirror that is made
            # now would answer on a link that carries nothing any more, for ever.
            self._metrics.dropped["link", "ended"] += 1
            return
        act = self._acts.get(envelope.kind)
        if act is None:
            self._metrics.dropped["link", "unsupported"] += 1
            link.send(pb.Envelope(kind=pb.UNSUPPORTED, id=envelope.kind))
            return
        try:
            act(link, envelope)
        except FAILURES:
            name = pb.Kind.Name(envelope.kind)
            logger.exception("%s from %s failed", name, link.address)

    @staticmethod
    def _on_ping(link: Link, envelope: pb.Envelope) -> None:
        link.send(pb.Envelope(kind=pb.PONG, id=envelope.id))

    @staticmethod
    def _on_unsupported(link: Link, envelope: pb.Envelope) -> None:
        logger.warning("%s does not act upon kind %d", link.address, envelope.id)

    def _gauges(self) -> list[Gauge]:
        text = "Links to other nodes that are open."
        number = sum(link.state is LinkState.OPEN for link in self._open.values())
        return [("nano_links", text, {}, number)]
