"""One process: started, listened to, probed, stopped.

The asyncio shell around :class:`~nano.local.life.Life`, which decides everything;
here its actions are carried out and what happens is fed back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from nano.local.life import STOP_GRACE, Action, Life, Phase, Stimulus
from nano.local.parent import PARENT_FD, WATCHED
from nano.local.plan import ProcessSpec
from nano.local.ports import Doors
from nano.local.probe import not_ready
from nano_manifest import RESERVED_ENV

__all__ = ["Child", "Voice"]

STOP: Final = signal.SIGINT  # at once: all stop, and nobody is there to move to
# to one that is not ready: there is nobody to drain, and while it imports its modules
# SIGINT would be a traceback, where this is the end
STOP_EARLY: Final = signal.SIGTERM
SECONDS_BETWEEN_PROBES: Final = 0.05
SECONDS_OF_LAST_WORDS: Final = 1.0  # output that is still in the pipe at the end
LAST_LINES: Final = 6
LONGEST_LINE: Final = 64 * 1024  # characters; a longer one is shown in pieces


class Voice(Protocol):
    """Where a supervisor's words go, and those of its processes."""

    def say(self, text: str) -> None:
        """Tell something of the supervisor's own."""

    def line(self, name: str, text: str) -> None:
        """Tell one line of the process *name*."""


class Child:
    """One process of the cluster, over all its restarts.

    Owned by the supervisor, whose task group runs its tasks.

    Args:
        spec: How it is called.
        parent_fd: The end of the supervisor's pipe that the process holds.
        doors: The listeners' ports, for gates.
        group: Where its tasks run.
        console: Where its output goes.
        changed: Called after everything that happened.
        watched: Whether somebody reads its output at *console*; else it has ours.

    Attributes:
        life: Where it stands.
        starts: How often it was started.
        reason: Why it is not ready, as far as it says.
        last_lines: The end of its output.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        parent_fd: int,
        doors: Doors,
        group: asyncio.TaskGroup,
        console: Voice,
        changed: Callable[[], None],
        *,
        watched: bool = True,
    ) -> None:
        self.spec = spec
        self.life = Life()
        self.starts = 0
        self.reason = "it is starting"
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._parent_fd = parent_fd
        self._doors = doors
        self._group = group
        self._console = console
        self._changed = changed
        self._watched = watched
        self._how = STOP
        self._process: Process | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(0, self.starts - 1)

    @property
    def pid(self) -> int:
        """The process, or 0 where none runs."""
        return self._process.pid if self._process else 0

    def feed(self, happened: Stimulus, code: int | None = None) -> None:
        """Let *happened* happen, and do what follows from it."""
        loop = asyncio.get_running_loop()
        is_early = self.life.phase is Phase.STARTING
        action = self.life.feed(happened, loop.time(), code)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.life.due is not None:
            self._timer = loop.call_at(self.life.due, self.feed, Stimulus.DUE)
        if action is Action.SPAWN:
            self.starts += 1
            self._group.create_task(self._run(), name=f"run {self.spec.name}")
        elif action is Action.TERMINATE:
            self._signal(STOP_EARLY if is_early else self._how)
        elif action is Action.KILL:
            self._console.say(f"{self.spec.name} does not stop; it is killed")
            self.kill()
        self._changed()

    def leave(self, seconds: float | None) -> None:
        """Stop it, while others stay: it may take its time to send clients to them.

        Args:
            seconds: How long it may drain; ``None``: somebody else counts.
        """
        self._how = signal.SIGTERM
        self.life.stop_grace = None if seconds is None else seconds + STOP_GRACE
        self.feed(Stimulus.STOP)

    def hurry(self) -> None:
        """End what drains at once, in order; kill what should have stopped so."""
        if self._how is signal.SIGTERM:
            self._how = STOP
            self._signal(self._how)
        else:
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            # not by its method, which would take the exit code of one that has just
            # ended from under the hands of asyncio, and have it called 255
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def _run(self) -> None:
        """See one process from its start to its end."""
        try:
            process = await self._spawn()
        except OSError as error:
            self._console.say(f"{self.spec.name} cannot be started: {error}")
            self._ended(1)
            return
        self._process = process
        if self.life.phase is Phase.STOPPING:  # told so while it was made
            self._signal(STOP_EARLY)
        tasks = [
            asyncio.create_task(self._pump(process), name=f"read {self.spec.name}"),
            asyncio.create_task(self._probe(), name=f"probe {self.spec.name}"),
        ]
        try:
            code = await process.wait()
            await asyncio.wait(tasks[:1], timeout=SECONDS_OF_LAST_WORDS)
        except BaseException:
            self.kill()
            raise
        finally:
            self._process = None
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._ended(code)

    async def _spawn(self) -> Process:
        sockets = self._doors.open() if self.spec.role == "gate" else {}
        try:
            fds = {name: sock.fileno() for name, sock in sockets.items()}
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the folder we are in is nobody's place to import from
                "-m",
                "nano.cli",
                *self.spec.args,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=PIPE if self._watched else None,
                stderr=STDOUT if self._watched else None,
                env=self._environment(fds),
                pass_fds=(*fds.values(), self._parent_fd),
                process_group=0,  # the terminal's Ctrl-C is for the supervisor alone
            )
        finally:
            for sock in sockets.values():
                sock.close()

    def _environment(self, fds: Mapping[str, int]) -> dict[str, str]:
        env = {k: v for k, v in os.environ.items() if k not in RESERVED_ENV}
        env |= self.spec.env
        env |= {PARENT_FD: str(self._parent_fd), "PYTHONUNBUFFERED": "1"}
        if self._watched:
            env[WATCHED] = "1"
        if fds:
            shared = ",".join(f"{name}={fd}" for name, fd in fds.items())
            env["NANO_LISTEN_FDS"] = shared
        return env

    async def _pump(self, process: Process) -> None:
        """Show what the process writes, line by line."""
        if process.stdout is None:
            return
        rest = ""
        while chunk := await process.stdout.read(LONGEST_LINE):
            *lines, rest = (rest + chunk.decode("utf-8", "replace")).split("\n")
            if len(rest) > LONGEST_LINE:
                lines, rest = [*lines, rest], ""
            for line in lines:
                self._show(line)
        if rest:
            self._show(rest)

    def _show(self, line: str) -> None:
        self.last_lines.append(line)
        self._console.line(self.spec.name, line)

    async def _probe(self) -> None:
        """Ask until it is ready."""
        while True:
            reason = await not_ready(self.spec.observe)
            if reason is None:
                self.feed(Stimulus.READY)
                return
            self.reason = reason
            await asyncio.sleep(SECONDS_BETWEEN_PROBES)

    def _ended(self, code: int) -> None:
        self.reason = _how(code)
        self.feed(Stimulus.EXIT, code)
        if self.life.phase is Phase.PAUSING and self.life.due is not None:
            pause = self.life.due - asyncio.get_running_loop().time()
            self._console.say(
                f"{self.spec.name} {self.reason}; it is started again in {pause:.1f} s"
            )


def _how(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
