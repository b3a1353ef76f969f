"""Fixtures around the Go programs: built once a session, ended with each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from .build import CURE, BuildError, build
from .go import Peers
from .mixed import Mixed
from .nodes import Nodes
from .ours import OurNodes


@pytest.fixture(scope="session")
def peer_program() -> Path:
    """Where ``peer`` is; without a Go toolchain the test is skipped."""
    try:
        return build("peer")
    except BuildError as problem:
        if str(problem) == CURE:
            pytest.skip(CURE)
        raise


@pytest_asyncio.fixture
async def peers(peer_program: Path) -> AsyncIterator[Peers]:
    """Starts Go nano nodes for one test."""
    started = Peers(peer_program)
    yield started
    await started.stop()


@pytest_asyncio.fixture
async def ours() -> AsyncIterator[OurNodes]:
    """Starts nodes of ours, in this process, for one test."""
    started = OurNodes()
    yield started
    await started.stop()


@pytest_asyncio.fixture
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nodes]:
    """Starts nodes of ours, as processes, for one test."""
    started = Nodes(tmp_path_factory.mktemp("run"))  # short: it will hold sockets
    yield started
    await started.stop()


@pytest_asyncio.fixture(
    params=[
        pytest.param(False, id="our-master"),
        pytest.param(True, id="go-master", marks=pytest.mark.slow),
    ]
)
async def mixed(request: pytest.FixtureRequest, nodes: Nodes, peers: Peers) -> Mixed:
    """A cluster of both makes that has a master so far, of either."""
    made = Mixed(nodes, peers)
    await made.start(request.param)
    return made
