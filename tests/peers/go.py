"""Runs ``peer`` processes and reads their logs as evidence.

A Go node says what it knows in its log and nowhere else, so a test waits for
lines (the words are in README.md) and never for time to pass.  Fixtures that hand
these objects out are in ``conftest.py``.
"""

from __future__ import annotations

import asyncio
import random
import re
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["GoNode", "Peers", "free_address"]

PATIENCE: Final = 15.0  # seconds until a line that should come counts as missing


def free_address() -> str:
    """Return a loopback address that nobody listens on.

    It lies below the ports that the kernel gives to outgoing connections, which
    could otherwise take it before its node has started.
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
    raise AssertionError(message)


class GoNode:
    """One ``peer`` process, owned by :class:`Peers`.

    Attributes:
        address: Its cluster address, or of a single node where clients connect.
        lines: What it has logged so far.
    """

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.address = address
        self.lines: list[str] = []
        self._process = process
        self._changed = asyncio.Condition()
        self._reader = asyncio.create_task(self._read(), name=f"log of {address}")

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            async with self._changed:
                self.lines.append(line.decode().rstrip())
                self._changed.notify_all()

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
                log = "\n".join(self.lines)
                message = f"{self.address} never logged {pattern!r}; its log:\n{log}"
                raise AssertionError(message) from None
        return found()

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal if the process still runs, and return its exit code."""
        if self._process.returncode is None:
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


class Peers:
    """Starts ``peer`` processes and ends all of them with the test."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._nodes: list[GoNode] = []

    async def start(self, role: str, *options: str) -> GoNode:
        """Start a node on a free address and wait until it serves.

        Args:
            role: ``master``, ``backend``, ``gate`` or ``single``.
            options: What else the command line gets; a member needs ``--master``.
        """
        address = free_address()
        node = await self._run([role, "--listen", address, *options], address)
        await node.logged(r"Startup \*Nano")
        return node

    async def check(self, client_address: str, *options: str) -> list[str]:
        """Run the checking client and return its log; all checks must pass."""
        client = await self._run(
            ["client", "--addr", client_address, *options], "client"
        )
        code = await client.wait()
        assert code == 0, "\n".join(client.lines)
        return client.lines

    async def _run(self, arguments: Sequence[str], address: str) -> GoNode:
        process = await asyncio.create_subprocess_exec(
            self._program, *arguments, stderr=asyncio.subprocess.PIPE
        )
        node = GoNode(process, address)
        self._nodes.append(node)
        return node

    async def stop(self) -> None:
        """End every process, the members before their master."""
        for node in reversed(self._nodes):
            await node.stop()
