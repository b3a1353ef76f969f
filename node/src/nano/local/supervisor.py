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
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from ssl import CERT_NONE, SSLContext, create_default_context
from typing import Any, Final, TextIO

from nano.errors import NanoError, UsageError
from nano.local.child import Child
from nano.local.console import Console
from nano.local.desk import Desk
from nano.local.family import Family, has_failed, is_ready
from nano.local.fingerprint import fingerprint
from nano.local.life import Phase
from nano.local.masters import members_of, missing_after
from nano.local.places import Place, State
from nano.local.plan import ALL, ProcessSpec, Surroundings, ignored, plan, plan_single
from nano.local.ports import Doors, free_ports
from nano.local.probe import status_of
from nano.local.record import Record
from nano.local.rolling import ROLES, Changes, compare
from nano.local.sources import check_sources, write_sources
from nano.local.workshop import Workshop, WorkshopOptions
from nano_manifest import ManifestError, NanoCluster, dumps, load_with_sources
from nano_manifest.sources import Sources

__all__ = ["First", "Run", "StartError", "up"]

SECONDS_TO_START: Final = 60.0
SECONDS_FOR_THE_FIRST: Final = 10.0  # answer, after everything is ready
RETURN_INTERVALS: Final = 2.0  # of heartbeats, for members to find a new master
STAGES: Final = (("master",), ("backend", "gate"))
STOP_STAGES: Final = ("gate", "backend", "master")
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}

Say = Callable[[str], None]


class StartError(NanoError):
    """The cluster did not come up; the text says which process, and why."""


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
        self._generation = 0
        self._desk = Desk(folder / "supervisor.sock", self.status, self._told_to_reload)
        self._marks: dict[Child, str] = {}  # what each runs, as a fingerprint
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
        specs, marks = self._planned(self._cluster)
        await self._desk.start()
        try:
            await self._open_workshop()
            self._tell()
            with family.signals():
                async with asyncio.TaskGroup() as self._group:
                    self._add(specs, marks)
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
    ) -> tuple[list[ProcessSpec], dict[str, str]]:
        """Return the processes of *cluster*, and their fingerprints by name."""
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
        return specs, {spec.name: marks[spec.kind] for spec in specs}

    def _add(self, specs: Iterable[ProcessSpec], marks: dict[str, str]) -> list[Child]:
        """Make a child for each of *specs*; nothing is started."""
        made = [self._child(spec) for spec in specs]
        self._console.expect(child.spec.name for child in made)
        self._marks |= {child: marks[child.spec.name] for child in made}
        self._family.children += made
        return made

    def _remove(self, children: Iterable[Child]) -> None:
        for child in children:
            self._family.children.remove(child)
            del self._marks[child]

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
        children = self._family.children
        self._console.say(
            f"starting {self._cluster.metadata.name}: {_processes(len(children))}"
        )
        for sentence in ignored(self._cluster):
            self._console.say(sentence)
        for roles in STAGES:
            await self._start([it for it in children if it.spec.role in roles])
        self._phase = "ready"
        self._summary()
        if self._run.first is not None:
            await self._send(self._run.first)
        if self._workshop is not None:
            await self._workshop.follow(self._saved)
        await self._family.stop_wanted.wait()

    async def _start(self, children: list[Child]) -> None:
        """Start *children* and wait until all are ready.

        Raises:
            StartError: One of them cannot be started, or takes too long.
        """
        try:
            async with asyncio.timeout(SECONDS_TO_START):
                failed = await self._family.start(children)
        except TimeoutError:
            late = [child for child in children if not is_ready(child)]
            reasons = "; ".join(f"{c.spec.name}: {c.reason}" for c in late)
            message = f"not ready after {SECONDS_TO_START:g} s: {reasons}"
            raise StartError(message) from None
        for child in failed:
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
        masters = [child.spec for child in self._of("master")]
        self._sources = sources
        specs, marks = self._planned(cluster, masters[0] if masters else None)
        there = {child.spec.name: mark for child, mark in self._marks.items()}
        changes = compare(there, specs, there, marks, everything)
        if not changes:
            self._cluster = cluster
            say("nothing has changed; --all replaces every process all the same")
            return
        say(f"reloading: {changes}")
        self._doors.change(cluster)
        try:
            for role in ROLES:
                wanted = [spec for spec in specs if spec.role == role]
                await self._roll[role](self, wanted, marks, changes, say)
            for role in STOP_STAGES:
                gone = [it for it in self._of(role) if it.spec.name in changes.removed]
                await self._retire(gone, say)
        except BaseException:
            self._doors.change(before)
            raise
        finally:
            self._doors.tidy()
        self._cluster = cluster
        self._tell()

    def _of(self, role: str) -> list[Child]:
        return [child for child in self._family.children if child.spec.role == role]

    async def _roll_master(
        self,
        specs: list[ProcessSpec],
        marks: dict[str, str],
        changes: Changes,
        say: Say,
    ) -> None:
        """Replace the master in its place, for the others know it by its address.

        Until the new one is there everything goes on, but nobody can join; and until
        it knows the others nobody is replaced.
        """
        if "master" not in changes.replaced:
            return
        (spec,), (old,) = specs, self._of("master")
        mark = self._marks[old]
        known = await members_of(str(old.spec.control))
        await self._retire([old], say)
        try:
            await self._try_out([spec], marks, say)
        except StartError:
            say("the master is started again as it was")
            await self._start(self._add([old.spec], {spec.name: mark}))
            raise
        heartbeat = self._cluster.spec.settings.member_heartbeat_seconds
        patience = RETURN_INTERVALS * heartbeat
        missing = await missing_after(patience, str(spec.control), known)
        if missing:
            names = ", ".join(sorted(missing))
            say(f"the master still misses {names} after {patience:g} s")

    async def _roll_backends(
        self,
        specs: list[ProcessSpec],
        marks: dict[str, str],
        changes: Changes,
        say: Say,
    ) -> None:
        """Start what is new; replace the others one by one."""
        await self._try_out(
            [spec for spec in specs if spec.name in changes.added], marks, say
        )
        for spec in specs:
            if spec.name in changes.replaced:
                old = [it for it in self._of("backend") if it.spec.name == spec.name]
                await self._try_out([spec], marks, say)
                await self._retire(old, say)

    async def _roll_gates(
        self,
        specs: list[ProcessSpec],
        marks: dict[str, str],
        changes: Changes,
        say: Say,
    ) -> None:
        """Start all new gates, then stop all old ones.

        So a client that has to leave its gate finds only new ones, and is not sent on
        a second time.
        """
        new = [spec for spec in specs if spec.name not in changes.kept]
        old = [it for it in self._of("gate") if it.spec.name in changes.replaced]
        await self._try_out(new, marks, say)
        await self._retire(old, say)

    _roll: Final = {
        "master": _roll_master,
        "backend": _roll_backends,
        "gate": _roll_gates,
    }

    async def _try_out(
        self, specs: list[ProcessSpec], marks: dict[str, str], say: Say
    ) -> None:
        """Start new processes.

        Raises:
            StartError: One of them did not get ready; none of them is left.
        """
        if not specs:
            return
        made = self._add(specs, marks)
        names = ", ".join(spec.name for spec in specs)
        try:
            await self._start(made)
        except StartError:
            await self._family.stop(it for it in made if not has_failed(it))
            self._remove(made)
            raise
        pids = ", ".join(str(child.pid) for child in made)
        say(f"{names}: ready (pid {pids})")

    async def _retire(self, children: list[Child], say: Say) -> None:
        """Stop processes that are needed no more."""
        if not children:
            return
        names = ", ".join(child.spec.name for child in children)
        pids = ", ".join(str(child.pid) for child in children)
        settings = self._cluster.spec.settings  # those that it was started with
        await self._family.leave(children, settings.drain_seconds)
        self._remove(children)
        say(f"{names}: the old one has stopped (pid {pids})")

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
        for role in STOP_STAGES:
            await self._family.stop(self._of(role))
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
