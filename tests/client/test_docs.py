"""The examples of docs/python.md work as they stand there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from nano.testing import LocalCluster
from nano_manifest import Gates, Listener, Metadata, NanoCluster, Spec

from .server import PATIENCE

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
APP_DIR = str(Path(__file__).parent / "app")


@pytest.mark.process
async def test_the_pages_examples_work() -> None:
    manifest = NanoCluster(
        metadata=Metadata(name="page"),
        spec=Spec(
            gates=Gates(
                replicas=1,
                components=["pageapp:Chat"],
                listeners=[
                    Listener(name="ws", transport="websocket", port=3250),
                    Listener(name="tcp", transport="tcp", port=3251),
                ],
            )
        ),
    )
    async with (
        asyncio.timeout(PATIENCE),
        LocalCluster(manifest, app_dir=APP_DIR) as cluster,
    ):
        page: dict[str, Any] = {}
        for block in BLOCK.findall(PAGE):
            code = block.replace("ws://127.0.0.1:3250", cluster.url("ws"))
            code = code.replace("tcp://127.0.0.1:3251", cluster.url("tcp"))
            exec(compile(code, "docs/python.md", "exec"), page)
        for name in ("greet", "listen", "come_back"):
            await page[name]()
