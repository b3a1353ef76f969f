"""Counts the instructions that our servers execute for a message, by valgrind.

What a busy machine cannot disturb: not a time but a number, the same again within
some percent.  It leaves out the kernel, and says nothing about caches.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter as Counted
from pathlib import Path
from typing import Final

from bench.measuring import Load
from bench.processes import BenchError, Servers
from bench.rows import Row

__all__ = ["Counter"]

SHORT: Final = 1.0  # seconds of load
LONG: Final = 4.0
PATIENCE: Final = 60.0  # seconds for an answer: all is a hundred times slower here


class Counter:
    """Runs servers under valgrind's callgrind and reads what it counts.

    Counting is off while servers start.  Two loads that differ only in their length
    are then counted: what connecting and closing costs is the same in both, so the
    difference is messages alone.

    Attributes:
        prefix: What stands before a server's command.
    """

    def __init__(self, folder: Path) -> None:
        if (
            shutil.which("valgrind") is None
            or shutil.which("callgrind_control") is None
        ):
            message = "valgrind is missing: install your system's package of this name"
            raise BenchError(message)
        self._folder = folder
        self._dumps: Counted[int] = Counted()  # of each process
        self.prefix = (
            "valgrind",
            "--quiet",
            "--tool=callgrind",
            "--instr-atstart=no",
            f"--callgrind-out-file={folder}/instructions.%p",
        )

    def count(self, row: Row, address: str, servers: Servers, load: Load) -> float:
        """Return the instructions of all servers for one message.

        Raises:
            BenchError: An answer was missing or wrong.
        """
        watched = [pid for pid in servers.processes if self._is_watched(pid)]
        self._loaded(row, address, load, SHORT)  # the interpreter warms up
        for pid in watched:
            self._control("--instr=on", str(pid))
        self._dump(watched)
        served, counted = [], []
        for seconds in (SHORT, LONG):
            served.append(self._loaded(row, address, load, seconds))
            load.settle(row.setup, address)  # by then the connections are closed
            counted.append(self._dump(watched))
        for pid in watched:
            self._control("--instr=off", str(pid))
        return (counted[1] - counted[0]) / (served[1] - served[0])

    def _loaded(self, row: Row, address: str, load: Load, seconds: float) -> int:
        report = load.run(row, address, 0, seconds, patience=PATIENCE)
        if report.faults:
            message = f"{row.title}: under valgrind came {report}"
            raise BenchError(message)
        return report.served

    def _is_watched(self, pid: int) -> bool:
        return b"callgrind" in Path(f"/proc/{pid}/cmdline").read_bytes()

    def _dump(self, watched: list[int]) -> int:
        """Return what was counted since the last time."""
        total = 0
        for pid in watched:
            self._control("--dump", str(pid))
            self._dumps[pid] += 1
            dump = self._folder / f"instructions.{pid}.{self._dumps[pid]}"
            text = dump.read_text()
            found = re.search(r"^summary: (\d+)$", text, re.MULTILINE)
            if not found:
                message = f"callgrind's file of process {pid} has no summary"
                raise BenchError(message)
            total += int(found[1])
        return total

    def _control(self, *arguments: str) -> None:
        done = subprocess.run(
            ["callgrind_control", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            message = f"callgrind_control: {done.stdout}{done.stderr}"
            raise BenchError(message)
