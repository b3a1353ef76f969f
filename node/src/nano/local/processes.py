"""One gate as several processes: what ``nanoctl node --processes N`` does.

A process of Python uses one core, so a gate that shall use more is more processes.
Each is a member of the cluster with an address of its own; the listeners they share:
each has a socket on the same ports, and the kernel spreads the clients.  To everybody
else they are one gate: one pod, one ``/readyz``, one ``/metrics``, one control port
(:mod:`nano.admin.processes`), which the supervisor here serves.  It is not on the way
of any message.

A process that dies, or hangs, is started again while the others serve on.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nano.admin import AdminServer
from nano.admin.asking import UNIX, ask
from nano.admin.processes import Process, Processes
from nano.errors import UsageError
from nano.local.child import Child
from nano.local.crew import StartError
from nano.local.family import Family, is_ready
from nano.local.plan import ProcessSpec
from nano.local.ports import Doors
from nano.node.options import NodeOptions, Role
from nano_manifest import CLUSTER_PORT, cluster_ports

__all__ = ["SeveralRun", "addresses", "log_of", "run_several"]

logger = logging.getLogger(__name__)

LARGEST_PORT: Final = 65_535

# When a process hangs, as the liveness probe of a pod judges it.
SECONDS_BETWEEN_LOOKS = 10.0
SECONDS_FOR_A_LOOK = 5.0
MISSES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveralRun:
    """What is asked for.

    Attributes:
        options: What one process alone would be told; its address is that of the
            first, its observe and control addresses are the supervisor's.
        manifest_file: Where the processes read the manifest.
        processes: How many.
        settings: Flags of node settings that all of them get, with their values.
        log_file: Where the supervisor logs; each process has a file of its own beside
            it, see :func:`log_of`.
        log_days: How many files of earlier days each keeps.
    """

    options: NodeOptions
    manifest_file: Path
    processes: int
    settings: Mapping[str, str] = field(default_factory=dict)
    log_file: Path | None = None
    log_days: int = 7


def log_of(file: Path, process: int) -> Path:
    """Return the log of one process: ``gate-2.log`` beside ``gate.log``.

    Two writers of one file would each rename it at midnight.
    """
    return file.with_name(f"{file.stem}-{process}{file.suffix}")


def addresses(first: str, processes: int) -> list[str]:
    """Return the cluster addresses of all processes, given that of the first.

    Raises:
        UsageError: It is none, or has no room above it.
    """
    host, _, text = first.rpartition(":")
    port = int(text) if text.isascii() and text.isdecimal() else -1
    if not host or port < 0:
        raise UsageError(f"--address needs HOST:PORT, not {first!r}")
    if port == 0:
        return [first] * processes
    ports = [port + it - CLUSTER_PORT for it in cluster_ports(processes)]
    if ports[-1] > LARGEST_PORT:
        message = f"--address {first} leaves no ports for {processes} processes above "
        raise UsageError(message + "it; choose a smaller one")
    return [f"{host}:{port}" for port in ports]


def run_several(run: SeveralRun) -> None:
    """Run the processes of one gate until SIGTERM, SIGINT or SIGHUP.

    Raises:
        UsageError: It is no gate, or an address is in use.
        StartError: A process cannot be started.
    """
    options = run.options
    if options.role is not Role.GATE:
        raise UsageError("--processes is for the role gate only")
    if options.listen_fds:
        raise UsageError("--processes and --listen-fds exclude each other")
    with ExitStack() as stack:
        cluster, app_dir = options.manifest, Path(options.app_dir)
        doors = Doors(cluster, options.host, app_dir, stack)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nano-"))
        reading, writing = os.pipe()
        stack.callback(os.close, writing)
        stack.callback(os.close, reading)
        specs = _plan(run, Path(folder))
        asyncio.run(_Several(run, specs, reading, doors).main())


def _plan(run: SeveralRun, folder: Path) -> list[ProcessSpec]:
    options = run.options
    specs = []
    every = addresses(options.address, run.processes)
    for number, address in enumerate(every, 1):
        observe, control = folder / f"{number}.observe", folder / f"{number}.control"
        words = {
            "--role": options.role.value,
            "--manifest": str(run.manifest_file),
            "--address": address,
            "--master": options.master or "",
            "--host": options.host,
            "--observe": f"unix:{observe}",
            "--control": f"unix:{control}",
            "--app-dir": options.app_dir,
            **({"--tls-dir": options.tls_dir} if options.tls_dir else {}),
            **run.settings,
        }
        if run.log_file is not None:
            words["--log-file"] = str(log_of(run.log_file, number))
            words["--log-days"] = str(run.log_days)
        specs.append(
            ProcessSpec(
                name=str(number),
                role=options.role.value,
                kind=options.role.value,
                args=("node", *(word for pair in words.items() for word in pair)),
                env={},
                address=address,
                observe=f"unix:{observe}",
                control=control,
            )
        )
    return specs


class _Log:
    """The supervisor's words as lines of the log, beside those of its processes."""

    def say(self, text: str) -> None:
        logger.warning("process %s", text)

    def line(self, name: str, text: str) -> None:
        logger.info("process %s: %s", name, text)


class _Several:
    """One run, from the first process to the last."""

    def __init__(
        self,
        run: SeveralRun,
        specs: list[ProcessSpec],
        parent_fd: int,
        doors: Doors,
    ) -> None:
        self._specs = specs
        self._parent_fd = parent_fd
        self._doors = doors
        self._family = Family()
        options = run.options
        self._processes = Processes(self._look, options.labels)
        self._admin = AdminServer(
            self._processes,
            observe=options.observe,
            control=options.control,
            token=options.token,
        )

    async def main(self) -> None:
        """Start, serve until told to stop, stop.

        Raises:
            UsageError: The observe or control address is in use.
            StartError: A process cannot be started.
        """
        failure: StartError | None = None
        family = self._family
        with family.signals():  # first: process 1 of a container has no others
            await self._admin.start()
            try:
                async with asyncio.TaskGroup() as group:
                    family.children = [self._child(spec, group) for spec in self._specs]
                    try:
                        await family.until_stopped(self._serve())
                    except StartError as error:  # alone, not in the group's bundle
                        failure = error
                    finally:
                        await self._stop()
            finally:
                await self._admin.stop()
        if failure is not None:
            raise failure

    async def _stop(self) -> None:
        self._processes.reason = "stopping"
        family = self._family
        if family.stopped_by is signal.SIGTERM:
            # whoever stops the whole has a time for it
            await family.leave(family.children, None)
        else:
            await family.stop(family.children)

    def _child(self, spec: ProcessSpec, group: asyncio.TaskGroup) -> Child:
        return Child(
            spec,
            self._parent_fd,
            self._doors,
            group,
            _Log(),
            self._family.changed,
            watched=False,
        )

    def _look(self) -> list[Process]:
        return [
            Process(
                name=child.spec.name,
                observe=child.spec.observe.removeprefix(UNIX),
                control=str(child.spec.control),
                pid=child.pid,
                restarts=child.restarts,
                reason=None if is_ready(child) else child.reason,
            )
            for child in self._family.children
        ]

    async def _serve(self) -> None:
        children = self._family.children
        logger.info("starting %d processes of one gate", len(children))
        self._raise(await self._family.start(children))
        logger.info("all %d processes of the gate are ready", len(children))
        async with asyncio.TaskGroup() as group:
            for child in children:
                group.create_task(_watch(child), name=f"watch {child.spec.name}")

    def _raise(self, failed: list[Child]) -> None:
        for child in failed:
            message = f"process {child.spec.name} {child.reason}; the log says why"
            raise StartError(message)


async def _watch(child: Child) -> None:
    """End the process when it hangs: its event loop does not answer for a while."""
    misses = 0
    while True:
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        if not is_ready(child):
            misses = 0
            continue
        place = child.spec.observe.removeprefix(UNIX)
        answer = await ask(place, "/healthz", seconds=SECONDS_FOR_A_LOOK)
        misses = 0 if answer is not None else misses + 1
        if misses == MISSES:
            logger.error("process %s hangs; it is ended", child.spec.name)
            child.kill()
            misses = 0
