"""Nodes that are told to leave while they are in use, as processes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from nano.client import Backoff, Client
from nano.errors import ConnectionClosed
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

from .clusters import APP_DIR, until
from .test_process import ready

pytestmark = pytest.mark.process

CLIENTS = 50
PATIENCE = 60.0
ROUTES = ("Tally.count", "Tally.slowly", "Tally.later")


class Town:
    """A cluster whose nodes are processes; gates accept on one socket."""

    def __init__(self, folder: Path) -> None:
        self.door = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.path = folder / "cluster.yaml"
        self.path.write_text(
            dumps(
                NanoCluster(
                    metadata=Metadata(name="town"),
                    spec=Spec(
                        settings=Settings(settle_seconds=0.2, drain_seconds=30),
                        gates=Gates(
                            replicas=2,
                            listeners=[
                                Listener(name="tcp", transport="tcp", port=3250)
                            ],
                        ),
                        backends=[
                            Backend(
                                name="tally",
                                replicas=2,
                                components=["drainapp:Tally"],
                            )
                        ],
                    ),
                )
            )
        )
        self.master, *_ = (f"127.0.0.1:{port}" for port in free_ports(1))
        self.nodes: dict[str, subprocess.Popen[str]] = {}  # by address

    @property
    def url(self) -> str:
        host, port = self.door.getsockname()
        return f"tcp://{host}:{port}"

    async def start(self, role: str) -> str:
        """Start a node; return its address once it is ready."""
        address, observe = (f"127.0.0.1:{port}" for port in free_ports(2))
        fds: list[int] = []
        args = ["--role", role, "--observe", observe, "--manifest", str(self.path)]
        if role == "master":
            address = self.master
        else:
            args += ["--master", self.master]
        if role == "backend":
            args += ["--backend", "tally"]
        if role == "gate":
            fds = [self.door.fileno()]
            args += ["--listen-fds", f"tcp={fds[0]}"]
        process = self._spawn(address, args, fds)
        async with asyncio.timeout(PATIENCE):
            while not await asyncio.to_thread(ready, observe):
                assert process.poll() is None, process.communicate()[0]
                await asyncio.sleep(0.05)
        return address

    def _spawn(
        self, address: str, args: list[str], fds: list[int]
    ) -> subprocess.Popen[str]:
        self.nodes[address] = process = subprocess.Popen(
            [
                *(sys.executable, "-m", "nano.cli", "node", *args),
                *("--address", address, "--app-dir", APP_DIR),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=fds,
        )
        return process

    async def ended(self, address: str) -> str:
        """Wait for the end of a node; return what it has said."""
        process = self.nodes.pop(address)
        output, _ = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
        assert process.returncode == 0, output
        assert "Traceback" not in output
        return output

    def stop(self) -> None:
        for process in self.nodes.values():
            process.kill()
            process.communicate()
        self.door.close()


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[Town]:
    town = Town(folder)
    try:
        await town.start("master")
        yield town
    finally:
        town.stop()


class Guest:
    """A client that asks one thing after the other, and notes what it is told."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.told: list[tuple[str, int]] = []
        self.connections = 0
        self.broken = 0  # requests whose connection ended
        self.failures: list[str] = []
        self.client: Client

    async def come(self, url: str) -> None:
        self.client = Client(url, reconnect=Backoff(base=0.05, cap=0.2))
        self.client.events.on("open", self._opened)
        await self.client.open()

    def _opened(self, _: object) -> None:
        self.connections += 1

    async def ask(self) -> None:
        route = ROUTES[(self.number + len(self.told)) % len(ROUTES)]
        try:
            answer: list[Any] = await self.client.request(route, None)
        except ConnectionClosed:
            self.broken += 1
        except Exception as error:
            self.failures.append(repr(error))
        else:
            self.told.append((answer[0], answer[1]))

    async def live(self) -> None:
        while True:
            await self.ask()
            await asyncio.sleep(0.005)


@asynccontextmanager
async def guests(url: str) -> AsyncIterator[list[Guest]]:
    found = [Guest(number) for number in range(CLIENTS)]
    for guest in found:
        await guest.come(url)
    tasks = [asyncio.create_task(guest.live()) for guest in found]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for guest in found:
            with contextlib.suppress(ConnectionClosed):
                await guest.client.close()


async def test_all_backends_are_replaced_and_no_client_notices(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        backends = [await place.start("backend") for _ in range(2)]
        await place.start("gate")
        async with guests(place.url) as found:
            await until(lambda: all(len(guest.told) > 5 for guest in found), PATIENCE)
            served = Counter(guest.told[-1][0] for guest in found)
            assert set(served) == set(backends)
            place.nodes[backends[0]].send_signal(signal.SIGTERM)
            output = await place.ended(backends[0])
            assert "draining: moving" in output
            newest = await place.start("backend")
            place.nodes[backends[1]].send_signal(signal.SIGTERM)
            await place.ended(backends[1])
            before = [len(guest.told) for guest in found]
            await until(
                lambda: all(
                    len(guest.told) > known + 5
                    for guest, known in zip(found, before, strict=True)
                ),
                PATIENCE,
            )
        for guest in found:
            assert guest.failures == []
            assert (guest.connections, guest.broken) == (1, 0)
            assert guest.told[-1][0] == newest
            numbers = [number for _, number in guest.told]
            assert numbers == list(range(1, len(numbers) + 1))  # handed over, each once


async def test_a_gate_leaves_and_each_client_comes_back_once(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        await place.start("backend")
        gates = [await place.start("gate") for _ in range(2)]
        async with guests(place.url) as found:
            await until(lambda: all(len(guest.told) > 5 for guest in found), PATIENCE)
            place.nodes[gates[0]].send_signal(signal.SIGTERM)
            output = await place.ended(gates[0])
            assert "draining: sending" in output
            before = [len(guest.told) for guest in found]
            await until(
                lambda: all(
                    len(guest.told) > known + 5
                    for guest, known in zip(found, before, strict=True)
                ),
                PATIENCE,
            )
        assert [guest.failures for guest in found] == [[]] * CLIENTS
        assert {guest.connections for guest in found} <= {1, 2}
        moved = [guest for guest in found if guest.connections == 2]
        assert moved
        # What a client had sent was answered, unless the kick crossed it.
        assert all(guest.broken <= 1 for guest in moved)
        assert not any(guest.broken for guest in found if guest not in moved)


async def test_a_second_signal_ends_a_drain(tmp_path: Path) -> None:
    async with town(tmp_path) as place:
        backend = await place.start("backend")
        gate = await place.start("gate")
        guest = Guest(2)
        await guest.come(place.url)
        await guest.ask()
        process = place.nodes[gate]
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        await place.ended(gate)
        await guest.client.close()
        place.nodes[backend].send_signal(signal.SIGINT)
        assert "draining: " not in await place.ended(backend)
