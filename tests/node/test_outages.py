"""Processes that freeze, die and come back, and what everybody else makes of it.

The evidence is what the nodes say: their metrics, their status, their logs.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nano.client import Client, connect
from nano.errors import RequestError
from nano.local.ports import free_ports
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
    dumps,
)

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(120)]

PATIENCE: Final = 40.0  # seconds for anything that is waited for
TOWN: Final = """\
import os
from nano import Component, Session, handler

class Town(Component):
    def __init__(self) -> None:
        self.opened = self.closed = 0

    def session_opened(self, session: Session) -> None:
        self.opened += 1

    def session_closed(self, session: Session) -> None:
        self.closed += 1

    @handler
    def where(self, session: Session, number: int) -> list:
        session.local.setdefault("first", number)
        return [os.getpid(), number, session.local["first"], self.opened, self.closed]
"""


class Town:
    """A master, a gate and backends, each a process."""

    def __init__(self, folder: Path, backends: int, **settings: Any) -> None:
        ports = free_ports(1 + 2 * (3 + backends))
        self.port, *self._ports = ports
        (folder / "town.py").write_text(TOWN)
        self._folder = folder
        self._manifest = folder / "cluster.yaml"
        self._manifest.write_text(
            dumps(
                NanoCluster(
                    metadata=Metadata(name="town"),
                    spec=Spec(
                        settings=Settings(**settings),
                        gates=Gates(
                            replicas=1,
                            listeners=[
                                Listener(name="tcp", transport="tcp", port=self.port)
                            ],
                        ),
                        backends=[
                            Backend(
                                name="town",
                                replicas=backends,
                                components=["town:Town"],
                            )
                        ],
                    ),
                )
            )
        )
        self.addresses: dict[str, str] = {}
        self._observe: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.logs: dict[str, Path] = {}

    def start(self, name: str) -> None:
        """Start, for the first time or again, the node called *name*."""
        role = name.rstrip("0123456789")
        if name not in self.addresses:
            self.addresses[name] = f"127.0.0.1:{self._ports.pop()}"
            self._observe[name] = f"127.0.0.1:{self._ports.pop()}"
            self.logs[name] = self._folder / f"{name}.log"
        command = [sys.executable, "-m", "nano.cli", "node", "--role", role]
        command += ["--address", self.addresses[name]]
        command += ["--observe", self._observe[name]]
        command += ["--manifest", str(self._manifest), "--app-dir", str(self._folder)]
        if role != "master":
            command += ["--master", self.addresses["master"]]
        if role == "backend":
            command += ["--backend", "town"]
        with self.logs[name].open("a") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, text=True
            )

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)
        if number is signal.SIGKILL:
            self.processes[name].wait()

    def _get(self, name: str, path: str) -> str | None:
        url = f"http://{self._observe[name]}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def ready(self, name: str) -> bool:
        return self._get(name, "/readyz") is not None

    def count(self, name: str, metric: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(
                self._get(name, "/metrics") or ""
            )
            for sample in family.samples
            if sample.name == metric and labels.items() <= sample.labels.items()
        )

    def members(self, name: str) -> float:
        return self.count(name, "nano_members")

    def said(self, name: str, text: str) -> int:
        return self.logs[name].read_text().count(text)

    def lost(self, name: str) -> set[str]:
        """Return the nodes, the master apart, that this one took for gone."""
        others = {it: at for it, at in self.addresses.items() if it != "master"}
        return {it for it, at in others.items() if self.said(name, f"{at} is gone")}

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110  # of processes
            await asyncio.sleep(0.05)


Make = Callable[..., Any]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Give a function that starts a town and waits until it is whole."""
    towns: list[Town] = []

    async def begin(backends: int = 1, **settings: Any) -> Town:
        town = Town(tmp_path, backends, **settings)
        towns.append(town)
        names = ["master", "gate", *(f"backend{n}" for n in range(backends))]
        for name in names:
            town.start(name)
        await until(lambda: all(town.ready(name) for name in names))
        await whole(town, names)
        return town

    yield begin
    for town in towns:
        town.stop()


async def whole(town: Town, names: list[str]) -> None:
    """Wait until these nodes list each other, and are linked."""
    nodes = [name for name in names if name != "master"]
    await until(lambda: {town.members(name) for name in names} == {len(names)})
    await until(
        lambda: {town.count(name, "nano_links") for name in nodes} == {len(nodes) - 1}
    )


@dataclass
class Answer:
    """What a backend says of itself and of a client's mirror."""

    pid: int
    number: int
    first: int
    opened: int
    closed: int


async def ask(client: Client, number: int) -> Answer:
    answer = Answer(*await client.request("Town.where", number))
    assert answer.number == number
    return answer


async def visitor(town: Town) -> Client:
    return await connect(f"tcp://127.0.0.1:{town.port}", request_timeout=60)


async def test_a_backend_frozen_for_six_seconds_is_not_expelled(make: Make) -> None:
    """A long computation or a collected heap; a laptop's lid is longer."""
    town = await make()
    async with await visitor(town) as client:
        before = await ask(client, 1)
        town.signal("backend0", signal.SIGSTOP)
        waiting = asyncio.create_task(ask(client, 2))
        await asyncio.sleep(6)  # it is the matter of this test
        town.signal("backend0", signal.SIGCONT)
        with pytest.raises(RequestError) as refused:
            await waiting
        assert refused.value.status in (503, 504)
        await whole(town, ["master", "gate", "backend0"])
        after = await ask(client, 3)
        assert (after.pid, after.first) == (before.pid, 1)  # the mirror it was
        assert (after.opened, after.closed) == (1, 0)
        assert town.lost("master") == town.lost("gate") == set()


async def test_a_dead_master_is_not_noticed_and_finds_everybody_again(
    make: Make,
) -> None:
    town = await make(backends=2, member_heartbeat_seconds=1)
    names = ["gate", "backend0", "backend1"]
    async with await visitor(town) as client:
        before = await ask(client, 0)
        town.signal("master", signal.SIGKILL)
        for number in range(1, 61):  # six heartbeats; four are death
            after = await ask(client, number)
            assert (after.pid, after.first, after.closed) == (before.pid, 0, 0)
            await asyncio.sleep(0.1)
        assert {town.members(name) for name in names} == {4}
        town.start("master")
        await until(lambda: town.ready("master"))
        await whole(town, ["master", *names])
        town.start("backend2")
        await whole(town, ["master", *names, "backend2"])
        after = await ask(client, 100)
        assert (after.pid, after.first, after.closed) == (before.pid, 0, 0)
    for name in names:
        assert town.lost(name) == set()
        assert town.said(name, "has ended") == 0
        assert town.said(name, "is ready") == 1


async def test_a_backend_killed_under_load_owes_nobody_and_is_used_again(
    make: Make,
) -> None:
    town = await make(backends=2, member_heartbeat_seconds=0.5)
    pids = {town.processes[name].pid: name for name in ("backend0", "backend1")}
    async with await visitor(town) as client:
        dead = pids[(await ask(client, 0)).pid]
        (other,) = set(pids.values()) - {dead}
        load = [asyncio.create_task(ask(client, number)) for number in range(1, 500)]
        await asyncio.sleep(0)
        town.signal(dead, signal.SIGKILL)
        for outcome in await asyncio.gather(*load, return_exceptions=True):
            if isinstance(outcome, RequestError):
                assert outcome.status in (503, 504)
            else:
                assert isinstance(outcome, Answer)
        number = 1000
        while pids[(await ask(client, number)).pid] != other:
            number += 1
        town.start(dead)  # at the address that it had
        await whole(town, ["master", "gate", "backend0", "backend1"])
        used: set[int] = set()
        async with asyncio.timeout(PATIENCE):
            while len(used) < 2:
                async with await visitor(town) as newcomer:
                    used.add((await ask(newcomer, 1)).pid)
        assert town.processes[dead].pid in used


async def test_two_backends_killed_at_once_keep_nobody_out(make: Make) -> None:
    town = await make(backends=3, member_heartbeat_seconds=0.5)
    for name in ("backend0", "backend1"):
        town.signal(name, signal.SIGKILL)
    town.start("backend3")
    await whole(town, ["master", "gate", "backend2", "backend3"])
    assert town.count("gate", "nano_peers") == 2
    alive = {town.processes[name].pid for name in ("backend2", "backend3")}
    async with asyncio.timeout(PATIENCE):
        used: set[int] = set()
        while used != alive:
            async with await visitor(town) as client:
                used.add((await ask(client, 1)).pid)


async def test_a_gate_that_is_killed_leaves_no_session_behind(make: Make) -> None:
    town = await make(member_heartbeat_seconds=0.5)
    async with await visitor(town) as client:
        await ask(client, 1)
        assert town.count("backend0", "nano_sessions", place="mirror") == 1
        town.signal("gate", signal.SIGKILL)
        await until(
            lambda: town.count("backend0", "nano_sessions", place="mirror") == 0
        )
        assert town.count("backend0", "nano_peers") == 0
    town.start("gate")
    await whole(town, ["master", "gate", "backend0"])
    async with await visitor(town) as client:
        answer = await ask(client, 2)
        assert (answer.opened, answer.closed) == (2, 1)
