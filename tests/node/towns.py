"""A cluster whose nodes are processes of their own, that can be frozen and killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from nano.client import Client, connect
from nano.local.ports import free_ports
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Routing,
    Settings,
    Spec,
    dumps,
)

Make = Callable[..., Any]
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

    def __init__(
        self,
        folder: Path,
        backends: int,
        routing: Iterable[Routing] = (),
        **settings: Any,
    ) -> None:
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
                        routing=list(routing),
                    ),
                )
            )
        )
        self.addresses: dict[str, str] = {}
        self._observe: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.logs: dict[str, Path] = {}

    def start(self, name: str, build: Path | None = None) -> None:
        """Start, for the first time or again, the node called *name*.

        Args:
            name: Its role, and a number if there are several.
            build: A folder with a package ``nano`` that is to run instead of ours.
        """
        role = name.rstrip("0123456789")
        if name not in self.addresses:
            self.addresses[name] = f"127.0.0.1:{self._ports.pop()}"
            self._observe[name] = f"127.0.0.1:{self._ports.pop()}"
            self.logs[name] = self._folder / f"{name}.log"
        program = ["-m", "nano.cli"] if build is None else [str(build / "program.py")]
        command = [sys.executable, *program, "node", "--role", role]
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
