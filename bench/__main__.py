"""Measures our nodes beside Go nano's: ``python -m bench``, from the root.

Both sides are started fresh for each way through the nodes, on the same cores, and
take turns under the same load, so that whatever else the machine does hits both.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bench.contenders import Contender, GoNano, Ours
from bench.cores import Cores
from bench.measuring import Load, Outcome
from bench.processes import BenchError, Servers
from bench.rows import ROWS, Row, Way
from bench.table import Measured, as_json, render

QUIET: Final = 0.5
"""Load average above which something else takes part in the measurement."""

ROOT: Final = Path(__file__).resolve().parents[1]

EPILOG: Final = f"""\
rows:
{chr(10).join(f"  {row.name:12}{row.title}" for row in ROWS)}

The number to read is "ours : Go": the same load, the same cores, the same minute.
Absolute rates belong to this machine. "ceiling" is what the generator reaches
against a server that does almost nothing: a rate close to it measures the
generator. bench/README.md says more. Ends with 1 if a request to our nodes did
not get its answer, and never because something was slow.
"""


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Requests per second of our nodes beside Go nano's, in one run.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rows",
        metavar="NAME,…",
        default=",".join(row.name for row in ROWS),
        help="measure these rows only",
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="turns of each side (default: 3)"
    )
    parser.add_argument(
        "--seconds", type=float, default=1.4, help="counting in a turn (default: 1.4)"
    )
    parser.add_argument(
        "--warmup", type=float, default=0.7, help="seconds before it (default: 0.7)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write everything as JSON as well"
    )
    options = parser.parse_args(given)
    known = {row.name: row for row in ROWS}
    unknown = [name for name in options.rows.split(",") if name not in known]
    if unknown:
        parser.error(f"no row {unknown[0]!r}; there are {', '.join(known)}")
    if options.rounds < 1 or options.seconds <= 0 or options.warmup < 0:
        parser.error("--rounds is at least 1, --seconds above 0, --warmup at least 0")
    options.rows = [known[name] for name in options.rows.split(",")]
    return options


class Progress:
    """One line that changes, on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """Show *text* in place of what was shown."""
        if self._on:
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One run: the load, the cores and both sides."""

    load: Load
    cores: Cores
    sides: tuple[Contender, Contender]
    rounds: int
    folder: Path
    progress: Progress

    def measure(self, rows: Sequence[Row]) -> list[Measured]:
        """Measure *rows*, those with the same way together."""
        results: dict[str, Measured] = {}
        for way in Way:
            chosen = [row for row in rows if row.way is way]
            if chosen:
                results |= self._way(way, chosen)
        return [results[row.name] for row in rows]

    def _way(self, way: Way, rows: Sequence[Row]) -> dict[str, Measured]:
        with ExitStack() as stack:
            running: list[tuple[Contender, Servers, str]] = []
            for side in self.sides:
                self.progress.say(f"{way.value}: starting {side.name}")
                place = self.folder / f"{way.name} {side.name}".lower()
                servers = stack.enter_context(Servers(place))
                address = side.start(way, self.cores, servers)
                self.load.settle(address)
                running.append((side, servers, address))
            return {row.name: self._row(row, running) for row in rows}

    def _row(
        self, row: Row, running: Sequence[tuple[Contender, Servers, str]]
    ) -> Measured:
        outcomes = {side.name: Outcome() for side, _, _ in running}
        for turn in range(self.rounds):
            for side, servers, address in running:
                self.progress.say(
                    f"{row.title}: round {turn + 1} of {self.rounds}, {side.name}"
                )
                self.load.round(row, address, servers, outcomes[side.name])
        self.progress.say(f"{row.title}: ceiling")
        with self.load.bare(self.cores.gate) as address:
            ceiling = self.load.measure(row, address).rate
        ours, theirs = (outcomes[side.name] for side in self.sides)
        return Measured(row=row, ours=ours, theirs=theirs, ceiling=ceiling)


def programs() -> list[Path]:
    """Build and return the Go programs: the peer and the load.

    Raises:
        BenchError: They cannot be built.
    """
    command = [sys.executable, str(ROOT / "tests/peers/build.py"), "peer", "load"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        raise BenchError(built.stderr.strip())
    return [Path(line) for line in built.stdout.splitlines()]


def main(given: Sequence[str]) -> int:
    """Measure, print the table, and return the exit status."""
    options = arguments(given)
    busy = os.getloadavg()[0]
    cores = Cores.of_this_machine()
    progress = Progress()
    try:
        progress.say("building the Go programs")
        peer, load = programs()
        with tempfile.TemporaryDirectory(prefix="nano-bench-") as folder:
            bench = Bench(
                load=Load(
                    load, cores.load, seconds=options.seconds, warmup=options.warmup
                ),
                cores=cores,
                sides=(Ours(Path(folder)), GoNano(peer)),
                rounds=options.rounds,
                folder=Path(folder),
                progress=progress,
            )
            results = bench.measure(options.rows)
    except BenchError as problem:
        progress.say("")
        sys.stderr.write(f"bench: {problem}\n")
        return 1
    progress.say("")
    print(f"{cores}; {options.rounds} rounds of {options.seconds:g} s each\n")
    print(render(results))
    if busy > QUIET:
        print(f"! the machine was busy before this began (load {busy:.1f}): repeat it")
    if options.output:
        document = msgspec.json.encode(as_json(results, cores, busy))
        options.output.write_bytes(msgspec.json.format(document, indent=2) + b"\n")
    return 1 if any(result.ours.faults for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
