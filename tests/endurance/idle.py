"""Hold many connections that do nothing, and see what each costs a gate.

``python -m tests.endurance.idle [--connections 10000]``, or ``make endurance``.
Clients shake hands by TCP and then are quiet; what a gate's resident memory has grown
by is divided by their number, and must be at most 6 KiB.  The same is printed for
WebSocket, and for a Go nano node by both, if the Go toolchain is there to build one.

What the kernel holds for a socket is not part of it: it belongs to no process.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.peers.build import BuildError, build
from tests.peers.process import free_address

from .gate import running_gate
from .guest import GREETING, UPGRADE, frame

__all__ = ["MOST", "cost_of_one", "many_files", "memory"]

MOST: Final = 6 * 1024  # bytes a connection
FIRST: Final = 500  # connections that are not counted: the process grows into its work
HEARTBEAT: Final = 300.0  # seconds; nobody speaks before all is measured
SECONDS_TO_START: Final = 30.0


def many_files() -> int:
    """Let this process and those that it starts open as many files as they may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def memory(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def _greeted(address: tuple[str, int], websocket: bool) -> socket.socket:
    """Return a connection that has shaken hands."""
    sock = socket.create_connection(address, timeout=20)
    if websocket:
        sock.sendall(UPGRADE)
        _hear(sock, b"\r\n\r\n")  # Go nano refuses frames that come with the upgrade
    sock.sendall(frame(GREETING) if websocket else GREETING)
    _hear(sock, b'"code":200')
    return sock


def _hear(sock: socket.socket, wanted: bytes) -> None:
    heard = b""
    while wanted not in heard:
        data = sock.recv(4096)
        assert data, f"closed after {heard!r}"
        heard += data


def cost_of_one(
    pid: int, address: tuple[str, int], connections: int, *, websocket: bool = False
) -> float:
    """Connect *connections* times; return the memory that each has cost, in bytes."""
    with contextlib.ExitStack() as stack:
        for _ in range(FIRST):
            stack.enter_context(_greeted(address, websocket))
        before = memory(pid)
        for _ in range(connections):
            stack.enter_context(_greeted(address, websocket))
        return (memory(pid) - before) / connections


@dataclass(frozen=True, slots=True)
class GoNano:
    """A Go nano node.

    Attributes:
        pid: Its process.
        address: Where its clients connect.
    """

    pid: int
    address: tuple[str, int]


@contextlib.contextmanager
def go_nano(program: Path, *options: str) -> Iterator[GoNano]:
    """Run a single node of Go nano until the block ends."""
    host, _, port = free_address().rpartition(":")
    heartbeat = f"{HEARTBEAT:.0f}s"
    command = [str(program), "single", "--listen", f"{host}:{port}"]
    process = subprocess.Popen(
        [*command, "--heartbeat", heartbeat, *options], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((host, port)):
                break
            time.sleep(0.05)
        yield GoNano(process.pid, (host, int(port)))
    finally:
        process.terminate()
        process.wait(10)


def _ours(connections: int, *, websocket: bool) -> float:
    with running_gate(client_heartbeat_seconds=HEARTBEAT) as gate:
        address = gate.websocket if websocket else gate.tcp
        return cost_of_one(gate.pid, address, connections, websocket=websocket)


def _go(connections: int, program: Path, *, websocket: bool) -> float:
    with go_nano(program, *(["--ws"] if websocket else [])) as node:
        return cost_of_one(node.pid, node.address, connections, websocket=websocket)


def main() -> int:
    """Run as the command line says; print the figures; 1 if one is too large."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        prog="python -m tests.endurance.idle",
    )
    parser.add_argument("--connections", type=int, default=10_000)
    args = parser.parse_args()
    files = many_files()
    connections = min(args.connections, files - FIRST - 200)
    if connections < args.connections:
        print(f"only {connections}: a process may open {files} files here (ulimit -n)")

    def show(name: str, cost: float) -> None:
        each = f"{cost / 1024:6.2f} KiB a connection"
        print(f"{name:20} {each}, of {connections}", flush=True)

    tcp = _ours(connections, websocket=False)
    show("TCP", tcp)
    show("WebSocket", _ours(connections, websocket=True))
    try:
        program = build("peer")
    except BuildError as problem:
        print(f"Go nano: {problem}")
    else:
        show("Go nano, TCP", _go(connections, program, websocket=False))
        show("Go nano, WebSocket", _go(connections, program, websocket=True))
    return 1 if tcp > MOST else 0


if __name__ == "__main__":
    sys.exit(main())
