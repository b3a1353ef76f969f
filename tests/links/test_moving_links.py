"""Links under TLS that move to new certificates while envelopes are on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from nano.cluster.link import Link
from nano.cluster.links import Act, Links
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.pb import link_pb2_grpc as rpc
from nano.cluster.strangers import Strangers
from nano.cluster.streams import (
    LINK_LIMIT,
    MOVES_KEY,
    MOVING_TIME,
    DialledLink,
    LinkService,
)
from nano.errors import ClusterError
from nano.metrics import Metrics
from tests.cluster.certificates import Authority, Secret

from .peers import Clock, hello, member, until

pytestmark = pytest.mark.process

AUTHORITY, STRANGER = Authority(), Authority()


class Pair:
    """A node that dials another one, both with a certificate."""

    def __init__(self, folder: Path) -> None:
        self.secrets = [Secret(folder / name, AUTHORITY) for name in ("near", "far")]
        self.near_credentials, self.far_credentials = (
            secret.credentials() for secret in self.secrets
        )
        self.received: dict[str, list[int]] = {"near": [], "far": []}
        self.ended: list[Link] = []
        self.strangers = Strangers()
        self.far = Links(hello("zzz:1"), no_dial, Metrics(), Clock())
        self.near = Links(hello("aaa:1"), self._dial, Metrics(), Clock())
        for name, links in (("near", self.near), ("far", self.far)):
            links.observe(self)
            links.act(pb.RESPONSE, self._keep(name))
        self.port = 0
        self.streams: list[DialledLink] = []

    def _keep(self, name: str) -> Act:
        return lambda _, envelope: self.received[name].append(envelope.id)

    def _dial(self, _: str) -> DialledLink:
        made = DialledLink(f"127.0.0.1:{self.port}", self.near_credentials)
        self.streams.append(made)
        return made

    def link_up(self, link: Link) -> None: ...

    def link_down(self, link: Link) -> None:
        self.ended.append(link)

    async def start(self) -> None:
        self.server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", LINK_LIMIT)]
        )
        self.service = LinkService(self.far.serve, self.strangers)
        self.service.attach(self.server)
        self.port = self.server.add_secure_port(
            "127.0.0.1:0", self.far_credentials.server(lambda: None)
        )
        await self.server.start()
        self.near.add(member("zzz:1"))
        await until(lambda: self.near.open and self.far.open)

    async def stop(self) -> None:
        await self.near.stop()
        await self.far.stop()
        await self.server.stop(None)

    def renew(self, *believed: Authority) -> None:
        """Give both new certificates."""
        for secret in self.secrets:
            secret.issue(AUTHORITY, *believed)
        self.near_credentials.refresh()
        self.far_credentials.refresh()

    def send(self, number: int, size: int = 10) -> None:
        """Send an envelope each way."""
        for links in (self.near, self.far):
            links.open[0].message(pb.RESPONSE, 0, number, "", bytes(size))

    @property
    def generation(self) -> int:
        """Of the certificate that the link has now."""
        return self.streams[-1]._generation


def no_dial(address: str) -> DialledLink:
    raise ClusterError("nobody is dialled")


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    made = Pair(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize("size", [10, 100_000])
async def test_nothing_is_lost_or_overtakes_while_a_link_moves_again_and_again(
    pair: Pair, size: int
) -> None:
    sent = 0
    for generation in range(1, 6):
        pair.renew()
        async with asyncio.timeout(20):
            while pair.generation < generation:
                pair.send(sent, size)
                sent += 1
                if sent % 3 == 0:
                    await asyncio.sleep(0.001)
    await until(lambda: all(len(it) == sent for it in pair.received.values()))
    for received in pair.received.values():
        assert received == list(range(sent))
    assert not pair.ended
    assert len(pair.streams) == 1
    await until(lambda: len(pair.streams[0]._ways) == 1)  # the old one has been left
    assert len(pair.service._named) == 1
    assert not pair.strangers.counts


async def test_a_link_that_may_not_move_stays(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    pair.secrets[0].issue(STRANGER, AUTHORITY)  # whom the other does not believe
    pair.near_credentials.refresh()
    pair.send(0)
    await until(lambda: "keeps its old certificate for now" in caplog.text)
    for number in range(1, 100):
        pair.send(number)
    await until(lambda: all(len(it) == 100 for it in pair.received.values()))
    assert not pair.ended
    assert pair.generation == 0
    pair.secrets[1].believe(AUTHORITY, STRANGER)
    pair.far_credentials.refresh()
    async with asyncio.timeout(3 * MOVING_TIME):  # until it is tried again
        while pair.generation == 0:
            pair.send(100)
            await asyncio.sleep(0.05)
    assert not pair.ended


async def test_a_broken_connection_ends_the_link_after_a_move_too(pair: Pair) -> None:
    pair.renew()
    async with asyncio.timeout(10):
        while pair.generation == 0:
            pair.send(1)
            await asyncio.sleep(0.01)
    (link,) = pair.far.open
    await pair.streams[0].close()
    await until(lambda: link in pair.ended)
    await until(lambda: len(pair.streams) == 2 and len(pair.service._named) == 1)


async def test_a_stranger_cannot_move_a_link(pair: Pair) -> None:
    before = pair.streams[0]
    for name in ("0" * 32, "x" * 1000):
        channel = pair.near_credentials.channel(f"127.0.0.1:{pair.port}", [])
        call = rpc.LinkStub(channel).Connect(None, metadata=((MOVES_KEY, name),))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        await channel.close(None)
    pair.send(7)
    await until(lambda: pair.received == {"near": [7], "far": [7]})
    assert pair.streams == [before]
    assert pair.strangers.counts == {"no-link": 2}
