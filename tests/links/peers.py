"""Nodes as far as links go, joined by streams in memory, with a clock by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from nano.cluster.link import Link, make_hello
from nano.cluster.links import Links
from nano.cluster.members import Member
from nano.cluster.outbox import packed
from nano.cluster.pb import link_pb2 as pb
from nano.errors import ClusterError
from nano.metrics import Metrics
from nano.testing.memory import MemoryStream, stream_pair

PATIENCE = 5.0
CLUSTER = "default/demo"


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds; fail after :data:`PATIENCE`."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # it may be about anything
            await asyncio.sleep(0.001)


def member(address: str, role: str = "backend") -> Member:
    return Member(address=address, role=role, incarnation=1, link=True)


def hello(
    address: str,
    routes: Iterable[str] = (),
    internal: Iterable[str] = (),
    *,
    cluster: str = CLUSTER,
) -> pb.Hello:
    return make_hello(cluster, member(address), routes, internal)


class Raw:
    """The far end of a link, spoken by hand."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self._unread: list[pb.Envelope] = []

    async def send(self, *envelopes: pb.Envelope) -> None:
        """Send one batch."""
        await self.stream.write(packed(*envelopes).data)

    async def greet(self, theirs: pb.Hello) -> pb.Hello:
        """Say *theirs* and return what the other side has said of itself."""
        await self.send(pb.Envelope(kind=pb.HELLO, hello=theirs))
        answer = await self.next()
        assert answer.kind == pb.HELLO
        return answer.hello

    async def batch(self) -> pb.Batch:
        """Return the next batch."""
        async with asyncio.timeout(PATIENCE):
            batch = await self.stream.read()
        assert batch is not None
        return batch

    async def next(self) -> pb.Envelope:
        """Return the next envelope."""
        while not self._unread:
            self._unread.extend((await self.batch()).envelopes)
        return self._unread.pop(0)

    async def rest(self) -> list[pb.Envelope]:
        """Return all that comes until the stream ends."""
        found, self._unread = self._unread, []
        async with asyncio.timeout(PATIENCE):
            while (batch := await self.stream.read()) is not None:
                found.extend(batch.envelopes)
        return found


class Running:
    """A link that runs, what it has received, and when it was told to be over."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.received: list[pb.Envelope] = []
        self.ended: list[Link] = []
        self.task = asyncio.create_task(
            link.run(lambda _, envelope: self._take(envelope), self.ended.append)
        )

    def _take(self, envelope: pb.Envelope) -> None:
        self.received.append(envelope)
        if envelope.kind == pb.GOODBYE:
            self.link.goodbye(envelope)

    async def over(self) -> str:
        """Wait for the end; return the reason."""
        async with asyncio.timeout(PATIENCE):
            await self.task
        return self.link.reason


@asynccontextmanager
async def open_link(
    clock: Clock | None = None, *, room: int = 4
) -> AsyncIterator[tuple[Running, Raw]]:
    """Give a link that runs and its far end, both closed at the end."""
    ours, theirs = stream_pair(room)
    raw = Raw(theirs)
    link = Link(ours, hello("10.0.0.1:1"), Metrics(), clock or Clock())
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(link.greet(), raw.greet(hello("10.0.0.2:1")))
    running = Running(link)
    try:
        yield running, raw
    finally:
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)


def part(one: Links, other: Links) -> None:
    """Have each of two nodes drop the other, and end their link."""
    for links, address in ((one, other.hello.address), (other, one.hello.address)):
        links.remove(member(address))
        link = links.get(address)
        if link is not None:
            link.end("to be gone")


class Network:
    """Nodes by address; a dial is a stream in memory."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.nodes: dict[str, Links] = {}
        self.dialled: list[tuple[str, str]] = []
        self.streams: list[MemoryStream] = []
        self.cut: set[str] = set()  # nobody reaches these
        self._by_hand: list[MemoryStream] = []
        self._serving: set[asyncio.Task[None]] = set()

    def add(self, address: str, links: Links) -> Links:
        """Let others reach *links* at *address*."""
        self.nodes[address] = links
        return links

    def links(self, address: str, routes: Iterable[str] = ()) -> Links:
        """Return the links of a new node at *address*."""
        return self.add(
            address,
            Links(hello(address, routes), self.dialler(address), Metrics(), self.clock),
        )

    def dialler(self, source: str) -> Callable[[str], MemoryStream]:
        """Return the function by which the node at *source* dials others."""

        def dial(target: str) -> MemoryStream:
            self.dialled.append((source, target))
            if target in self.cut or target not in self.nodes:
                message = f"{target} is out of reach"
                raise ClusterError(message)
            return self._open(self.nodes[target])

        return dial

    def raw(self, links: Links) -> Raw:
        """Return the far end of a stream that *links* serve."""
        near = self._open(links)
        self._by_hand.append(near)
        return Raw(near)

    def _open(self, links: Links) -> MemoryStream:
        near, far = stream_pair()
        self.streams.append(near)
        task = asyncio.create_task(self._serve(links, far), name="served link")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return near

    async def _serve(self, links: Links, stream: MemoryStream) -> None:
        try:
            await links.serve(stream)
        except ClusterError:
            pass
        finally:
            await stream.close()

    def introduce(self) -> None:
        """Tell everybody of everybody."""
        for links in self.nodes.values():
            for address in self.nodes:
                links.add(member(address))

    def tick(self, seconds: float) -> None:
        """Let time pass for everybody."""
        self.clock.now += seconds
        for links in self.nodes.values():
            links.tick(self.clock.now)

    async def stop(self) -> None:
        """Stop all nodes; nothing of them is left."""
        for stream in self._by_hand:
            await stream.close()
        await asyncio.gather(*(links.stop() for links in self.nodes.values()))
        await asyncio.gather(*self._serving, return_exceptions=True)
