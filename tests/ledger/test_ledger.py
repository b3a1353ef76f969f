"""What runs in the cluster of test_journal, as nodes of one process."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nano.local.ports import free_ports
from nano.node import Role
from nano.testing import LocalCluster
from nano_manifest import Backend, Gates, Listener, Metadata, NanoCluster, Spec, dumps

from .compare import Counts, compare
from .ledger.clients import BURST, Crowd
from .ledger.collector import Collector
from .ledger.journal import Journal
from .ledger.records import Record

pytestmark = pytest.mark.process

HERE = str(Path(__file__).parent)
CLIENTS = 20
PAUSE = 0.1  # seconds that each request takes
PATIENCE = 60.0
MANIFEST = NanoCluster(
    metadata=Metadata(name="ledger"),
    spec=Spec(
        gates=Gates(
            replicas=2, listeners=[Listener(name="tcp", transport="tcp", port=3251)]
        ),
        backends=[
            Backend(
                name="ledger", replicas=2, components=["ledger.service:LedgerService"]
            )
        ],
    ),
)


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Where the collector is; backends find it too."""
    serve = Collector(tmp_path, PAUSE).serve
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        monkeypatch.setenv("COLLECTOR", f"{host}:{port}")
        yield f"{host}:{port}"


class Run:
    """Clients at work, and what came of it."""

    def __init__(self, crowd: Crowd, folder: Path) -> None:
        self._crowd = crowd
        self._file = folder / "a"
        self.counts = Counts()

    async def ran(self, requests: int) -> None:
        """Wait until that many more were written down."""
        wanted = self._lines() + 2 * requests
        async with asyncio.timeout(PATIENCE):
            while self._lines() < wanted:  # noqa: ASYNC110  # a file tells nobody
                await asyncio.sleep(0.05)

    def _lines(self) -> int:
        return self._file.read_text().count("\n") if self._file.exists() else 0


@asynccontextmanager
async def run(cluster: LocalCluster, folder: Path) -> AsyncIterator[Run]:
    crowd = Crowd(cluster.url("tcp"), "a", 0, CLIENTS, {0})
    await crowd.join()
    working = asyncio.create_task(crowd.work())
    crowd.begin()
    run = Run(crowd, folder)
    yield run
    crowd.end()
    logs = await working
    run.counts = compare(Collector(folder).lines("a"), logs)


async def test_the_collector_says_what_it_has(tmp_path: Path, place: str) -> None:
    journal = await Journal.open(place)
    records = [Record("a", "ran", 1, number, "here") for number in range(3)]
    await journal.write(records[:1])
    await asyncio.gather(journal.write(records[1:]), journal.write([]))
    assert Collector(tmp_path).lines("a") == [record.line for record in records]
    await journal.close()
    with pytest.raises(ConnectionError):
        await journal.write(records)


async def test_backends_that_are_replaced_leave_no_gap(
    tmp_path: Path, place: str
) -> None:
    async with (
        LocalCluster(MANIFEST, app_dir=HERE) as cluster,
        run(cluster, tmp_path) as seen,
    ):
        await seen.ran(3 * CLIENTS)
        for old in cluster.backends["ledger"]:
            await cluster.start(Role.BACKEND, "ledger")
            old.drain()
            await old.drained()
            await old.stop()
        await seen.ran(3 * CLIENTS)
    counts = seen.counts
    assert (counts.faults, counts.gaps, counts.unheard) == ([], [], {}), str(counts)
    assert counts.steadfast == counts.clients == CLIENTS
    assert counts.answered == counts.sent == counts.ran


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[[str, str], subprocess.Popen[bytes]]]:
    """Start a backend as a process: at its address, and for a master."""
    manifest = tmp_path / "cluster.yaml"
    manifest.write_text(dumps(MANIFEST))
    with contextlib.ExitStack() as stack:

        def start(address: str, master: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "nano.cli", "node", "--role", "backend"),
                    *("--backend", "ledger", "--manifest", str(manifest)),
                    *("--address", address, "--master", master, "--app-dir", HERE),
                ]
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


async def linked(cluster: LocalCluster, addresses: set[str], yes: bool = True) -> None:
    """Wait until all gates have links to *addresses*, or none."""
    async with asyncio.timeout(PATIENCE):
        while any(  # noqa: ASYNC110  # nobody tells
            addresses & gate.linked != (addresses if yes else set())
            for gate in cluster.gates
        ):
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_backends_that_die_take_along_what_they_have_in_hand(
    tmp_path: Path,
    place: str,
    spawn: Callable[[str, str], subprocess.Popen[bytes]],
) -> None:
    async with LocalCluster(MANIFEST, app_dir=HERE) as cluster:
        master = cluster.master.address
        addresses = {f"127.0.0.1:{port}" for port in free_ports(2)}
        mortal = [spawn(address, master) for address in addresses]
        await linked(cluster, addresses)
        async with run(cluster, tmp_path) as seen:
            await seen.ran(3 * CLIENTS)
            for process in mortal:
                process.kill()
            await linked(cluster, addresses, yes=False)
            await seen.ran(3 * CLIENTS)
            for address in addresses:  # as a container is started again in its pod
                spawn(address, master)
            await linked(cluster, addresses)
            await seen.ran(3 * CLIENTS)
    counts = seen.counts
    assert counts.faults == [], str(counts)
    assert counts.steadfast == CLIENTS
    assert counts.most_failed <= BURST, str(counts)
    assert len(counts.gaps) <= counts.failed.total()
    assert len(counts.unheard) <= 1, str(counts)
