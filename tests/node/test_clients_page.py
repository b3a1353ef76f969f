"""The component of docs/clients.md works as it stands there."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path

import pytest

import nano.client
from nano import RequestError
from nano.errors import ConnectionClosed
from nano.testing import LocalCluster
from nano_manifest import Gates, Listener, Metadata, NanoCluster, Spec

from .clusters import PATIENCE, sample

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()


@pytest.mark.process
async def test_the_pages_component_judges_unseals_and_streams(tmp_path: Path) -> None:
    (source,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "clients_page.py").write_text(source)
    names = {"__name__": "signing"}
    exec(source, names)  # for its sign()
    sign = names["sign"]
    assert callable(sign)
    manifest = NanoCluster(
        metadata=Metadata(name="page"),
        spec=Spec(
            gates=Gates(
                replicas=1,
                components=["clients_page:DoorService"],
                listeners=[
                    Listener(name="tcp", transport="tcp", port=3250),
                    Listener(name="ws", transport="websocket", port=3251),
                ],
            ),
        ),
    )
    ticket = {"name": "ann", "signature": sign(b"ann")}
    pushes: list[tuple[str, object]] = []

    def heard(route: str, value: object) -> None:
        pushes.append((route, value))

    async with (
        asyncio.timeout(PATIENCE),
        LocalCluster(manifest, app_dir=str(tmp_path)) as cluster,
        await nano.client.connect(cluster.url("tcp"), user=ticket) as sealed,
        await nano.client.connect(cluster.url("ws"), user=ticket) as plain,
    ):
        for user in (None, {"name": "bob", "signature": sign(b"ann")}):
            with pytest.raises(ConnectionClosed, match="401"):
                await nano.client.connect(cluster.url("ws"), user=user)
        for route in ("onPosition", "onSparkle", "onPrize"):
            plain.on(route, partial(heard, route))
        assert await plain.request("DoorService.stream", 2) == "ann"
        expected: list[tuple[str, object]] = [
            ("onPosition", 0),
            ("onSparkle", 0),
            ("onPosition", 1),
            ("onSparkle", 1),
            ("onPrize", {"coins": 5}),
        ]
        assert pushes == expected
        with pytest.raises(RequestError, match="send sealed payloads here"):
            await sealed.request("DoorService.stream", 1)
        assert await sealed.request("DoorService.stream", b"sealed:1") == "ann"
        (gate,) = cluster.gates
        refused = {"listener": "ws", "outcome": "refused"}
        assert sample(gate, "nano_handshakes_total", **refused) == 2
