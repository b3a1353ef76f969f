"""``maxSendBytes``: what is too large for a client fails where it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from nano import Component, RequestError, Session, handler
from nano.errors import EncodeError
from nano.testing import MemoryClient, MemoryCluster, MemoryNode
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
)

LARGEST = 2048
MANIFEST = NanoCluster(
    metadata=Metadata(name="post"),
    spec=Spec(
        settings=Settings(max_send_bytes=LARGEST),
        gates=Gates(listeners=[Listener(name="tcp", transport="tcp", port=3250)]),
        backends=[Backend(name="post", components=["post:Post"])],
    ),
)
QUOTES = 2  # bytes around a text in JSON


class Post(Component):
    """Sends texts of a wanted length in every way there is."""

    async def start(self) -> None:
        self.refusals: list[str] = []

    @handler
    def answer(self, session: Session, size: int) -> str:
        return "x" * (size - QUOTES)

    @handler
    async def later(self, session: Session, size: int) -> str:
        return "x" * (size - QUOTES)

    @handler
    def push(self, session: Session, size: int) -> int:
        return self._sent(session, "push", size)

    @handler
    def publish(self, session: Session, size: int) -> int:
        self.node.group("all").add(session)
        return self._sent(session, "publish", size)

    def _sent(self, session: Session, how: str, size: int) -> int:
        text = "x" * (size - QUOTES)
        try:
            if how == "push":
                session.push("onText", text)
            else:
                self.node.group("all").publish("onText", text)
        except EncodeError as error:
            self.refusals.append(str(error))
            return 0
        return size


@pytest.fixture(params=["gate", "backend"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[MemoryClient]:
    if request.param == "gate":
        async with MemoryNode(Post, max_send_bytes=LARGEST) as node:
            yield await node.connect()
    else:
        async with MemoryCluster(MANIFEST, components={"post": [Post]}) as cluster:
            yield await cluster.connect()


@pytest.mark.parametrize("method", ["answer", "later"])
async def test_an_answer_that_is_too_large_fails_and_the_client_is_told(
    client: MemoryClient, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    route = f"Post.{method}"
    assert len(await client.request(route, LARGEST)) == LARGEST - QUOTES
    assert not caplog.records
    with pytest.raises(RequestError) as refused:
        await client.request(route, LARGEST + 1)
    assert refused.value.status == 500
    assert f"{LARGEST + 1} bytes; maxSendBytes is {LARGEST}" in caplog.text
    assert len(await client.request(route, 10)) == 10 - QUOTES


@pytest.mark.parametrize("method", ["push", "publish"])
async def test_a_push_that_is_too_large_is_an_error_for_its_sender(
    client: MemoryClient, method: str
) -> None:
    route = f"Post.{method}"
    assert await client.request(route, LARGEST) == LARGEST
    assert len(await client.next_push("onText")) == LARGEST - QUOTES
    assert await client.request(route, LARGEST + 1) == 0
    assert await client.request(route, 10) == 10
    assert len(await client.next_push("onText")) == 10 - QUOTES
