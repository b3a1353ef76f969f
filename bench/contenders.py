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
        clients = free_address()
        common = ["--bench", "--serializer", setup.format.value]
        outer: list[str] = []
        if setup.client is not Client.TCP:
            outer += ["--ws", "--ws-path", WS_PATH]
        if setup.client is Client.TLS:
            outer += ["--cert", str(self._certificate.chain)]
            outer += ["--key", str(self._certificate.key)]
        if setup.way is Way.ONE_NODE:
            command = [self._program, "single", *common, *outer, "--listen", clients]
            servers.start(
                "single", command, core=cores.gate, ready=lambda: accepts(clients)
            )
            return clients
        master, gate = free_address(), free_address()
        command = [self._program, "master", "--bench", "--listen", master]
        servers.start(
            "master", command, core=cores.backend, ready=lambda: accepts(master)
        )
        # Nodes of Go nano that register at the same time never learn of each other
        member = [*common, "--master", master, "--listen"]
        servers.start(
            "backend",
            [self._program, "backend", *member, free_address()],
            core=cores.backend,
            ready=lambda: "AfterInit" in servers.log("backend").read_text(),
        )
        servers.start(
            "gate",
            [self._program, "gate", *outer, "--client", clients, *member, gate],
            core=cores.gate,
            ready=lambda: accepts(clients),
        )
        return clients


class Ours:
    """Our nodes, by ``nanoctl node`` and a manifest made for the run.

    Args:
        folder: Where the manifest is written.
        certificate: What a listener with TLS shows.
        prefix: What stands before the commands of nodes that handle messages.
        components: What these nodes run beside what is measured.
    """

    name = "ours"

    def __init__(
        self,
        folder: Path,
        certificate: Certificate,
        *,
        prefix: Sequence[str] = (),
        components: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._certificate = certificate
        self._prefix = tuple(prefix)
        self._components = list(components)
        self._nanoctl = f"{sysconfig.get_path('scripts')}/nanoctl"
        if not Path(self._nanoctl).exists():
            message = f"{self._nanoctl} is missing: install the project here first"
            raise BenchError(message)

    def start(self, setup: Setup, cores: Cores, servers: Servers) -> str:
        """Start a master and a gate with the component, or a backend as well."""
        clients, master = free_address(), free_address()
        manifest = self._folder / f"{setup.title}.yaml"
        manifest.write_text(yaml.safe_dump(self._manifest(setup, clients)))
        node = [sys.executable, self._nanoctl, "node", "--manifest", str(manifest)]
        node += ["--app-dir", str(ROOT / "bench" / "components")]
        member = [*self._prefix, *node, "--master", master]
        self._start(servers, "master", node, cores.backend, master)
        if setup.way is Way.GATE_BACKEND:
            backend = [*member, "--backend", "echo"]
            self._start(servers, "backend", backend, cores.backend, free_address())
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
