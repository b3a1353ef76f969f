"""The components of docs/calls.md work as they stand there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import cast

import pytest

import nano.client
from nano import RequestError
from nano.node import Node
from nano.testing import LocalCluster, MemoryCluster
from nano_manifest import Backend, Gates, Listener, Metadata, NanoCluster, Spec

from .clusters import PATIENCE, sample

PAGE = (Path(__file__).parents[2] / "docs" / "calls.md").read_text()


def blocks() -> list[str]:
    """The programs on the page."""
    return re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.process
async def test_the_pages_shop_calls_the_wallet_that_clients_cannot_reach(
    tmp_path: Path,
) -> None:
    (tmp_path / "calls_page.py").write_text(blocks()[0])
    manifest = NanoCluster(
        metadata=Metadata(name="page"),
        spec=Spec(
            gates=Gates(
                replicas=1,
                listeners=[Listener(name="tcp", transport="tcp", port=3250)],
            ),
            backends=[
                Backend(name="shop", components=["calls_page:ShopService"]),
                Backend(name="bank", components=["calls_page:WalletService"]),
            ],
        ),
    )
    thanks: asyncio.Queue[str] = asyncio.Queue()
    async with (
        asyncio.timeout(PATIENCE),
        LocalCluster(manifest, app_dir=str(tmp_path)) as cluster,
        await nano.client.connect(cluster.url("tcp")) as ann,
    ):
        ann.on("onThanks", thanks.put_nowait)
        assert await ann.request("ShopService.buy", 3) == {"left": 7}
        assert await thanks.get() == "come again"
        with pytest.raises(RequestError, match="no money") as refused:
            await ann.request("ShopService.buy", 8)
        assert refused.value.status == 402
        with pytest.raises(RequestError, match="Expected `int` >= 1"):
            await ann.request("ShopService.buy", 0)
        order = {"uid": "ann", "amount": 1}
        with pytest.raises(RequestError, match="nobody serves") as hidden:
            await ann.request("WalletService.charge", order)
        assert hidden.value.status == 404
        (gate,), (shop,) = cluster.gates, cluster.backends["shop"]
        labels = {"direction": "out", "outcome": "ok"}
        assert sample(shop, "nano_calls_total", **labels) == 1
        labels = {"stage": "client", "reason": "internal-route"}
        assert sample(gate, "nano_dropped_total", **labels) == 1
        members = cast("list[dict[str, object]]", cluster.master.status()["members"])
        told = {member["address"]: member["services"] for member in members}
        (bank,) = cluster.backends["bank"]  # Go nodes are told of no internal service
        assert (told[shop.address], told[bank.address]) == (["ShopService"], [])
        await bank.stop()
        with pytest.raises(RequestError, match="no node serves") as alone:
            await ann.request("ShopService.buy", 1)
        assert alone.value.status == 503


async def test_the_pages_usher_asks_all_members_and_one(tmp_path: Path) -> None:
    (tmp_path / "calls_page_seats.py").write_text(blocks()[1])
    manifest = NanoCluster(
        metadata=Metadata(name="page"),
        spec=Spec(
            gates=Gates(
                replicas=2,
                listeners=[Listener(name="tcp", transport="tcp", port=3250)],
            ),
            backends=[
                Backend(
                    name="seats",
                    replicas=2,
                    components=["calls_page_seats:SeatService"],
                ),
                Backend(name="usher", components=["calls_page_seats:UsherService"]),
            ],
        ),
    )
    seats: dict[str, str] = {}
    async with MemoryCluster(manifest, app_dir=str(tmp_path)) as cluster:
        clients = {str(i): await cluster.connect(i % 2) for i in range(6)}
        for name, client in clients.items():
            seats[name] = await client.request("SeatService.sit", name)
        ann = clients["0"]
        first, second = (it.address for it in cluster.backends["seats"])
        assert set(seats.values()) <= {first, second}
        found = await ann.request("UsherService.seats")
        assert found == {"taken": 6, "unknown": []}
        seat = {"name": "1", "member": seats["1"]}
        assert await ann.request("UsherService.leave", seat) is True
        assert (await ann.request("UsherService.seats"))["taken"] == 5
        with pytest.raises(RequestError, match="nobody serves"):
            await ann.request("SeatService.count")
        (usher,) = cluster.backends["usher"]
        line = cluster.line(usher, _member(cluster, second))
        line.freeze()  # it is there, and does not answer
        found = await ann.request("UsherService.seats")
        assert found["unknown"] == [second]
        assert cluster.count(usher, "nano_open_calls") == 0
        line.thaw()


def _member(cluster: MemoryCluster, address: str) -> Node:
    return next(node for node in cluster.nodes if node.address == address)
