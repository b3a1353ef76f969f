"""What the README shows works as shown."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

import nano.client
from nano.testing import LocalCluster
from nano_manifest import loads

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.process
async def test_the_component_and_the_manifest_serve_clients(tmp_path: Path) -> None:
    (source,) = _blocks("python")
    (manifest,) = _blocks("yaml")
    # under a name of its own: other tests have a module called echo
    (tmp_path / "readme_echo.py").write_text(source)
    manifest = manifest.replace("echo:EchoService", "readme_echo:EchoService")
    async with (
        LocalCluster(loads(manifest), app_dir=str(tmp_path)) as cluster,
        await nano.client.connect(cluster.url("ws")) as client,
    ):
        answer = await client.request("EchoService.echo", {"text": "hello"})
        assert answer == {"text": "hello"}
        shouts: asyncio.Queue[object] = asyncio.Queue()
        client.on("onShout", shouts.put_nowait)
        await client.notify("EchoService.shout", {"text": "hello"})
        async with asyncio.timeout(5):
            assert await shouts.get() == {"text": "HELLO"}


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:\$ |`)make ([a-z0-9]+)", README))
    assert named
    assert named <= targets


def test_every_file_it_links_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    local = [link for link in links if "://" not in link]
    assert local
    assert [link for link in local if not (ROOT / link).exists()] == []
