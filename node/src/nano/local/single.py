"""All roles in one process: what ``nanoctl up --single`` runs.

One gate and one backend of each kind, whatever ``replicas`` say, with links in memory
(:mod:`nano.local.together`); there is no master, for nobody has to be found.  It starts
in the time of one process and needs the memory of one.  To those who look from outside
it is one node of several processes (:mod:`nano.admin.processes`), each of which is
called by its role or kind.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from nano.admin import AdminServer
from nano.admin.processes import Process, Processes
from nano.local.together import OneProcess, Together
from nano.node import Node, NodeOptions, Role
from nano_manifest import NanoCluster

__all__ = ["run_single"]

logger = logging.getLogger(__name__)

NOWHERE: Final = "together"  # where a node of the meeting finds its master


def run_single(options: NodeOptions) -> None:
    """Run a cluster in this process until SIGTERM or SIGINT.

    Args:
        options: As those of its gate; the observe and control addresses are those of
            the whole.

    Raises:
        UsageError: Something in the options cannot be done.
    """
    import uvloop

    with tempfile.TemporaryDirectory(prefix="nano-") as folder:
        uvloop.run(_Single(options, Path(folder)).main())


def kinds(cluster: NanoCluster) -> list[tuple[str, Role]]:
    """Return the nodes of *cluster* in one process, backends first."""
    backends = [(item.name, Role.BACKEND) for item in cluster.spec.backends]
    return [*backends, ("gate", Role.GATE)]


class _Single:
    """One run, from the first node to the last."""

    def __init__(self, options: NodeOptions, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._kinds = kinds(options.manifest)
        self._processes = Processes(self._look, options.labels)
        self._processes.reason = "starting"
        self._stop_wanted = asyncio.Event()

    async def main(self) -> None:
        """Start, serve until told to stop, stop; the gate first."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop_wanted.set)
        options = self._options
        admin = AdminServer(
            self._processes,
            observe=options.observe,
            control=options.control,
            token=options.token,
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(admin.stop)
            await admin.start()
            meeting = Together()
            stack.push_async_callback(meeting.stop)
            for name, role in self._kinds:
                node = Node(self._options_of(name, role), OneProcess(meeting))
                stack.push_async_callback(node.stop)
                await node.start()
            self._processes.reason = None
            logger.info("all of %s is ready in one process", ", ".join(self._names))
            await self._stop_wanted.wait()
            self._processes.reason = "stopping"

    @property
    def _names(self) -> list[str]:
        return [name for name, _ in self._kinds]

    def _options_of(self, name: str, role: Role) -> NodeOptions:
        return dataclasses.replace(
            self._options,
            role=role,
            backend=name if role is Role.BACKEND else None,
            address=name,
            master=NOWHERE,
            observe=f"unix:{self._place(name, 'observe')}",
            control=f"unix:{self._place(name, 'control')}",
            listen_fds=self._options.listen_fds if role is Role.GATE else {},
        )

    def _place(self, name: str, what: str) -> Path:
        return self._folder / f"{name}.{what}"

    def _look(self) -> Sequence[Process]:
        return [
            Process(
                name=name,
                observe=str(self._place(name, "observe")),
                control=str(self._place(name, "control")),
                pid=os.getpid(),
                restarts=0,
                reason=None,
            )
            for name in self._names
        ]
