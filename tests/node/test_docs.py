"""The component of docs/components.md works as it stands there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

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
        await until(lambda: sample(gate, "nano_pending_requests") == 1)
        assert await bob.request("DuelService.find", None) == {"against": "ann"}
        assert await waits == {"against": "bob"}
