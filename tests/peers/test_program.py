"""The Go program is sound: a cluster of it passes its own client's checks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .go import Peers
from .process import free_address

pytestmark = [pytest.mark.peers, pytest.mark.process]

MODULES = [Path(__file__).parent, Path(__file__).parents[2] / "bench" / "load"]


@pytest.mark.timeout(300)  # with an empty build cache
@pytest.mark.usefixtures("peer_program")
@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_the_go_code_is_formatted_vetted_and_passes_its_own_tests(module: Path) -> None:
    for command in (["gofmt", "-l", "."], ["go", "vet", "./..."]):
        done = subprocess.run(
            command, cwd=module, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), command
    subprocess.run(["go", "test", "./..."], cwd=module, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("transport", [[], ["--ws"]], ids=["tcp", "websocket"])
async def test_a_client_of_a_go_cluster_sees_nanos_protocol(
    peers: Peers, transport: list[str]
) -> None:
    master = await peers.start("master")
    member = ["--master", master.address]
    backend = await peers.start("backend", *member)
    clients = free_address()
    await peers.start("gate", *member, "--client", clients, *transport)
    await peers.check(clients, *transport)
    await backend.logged(r"CALL ChatService\.Echo sid=\d+ uid=0 mid=0")


async def test_a_go_node_stops_in_good_order(peers: Peers) -> None:
    master = await peers.start("master")
    backend = await peers.start("backend", "--master", master.address)
    assert await backend.stop() == 0
    await backend.logged("STOPPED role=backend")
    await master.logged(f"UNREGISTERED addr={backend.address} label=backend")
