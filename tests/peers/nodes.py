"""Our nodes as processes: ``nanoctl node`` in any role, from one manifest."""

from __future__ import annotations

import asyncio
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from .process import PATIENCE, LoggedProcess, free_address

__all__ = ["Nodes", "OurProcess"]

NANOCTL: Final = f"{sysconfig.get_path('scripts')}/nanoctl"
COMPONENTS: Final = Path(__file__).parents[2] / "bench" / "components"
OWN_COMPONENTS: Final = Path(__file__).parent / "components"
BACKENDS: Final = {  # by name: where their module is, and what they run
    "echo": (COMPONENTS, "echo:EchoService"),
    "desk": (OWN_COMPONENTS, "desk:DeskService"),
    "chat": (OWN_COMPONENTS, "desk:ChatService"),
    "back": (OWN_COMPONENTS, "desk:BackService"),
}


class OurProcess:
    """One ``nanoctl node``, owned by :class:`Nodes`.

    Attributes:
        address: Its cluster address.
        process: The process and its log.
    """

    def __init__(self, address: str, process: LoggedProcess, control: Path) -> None:
        self.address = address
        self.process = process
        self.logged = process.logged
        self.stop = process.stop
        self._control = control

    async def status(self) -> dict[str, Any]:
        """Ask for all that the node says of itself."""
        connector = aiohttp.UnixConnector(str(self._control))
        async with (
            aiohttp.ClientSession(connector=connector) as http,
            http.get("http://node/status") as answer,
        ):
            assert answer.status == 200, await answer.text()
            status: dict[str, Any] = await answer.json()
            return status

    async def holds(self, sessions: int) -> None:
        """Wait until the node holds so many sessions, mirrors counted."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while (found := (await self.status())["sessions"]) != sessions:
            late = asyncio.get_running_loop().time() > deadline
            assert not late, f"{self.address} holds {found} sessions, not {sessions}"
            await asyncio.sleep(0.05)

    async def members(self) -> dict[str, Mapping[str, object]]:
        """Ask for the member list as this node sees it, by address."""
        status = await self.status()
        return {member["address"]: member for member in status["members"]}

    async def sees(self, address: str) -> Mapping[str, object]:
        """Wait until *address* is a member; return what is known of it."""
        members = await self._until(lambda found: address in found, f"saw {address}")
        return members[address]

    async def misses(self, address: str) -> None:
        """Wait until *address* is no member any more."""
        await self._until(lambda found: address not in found, f"missed {address}")

    async def _until(
        self, condition: Callable[[Mapping[str, object]], bool], what: str
    ) -> dict[str, Mapping[str, object]]:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            members = await self.members()
            if condition(members):
                return members
            late = asyncio.get_running_loop().time() > deadline
            assert not late, f"{self.address} never {what}: {members}"
            await asyncio.sleep(0.05)


class Nodes:
    """A cluster of our processes, all from one manifest; ended with the test.

    Attributes:
        tcp: Where the gate lets clients in by TCP.
        websocket: Where it does by WebSocket.
    """

    def __init__(self, folder: Path) -> None:
        self.tcp, self.websocket = free_address(), free_address()
        self._folder = folder
        self._manifest = folder / "cluster.yaml"
        self._manifest.write_text(yaml.safe_dump(self._cluster()))
        self._processes: list[LoggedProcess] = []

    def _cluster(self) -> dict[str, object]:
        ports = {"tcp": self.tcp, "websocket": self.websocket}
        listeners = [
            {"name": name[:15], "transport": name, "port": int(address.split(":")[1])}
            for name, address in ports.items()
        ]
        backends = [  # none is waited for: a test starts those that it wants
            {"name": name, "replicas": 0, "components": [component]}
            for name, (_, component) in BACKENDS.items()
        ]
        return {
            "apiVersion": "nanocluster.io/v1alpha1",
            "kind": "NanoCluster",
            "metadata": {"name": "mixed"},
            "spec": {
                # no load balancer is to learn that a gate goes
                "settings": {"memberHeartbeatSeconds": 0.5, "settleSeconds": 0},
                "gates": {"replicas": 1, "listeners": listeners},
                "backends": backends,
            },
        }

    async def start(self, role: str, *options: str, backend: str = "") -> OurProcess:
        """Start a node and wait until it is ready.

        A member needs ``--master``, and a backend one of those of the manifest.
        """
        if backend:
            folder, _ = BACKENDS[backend]
            options = ("--backend", backend, "--app-dir", str(folder), *options)
        address, observe = free_address(), free_address()
        control = self._folder / f"{len(self._processes)}.sock"
        command = [NANOCTL, "node", "--role", role, "--address", address]
        command += ["--manifest", str(self._manifest)]
        command += ["--observe", observe, "--control", f"unix:{control}", *options]
        process = await LoggedProcess.run(command, f"our {role}")
        self._processes.append(process)
        await _ready(observe, process)
        return OurProcess(address, process, control)

    async def stop(self) -> None:
        """End every process, the members before their master."""
        for process in reversed(self._processes):
            await process.stop()


async def _ready(observe: str, process: LoggedProcess) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    async with aiohttp.ClientSession() as http:
        while not await _answers(http, f"http://{observe}/readyz"):
            late = asyncio.get_running_loop().time() > deadline
            waiting = not (late or process.ended)
            assert waiting, f"not ready:\n{process.log}"
            await asyncio.sleep(0.05)


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
