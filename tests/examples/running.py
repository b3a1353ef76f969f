"""An example as its README starts it: ``nanoctl up``, on other ports."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

__all__ = ["SECONDS", "Running", "running"]

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 100.0
LARGEST_READ: Final = 65_536


class Running:
    """A cluster of processes, under ``nanoctl up``."""

    def __init__(self, up: subprocess.Popen[bytes]) -> None:
        self._up = up
        self.said = ""

    def wait_for(self, pattern: str, after: int = 0) -> re.Match[str]:
        """Wait until what is said, from *after* on, has *pattern*."""
        deadline = time.monotonic() + SECONDS
        while not (found := re.compile(pattern).search(self.said, after)):
            more = self._read(deadline)
            assert more, self.said
            self.said += more
        return found

    def _read(self, deadline: float) -> str:
        assert self._up.stdout is not None
        left = max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([self._up.stdout], [], [], left)
        assert ready, f"nothing more is said in time:\n{self.said}"
        data = os.read(self._up.stdout.fileno(), LARGEST_READ)
        return data.decode(errors="replace")

    def kill(self, node: str) -> str:
        """Kill the process of the node at the address *node*; return its name."""
        name, pid = re.findall(
            rf"(\S+): pid (\d+), node {re.escape(node)},", self.said
        )[-1]
        os.kill(int(pid), signal.SIGKILL)
        return str(name)

    def stop(self) -> None:
        """Stop it, as Ctrl-C does."""
        self._up.send_signal(signal.SIGINT)
        deadline = time.monotonic() + SECONDS
        while more := self._read(deadline):
            self.said += more
        assert self._up.wait(SECONDS) == 0, self.said


def lay_out(example: Path, app: Path) -> Path:
    """Copy to *app* what the Dockerfile of *example* copies to ``/app``."""
    lines = re.findall(
        r"^COPY (\S+) /app/(\S*)$", (example / "Dockerfile").read_text(), re.M
    )
    assert lines
    leave = shutil.ignore_patterns("__pycache__", "node_modules")
    app.mkdir(parents=True)
    for source, target in lines:
        # from the root of the checkout, or from the example's own folder
        found = next(it for it in (ROOT / source, example / source) if it.exists())
        if found.is_dir():
            shutil.copytree(found, app / target, ignore=leave)
        else:
            shutil.copy(found, app / (target or found.name))
    return app


@contextlib.contextmanager
def running(
    example: str,
    folder: Path,
    ports: Mapping[int, int],
    env: Mapping[str, str] | None = None,
    *options: str,
) -> Iterator[Running]:
    """Run a copy of *example* in *folder*, laid out as in its image.

    Args:
        example: Its folder in ``examples``.
        folder: Where the copy goes.
        ports: What stands for the ports of its manifest.
        env: What is added to the environment.
        options: More options of ``nanoctl up``.
    """
    app = lay_out(ROOT / "examples" / example, folder / example)
    manifest = app / "cluster.yaml"
    text = (ROOT / "examples" / example / "cluster.yaml").read_text()
    for usual, other in ports.items():
        assert f"port: {usual}" in text
        text = text.replace(f"port: {usual}", f"port: {other}")
    manifest.write_text(text)
    up = subprocess.Popen(
        [sys.executable, "-m", "nano.cli", "up", "-f", str(manifest), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(env or {})},
        process_group=0,
    )
    try:
        cluster = Running(up)
        cluster.wait_for("is ready after")
        cluster.wait_for("Ctrl-C stops")
        yield cluster
        cluster.stop()
    finally:
        up.kill()
        up.wait()
        assert up.stdout is not None
        up.stdout.close()
