"""The module against a real Go nano node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.peers.build import CURE, BuildError, build
from tests.peers.go import Peers

from .nodejs import NodeJs

pytestmark = [pytest.mark.process, pytest.mark.peers]

PROGRAMS = Path(__file__).parent / "programs"
OPTIONS = ("--ws", "--heartbeat", "1s", "--dict", "ChatService.Echo=1,onEcho=300")


@pytest_asyncio.fixture
async def peers() -> AsyncIterator[Peers]:
    try:
        program = build("peer")
    except BuildError as problem:
        if str(problem) == CURE:
            pytest.skip(CURE)
        raise
    started = Peers(program)
    yield started
    await started.stop()


async def test_a_client_under_node_and_a_go_node_understand_each_other(
    node: NodeJs, peers: Peers
) -> None:
    single = await peers.start("single", *OPTIONS)
    env = {"NANO_URL": f"ws://{single.address}/nano"}
    said = await node.run("--test", PROGRAMS / "gonano.test.mjs", env=env)
    assert "fail 0" in said
    assert "pass 5" in said
