"""Clients that others have written, unmodified, against a gate of ours.

They are fetched by the package managers and run where they lie: pomelo's from npm, by
``tests/js/tools.py``; nano's from the examples of its Go module.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from nano.testing import LocalCluster

from .nodejs import NodeJs

pytestmark = [pytest.mark.process]

HERE = Path(__file__).parent
FOREIGN = HERE / "foreign"
GO_MODULE = HERE.parent / "peers"  # its go.mod pins the version of nano
NANO = "github.com/lonng/nano"
CONVERSATION = "pass 9"
LISTENERS = pytest.mark.parametrize("listener", ["ws", "coded"])
CODED = {"NANO_CODED": "yes"}  # the listener has a dictionary


@pytest.fixture(scope="session")
def nano_web() -> Path:
    """The folder of nano's browser client."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is missing, which fetches nano's browser client: `make tools`")
    done = subprocess.run(
        [go, "mod", "download", "-json", NANO],
        cwd=GO_MODULE,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return Path(json.loads(done.stdout)["Dir"]) / "examples" / "demo" / "chat" / "web"


@pytest.mark.peers
@LISTENERS
async def test_nanos_own_browser_client_works(
    node: NodeJs, nano_web: Path, cluster: LocalCluster, listener: str
) -> None:
    env = {"NANO_URL": cluster.url(listener), "NANO_WEB": str(nano_web)}
    env |= CODED if listener == "coded" else {}
    said = await node.run("--test", FOREIGN / "nano.test.mjs", env=env)
    assert CONVERSATION in said


@LISTENERS
async def test_pomelos_browser_client_works(
    node: NodeJs, modules: Path, cluster: LocalCluster, listener: str
) -> None:
    env = {"NANO_URL": cluster.url(listener), "NODE_MODULES": str(modules)}
    env |= CODED if listener == "coded" else {}
    said = await node.run("--test", FOREIGN / "pomelo.test.mjs", env=env)
    assert CONVERSATION in said


async def test_pomelos_protocol_library_reads_and_writes_our_bytes(
    node: NodeJs, modules: Path, cluster: LocalCluster
) -> None:
    env = {"NANO_URL": cluster.url("ws"), "NODE_MODULES": str(modules)}
    said = await node.run("--test", FOREIGN / "protocol.test.mjs", env=env)
    assert "pass 1" in said
