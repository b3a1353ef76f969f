"""Kill and freeze the nodes of a cluster under load, and measure what clients notice.

``python -m tests.endurance.recovery [--rounds 5]``, some three minutes, or ``make
endurance``.  Master, gate and backends run as processes with the settings that a
manifest has by default, and clients ask in a closed loop.  Then

* a backend is killed with SIGKILL, and started again at its address when all clients
  are served by the other one;
* a backend stands still for six seconds, as by a long computation: it is not expelled,
  and its clients are served by the other one from the fifth second on;
* the master is killed, is away for thirty seconds, and comes back;
* twenty more backends are started in one moment, and stopped in one moment.

Every figure is printed beside what the project asks of it.  The exit status tells
whether a client got a wrong answer, or an error that it should not get; it depends on
no figure, since a busy machine is slow.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from nano.errors import RequestError
from tests.node.towns import Town, ask, visitor

__all__ = ["Figure", "Recovery"]

PAIR: Final = ("backend0", "backend1")
CLIENTS: Final = 50
ROUNDS: Final = 6
PAUSE: Final = 0.005  # seconds between an answer and the next request of a client
HEARTBEAT: Final = 5.0  # seconds; a manifest's default
ABSENCE: Final = 30.0  # seconds that the master is away
FREEZE: Final = 6.0  # seconds that a backend stands still
CROWD: Final = 20  # backends at once
PATIENCE: Final = 120.0  # seconds for anything; then it did not happen
OWED: Final = (503, 504)  # what requests to a node out of reach are answered


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured, in seconds.

    Attributes:
        what: In words.
        seconds: One value for each time that it was measured.
        must: The most that is acceptable, where the project says so.
    """

    what: str
    seconds: list[float]
    must: float | None

    def __str__(self) -> str:
        lowest, highest = min(self.seconds), max(self.seconds)
        said = f"{self.what:60}{lowest:6.2f} to {highest:5.2f} s"
        if self.must is None:
            return said
        verdict = "met" if highest <= self.must else "short"
        return f"{said}, must {self.must:g}: {verdict}"


class Voice:
    """A client that asks without end.

    Attributes:
        pid: The backend that answered it last.
        since: When that one answered it for the first time.
        slowest: The longest that an answer took since this was last set to 0.
        errors: What it was answered instead of a result, by status.
    """

    def __init__(self, town: Town) -> None:
        self._town = town
        self._task: asyncio.Task[None] | None = None
        self.pid = 0
        self.since = 0.0
        self.slowest = 0.0
        self.errors: Counter[int] = Counter()

    def begin(self) -> None:
        """Connect, and ask until :meth:`end`."""
        self.pid = 0
        self._task = asyncio.create_task(self._speak())

    async def end(self) -> None:
        """Close the connection; what made the asking end is raised."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def renew(self) -> None:
        """Come as a new client, which is bound anew."""
        await self.end()
        self.begin()

    async def _speak(self) -> None:
        async with await visitor(self._town) as client:
            for number in itertools.count():
                asked = time.monotonic()
                try:
                    answer = await ask(client, number)
                except RequestError as error:
                    self.errors[error.status] += 1
                else:
                    if answer.pid != self.pid:
                        self.pid, self.since = answer.pid, time.monotonic()
                self.slowest = max(self.slowest, time.monotonic() - asked)
                await asyncio.sleep(PAUSE)


class Recovery:
    """One cluster, its clients, and what has been seen.

    Args:
        town: The cluster; nothing of it runs yet.

    Attributes:
        figures: What was measured.
        faults: What should not have happened.
    """

    def __init__(self, town: Town) -> None:
        self.town = town
        self.figures: list[Figure] = []
        self.faults: list[str] = []
        self._voices = [Voice(town) for _ in range(CLIENTS)]

    async def run(self, rounds: int, away: float, crowd: int) -> None:
        """Do everything once, and the killing *rounds* times.

        Args:
            rounds: How often a backend is killed.
            away: Seconds without a master.
            crowd: How many backends are started at once.
        """
        for name in ("master", "gate", *PAIR):
            self.town.start(name)
        await self._whole()
        for voice in self._voices:
            voice.begin()
        try:
            await self._spread()
            for number in range(rounds):
                await self._kill(PAIR[number % 2])
                await self._spread()
            await self._freeze(PAIR[0])
            await self._without_master(away)
            await self._crowd(crowd)
        finally:
            for voice in self._voices:
                await voice.end()

    # ------------------------------------------------------------- what is done

    async def _kill(self, name: str) -> None:
        pid = self.town.processes[name].pid
        bound = [voice for voice in self._voices if voice.pid == pid]
        killed = time.monotonic()
        self.town.signal(name, signal.SIGKILL)
        await _until(lambda: all(voice.pid != pid for voice in bound))
        moved = max(voice.since for voice in bound) - killed
        self._note("a backend dies: its clients are answered by another", moved, 1)
        self._expect("a backend died", OWED, len(bound))
        self.town.start(name)
        began = time.monotonic()
        await self._ready(name)
        ready = time.monotonic()
        self._note("  its process was started: ready", ready - began)
        while True:
            async with await visitor(self.town) as newcomer:
                if (await ask(newcomer, 1)).pid == self.town.processes[name].pid:
                    break
        self._note("  it is ready: serves a new client", time.monotonic() - ready, 2)
        await self._whole()
        self._expect("a backend came back", (), 0)

    async def _freeze(self, name: str) -> None:
        pid = self.town.processes[name].pid
        bound = {voice for voice in self._voices if voice.pid == pid}
        others = [voice for voice in self._voices if voice not in bound]
        self._forget()
        lost = self._lost(name)
        self.town.signal(name, signal.SIGSTOP)
        await asyncio.sleep(FREEZE)
        self.town.signal(name, signal.SIGCONT)
        await self._whole()
        text = f"a backend freezes for {FREEZE:.0f} s: its clients' longest wait"
        self._note(text, max(voice.slowest for voice in bound))
        slowest = max(voice.slowest for voice in others)
        self._note("  meanwhile: the other's clients' longest wait", slowest)
        if self._lost(name) != lost:
            self.faults.append("the frozen backend was taken for gone")
        self._expect("a backend froze", OWED, len(bound))

    async def _without_master(self, away: float) -> None:
        before = [voice.pid for voice in self._voices]
        self._forget()
        self.town.signal("master", signal.SIGKILL)
        await asyncio.sleep(away)
        slowest = max(voice.slowest for voice in self._voices)
        self._note(f"no master for {away:.0f} s: the longest wait", slowest)
        self.town.start("master")
        await self._ready("master")
        ready = time.monotonic()
        await self._whole()
        taken = time.monotonic() - ready
        self._note("  it is ready again: every list is whole", taken, 2 * HEARTBEAT)
        self._expect("the master was away", (), 0)
        if before != [voice.pid for voice in self._voices]:
            self.faults.append("a client changed its backend while the master was away")

    async def _crowd(self, number: int) -> None:
        names = [f"backend{len(PAIR) + index}" for index in range(number)]
        for name in names:
            self.town.start(name)
        for name in names:
            await self._ready(name)
        ready = time.monotonic()
        await self._whole()
        text = f"{number} backends start at once, all ready: every list is whole"
        self._note(text, time.monotonic() - ready, 2 * HEARTBEAT)
        for name in names:
            self.town.signal(name, signal.SIGTERM)
        for name in names:
            await asyncio.to_thread(self.town.processes[name].wait, PATIENCE)
        gone = time.monotonic()
        await self._whole()
        text = f"{number} backends stop at once, all gone: every list is whole"
        self._note(text, time.monotonic() - gone, 2 * HEARTBEAT)
        self._expect("backends came and went", (), 0)

    # ------------------------------------------------------------- what is seen

    def _lost(self, name: str) -> int:
        """Count how often the others have taken a node for gone."""
        said = f"{self.town.addresses[name]} is gone"
        return sum(self.town.said(other, said) for other in self.town.processes)

    def _note(self, what: str, seconds: float, must: float | None = None) -> None:
        for figure in self.figures:
            if figure.what == what:
                figure.seconds.append(seconds)
                return
        self.figures.append(Figure(what, [seconds], must))

    def _forget(self) -> None:
        for voice in self._voices:
            voice.slowest = 0
            voice.errors.clear()

    def _expect(self, when: str, allowed: tuple[int, ...], most: int) -> None:
        """See that clients were answered no other errors, and no more of them."""
        errors: Counter[int] = Counter()
        for voice in self._voices:
            errors += voice.errors
        strange = [status for status in errors if status not in allowed]
        if strange or errors.total() > most:
            self.faults.append(f"{when}: errors {dict(errors)}; at most {most}")
        self._forget()

    async def _spread(self) -> None:
        """Let clients come anew until either backend of the pair has some."""
        pids = {self.town.processes[name].pid for name in PAIR}
        while {voice.pid for voice in self._voices} != pids:
            for voice in self._voices[::2]:
                await voice.renew()
            await _until(lambda: all(voice.pid for voice in self._voices))

    async def _ready(self, name: str) -> None:
        await _until(lambda: asyncio.to_thread(self.town.ready, name))

    async def _whole(self) -> None:
        """Wait until each node that runs lists all of them."""
        running = [it for it, at in self.town.processes.items() if at.poll() is None]
        await _until(lambda: asyncio.to_thread(self._lists, running))

    def _lists(self, names: list[str]) -> bool:
        return all(self.town.members(name) == len(names) for name in names)


async def _until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


async def main() -> int:
    """Run as the command line says; print the figures; 1 if something is wrong."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        prog="python -m tests.endurance.recovery",
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--away", type=float, default=ABSENCE)
    parser.add_argument("--crowd", type=int, default=CROWD)
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        town = Town(Path(folder), len(PAIR) + args.crowd)
        recovery = Recovery(town)
        try:
            await recovery.run(args.rounds, args.away, args.crowd)
        finally:
            town.stop()
    print(*recovery.figures, sep="\n")
    print(f"faults: {'; '.join(recovery.faults) or 'none'}")
    print(f"{CLIENTS} clients; seconds: {time.monotonic() - began:.0f}")
    return 1 if recovery.faults else 0


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
