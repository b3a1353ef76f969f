"""``nanoctl up``: a whole cluster on this machine, under one supervisor.

It claims the listeners' ports, starts the master, then everything else, shows what
all of them say, starts again what dies, and stops everything in order.  Nothing
outlives it: not a process, not a socket, not a folder.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from ssl import CERT_NONE, SSLContext, create_default_context
from typing import Final, TextIO

import msgspec

from nano.errors import NanoError, UsageError
from nano.local.child import Child
from nano.local.console import Console
from nano.local.family import Family, is_ready
from nano.local.plan import ProcessSpec, Surroundings, ignored, plan
from nano.local.ports import Doors, free_ports
from nano_manifest import NanoCluster, dumps

__all__ = ["Run", "StartError", "up"]

SECONDS_TO_START: Final = 60.0
SECONDS_FOR_THE_FIRST: Final = 10.0  # answer, after everything is ready
STAGES: Final = (("master",), ("backend", "gate"))
STOP_STAGES: Final = ("gate", "backend", "master")
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


class StartError(NanoError):
    """The cluster did not come up; the text says which process, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is asked of one run.

    Attributes:
        cluster: What to run.
        app_dir: Where its components are.
        host: Where its listeners bind.
        tls_dir: What stands for the Secrets with certificates, or ``None``.
        first: A route and a payload to send when all is ready.
    """

    cluster: NanoCluster
    app_dir: Path
    host: str = "127.0.0.1"
    tls_dir: Path | None = None
    first: tuple[str, object] | None = None


def up(run: Run, out: TextIO = sys.stdout) -> None:
    """Run a cluster until SIGINT, SIGTERM or SIGHUP.

    Raises:
        UsageError: A listener's port or path is in use.
        StartError: A process cannot be started.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        doors = Doors(run.cluster, run.host, run.app_dir, stack)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nano-"))
        manifest = Path(folder, "cluster.yaml")
        manifest.write_text(dumps(run.cluster), encoding="utf-8")
        reading, writing = os.pipe()
        stack.callback(os.close, writing)
        stack.callback(os.close, reading)
        surroundings = Surroundings(
            manifest_file=manifest,
            app_dir=run.app_dir,
            run_dir=Path(folder),
            host=run.host,
            tls_dir=run.tls_dir,
            next_port=iter(free_ports(_ports_needed(run.cluster))).__next__,
        )
        specs = plan(run.cluster, surroundings)
        asyncio.run(_Supervisor(run, specs, reading, doors, out, began).main())


def _ports_needed(cluster: NanoCluster) -> int:
    spec = cluster.spec
    gates = spec.gates.replicas * spec.gates.processes
    nodes = 1 + gates + sum(item.replicas for item in spec.backends)
    return 2 * nodes  # the cluster's and the observe server's


class _Supervisor:
    """One run, from the first process to the last."""

    def __init__(
        self,
        run: Run,
        specs: list[ProcessSpec],
        parent_fd: int,
        doors: Doors,
        out: TextIO,
        began: float,
    ) -> None:
        self._run = run
        self._specs = specs
        self._parent_fd = parent_fd
        self._doors = doors
        self._console = Console(out, [spec.name for spec in specs])
        self._began = began
        self._family = Family()

    async def main(self) -> None:
        """Start, serve until told to stop, stop.

        Raises:
            StartError: A process cannot be started.
        """
        failure: StartError | None = None
        family = self._family
        with family.signals():
            async with asyncio.TaskGroup() as group:
                family.children = [self._child(spec, group) for spec in self._specs]
                try:
                    await family.until_stopped(self._serve())
                except StartError as error:  # alone, not in the group's bundle
                    failure = error
                finally:
                    await self._stop()
        if failure is not None:
            raise failure

    def _child(self, spec: ProcessSpec, group: asyncio.TaskGroup) -> Child:
        return Child(
            spec,
            self._parent_fd,
            self._doors,
            group,
            self._console,
            self._family.changed,
        )

    # -------------------------------------------------------------------- start

    async def _serve(self) -> None:
        self._console.say(
            f"starting {self._run.cluster.metadata.name}: {len(self._specs)} processes"
        )
        for sentence in ignored(self._run.cluster):
            self._console.say(sentence)
        try:
            async with asyncio.timeout(SECONDS_TO_START):
                for roles in STAGES:
                    await self._start(roles)
        except TimeoutError:
            late = [it for it in self._family.children if not is_ready(it)]
            reasons = "; ".join(f"{c.spec.name}: {c.reason}" for c in late)
            message = f"not ready after {SECONDS_TO_START:g} s: {reasons}"
            raise StartError(message) from None
        self._summary()
        if self._run.first is not None:
            await self._send(*self._run.first)
        await self._family.stop_wanted.wait()

    async def _start(self, roles: tuple[str, ...]) -> None:
        """Start the children of *roles* and wait until all are ready.

        Raises:
            StartError: One of them cannot be started.
        """
        started = [it for it in self._family.children if it.spec.role in roles]
        for child in await self._family.start(started):
            words = "".join(f"\n  {line}" for line in child.last_lines)
            message = f"{child.spec.name} {child.reason}; the last that it said:{words}"
            raise StartError(message)

    # -------------------------------------------------------------------- serve

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._began:.1f} s"

    def _urls(self) -> dict[str, str]:
        """Where clients connect, by listener."""
        given = self._run.host
        host = _ANYWHERE.get(given, f"[{given}]" if ":" in given else given)
        urls = {}
        for item in self._run.cluster.spec.gates.listeners:
            if item.port is None:
                urls[item.name] = f"unix://{self._run.app_dir / item.socket}"
            else:
                root = "/" if item.transport == "websocket" and not item.path else ""
                urls[item.name] = item.url(host) + root
        return urls

    def _own(self) -> tuple[str, SSLContext | None]:
        """Return where the first request goes, and what it needs for TLS.

        A listener that waits for a proxy is for others.  The certificate is not
        asked for a name: the gate is a process of ours on this machine.
        """
        item = next(
            (
                it
                for it in self._run.cluster.spec.gates.listeners
                if not it.proxy_protocol
            ),
            None,
        )
        if item is None:
            raise UsageError("every listener waits for a proxy; there is none here")
        context = None
        if item.tls is not None:
            context = create_default_context()
            context.check_hostname = False
            context.verify_mode = CERT_NONE
        return self._urls()[item.name], context

    def _summary(self) -> None:
        say = self._console.say
        say(f"{self._run.cluster.metadata.name} is ready after {self._seconds()}")
        for child in self._family.children:
            spec = child.spec
            say(
                f"  {spec.name}: pid {child.pid}, node {spec.address}, "
                f"http://{spec.observe}/metrics, control {spec.control}"
            )
        if self._run.cluster.spec.gates.replicas:
            urls = self._urls()
            for name, url in urls.items():
                say(f"  clients: {name} at {url}")
            example = shlex.join(
                ["nanoctl", "request", "-s", next(iter(urls.values()))]
            )
            say(f"  try: {example} SERVICE.METHOD '{{}}'")
        say("  Ctrl-C stops all of it")

    async def _send(self, route: str, payload: object) -> None:
        """Send the first request and show how it went."""
        from nano.client import connect

        try:
            url, context = self._own()
            async with (
                asyncio.timeout(SECONDS_FOR_THE_FIRST),
                await connect(url, ssl=context) as client,
            ):
                answer = await client.request(route, payload)
        except TimeoutError:
            self._console.say(f"{route}: no answer in {SECONDS_FOR_THE_FIRST:g} s")
        except NanoError as error:
            self._console.say(f"{route}: {error}")
        else:
            text = msgspec.json.encode(answer).decode()
            self._console.say(f"{route} answered {text} after {self._seconds()}")

    # --------------------------------------------------------------------- stop

    async def _stop(self) -> None:
        """Stop gates, then backends, then the master, each within its deadline."""
        if any(not child.life.over for child in self._family.children):
            self._console.say("stopping")
        for role in STOP_STAGES:
            stage = (it for it in self._family.children if it.spec.role == role)
            await self._family.stop(stage)
        self._console.say(f"stopped after {self._seconds()}")
