"""Nodes as processes, as a pod or a laptop runs them: `nanoctl node`."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from nano.client import connect
from nano.errors import RequestError
from nano.local.ports import free_ports
from nano_manifest import NanoCluster, dumps

from .clusters import APP_DIR, manifest, until

pytestmark = pytest.mark.process

SECONDS_TO_END = 15.0


class Processes:
    """The nodes of a test, each a process; all are ended with it."""

    def __init__(self, folder: Path) -> None:
        self.manifest = folder / "cluster.yaml"
        self.write(manifest())
        self.running: list[subprocess.Popen[str]] = []

    def write(self, cluster: NanoCluster) -> None:
        self.manifest.write_text(dumps(cluster))

    def start(self, *args: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "nano.cli", "node", *args]
        command += ["--manifest", str(self.manifest), "--app-dir", APP_DIR]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.running.append(process)
        return process

    def stop(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.stop()


def ready(observe: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{observe}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end; return the exit code and all output."""
    output, _ = process.communicate(timeout=SECONDS_TO_END)
    return process.returncode, output


async def test_nodes_serve_and_go_at_once_where_they_do_not_drain(
    processes: Processes,
) -> None:
    ports = free_ports(8)
    processes.write(manifest(ws=ports[6], tcp=ports[7]))
    master, gate, backend = (f"127.0.0.1:{port}" for port in ports[:3])
    observe = [f"127.0.0.1:{port}" for port in ports[3:6]]
    nodes = [
        processes.start(
            "--role", "master", "--address", master, "--observe", observe[0]
        ),
        processes.start(
            *("--role", "backend", "--backend", "talk", "--master", master),
            *("--address", backend, "--observe", observe[1], "--drain-seconds", "0"),
        ),
        processes.start(
            *("--role", "gate", "--master", master),
            *("--address", gate, "--observe", observe[2], "--drain-seconds", "0"),
        ),
    ]
    async with asyncio.timeout(30):
        while not all(ready(address) for address in observe):
            assert [node.poll() for node in nodes] == [None] * 3
            await asyncio.sleep(0.05)
    async with await connect(f"ws://127.0.0.1:{ports[6]}/") as client:
        answer = await client.request("Talk.echo", {"text": "x"})
        assert answer == {"text": "x", "node": backend}
        waits: list[str] = []
        client.on("onWait", waits.append)
        in_flight = asyncio.create_task(client.request("Talk.forever", None))
        await until(lambda: waits)
        nodes[1].send_signal(signal.SIGTERM)
        with pytest.raises(RequestError) as refused:
            await in_flight
        assert refused.value.status == 503
        nodes[2].send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await client.wait_closed() == "the server is going away"
    nodes[0].send_signal(signal.SIGINT)
    for node in nodes:
        code, output = ended(node)
        assert code == 0, output
        assert "Traceback" not in output
        assert "Warning" not in output


def test_a_node_that_waits_for_its_master_goes_on_sigterm(
    processes: Processes,
) -> None:
    master, address, observe = (f"127.0.0.1:{port}" for port in free_ports(3))
    node = processes.start(
        *("--role", "gate", "--master", master),
        *("--address", address, "--observe", observe),
    )
    assert node.stdout is not None
    for line in node.stdout:
        if "waiting for the master" in line:
            break
    assert not ready(observe)
    node.send_signal(signal.SIGTERM)
    code, output = ended(node)
    assert code == 0, output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (
            ["--role", "backend", "--backend", "shop", "--master", "127.0.0.1:1"],
            "the manifest has no backend 'shop'; it has: talk",
        ),
        (["--role", "gate"], "--master"),
    ],
)
def test_a_usage_error_is_exit_code_2_without_a_traceback(
    processes: Processes, args: list[str], text: str
) -> None:
    code, output = ended(processes.start(*args, "--address", "127.0.0.1:0"))
    assert code == 2
    assert text in output
    assert "Traceback" not in output
