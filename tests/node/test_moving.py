"""Sessions that move, close and call, in a whole cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from nano.client import Client, connect
from nano.errors import RequestError
from nano.testing import LocalCluster
from nano_manifest import Backend, Gates, Listener, Metadata, NanoCluster, Spec

from .clusters import APP_DIR, PATIENCE, until

pytestmark = pytest.mark.process


@pytest.fixture
async def cluster() -> AsyncIterator[LocalCluster]:
    manifest = NanoCluster(
        metadata=Metadata(name="moving"),
        spec=Spec(
            gates=Gates(
                listeners=[Listener(name="tcp", transport="tcp", port=3251)],
            ),
            backends=[Backend(name="move", replicas=2, components=["nodeapp:Mover"])],
        ),
    )
    async with (
        asyncio.timeout(4 * PATIENCE),
        LocalCluster(manifest, app_dir=APP_DIR) as cluster,
    ):
        yield cluster


@pytest.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[Client]:
    async with await connect(cluster.url("tcp")) as client:
        yield client


async def test_a_handler_moves_its_client_to_another_member(client: Client) -> None:
    members = await client.request("Mover.members", None)
    assert len(members) == 2
    for _ in range(3):
        for member in members:
            assert await client.request("Mover.move", member) == member
            assert await client.request("Mover.where", None) == member
    with pytest.raises(RequestError, match="failed"):
        await client.request("Mover.move", "10.0.0.1:1")
    assert await client.request("Mover.where", None) == members[-1]


async def test_a_closed_client_is_told_why_and_its_mirrors_end(
    cluster: LocalCluster, client: Client
) -> None:
    assert await client.request("Mover.close", "time for bed") == "closing"
    async with asyncio.timeout(PATIENCE):
        assert await client.wait_closed() == "time for bed"
    nodes = [*cluster.gates, *cluster.backends["move"]]
    await until(lambda: not any(node.sessions(10) for node in nodes))


async def test_a_thread_comes_back_to_the_loop_and_calls(client: Client) -> None:
    assert await client.request("Mover.from_a_thread", "hi") == "HIhi"


async def test_threads_that_never_rest_hold_up_neither_clients_nor_the_stop() -> None:
    """nano's defect 2: whoever posts to a full queue stops the whole server."""
    manifest = NanoCluster(
        metadata=Metadata(name="restless"),
        spec=Spec(
            gates=Gates(
                replicas=1,
                components=["nodeapp:Restless"],
                listeners=[Listener(name="tcp", transport="tcp", port=3251)],
            ),
        ),
    )
    async with asyncio.timeout(4 * PATIENCE):
        async with (
            LocalCluster(manifest, app_dir=APP_DIR) as cluster,
            await connect(cluster.url("tcp")) as client,
        ):
            from nodeapp import Restless  # type: ignore[import-not-found]

            while await client.request("Restless.count", None) < 1000:
                pass
        await until(lambda: not any(it.is_alive() for it in Restless.threads))
    assert len(Restless.threads) == 2
    assert sorted(Restless.ends) == [
        "the node does not run: it has not started or has stopped",
        "the node has stopped meanwhile",
    ]
