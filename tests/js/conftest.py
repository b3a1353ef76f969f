"""Fixtures: Node.js, the packages beside it, and a cluster to talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from nano.testing import LocalCluster
from nano_manifest import loads
from tests.listening import put_certificate

from .nodejs import NodeJs, find_node
from .tools import CURE, MODULES, installed

HERE = Path(__file__).parent

MANIFEST = """
apiVersion: nanocluster.io/v1alpha1
kind: NanoCluster
metadata: {name: parlour}
spec:
  settings: {clientHeartbeatSeconds: 1, logLevel: warning, resumeSeconds: 0}
  gates:
    replicas: 1
    listeners:
      - {name: ws, transport: websocket, port: 3250}
      - name: coded
        transport: websocket
        port: 3251
        dictionary: {Parlour.echo: 1, onShout: 300}
  backends: [{name: parlour, replicas: 2, components: ["parlour:Parlour"]}]
"""


@pytest.fixture(scope="session")
def node() -> NodeJs:
    """Node.js; without it the test is skipped."""
    found = find_node()
    if found is None:
        pytest.skip(f"Node.js is missing or too old: {CURE}")
    return found


@pytest.fixture(scope="session")
def modules() -> Path:
    """The folder of the packages in ``package-lock.json``."""
    if not installed():
        pytest.skip(f"the packages of tests/js/package-lock.json are missing: {CURE}")
    return MODULES


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[LocalCluster]:
    """A gate and two backends with the component of ``app/parlour.py``."""
    app = str(HERE / "app")
    async with LocalCluster(loads(MANIFEST), app_dir=app) as running:
        yield running


@pytest_asyncio.fixture
async def secure(tmp_path: Path) -> AsyncIterator[LocalCluster]:
    """The same by TLS, with a certificate that nobody knows."""
    folder = tmp_path / "parlour"
    folder.mkdir()
    put_certificate(folder, trustme.CA())
    tls = "port: 3250, tls: {secretName: parlour}}"
    manifest = loads(MANIFEST.replace("port: 3250}", tls))
    app = str(HERE / "app")
    async with LocalCluster(manifest, app_dir=app, tls_dir=str(tmp_path)) as running:
        yield running


@pytest_asyncio.fixture
async def patient() -> AsyncIterator[LocalCluster]:
    """The same, and sessions wait for clients that were cut off."""
    app = str(HERE / "app")
    manifest = loads(MANIFEST.replace("resumeSeconds: 0", "resumeSeconds: 60"))
    async with LocalCluster(manifest, app_dir=app) as running:
        yield running
