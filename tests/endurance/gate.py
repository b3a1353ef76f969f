"""A real gate with its master, each a process, as a pod runs them."""

from __future__ import annotations

import contextlib
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import trustme
from prometheus_client.parser import text_string_to_metric_families

from nano.client import Client, connect
from nano.local.ports import free_ports
from nano_manifest import (
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
    Tls,
    dumps,
)
from tests.listening import put_certificate

__all__ = ["CODES", "Gate", "running_gate"]

APP_DIR: Final = Path(__file__).parent / "app"
SECONDS_TO_START: Final = 30.0
AUTHORITY: Final = trustme.CA()
CODES: Final = {"Yard.hello": 1, "Yard.echo": 2, "onPush": 300}


class Gate:
    """A gate that runs; made by :func:`running_gate`.

    Attributes:
        tcp: Its address for clients by TCP, host and port.
        websocket: The same for WebSocket.
        tls: The same for TCP with TLS.
        trusting: What clients believe under TLS.
        pid: Its process.
    """

    def __init__(self, pid: int, ports: Sequence[int], observe: str, log: Path) -> None:
        self.tcp, self.websocket, self.tls = (("127.0.0.1", port) for port in ports)
        self.trusting = ssl.create_default_context()
        AUTHORITY.configure_trust(self.trusting)
        self.pid = pid
        self._observe = observe
        self._log = log

    @property
    def log(self) -> str:
        """All that it has logged; at this level a healthy gate says nothing."""
        return self._log.read_text()

    def closed(self) -> Counter[str]:
        """Return how many connections have ended, by reason."""
        counts: Counter[str] = Counter()
        with urllib.request.urlopen(
            f"http://{self._observe}/metrics", timeout=10
        ) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "nano_connections_closed_total":
                    counts[sample.labels["reason"]] += int(sample.value)
        return counts

    async def client(self, transport: str = "tcp") -> Client:
        """Connect a client that behaves."""
        scheme = "tcp" if transport == "tcp" else "ws"
        host, port = self.tcp if transport == "tcp" else self.websocket
        return await connect(f"{scheme}://{host}:{port}")


def _manifest(
    settings: Mapping[str, float], certificate: Tls, tcp: int, websocket: int, tls: int
) -> NanoCluster:
    return NanoCluster(
        metadata=Metadata(name="yard"),
        spec=Spec(
            settings=Settings(log_level="warning", **settings),  # type: ignore[arg-type]
            gates=Gates(
                replicas=1,
                components=["yard:Yard"],
                listeners=[
                    Listener(name="tcp", transport="tcp", port=tcp, dictionary=CODES),
                    Listener(
                        name="ws",
                        transport="websocket",
                        port=websocket,
                        dictionary=CODES,
                    ),
                    Listener(
                        name="tls",
                        transport="tcp",
                        port=tls,
                        dictionary=CODES,
                        tls=certificate,
                    ),
                ],
            ),
        ),
    )


@contextlib.contextmanager
def running_gate(**settings: float) -> Iterator[Gate]:
    """Run a gate until the block ends.

    Args:
        settings: Fields of the manifest's ``spec.settings``.
    """
    ports = free_ports(7)
    master, address, observe, watch = (f"127.0.0.1:{port}" for port in ports[:4])
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "cluster.yaml"
        cert, key = put_certificate(folder, AUTHORITY)
        certificate = Tls(cert_file=str(cert), key_file=str(key))
        file.write_text(dumps(_manifest(settings, certificate, *ports[4:])))

        def start(role: str, *options: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "nano.cli", "node", "--role", role]
            command += ["--manifest", str(file), "--app-dir", str(APP_DIR), *options]
            log = stack.enter_context((folder / role).open("wb"))
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(_stop, process)
            return process

        first = start("master", "--address", master, "--observe", watch)
        _wait(watch, first, folder / "master")
        second = start(
            *("gate", "--master", master, "--address", address, "--observe", observe)
        )
        _wait(observe, second, folder / "gate")
        yield Gate(second.pid, ports[4:], observe, folder / "gate")


def _wait(observe: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the node is ready."""
    deadline = time.monotonic() + SECONDS_TO_START
    while not _ready(observe):
        if process.poll() is not None or time.monotonic() > deadline:
            message = f"a node did not start:\n{log.read_text()}"
            raise AssertionError(message)
        time.sleep(0.05)


def _ready(observe: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{observe}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # it need not drain
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
