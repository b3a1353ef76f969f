"""The two sides: which processes each starts for a way through the nodes.

Both serve the route ``EchoService.echo`` with the same work: decode the payload into
an object, make another one, encode it; ``RoomService.say`` does so for a group.  Ours
runs with metrics, heartbeats and both HTTP ports on, as in production; Go nano with
its debug mode and log off.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from bench.certificates import Certificate
from bench.cores import Cores
from bench.processes import BenchError, Servers, accepts, free_address
from bench.rows import Client, Format, Setup, Way

__all__ = ["WS_PATH", "Contender", "GoNano", "Ours"]

WS_PATH: Final = "/nano"
COMPONENTS: Final = {
    Format.JSON: ["echo:EchoService"],
    Format.PROTOBUF: ["echo_protobuf:EchoService", "room:RoomService"],
}
ROOT: Final = Path(__file__).resolve().parents[1]


class Contender(Protocol):
    """One side of the comparison."""

    name: str

    def start(self, setup: Setup, cores: Cores, servers: Servers) -> str:
        """Start the servers and return the address where clients connect."""


class GoNano:
    """Nodes of Go nano, by the program of ``tests/peers``."""

    name = "Go nano"

    def __init__(self, program: Path, certificate: Certificate) -> None:
        self._program = str(program)
        self._certificate = certificate

    def start(self, setup: Setup, cores: Cores, servers: Servers) -> str:
        """Start a single node, or master, backend and gate."""
        if setup.way is Way.ONE_NODE:
            clients = free_address()
            command = [self._program, "single", *_common(setup), *self._outer(setup)]
            servers.start(
                "single",
                [*command, "--listen", clients],
                core=cores.gate,
                ready=lambda: accepts(clients),
            )
            return clients
        master = free_address()
        command = [self._program, "master", "--bench", "--listen", master]
        servers.start(
            "master", command, core=cores.backend, ready=lambda: accepts(master)
        )
        # Nodes of Go nano that register at the same time never learn of each other
        self.backend(setup, cores, servers, master)
        return self.gate(setup, cores, servers, master)

    def backend(
        self, setup: Setup, cores: Cores, servers: Servers, master: str
    ) -> None:
        """Start a backend in the cluster of *master*."""
        member = [*_common(setup), "--master", master, "--listen", free_address()]
        servers.start(
            "backend",
            [self._program, "backend", *member],
            core=cores.backend,
            ready=lambda: "AfterInit" in servers.log("backend").read_text(),
        )

    def gate(self, setup: Setup, cores: Cores, servers: Servers, master: str) -> str:
        """Start a gate in the cluster of *master*; return where clients connect."""
        clients = free_address()
        member = [*_common(setup), "--master", master, "--listen", free_address()]
        servers.start(
            "gate",
            [self._program, "gate", *self._outer(setup), "--client", clients, *member],
            core=cores.gate,
            ready=lambda: accepts(clients),
        )
        return clients

    def _outer(self, setup: Setup) -> list[str]:
        """Return the options of who has clients."""
        outer: list[str] = []
        if setup.client is not Client.TCP:
            outer += ["--ws", "--ws-path", WS_PATH]
        if setup.client is Client.TLS:
            outer += ["--cert", str(self._certificate.chain)]
            outer += ["--key", str(self._certificate.key)]
        return outer


def _common(setup: Setup) -> list[str]:
    return ["--bench", "--serializer", setup.format.value]


class Ours:
    """Our nodes, by ``nanoctl node`` and a manifest made for the run.

    Args:
        folder: Where the manifest is written.
        certificate: What a listener with TLS shows.
        go: Who starts the node of Go nano where one of them is part of the way.
        prefix: What stands before the commands of nodes that handle messages.
        components: What these nodes run beside what is measured.
        counting: Whether these nodes count, as they do everywhere else.

    Attributes:
        name: What this side is called.
    """

    def __init__(
        self,
        folder: Path,
        certificate: Certificate,
        go: GoNano,
        *,
        prefix: Sequence[str] = (),
        components: Sequence[str] = (),
        counting: bool = True,
    ) -> None:
        self.name = "ours" if counting else "uncounted"
        self._program = [sys.executable]
        if not counting:
            self._program += [str(ROOT / "bench" / "uncounted.py")]
        self._folder = folder
        self._certificate = certificate
        self._go = go
        self._prefix = tuple(prefix)
        self._components = list(components)
        self._nanoctl = f"{sysconfig.get_path('scripts')}/nanoctl"
        if not Path(self._nanoctl).exists():
            message = f"{self._nanoctl} is missing: install the project here first"
            raise BenchError(message)

    def start(self, setup: Setup, cores: Cores, servers: Servers) -> str:
        """Start a master and what else is ours on the way, and what is Go nano's."""
        clients, master = free_address(), free_address()
        manifest = self._folder / f"{setup.title}.yaml"
        manifest.write_text(yaml.safe_dump(self._manifest(setup, clients)))
        node = [self._nanoctl, "node", "--manifest", str(manifest)]
        node += ["--app-dir", str(ROOT / "bench" / "components")]
        member = [*self._prefix, *self._program, *node, "--master", master]
        keeper = [sys.executable, *node]
        self._start(servers, "master", keeper, cores.backend, master)
        if setup.way is Way.GO_BACKEND:
            self._go.backend(setup, cores, servers, master)
        elif setup.way is not Way.ONE_NODE:
            backend = [*member, "--backend", "echo"]
            self._start(servers, "backend", backend, cores.backend, free_address())
        if setup.way is Way.GO_GATE:
            return self._go.gate(setup, cores, servers, master)
        self._start(servers, "gate", member, cores.gate, free_address())
        return clients

    def _start(
        self,
        servers: Servers,
        role: str,
        command: list[str],
        core: int | None,
        address: str,
    ) -> None:
        observe = free_address()
        command = [*command, "--role", role, "--address", address]
        command += ["--observe", observe]
        servers.start(role, command, core=core, ready=lambda: _ready(observe))

    def _manifest(self, setup: Setup, clients: str) -> dict[str, object]:
        port = int(clients.rpartition(":")[2])
        listener: dict[str, object] = {"name": "clients", "port": port}
        if setup.client is Client.TCP:
            listener |= {"transport": "tcp"}
        else:
            listener |= {"transport": "websocket", "path": WS_PATH}
        if setup.client is Client.TLS:
            files = self._certificate
            listener["tls"] = {"certFile": str(files.chain), "keyFile": str(files.key)}
        gates: dict[str, object] = {"replicas": 1, "listeners": [listener]}
        backends: list[dict[str, object]] = []
        components = COMPONENTS[setup.format] + self._components
        if setup.way is Way.ONE_NODE:
            gates["components"] = components
        else:
            gates["components"] = self._components
            backends.append({"name": "echo", "components": components})
        return {
            "apiVersion": "nanocluster.io/v1alpha1",
            "kind": "NanoCluster",
            "metadata": {"name": "bench"},
            "spec": {
                "gates": gates,
                "backends": backends,
                "settings": {"serializer": setup.format.value},
            },
        }


def _ready(observe: str) -> bool:
    try:
        with urlopen(f"http://{observe}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
