"""The processes of one run: made, started, replaced in order, and stopped.

What has to change is :mod:`nano.local.rolling`'s to say; here it is done, one role
after the other, each in its own way.  Whatever fails leaves running what it would have
replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from nano.errors import NanoError
from nano.local.child import Child
from nano.local.console import Console
from nano.local.family import Family, has_failed, is_ready
from nano.local.masters import members_of, missing_after
from nano.local.plan import ProcessSpec
from nano.local.rolling import ROLES, Changes
from nano_manifest import Settings

__all__ = ["Crew", "Planned", "Say", "StartError"]

SECONDS_TO_START: Final = 60.0
RETURN_INTERVALS: Final = 2.0  # of heartbeats, for members to find a new master
STAGES: Final = (("master",), ("backend", "gate"))
STOP_STAGES: Final = ("gate", "backend", "master")

Say = Callable[[str], None]


class StartError(NanoError):
    """The cluster did not come up; the text says which process, and why."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The processes that there shall be.

    Attributes:
        specs: All of them.
        marks: What each runs, as a fingerprint, by its name.
    """

    specs: list[ProcessSpec]
    marks: Mapping[str, str]

    def of(self, role: str) -> list[ProcessSpec]:
        """Return those of one role."""
        return [spec for spec in self.specs if spec.role == role]


class Crew:
    """All processes of one supervisor.

    Args:
        family: Theirs; it knows what happens to them.
        console: Where they are shown.
        make: Makes a process, which is not started.
    """

    def __init__(
        self, family: Family, console: Console, make: Callable[[ProcessSpec], Child]
    ) -> None:
        self._family = family
        self._console = console
        self._make = make
        self._marks: dict[Child, str] = {}

    @property
    def marks(self) -> dict[str, str]:
        """What each process runs, as a fingerprint, by its name."""
        return {child.spec.name: mark for child, mark in self._marks.items()}

    def of(self, role: str) -> list[Child]:
        """Return the processes of one role."""
        return [child for child in self._family.children if child.spec.role == role]

    def add(
        self, specs: Iterable[ProcessSpec], marks: Mapping[str, str]
    ) -> list[Child]:
        """Make a process for each of *specs*; nothing is started."""
        made = [self._make(spec) for spec in specs]
        self._console.expect(child.spec.name for child in made)
        self._marks |= {child: marks[child.spec.name] for child in made}
        self._family.children += made
        return made

    async def start_all(self) -> None:
        """Start the master, then everything else.

        Raises:
            StartError: One of them cannot be started, or takes too long.
        """
        children = self._family.children
        for roles in STAGES:
            await self._start([it for it in children if it.spec.role in roles])

    async def stop_all(self) -> None:
        """Stop gates, then backends, then the master, each within its deadline."""
        for role in STOP_STAGES:
            await self._family.stop(self.of(role))

    async def roll(
        self, planned: Planned, changes: Changes, settings: Settings, say: Say
    ) -> None:
        """Make *changes*.

        Args:
            planned: What there shall be.
            changes: What is to be done for that.
            settings: Those with which the present processes were started.
            say: Told what has happened.

        Raises:
            StartError: Something could not be started.
        """
        for role in ROLES:
            await self._roll[role](self, planned, changes, settings, say)
        for role in STOP_STAGES:
            gone = [it for it in self.of(role) if it.spec.name in changes.removed]
            await self._retire(gone, settings, say)

    async def _roll_master(
        self, planned: Planned, changes: Changes, settings: Settings, say: Say
    ) -> None:
        """Replace the master in its place, for the others know it by its address.

        Until the new one is there everything goes on, but nobody can join; and until
        it knows the others nobody is replaced.
        """
        if "master" not in changes.replaced:
            return
        (spec,), (old,) = planned.of("master"), self.of("master")
        mark = self._marks[old]
        known = await members_of(str(old.spec.control))
        await self._retire([old], settings, say)
        try:
            await self._try_out([spec], planned.marks, say)
        except StartError:
            say("the master is started again as it was")
            await self._start(self.add([old.spec], {spec.name: mark}))
            raise
        patience = RETURN_INTERVALS * settings.member_heartbeat_seconds
        missing = await missing_after(patience, str(spec.control), known)
        if missing:
            names = ", ".join(sorted(missing))
            say(f"the master still misses {names} after {patience:g} s")

    async def _roll_backends(
        self, planned: Planned, changes: Changes, settings: Settings, say: Say
    ) -> None:
        """Start what is new; replace the others one by one."""
        specs = planned.of("backend")
        new = [spec for spec in specs if spec.name in changes.added]
        await self._try_out(new, planned.marks, say)
        for spec in specs:
            if spec.name in changes.replaced:
                old = [it for it in self.of("backend") if it.spec.name == spec.name]
                await self._try_out([spec], planned.marks, say)
                await self._retire(old, settings, say)

    async def _roll_gates(
        self, planned: Planned, changes: Changes, settings: Settings, say: Say
    ) -> None:
        """Start all new gates, then stop all old ones.

        So a client that has to leave its gate finds only new ones, and is not sent on
        a second time.
        """
        new = [it for it in planned.of("gate") if it.name not in changes.kept]
        old = [it for it in self.of("gate") if it.spec.name in changes.replaced]
        await self._try_out(new, planned.marks, say)
        await self._retire(old, settings, say)

    _roll: Final = {
        "master": _roll_master,
        "backend": _roll_backends,
        "gate": _roll_gates,
    }

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

    async def _try_out(
        self, specs: list[ProcessSpec], marks: Mapping[str, str], say: Say
    ) -> None:
        """Start new processes.

        Raises:
            StartError: One of them did not get ready; none of them is left.
        """
        if not specs:
            return
        made = self.add(specs, marks)
        names = ", ".join(spec.name for spec in specs)
        try:
            await self._start(made)
        except StartError:
            await self._family.stop(it for it in made if not has_failed(it))
            self._remove(made)
            raise
        pids = ", ".join(str(child.pid) for child in made)
        say(f"{names}: ready (pid {pids})")

    async def _retire(
        self, children: list[Child], settings: Settings, say: Say
    ) -> None:
        """Stop processes that are needed no more."""
        if not children:
            return
        names = ", ".join(child.spec.name for child in children)
        pids = ", ".join(str(child.pid) for child in children)
        await self._family.leave(children, settings.drain_seconds)
        self._remove(children)
        say(f"{names}: the old one has stopped (pid {pids})")

    def _remove(self, children: Iterable[Child]) -> None:
        for child in children:
            self._family.children.remove(child)
            del self._marks[child]
