"""Server processes: pinned, logged to a file, waited for, and always ended.

This module knows how to run a program and nothing about what it serves;
:mod:`bench.contenders` says which programs, in which order.
"""

from __future__ import annotations

import os
import random
import resource
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = [
    "BenchError",
    "Servers",
    "accepts",
    "free_address",
    "on_core",
    "raise_file_limit",
]

PATIENCE: Final = 60.0  # seconds for a server to get ready; some run under valgrind
STOPPING: Final = 10.0  # seconds from SIGTERM to SIGKILL


class BenchError(Exception):
    """The measurement cannot go on; the text says why."""


def free_address() -> str:
    """Return a loopback address nobody listens on.

    It is below the ports that outgoing connections are given, of which the load
    takes thousands.
    """
    for _ in range(100):
        port = random.randint(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return f"127.0.0.1:{port}"
    message = "no free port between 20000 and 32000"
    raise BenchError(message)


def accepts(address: str) -> bool:
    """Whether somebody listens on *address*."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Give what is started inside one core: a child inherits its parent's cores."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_file_limit() -> None:
    """Let servers have as many connections as the machine allows at all."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Servers:
    """The processes of one contender, started one after the other.

    Used as a context: leaving it ends them, the last one first, whatever happened.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder  # of the logs, and of what else a contender writes
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        core: int | None,
        ready: Callable[[], bool],
    ) -> None:
        """Start a server on *core* and wait until *ready* says so.

        Raises:
            BenchError: It ended, or was not ready in time; with the end of its log.
        """
        # one core is one thread of Go code; our processes have one anyway
        environment = {**os.environ, "GOMAXPROCS": "1", "NANO_DRAIN_SECONDS": "0"}
        if "PYTHONPATH" in environment:  # they work elsewhere, and import as we do
            folders = environment["PYTHONPATH"].split(os.pathsep)
            environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, folders))
        with self.log(name).open("wb") as log, on_core(core):
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=self._folder
            )
        self._running.append((name, process))
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if process.poll() is not None:
                raise BenchError(self._story(name, f"ended with {process.returncode}"))
            if time.monotonic() > deadline:
                raise BenchError(
                    self._story(name, f"was not ready in {PATIENCE:.0f} s")
                )
            time.sleep(0.05)

    def log(self, name: str) -> Path:
        """Where the server called *name* logs to."""
        return self._folder / f"{name}.log"

    @property
    def processes(self) -> list[int]:
        """The ids of the servers' processes."""
        return [process.pid for _, process in self._running]

    def check(self) -> None:
        """Make sure that all servers still run.

        Raises:
            BenchError: One has ended.
        """
        for name, process in self._running:
            if process.poll() is not None:
                raise BenchError(self._story(name, f"ended with {process.returncode}"))

    def _story(self, name: str, what: str) -> str:
        tail = self.log(name).read_text(errors="replace").splitlines()[-20:]
        return "\n  ".join([f"{name} {what}; the end of its log:", *tail])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for _, process in reversed(self._running):
            process.terminate()
            try:
                process.wait(STOPPING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
