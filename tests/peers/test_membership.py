"""Go nano nodes and ours are members of one cluster, whoever is the master.

Each fact is seen from both sides: in our member list, and in the Go node's log.
"""

from __future__ import annotations

import asyncio
import re
import signal

import pytest

from .go import GoNode, Peers
from .ours import OurNodes
from .process import free_address

pytestmark = [pytest.mark.peers, pytest.mark.process]


async def test_a_go_gate_joins_our_master_and_our_gate_sees_it_come_and_go(
    ours: OurNodes, peers: Peers
) -> None:
    master = await ours.start("master")
    gate = await ours.start("gate", master=master.address)

    go_gate = await peers.start(
        "gate", "--master", master.address, "--client", free_address()
    )
    member = await gate.sees(go_gate.address)
    assert member.services == ("GateService",)
    assert (member.label, member.role, member.link) == ("gate", "", False)

    assert await go_gate.stop() == 0
    await go_gate.logged("STOPPED role=gate")
    await gate.misses(go_gate.address)
    assert go_gate.address not in master.server.members
    assert not _complaints(go_gate)


async def test_a_go_gate_learns_of_our_nodes_before_and_after_it_joined(
    ours: OurNodes, peers: Peers
) -> None:
    master = await ours.start("master")
    await ours.start("backend", "EarlyService", master=master.address)
    go_gate = await peers.start(
        "gate", "--master", master.address, "--client", free_address()
    )
    await go_gate.logged("Register remote service EarlyService")

    late = await ours.start("backend", "LateService", master=master.address)
    await go_gate.logged("Register remote service LateService")
    await late.stop()
    await go_gate.logged(f'DelMember member serviceAddr:"{late.address}"')


async def test_a_go_backend_behind_a_go_master_is_seen_by_our_gate(
    ours: OurNodes, peers: Peers
) -> None:
    go_master = await peers.start("master")
    go_backend = await peers.start("backend", "--master", go_master.address)

    gate = await ours.start("gate", "OurService", master=go_master.address)
    await go_master.logged(f"New peer register to cluster {gate.address}")
    await go_backend.logged("Register remote service OurService")
    assert (await gate.sees(go_backend.address)).services == ("ChatService",)
    assert (await gate.sees(go_master.address)).is_master

    assert await go_backend.stop() == 0
    await gate.misses(go_backend.address)
    await gate.stop()
    await go_master.logged(f"UNREGISTERED addr={gate.address}")


async def test_go_nodes_that_start_together_all_learn_of_each_other(
    ours: OurNodes, peers: Peers
) -> None:
    """With a Go master up to half of the pairs stay unknown to each other."""
    master = await ours.start("master")
    names = ["First", "Second", "Third", "Fourth"]

    async with asyncio.TaskGroup() as group:
        starting = {
            name: group.create_task(
                peers.start("backend", "--master", master.address, "--service", name)
            )
            for name in names
        }
    nodes = {name: task.result() for name, task in starting.items()}
    for name, node in nodes.items():
        for other in names:
            if other != name:
                await node.logged(f"Register remote service {other}$")


async def test_go_nodes_that_stop_together_all_leave_in_good_order(
    ours: OurNodes, peers: Peers
) -> None:
    """With a Go master this ends the master's process."""
    master = await ours.start("master")
    nodes = [await peers.start("backend", "--master", master.address) for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        stopping = [group.create_task(node.stop()) for node in nodes]
    assert [task.result() for task in stopping] == [0, 0, 0, 0]
    for node in nodes:
        assert not _complaints(node)
    assert list(master.server.members) == [master.address]


@pytest.mark.slow
async def test_a_go_node_that_is_killed_is_dropped_and_blocks_nobody(
    ours: OurNodes, peers: Peers
) -> None:
    """A Go master takes nobody in until it has dropped the dead one."""
    master = await ours.start("master")
    member = ["--master", master.address, "--heartbeat", "300ms", "--calls"]
    dead = [await peers.start("backend", *member) for _ in range(2)]
    for node in dead:
        # from three heartbeats our master knows how many are missing later
        await node.logged("RPC /clusterpb.Master/Heartbeat .* status=OK", count=3)
    for node in dead:
        await node.stop(signal.SIGKILL)

    newcomer = await ours.start("gate", master=master.address)
    late = await peers.start("backend", *member)
    await newcomer.sees(late.address)
    for node in dead:
        await master.misses(node.address)
        await newcomer.misses(node.address)


async def test_a_go_node_finds_our_master_again_after_its_restart(
    ours: OurNodes, peers: Peers
) -> None:
    master = await ours.start("master")
    go_backend = await peers.start(
        "backend", "--master", master.address, "--heartbeat", "300ms"
    )
    address = master.address
    await master.stop()
    await go_backend.logged("Member send heartbeat error")

    again = await ours.start("master", address=address)
    await again.sees(go_backend.address)


def _complaints(node: GoNode) -> list[str]:
    return [
        line for line in node.process.lines if re.search("failed|error|panic", line)
    ]
