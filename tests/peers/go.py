"""Runs ``peer`` processes: real nano nodes, and their checking client.

A Go node says what it knows in its log and nowhere else; the words are in
README.md.  Fixtures that hand these objects out are in ``conftest.py``.
"""

from __future__ import annotations

from pathlib import Path

from .process import LoggedProcess, free_address

__all__ = ["GoNode", "Peers"]


class GoNode:
    """One ``peer`` process, owned by :class:`Peers`.

    Attributes:
        address: Its cluster address, or of a single node where clients connect.
        process: The process and its log.
    """

    def __init__(self, address: str, process: LoggedProcess) -> None:
        self.address = address
        self.process = process
        self.logged = process.logged
        self.stop = process.stop


class Peers:
    """Starts ``peer`` processes and ends all of them with the test."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._processes: list[LoggedProcess] = []

    async def start(self, role: str, *options: str, address: str = "") -> GoNode:
        """Start a node, on a free address unless given, and wait until it serves.

        Args:
            role: ``master``, ``backend``, ``gate`` or ``single``.
            options: What else the command line gets; a member needs ``--master``.
            address: Its cluster address.
        """
        address = address or free_address()
        process = await self._run(role, "--listen", address, *options)
        await process.logged(r"Startup \*Nano")
        return GoNode(address, process)

    async def check(self, client_address: str, *options: str) -> None:
        """Run the checking client; all its checks must pass."""
        client = await self._run("client", "--addr", client_address, *options)
        code = await client.wait()
        assert code == 0, client.log

    async def _run(self, role: str, *options: str) -> LoggedProcess:
        command = [str(self._program), role, *options]
        process = await LoggedProcess.run(command, f"Go {role}")
        self._processes.append(process)
        return process

    async def stop(self) -> None:
        """End every process, the members before their master."""
        for process in reversed(self._processes):
            await process.stop()
