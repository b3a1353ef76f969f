"""The module under Node.js against a cluster of ours."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from nano.node import Role
from nano.testing import LocalCluster

from .nodejs import NodeJs

pytestmark = [pytest.mark.process]

PROGRAMS = Path(__file__).parent / "programs"


async def test_a_client_under_node_and_a_cluster_understand_each_other(
    node: NodeJs, cluster: LocalCluster
) -> None:
    env = {"NANO_URL": cluster.url("ws")}
    said = await node.run("--test", PROGRAMS / "cluster.test.mjs", env=env)
    assert "fail 0" in said
    assert "pass 11" in said


async def test_a_client_comes_back_when_its_gate_is_replaced(
    node: NodeJs, cluster: LocalCluster
) -> None:
    env = {"NANO_URL": cluster.url("ws")}
    program = await node.start(PROGRAMS / "reconnect.mjs", env=env)
    await program.until("ready")
    await cluster.gates[0].stop()
    await program.until("waits")
    await cluster.start(Role.GATE)
    said = (await program.ended()).splitlines()
    assert "kick the server is going away" in said
    assert "cut ClosedError true" in said
    # the new session said who it is in front of what had waited
    assert "answered Ann" in said
    assert [line for line in said if line.startswith("close")] == [
        "close closed by this side"
    ]


async def until_alone(cluster: LocalCluster) -> None:
    """Wait until the gate has no session any more."""
    async with asyncio.timeout(30):
        while cluster.gates[0].status()["sessions"]:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.05)


async def test_a_client_that_slept_too_long_comes_back_when_it_wakes(
    node: NodeJs, cluster: LocalCluster
) -> None:
    env = {"NANO_URL": cluster.url("ws")}
    program = await node.start(PROGRAMS / "asleep.mjs", env=env)
    await program.until("ready")
    program.signal(signal.SIGSTOP)
    try:
        await until_alone(cluster)
    finally:
        program.signal(signal.SIGCONT)
    said = (await program.ended()).splitlines()
    assert said[-2:] == ["answered awake", "close closed by this side"]
