"""Links over gRPC on loopback: what streams in memory cannot show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import grpc.aio
import pytest

from nano.cluster.link import Link
from nano.cluster.links import Links
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.strangers import Strangers
from nano.cluster.streams import LINK_LIMIT, DialledLink, LinkService
from nano.errors import ClusterError
from nano.metrics import Metrics

from .peers import CLUSTER, Clock, hello, member, until

pytestmark = pytest.mark.process


class End:
    """One node, and what it has seen of links."""

    def __init__(self, links: Links) -> None:
        self.links = links
        self.port = 0  # where it is dialled
        self.strangers = Strangers()
        self.ended: list[Link] = []
        self.received: list[pb.Envelope] = []
        links.observe(self)
        links.act(pb.RESPONSE, lambda _, envelope: self.received.append(envelope))

    def link_up(self, link: Link) -> None: ...

    def link_down(self, link: Link) -> None:
        self.ended.append(link)


@asynccontextmanager
async def server(name: str = "zzz:1", cluster: str = CLUSTER) -> AsyncIterator[End]:
    """Serve links; *name* is greater than any address, so that it is dialled."""
    listening = grpc.aio.server(
        options=[("grpc.max_receive_message_length", LINK_LIMIT)]
    )
    links = Links(hello(name, cluster=cluster), no_dial, Metrics(), Clock())
    end = End(links)
    LinkService(links.serve, end.strangers).attach(listening)
    end.port = listening.add_insecure_port("127.0.0.1:0")
    await listening.start()
    try:
        yield end
    finally:
        await links.stop()
        await listening.stop(None)


def no_dial(address: str) -> DialledLink:
    raise ClusterError("nobody is dialled")


def dialler(port: int) -> Callable[[str], DialledLink]:
    return lambda _: DialledLink(f"127.0.0.1:{port}")


@pytest.fixture
async def pair() -> AsyncIterator[tuple[End, End]]:
    """A node that dials and one that is dialled."""
    async with AsyncExitStack() as stack:
        far = await stack.enter_async_context(server())
        near = End(Links(hello("aaa:1"), dialler(far.port), Metrics(), Clock()))
        stack.push_async_callback(near.links.stop)
        near.links.add(member("zzz:1"))
        await until(lambda: near.links.open and far.links.open)
        yield near, far


@pytest.mark.parametrize("who", ["dials", "is dialled"])
async def test_what_waits_arrives_before_the_farewell_whoever_goes(
    pair: tuple[End, End], who: str
) -> None:
    near, far = pair
    going, staying = (near, far) if who == "dials" else (far, near)
    (link,) = going.links.open
    for number in range(30):
        link.message(pb.RESPONSE, 0, number, "", bytes(200_000))
    await going.links.stop()
    await until(lambda: staying.ended)
    assert [envelope.id for envelope in staying.received] == list(range(30))
    assert staying.ended[0].reason == "the node is stopping"
    assert going.ended == [link]
    assert not going.links._tasks


async def test_a_batch_may_carry_the_largest_packet(pair: tuple[End, End]) -> None:
    near, far = pair
    for one, other in ((near, far), (far, near)):
        one.links.open[0].message(pb.RESPONSE, 0, 1, "", bytes(16 << 20))
        await until(lambda other=other: other.received)  # type: ignore[misc]
        assert len(other.received[0].payload) == 16 << 20


async def test_many_batches_arrive_in_order_both_ways(pair: tuple[End, End]) -> None:
    near, far = pair
    for number in range(300):
        for end in pair:
            end.links.open[0].message(pb.RESPONSE, 0, number, "", bytes(10_000))
        if number % 7 == 0:
            await asyncio.sleep(0)
    for end in (near, far):
        await until(lambda end=end: len(end.received) == 300)  # type: ignore[misc]
        assert [envelope.id for envelope in end.received] == list(range(300))


async def test_a_refusal_reaches_who_dials_with_its_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with server(cluster="default/other") as far:
        link = Link(
            stream := DialledLink(f"127.0.0.1:{far.port}"),
            hello("aaa:1"),
            Metrics(),
            Clock(),
        )
        with pytest.raises(ClusterError, match="this is cluster"):
            await link.greet()
        await stream.close()
        await until(lambda: far.strangers.counts == {"no-link": 1})
        assert not far.links.open
        (line,) = (it for it in caplog.messages if "was not made" in it)
        assert "this is cluster 'default/other', not 'default/demo'" in line


async def test_a_stopping_node_refuses_links() -> None:
    async with server() as far:
        await far.links.stop()
        stream = DialledLink(f"127.0.0.1:{far.port}")
        with pytest.raises(ClusterError):
            await Link(stream, hello("aaa:1"), Metrics(), Clock()).greet()
        await stream.close()
        assert not far.strangers.counts  # who dials has only not heard of it yet


async def test_nobody_there_is_an_error_in_our_words() -> None:
    stream = DialledLink("127.0.0.1:9")
    with pytest.raises(ClusterError):
        await Link(stream, hello("aaa:1"), Metrics(), Clock()).greet()
    await stream.close()


async def test_a_stream_that_was_closed_here_is_an_error_in_our_words(
    pair: tuple[End, End],
) -> None:
    _, far = pair
    stream = DialledLink(f"127.0.0.1:{far.port}")
    await stream.close()
    with pytest.raises(ClusterError):
        await stream.write(b"")
    with pytest.raises(ClusterError):
        await stream.read()


async def test_a_dialler_that_breaks_off_ends_the_link_on_the_other_side() -> None:
    async with server() as far:
        stream = DialledLink(f"127.0.0.1:{far.port}")
        await Link(stream, hello("aaa:1"), Metrics(), Clock()).greet()
        await until(lambda: far.links.open)
        await stream.close()
        await until(lambda: far.ended)
        assert not far.links.open
