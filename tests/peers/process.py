"""Runs a program and reads its log as evidence.

A test waits for what a process says, and never for time to pass.
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from nano.local.ports import free_ports

__all__ = ["PATIENCE", "LoggedProcess", "free_address"]

PATIENCE: Final = 15.0  # seconds until what should come counts as missing


def free_address() -> str:
    """Return a loopback address that nobody listens on.

    It lies below the ports that the kernel gives to outgoing connections, which
    could otherwise take it before its node has started.
    """
    return f"127.0.0.1:{free_ports(1)[0]}"


class LoggedProcess:
    """A process whose standard error is read line by line.

    Owned by who starts it, who also stops it.

    Attributes:
        lines: What it has logged so far.
    """

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self.lines: list[str] = []
        self._name = name
        self._process = process
        self._changed = asyncio.Condition()
        self._reader = asyncio.create_task(self._read(), name=f"log of {name}")

    @classmethod
    async def run(cls, command: Sequence[str | Path], name: str) -> Self:
        """Start *command*; *name* stands for it in messages."""
        process = await asyncio.create_subprocess_exec(
            *command, stderr=asyncio.subprocess.PIPE
        )
        return cls(process, name)

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            async with self._changed:
                self.lines.append(line.decode().rstrip())
                self._changed.notify_all()

    @property
    def log(self) -> str:
        """Everything it has logged."""
        return "\n".join(self.lines)

    async def logged(self, pattern: str, *, count: int = 1) -> list[str]:
        """Wait until *count* lines match the regular expression; return them."""
        expression = re.compile(pattern)

        def found() -> list[str]:
            return [line for line in self.lines if expression.search(line)]

        async with self._changed:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._changed.wait_for(lambda: len(found()) >= count)
            except TimeoutError:
                message = f"{self._name} never logged {pattern!r}; its log:\n{self.log}"
                raise AssertionError(message) from None
        return found()

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.returncode is not None

    def send(self, which: signal.Signals) -> None:
        """Send a signal that does not end the process."""
        self._process.send_signal(which)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal if the process still runs, and return its exit code."""
        if not self.ended:
            self._process.send_signal(how)
        return await self.wait()

    async def wait(self) -> int:
        """Wait for the process to end, by force after the usual patience."""
        try:
            async with asyncio.timeout(PATIENCE):
                code = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            code = await self._process.wait()
        await self._reader
        return code
