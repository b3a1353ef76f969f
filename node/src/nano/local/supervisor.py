"""``nanoctl up``: a whole cluster on this machine, under one supervisor.

It claims the listeners' ports, starts the master, then everything else, shows what
all of them say, starts again what dies, takes up what has changed, and stops
everything in order.  But for the log in its :class:`~nano.local.places.Place`, nothing
outlives it: not a process, not a socket, not a folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from ssl import CERT_NONE, SSLContext, create_default_context
from typing import Any, Final, TextIO

from nano.errors import NanoError, UsageError
from nano.local.child import Child
from nano.local.console import Console
from nano.local.crew import Crew, Planned, Say, StartError
from nano.local.desk import Desk
from nano.local.family import Family, is_ready
from nano.local.fingerprint import fingerprint
from nano.local.life import Phase
from nano.local.places import Place, State
from nano.local.plan import ALL, ProcessSpec, Surroundings, ignored, plan, plan_single
from nano.local.ports import Doors, free_ports
from nano.local.probe import status_of
from nano.local.record import Record
from nano.local.rolling import ROLES, compare
from nano.local.sources import check_sources, write_sources
from nano.local.workshop import Workshop, WorkshopOptions
from nano_manifest import ManifestError, NanoCluster, dumps, load_with_sources
from nano_manifest.sources import Sources

__all__ = ["First", "Run", "up"]

SECONDS_FOR_THE_FIRST: Final = 10.0  # answer, after everything is ready
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


@dataclass(frozen=True, slots=True)
class First:
    """A request that is sent when all is ready.

    Attributes:
        route: Where it goes.
        payload: What is in it, in the cluster's format.
        show: Makes a line of the answer's payload.
    """

    route: str
    payload: bytes
    show: Callable[[bytes], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is asked of one run.

    Attributes:
        manifest: The file that describes the cluster; read again by a reload.
        cluster: What it says.
        sources: The ConfigMaps beside it, with components.
        host: Where its listeners bind.
        tls_dir: What stands for the Secrets with certificates, or ``None``.
        first: What to send when all is ready.
        single: Have all roles in one process.
        workshop: Follow what is saved; ``None``: take it up when told to.
    """

    manifest: Path
    cluster: NanoCluster
    sources: Sources = field(default_factory=dict)
    host: str = "127.0.0.1"
    tls_dir: Path | None = None
    first: First | None = None
    single: bool = False
    workshop: WorkshopOptions | None = None

    @property
    def app_dir(self) -> Path:
        """Where its components are: beside the manifest."""
        return self.manifest.resolve().parent


def up(run: Run, out: TextIO = sys.stdout) -> None:
    """Run a cluster until SIGINT, SIGTERM or SIGHUP.

    Raises:
        AlreadyUpError: It runs already.
        UsageError: A listener's port or path is in use, or the page's; or the
            components of a backend are not where it says.
        StartError: A process cannot be started.
    """
    began = time.monotonic()
    check_sources(run.cluster, run.sources, run.single)
    with ExitStack() as stack:
        place = Place.of(run.manifest, run.cluster.metadata.name)
        stack.enter_context(place.hold())
        doors = Doors(run.cluster, run.host, run.app_dir, stack)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nano-"))
        record = Record(place.log)
        stack.callback(record.close)
        reading, writing = os.pipe()
        stack.callback(os.close, writing)
        stack.callback(os.close, reading)
        console = Console(out, [], record)
        supervisor = _Supervisor(
            run, place, Path(folder), reading, doors, console, began
        )
        asyncio.run(supervisor.main())


def _ports_needed(cluster: NanoCluster) -> int:
    spec = cluster.spec
    gates = spec.gates.replicas * spec.gates.processes
    nodes = 1 + gates + sum(item.replicas for item in spec.backends)
    return 2 * nodes  # the cluster's and the observe server's


def _processes(number: int) -> str:
    return "1 process" if number == 1 else f"{number} processes"


class _Supervisor:
    """One run, from the first process to the last."""

    def __init__(
        self,
        run: Run,
        place: Place,
        folder: Path,
        parent_fd: int,
        doors: Doors,
        console: Console,
        began: float,
    ) -> None:
        self._run = run
        self._cluster = run.cluster
        self._sources = run.sources
        self._place = place
        self._folder = folder
        self._parent_fd = parent_fd
        self._doors = doors
        self._console = console
        self._began = began
        self._family = Family()
        self._crew = Crew(self._family, console, self._child)
        self._generation = 0
        self._desk = Desk(folder / "supervisor.sock", self.status, self._told_to_reload)
        self._phase = "starting"
        self._reloading: asyncio.Task[None] | None = None
        self._workshop: Workshop | None = None

    async def main(self) -> None:
        """Start, serve until told to stop, stop.

        Raises:
            StartError: A process cannot be started.
            UsageError: The port of the page cannot be had.
        """
        failure: StartError | None = None
        family = self._family
        planned = self._planned(self._cluster)
        await self._desk.start()
        try:
            await self._open_workshop()
            self._tell()
            with family.signals():
                async with asyncio.TaskGroup() as self._group:
                    self._crew.add(planned.specs, planned.marks)
                    try:
                        await family.until_stopped(self._serve())
                    except StartError as error:  # alone, not in the group's bundle
                        failure = error
                    finally:
                        await self._stop()
        finally:
            if self._workshop is not None:
                await self._workshop.stop()
            await self._desk.stop()
        if failure is not None:
            raise failure

    async def _open_workshop(self) -> None:
        run = self._run
        if run.workshop is not None:
            say = self._console.say
            self._workshop = Workshop(
                run.workshop, run.manifest, run.host, self._urls, say
            )
            await self._workshop.start()

    def _tell(self) -> None:
        listeners = self._cluster.spec.gates.listeners
        self._place.tell(
            State(
                pid=os.getpid(),
                name=self._cluster.metadata.name,
                manifest=str(self._run.manifest.resolve()),
                socket=str(self._desk.path),
                ports=tuple(item.port for item in listeners if item.port),
            )
        )

    def _planned(
        self, cluster: NanoCluster, master: ProcessSpec | None = None
    ) -> Planned:
        """Return the processes of *cluster*."""
        self._generation += 1
        folder = self._folder / str(self._generation)
        folder.mkdir(mode=0o700)
        manifest = folder / "cluster.yaml"
        manifest.write_text(dumps(cluster), encoding="utf-8")
        sources = write_sources(cluster, self._sources, folder)
        here = Surroundings(
            manifest_file=manifest,
            app_dir=self._run.app_dir,
            sources=sources,
            run_dir=folder,
            host=self._run.host,
            tls_dir=self._run.tls_dir,
            next_port=iter(free_ports(_ports_needed(cluster))).__next__,
            master=(master.address, master.observe) if master else None,
        )
        specs = (plan_single if self._run.single else plan)(cluster, here)
        kinds = {spec.kind for spec in specs}
        marks = {
            it: fingerprint(cluster, it, sources.get(it, self._run.app_dir))
            for it in kinds
        }
        return Planned(specs, {spec.name: marks[spec.kind] for spec in specs})

    def _child(self, spec: ProcessSpec) -> Child:
        return Child(
            spec,
            self._parent_fd,
            self._doors,
            self._group,
            self._console,
            self._family.changed,
        )

    # -------------------------------------------------------------------- start

    async def _serve(self) -> None:
        number = len(self._family.children)
        self._console.say(
            f"starting {self._cluster.metadata.name}: {_processes(number)}"
        )
        for sentence in ignored(self._cluster):
            self._console.say(sentence)
        await self._crew.start_all()
        self._phase = "ready"
        self._summary()
        if self._run.first is not None:
            await self._send(self._run.first)
        if self._workshop is not None:
            await self._workshop.follow(self._saved)
        await self._family.stop_wanted.wait()

    # -------------------------------------------------------------------- serve

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._began:.1f} s"

    def _urls(self) -> dict[str, str]:
        """Where clients connect, by listener."""
        given = self._run.host
        host = _ANYWHERE.get(given, f"[{given}]" if ":" in given else given)
        urls = {}
        for item in self._cluster.spec.gates.listeners:
            if item.port is None:
                urls[item.name] = f"unix://{self._run.app_dir / item.socket}"
            else:
                root = "/" if item.transport == "websocket" and not item.path else ""
                urls[item.name] = item.url(host) + root
        return urls

    async def status(self) -> dict[str, Any]:
        """Return how everything is, JSON-able."""
        order = {role: number for number, role in enumerate(ROLES)}
        children = sorted(self._family.children, key=lambda it: order[it.spec.role])
        nodes = await asyncio.gather(*map(_node, children))
        meta = self._cluster.metadata
        return {
            "name": meta.name,
            "namespace": meta.namespace,
            "manifest": str(self._run.manifest.resolve()),
            "pid": os.getpid(),
            "phase": self._phase,
            "seconds": round(time.monotonic() - self._began, 1),
            "clients": self._urls(),
            "nodes": nodes,
        }

    def _own(self) -> tuple[str, SSLContext | None]:
        """Return where the first request goes, and what it needs for TLS.

        A listener that waits for a proxy is for others.  The certificate is not
        asked for a name: the gate is a process of ours on this machine.
        """
        item = next(
            (it for it in self._cluster.spec.gates.listeners if not it.proxy_protocol),
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
        say(f"{self._cluster.metadata.name} is ready after {self._seconds()}")
        for child in self._family.children:
            spec = child.spec
            say(
                f"  {spec.name}: pid {child.pid}, node {spec.address}, "
                f"http://{spec.observe}/metrics, control {spec.control}"
            )
        if self._cluster.spec.gates.replicas:
            urls = self._urls()
            for name, url in urls.items():
                say(f"  clients: {name} at {url}")
            example = shlex.join(
                ["nanoctl", "request", "-s", next(iter(urls.values()))]
            )
            say(f"  try: {example} SERVICE.METHOD '{{}}'")
        say("  Ctrl-C stops all of it; so does `nanoctl down`")

    async def _send(self, first: First) -> None:
        """Send the first request and show how it went."""
        from nano.client import connect

        route, serializer = first.route, self._cluster.spec.settings.serializer
        try:
            url, context = self._own()
            async with (
                asyncio.timeout(SECONDS_FOR_THE_FIRST),
                await connect(url, ssl=context, serializer=serializer) as client,
            ):
                answer = await client.request(route, first.payload, wanted=bytes)
        except TimeoutError:
            self._console.say(f"{route}: no answer in {SECONDS_FOR_THE_FIRST:g} s")
        except NanoError as error:
            self._console.say(f"{route}: {error}")
        else:
            text = first.show(answer)
            self._console.say(f"{route} answered {text} after {self._seconds()}")

    # ------------------------------------------------------------------- reload

    async def _told_to_reload(self, everything: bool, say: Say) -> None:
        """Take up what has changed since the start, or the last time.

        Raises:
            NanoError: Something cannot be done, or started; what it would have
                replaced runs on.
            ManifestError: The manifest is wrong.
        """
        if self._phase != "ready":
            raise UsageError(f"the cluster is {self._phase}; try again when it is done")
        self._phase = "reloading"

        def tell(text: str) -> None:
            self._console.say(text)
            say(text)

        try:
            self._reloading = asyncio.create_task(self._reload(everything, tell))
            await self._reloading
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # it is us who were cancelled, with the reload
            raise StartError("the cluster is stopped") from None
        except (NanoError, ManifestError) as error:
            self._console.say(f"reload failed: {error}")
            raise
        finally:
            self._reloading = None
            if self._phase == "reloading":
                self._phase = "ready"

    async def _saved(self) -> None:
        """Take up what was saved; what goes wrong is told, and no more."""
        while self._reloading is not None:  # by somebody else
            await asyncio.wait([self._reloading])
        with contextlib.suppress(NanoError, ManifestError):
            await self._told_to_reload(False, lambda _: None)

    async def _reload(self, everything: bool, say: Say) -> None:
        cluster, sources = load_with_sources(self._run.manifest)
        check_sources(cluster, sources, self._run.single)
        before = self._cluster
        for key in ("name", "namespace"):
            was, shall = (
                getattr(before.metadata, key),
                getattr(cluster.metadata, key),
            )
            if was != shall:
                message = f"metadata.{key} was {was} and is {shall}, which is another "
                raise UsageError(message + "cluster: `nanoctl down`, then `nanoctl up`")
        masters = [child.spec for child in self._crew.of("master")]
        self._sources = sources
        planned = self._planned(cluster, masters[0] if masters else None)
        there = self._crew.marks
        changes = compare(there, planned.specs, there, planned.marks, everything)
        if not changes:
            self._cluster = cluster
            say("nothing has changed; --all replaces every process all the same")
            return
        say(f"reloading: {changes}")
        self._doors.change(cluster)
        try:
            await self._crew.roll(planned, changes, before.spec.settings, say)
        except BaseException:
            self._doors.change(before)
            raise
        finally:
            self._doors.tidy()
        self._cluster = cluster
        self._tell()

    # --------------------------------------------------------------------- stop

    async def _stop(self) -> None:
        """Stop gates, then backends, then the master, each within its deadline."""
        self._phase = "stopping"
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.wait([self._reloading])
        for child in self._family.children:
            if child.life.phase is Phase.STOPPING:  # it drains, to nowhere by now
                child.hurry()
        if any(not child.life.over for child in self._family.children):
            self._console.say("stopping")
        await self._crew.stop_all()
        self._console.say(f"stopped after {self._seconds()}")


async def _node(child: Child) -> dict[str, Any]:
    """Return how one process is, JSON-able; it is asked itself."""
    spec = child.spec
    reason: str | None = None if is_ready(child) else child.reason
    sessions = None
    if reason is None:
        told = await status_of(str(spec.control))
        if told is None:
            reason = "it does not answer"
        else:
            reason, sessions = told["notReady"], told["sessions"]
    return {
        "name": spec.name,
        "role": ALL if spec.kind == ALL else spec.role,
        "pid": child.pid,
        "address": spec.address,
        "ready": reason is None,
        "reason": reason,
        "restarts": child.restarts,
        "sessions": sessions,
        "observe": spec.observe,
        "control": str(spec.control),
    }
