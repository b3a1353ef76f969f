"""One gate of several processes: groups and pushes cross them, one may die."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from nano.client import Client, connect
from nano.errors import UsageError
from nano.local.life import LONGEST_PAUSE, SHORTEST_PAUSE
from nano.local.ports import free_ports
from nano.local.processes import addresses
from nano_manifest import cluster_ports, loads

from .test_up import SECONDS, is_alive, until

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

ROOMS = """\
import os
from typing import Any
from nano import Component, Session, handler

class RoomService(Component):
    @handler
    def join(self, session: Session, name: str) -> int:
        session.bind(name)
        self.node.group("room").add(session)
        return os.getpid()

    @handler
    def say(self, session: Session, text: str) -> None:
        self.node.group("room").publish("onMessage", text)

    @handler
    async def whisper(self, session: Session, to: list[str]) -> list[str]:
        reached = await self.node.push(to, "onWhisper", session.uid)
        return list(reached.failed)
"""
TOKEN = "a long secret"
CLIENTS = 24  # all on one of two processes: once in eight million runs


def a_port_with_room() -> int:
    """Return a free port with another one three above it."""
    found = set(free_ports(20))  # few: more than a block would be given twice
    return next(it for it in found if it + 3 in found)


class Gate:
    """A master, and a gate of two processes, as a pod runs it."""

    def __init__(self, folder: Path, *, source: str = ROOMS, program: str = "") -> None:
        self.folder = folder
        self.tcp, self.observe, self.control, self.master_port = free_ports(4)
        self.port = a_port_with_room()
        (folder / "tmp").mkdir()
        (folder / "rooms.py").write_text(source)
        (folder / "token").write_text(TOKEN)
        (folder / "cluster.yaml").write_text(
            f"""\
apiVersion: nanocluster.io/v1alpha1
kind: NanoCluster
metadata: {{name: rooms}}
spec:
  gates:
    processes: 2
    components: ["rooms:RoomService"]
    listeners:
    - {{name: tcp, transport: tcp, port: {self.tcp}}}
"""
        )
        self._started: list[subprocess.Popen[bytes]] = []
        self._logs = [folder / "master.log", folder / "gate.log"]
        master = f"127.0.0.1:{self.master_port}"
        self.master = self._start(0, "", "--role", "master", "--address", master)
        words = ["--role", "gate", "--address", f"127.0.0.1:{self.port}"]
        words += ["--observe", f"127.0.0.1:{self.observe}"]
        words += ["--control", f"127.0.0.1:{self.control}", "--token-file", "token"]
        words += ["--master", master, "--processes", "2", "--log-level", "info"]
        words += ["--log-file", "own.log", "--log-days", "2"]
        self.process = self._start(1, program, *words)

    def _start(self, log: int, program: str, *words: str) -> subprocess.Popen[bytes]:
        called = ["-c", program] if program else ["-m", "nano.cli"]
        with self._logs[log].open("wb") as out:
            started = subprocess.Popen(
                [sys.executable, *called, "node", "--manifest", "cluster.yaml", *words],
                cwd=self.folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(self.folder / "tmp")},
                process_group=0,
            )
        self._started.append(started)
        return started

    @property
    def log(self) -> str:
        return self._logs[1].read_text()

    def http(
        self, port: int, path: str, method: str = "GET", token: str = ""
    ) -> tuple[int, str]:
        headers = {"X-Nano-Token": token} if token else {}
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", method=method, headers=headers
        )
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()
        except OSError as error:
            return 0, str(error)

    def ready(self) -> tuple[int, str]:
        return self.http(self.observe, "/readyz")

    def until_ready(self) -> None:
        until(lambda: self.ready()[0] == 200 or self.process.poll(), "it is ready")
        assert self.process.poll() is None, self.log

    def asked(self, path: str, method: str = "GET") -> tuple[int, Any]:
        status, body = self.http(self.control, path, method, TOKEN)
        return status, json.loads(body)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.asked("/status")[1]
        return found

    def pids(self) -> list[int]:
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in listed.read_text().split()]

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(SECONDS)

    def clean(self) -> None:
        for started in reversed(self._started):
            if started.poll() is None:
                started.kill()
            started.wait()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    try:
        made.until_ready()
        yield made
    finally:
        made.clean()


@asynccontextmanager
async def crowd(gate: Gate) -> AsyncIterator[dict[str, tuple[Client, int]]]:
    """Clients that have joined, by their name, with the pid that answered each."""
    async with AsyncExitStack() as stack:
        joined = {}
        for number in range(CLIENTS):
            client = await connect(f"tcp://127.0.0.1:{gate.tcp}")
            await stack.enter_async_context(client)
            name = f"guest-{number}"
            joined[name] = client, await client.request("RoomService.join", name)
        yield joined


async def test_groups_and_pushes_cross_the_processes(gate: Gate) -> None:
    async with asyncio.timeout(SECONDS), crowd(gate) as joined:
        pids = await asyncio.to_thread(gate.pids)
        assert {pid for _, pid in joined.values()} == set(pids)
        assert len(pids) == 2
        heard: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()

        def listen(client: Client, name: str, route: str) -> None:
            client.on(route, lambda said: heard.put_nowait((route, name, said)))

        for name, (client, _) in joined.items():
            listen(client, name, "onMessage")
            listen(client, name, "onWhisper")
        for speaker in {pid: client for client, pid in joined.values()}.values():
            await speaker.notify("RoomService.say", "hello")
            got = [await heard.get() for _ in joined]
            assert sorted(got) == sorted(("onMessage", it, "hello") for it in joined)
            failed = await speaker.request("RoomService.whisper", [*joined, "nobody"])
            assert failed == ["nobody"]
            whispered = [await heard.get() for _ in joined]
            assert {(r, n) for r, n, _ in whispered} == {
                ("onWhisper", n) for n in joined
            }
        assert heard.empty()


async def test_one_control_port_answers_for_all_processes(gate: Gate) -> None:
    async with asyncio.timeout(SECONDS), crowd(gate) as joined:
        status, told = await asyncio.to_thread(gate.asked, "/sessions")
        assert status == 200
        assert {it["uid"] for it in told["sessions"]} == set(joined)
        spread = Counter(it["process"] for it in told["sessions"])
        assert set(spread) == {"1", "2"}
        cut = (await asyncio.to_thread(gate.asked, "/sessions?limit=3"))[1]
        assert len(cut["sessions"]) == 3
        refused = await asyncio.to_thread(gate.asked, "/sessions?limit=no")
        assert refused[0] == 400
        seen = await asyncio.to_thread(gate.status)
        assert seen["sessions"] == CLIENTS
        assert seen["notReady"] is None
        each = {it["process"]: it for it in seen["processes"]}
        assert {it: each[it]["sessions"] for it in each} == spread
        assert {it["pid"] for it in each.values()} == set(gate.pids())
        ports = [it["address"].rpartition(":")[2] for it in seen["processes"]]
        assert ports == [str(gate.port), str(gate.port + 3)]
        for session in told["sessions"]:  # whichever process has it
            path = f"/sessions/{session['id']}"
            kicked = await asyncio.to_thread(gate.asked, path, "DELETE")
            assert kicked == (200, {"kicked": session["id"]})
        for client, _ in joined.values():
            await client.wait_closed()
    unknown = await asyncio.to_thread(gate.asked, "/sessions/5", "DELETE")
    assert unknown[0] == 404
    assert (await asyncio.to_thread(gate.asked, "/nothing"))[0] == 404
    shut = await asyncio.to_thread(gate.http, gate.control, "/sessions")
    assert shut[0] == 401


def test_every_process_logs_to_a_file_of_its_own(gate: Gate) -> None:
    addresses = [it["address"] for it in gate.status()["processes"]]
    for number, address in enumerate(addresses, 1):
        file = gate.folder / f"own-{number}.log"
        nodes = {json.loads(line)["node"] for line in file.read_text().splitlines()}
        assert nodes == {address}
    os.kill(gate.pids()[1], signal.SIGKILL)
    own = gate.folder / "own.log"  # the supervisor's
    until(lambda: "process 2" in own.read_text(), "the supervisor tells of it")


def test_one_scrape_has_the_metrics_of_all_processes(gate: Gate) -> None:
    status, text = gate.http(gate.observe, "/metrics")
    assert status == 200
    lines = [it for it in text.splitlines() if not it.startswith("#")]
    assert all('process="1"' in it or 'process="2"' in it for it in lines)
    for number in "12":
        labels = f'namespace="default",nanocluster="rooms",process="{number}"'
        assert f"nano_ready{{{labels}}} 1.0" in lines
        assert f"nano_process_up{{{labels}}} 1.0" in lines
        assert f"nano_process_restarts_total{{{labels}}} 0.0" in lines
    kinds = [it.split()[2] for it in text.splitlines() if it.startswith("# TYPE")]
    assert len(kinds) == len(set(kinds))  # else Prometheus refuses the page
    assert gate.http(gate.observe, "/healthz") == (200, "ok\n")


async def test_a_process_that_is_killed_leaves_the_others_clients_alone(
    gate: Gate,
) -> None:
    async with asyncio.timeout(2 * SECONDS), crowd(gate) as joined:
        victim = (await asyncio.to_thread(gate.pids))[0]
        os.kill(victim, signal.SIGKILL)
        for client, pid in joined.values():
            if pid == victim:
                await client.wait_closed()
            else:
                assert await client.request("RoomService.join", "again") == pid
        until(lambda: victim not in gate.pids() and len(gate.pids()) == 2, "it is back")
        await asyncio.to_thread(gate.until_ready)
        new = {await again(gate) for _ in range(CLIENTS)}
        assert new == set(gate.pids())
        for client, pid in joined.values():
            if pid != victim:
                assert await client.request("RoomService.join", "again") == pid
    each = gate.status()["processes"]
    assert sorted(it["restarts"] for it in each) == [0, 1]
    assert "was ended by SIGKILL; it is started again in 0.2 s" in gate.log


async def again(gate: Gate) -> int:
    async with await connect(f"tcp://127.0.0.1:{gate.tcp}") as client:
        pid: int = await client.request("RoomService.join", "new")
        return pid


def test_a_gate_is_not_ready_while_one_of_its_processes_is_not(gate: Gate) -> None:
    victim = gate.pids()[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        status, why = gate.ready()
        assert status == 503
        assert why.endswith(": it does not answer\n")
        assert why.startswith("process ")
    finally:
        os.kill(victim, signal.SIGCONT)
    gate.until_ready()


async def test_a_stop_says_farewell_to_all_clients_and_leaves_nothing(
    gate: Gate,
) -> None:
    pids = gate.pids()
    async with asyncio.timeout(SECONDS), crowd(gate) as joined:
        assert await asyncio.to_thread(gate.end) == 0
        farewells = [await client.wait_closed() for client, _ in joined.values()]
    assert len(set(farewells)) == 1
    assert not any(map(is_alive, pids))
    assert list((gate.folder / "tmp").iterdir()) == []
    assert "Traceback" not in gate.log


def test_nothing_outlives_a_supervisor_that_is_killed(gate: Gate) -> None:
    pids = gate.pids()
    gate.end(signal.SIGKILL)
    until(lambda: not any(map(is_alive, pids)), "the processes end by themselves")


def listening(pid: int) -> set[str]:
    """Where the process listens with TCP, as the kernel has it."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(entry)
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                host, port = words[1].split(":")
                host = host.removeprefix("0000000000000000FFFF0000")  # as gRPC binds
                found.add(f"{host}:{int(port, 16)}")
    return found


def test_no_port_is_wider_than_it_was(gate: Gate) -> None:
    here = "0100007F"  # 127.0.0.1, as the kernel writes it
    own = {f"{here}:{gate.observe}", f"{here}:{gate.control}"}
    assert listening(gate.process.pid) == own
    ports = set()
    for pid in gate.pids():
        mine = listening(pid)
        assert f"{here}:{gate.tcp}" in mine
        (cluster,) = mine - {f"{here}:{gate.tcp}"}
        ports.add(cluster)
    assert ports == {f"{here}:{gate.port}", f"{here}:{gate.port + 3}"}
    (folder,) = (gate.folder / "tmp").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    for sock in folder.iterdir():
        assert sock.stat().st_mode & 0o777 == 0o600


IMPATIENT = """\
import nano.local.processes as several
several.SECONDS_BETWEEN_LOOKS = 0.1
several.SECONDS_FOR_A_LOOK = 1.0
from nano.cli import main
main()
"""


def test_a_process_that_hangs_is_ended_and_started_again(tmp_path: Path) -> None:
    gate = Gate(tmp_path, program=IMPATIENT)
    try:
        gate.until_ready()
        victim = gate.pids()[1]
        os.kill(victim, signal.SIGSTOP)
        until(lambda: "hangs; it is ended" in gate.log, "it is found out")
        until(lambda: victim not in gate.pids(), "it is gone")
        gate.until_ready()
        assert len(gate.pids()) == 2
        assert gate.end() == 0
    finally:
        gate.clean()


def test_a_component_that_cannot_be_imported_ends_the_whole_gate(
    tmp_path: Path,
) -> None:
    gate = Gate(tmp_path, source="import no_such_module\n")
    try:
        assert gate.process.wait(SECONDS) == 1
        assert "No module named 'no_such_module'" in gate.log
        assert "ended with exit code 2; the log says why" in gate.log
        assert "Traceback" not in gate.log
        assert list((tmp_path / "tmp").iterdir()) == []
    finally:
        gate.clean()


def test_what_the_page_says_of_several_cores_is_true() -> None:
    page = (Path(__file__).parents[2] / "docs" / "listeners.md").read_text()
    section = page.partition("## Several cores")[2].partition("\n## ")[0]
    (manifest,) = re.findall(r"^```yaml\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    gates = loads(manifest).spec.gates
    last = cluster_ports(gates.processes)[-1]
    assert f"7650 and 7653 to {last}" in section
    assert set(re.findall(r"`(nano_\w+)", section)) == {
        "nano_process_up",
        "nano_process_restarts_total",
    }
    pause = f"{SHORTEST_PAUSE:g} to {LONGEST_PAUSE:g} seconds"
    assert pause in " ".join(section.split())


def test_the_others_ports_are_behind_those_that_a_pod_has_once() -> None:
    assert addresses("10.0.0.7:7650", 3) == [
        "10.0.0.7:7650",
        "10.0.0.7:7653",
        "10.0.0.7:7654",
    ]
    assert addresses("127.0.0.1:0", 2) == ["127.0.0.1:0"] * 2


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("127.0.0.1", "--address needs HOST:PORT"),
        (":80", "--address needs HOST:PORT"),
        ("a:65533", "leaves no ports for 2 processes above it"),
    ],
)
def test_an_address_without_room_is_refused(first: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        addresses(first, 2)
