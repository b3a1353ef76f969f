"""Programs of Node.js, run beside nodes of this process."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["NodeJs", "Program", "find_node"]

OLDEST: Final = 20
WITH_WEBSOCKET: Final = 22  # older ones have it behind a flag
SECONDS: Final = 60.0  # that a program gets for whatever it is waited for


class Program:
    """A running program, and what it says line by line on its standard output."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[str] = []

    async def until(self, text: str) -> None:
        """Wait for a line that begins with *text*."""
        await self._hear(text)
        assert self.said[-1].startswith(text), f"it ended before {text!r}: {self}"

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ended(self) -> str:
        """Wait for its end, which must be a good one; return all that it has said."""
        await self._hear(None)
        assert await self._process.wait() == 0, str(self)
        return str(self)

    async def _hear(self, text: str | None) -> None:
        """Note what it says, up to a line that begins with *text* or to its end."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(SECONDS):
                while line := (await self._process.stdout.readline()).decode():
                    self.said.append(line.rstrip("\n"))
                    if text is not None and line.startswith(text):
                        return
        except TimeoutError:
            await self.stop()
            raise AssertionError(f"not in {SECONDS:g} s; it said:\n{self}") from None

    def __str__(self) -> str:
        return "\n".join(self.said)

    async def stop(self) -> None:
        """Kill it, if it runs."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()


@dataclass(frozen=True, slots=True)
class NodeJs:
    """An installation of Node.js.

    Attributes:
        path: The executable.
        major: Its version.
    """

    path: str
    major: int

    @property
    def flags(self) -> list[str]:
        """What it needs to have a WebSocket."""
        return [] if self.major >= WITH_WEBSOCKET else ["--experimental-websocket"]

    async def start(self, *args: str | Path, env: Mapping[str, str]) -> Program:
        """Start a program; its errors appear in what it says."""
        process = await asyncio.create_subprocess_exec(
            self.path,
            "--no-warnings",
            *self.flags,
            *args,
            env={**os.environ, **env},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
        )
        return Program(process)

    async def run(self, *args: str | Path, env: Mapping[str, str] | None = None) -> str:
        """Run a program to its good end; return what it has said."""
        return await (await self.start(*args, env=env or {})).ended()


def find_node() -> NodeJs | None:
    """Return the machine's Node.js, if it has one that is not too old."""
    path = shutil.which("node")
    if path is None:
        return None
    done = subprocess.run(
        [path, "--version"], capture_output=True, text=True, timeout=30, check=True
    )
    major = int(done.stdout.removeprefix("v").partition(".")[0])
    return NodeJs(path, major) if major >= OLDEST else None
