"""The component of docs/components.md works as it stands there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import cast

import pytest

import nano.client
from nano import RequestError
from nano.testing import LocalCluster
from nano_manifest import Backend, Gates, Listener, Metadata, NanoCluster, Spec

from .clusters import PATIENCE, sample, until

PAGE = (Path(__file__).parents[2] / "docs" / "components.md").read_text()


def blocks() -> list[str]:
    """The programs on the page."""
    return re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.process
async def test_the_pages_component_finds_two_players_for_a_duel(tmp_path: Path) -> None:
    source = blocks()[0]
    (tmp_path / "components_page.py").write_text(source)
    component = "components_page:DuelService"
    manifest = NanoCluster(
        metadata=Metadata(name="page"),
        spec=Spec(
            gates=Gates(
                replicas=1,
                listeners=[Listener(name="tcp", transport="tcp", port=3250)],
            ),
            backends=[Backend(name="duel", components=[component])],
        ),
    )
    async with (
        asyncio.timeout(PATIENCE),
        LocalCluster(manifest, app_dir=str(tmp_path)) as cluster,
        await nano.client.connect(cluster.url("tcp")) as ann,
        await nano.client.connect(cluster.url("tcp")) as bob,
    ):
        with pytest.raises(RequestError, match="log in first"):
            await ann.request("DuelService.find", None)
        assert await ann.request("DuelService.login", "ann") == "welcome"
        assert await bob.request("DuelService.login", "bob") == "welcome"
        waits = asyncio.create_task(ann.request("DuelService.find", None))
        (gate,) = cluster.gates
        await until(lambda: b"nano_pending_requests 1.0" in gate.metrics())
        assert await bob.request("DuelService.find", None) == {"against": "ann"}
        assert await waits == {"against": "bob"}


@pytest.mark.process
async def test_the_pages_shop_calls_the_wallet_that_clients_cannot_reach(
    tmp_path: Path,
) -> None:
    (tmp_path / "calls_page.py").write_text(blocks()[1])
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
