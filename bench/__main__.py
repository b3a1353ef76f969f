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
from pathlib import Path
from typing import Final

import msgspec

from bench.calls import Calls
from bench.certificates import Certificate
from bench.comparing import Bench, Progress, seconds
from bench.contenders import GoNano, Ours
from bench.cores import Cores
from bench.instructions import Counter
from bench.measuring import Load
from bench.processes import BenchError, raise_file_limit
from bench.rows import CROWD, ROWS, Kind, Row, Way, chosen
from bench.table import as_json, interpreter, render, render_metrics, render_work
from nano.version import compiled

QUIET: Final = 0.5
"""Load average above which something else takes part in the measurement."""

OUR_WAYS: Final = (Way.ONE_NODE, Way.GATE_BACKEND)
"""Those on which all nodes are ours."""

ROOT: Final = Path(__file__).resolve().parents[1]

EPILOG: Final = f"""\
rows:
{chr(10).join(f"  {row.name:16}{row.title}" for row in ROWS)}

The number to read is "ours : Go": the same load, the same cores, the same minute.
Absolute rates belong to this machine. "ceiling" is what the generator reaches
against a server that does almost nothing: a rate close to it measures the
generator. bench/README.md says more. Ends with 1 if our nodes did not answer
everything rightly or a row could not be measured, and never because something
was slow.
"""


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="What our nodes do in a second beside Go nano's, in one run.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rows",
        metavar="NAME,…",
        default="*",
        help="measure these rows only; patterns as of a shell are understood",
    )
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument(
        "--cpu-only",
        dest="measure",
        action="store_const",
        const=work,
        default=compare,
        help="only our side, and of that only the processor time for a message: what "
        "two commits can be compared by on a busy machine",
    )
    alone.add_argument(
        "--metrics",
        dest="measure",
        action="store_const",
        const=metrics,
        help="our side beside itself without counting: what the metrics cost",
    )
    alone.add_argument(
        "--instructions",
        dest="measure",
        action="store_const",
        const=instructions,
        help="only our side, and of that only the instructions outside the kernel for "
        "a message, counted once by valgrind: hardly differs from run to run",
    )
    alone.add_argument(
        "--calls",
        dest="measure",
        action="store_const",
        const=calls,
        help="only our side, and of that only which functions are called how often for "
        "a message, counted once: where to look",
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
        "--crowd",
        type=int,
        metavar="N",
        default=CROWD,
        help=f"connections of the idle rows (default: {CROWD})",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write everything as JSON as well; of a comparison only",
    )
    options = parser.parse_args(given)
    try:
        options.rows = chosen(options.rows, options.crowd)
    except ValueError as problem:
        parser.error(str(problem))
    if options.rounds < 1 or options.seconds <= 0 or options.warmup < 0:
        parser.error("--rounds is at least 1, --seconds above 0, --warmup at least 0")
    if options.crowd < 1:
        parser.error("--crowd is at least 1")
    if options.measure in (metrics, calls) and compiled():
        parser.error(
            "--metrics and --calls look at source; nano.protocol.messages is compiled "
            "here: leave it out of PYTHONPATH"
        )
    if options.output and options.measure is not compare:
        parser.error("--output is of a comparison, which compares both sides")
    return options


def programs(*names: str) -> list[Path]:
    """Build and return Go programs: the peer, the load.

    Raises:
        BenchError: They cannot be built.
    """
    command = [sys.executable, str(ROOT / "tests/peers/build.py"), *names]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        raise BenchError(built.stderr.strip())
    return [Path(line) for line in built.stdout.splitlines()]


def bench(options: argparse.Namespace, load: Path, folder: Path) -> Bench:
    """Return what measures as *options* say."""
    cores = Cores.of_this_machine()
    return Bench(
        load=Load(
            load,
            cores.load,
            options.certificate.authority,
            seconds=options.seconds,
            warmup=options.warmup,
        ),
        cores=cores,
        rounds=options.rounds,
        folder=folder,
        progress=Progress(),
    )


def compare(options: argparse.Namespace, folder: Path) -> int:
    """Measure both sides, print the table, and return the exit status."""
    busy = os.getloadavg()[0]
    load, peer = programs("load", "peer")
    run = bench(options, load, folder)
    announce(run, options.rows, sides=2)
    go = GoNano(peer, options.certificate)
    results = run.compare(options.rows, Ours(folder, options.certificate, go), go)
    run.progress.say("")
    describe(run)
    print(render(results))
    if busy > QUIET:
        print(f"! the machine was busy before this began (load {busy:.1f}): repeat it")
    if options.output:
        found = as_json(results, run.failures, run.cores, busy)
        document = msgspec.json.encode(found)
        options.output.write_bytes(msgspec.json.format(document, indent=2) + b"\n")
    return conclude(run, sum(result.ours.faults for result in results))


def metrics(options: argparse.Namespace, folder: Path) -> int:
    """Measure our nodes that count and that do not; return the exit status."""
    load, peer = programs("load", "peer")
    run = bench(options, load, folder)
    rows = [row for row in busy_rows(options.rows) if row.setup.way in OUR_WAYS]
    announce(run, rows, sides=2)
    go = GoNano(peer, options.certificate)
    counted, uncounted = (
        Ours(folder, options.certificate, go, counting=counting)
        for counting in (True, False)
    )
    results = run.compare(rows, counted, uncounted)
    run.progress.say("")
    describe(run)
    print(render_metrics(results))
    return conclude(run, sum(it.ours.faults + it.theirs.faults for it in results))


def work(options: argparse.Namespace, folder: Path) -> int:
    """Measure our processor time, print it, and return the exit status."""
    load, peer = programs("load", "peer")
    run = bench(options, load, folder)
    rows = busy_rows(options.rows)
    announce(run, rows, sides=1)
    go = GoNano(peer, options.certificate)
    outcomes = run.alone(rows, Ours(folder, options.certificate, go))
    run.progress.say("")
    describe(run)
    print(render_work(rows, outcomes))
    return conclude(run, sum(outcome.faults for outcome in outcomes.values()))


def instructions(options: argparse.Namespace, folder: Path) -> int:
    """Count our instructions, print them, and return the exit status."""
    counter = Counter(folder)
    load, peer = programs("load", "peer")
    run = bench(options, load, folder)
    go = GoNano(peer, options.certificate)
    ours = Ours(folder, options.certificate, go, prefix=counter.prefix)
    counts = run.instructions(busy_rows(options.rows), ours, counter)
    run.progress.say("")
    for name, count in counts.items():
        print(f"{name:14}{count:10,.0f} instructions for a message")
    return conclude(run, 0)


def calls(options: argparse.Namespace, folder: Path) -> int:
    """Count our calls, print them, and return the exit status."""
    counter = Calls(folder)
    load, peer = programs("load", "peer")
    run = bench(options, load, folder)
    go = GoNano(peer, options.certificate)
    ours = Ours(folder, options.certificate, go, components=[counter.component])
    for row in busy_rows(options.rows):
        messages = run.calls(row, ours)
        run.progress.say("")
        if messages:
            head = f"{row.name}: calls for each of {messages} messages"
            print(f"{head}\n{counter.render(messages)}\n")
    return conclude(run, 0)


def busy_rows(rows: Sequence[Row]) -> list[Row]:
    """Return those of *rows* in which messages are sent."""
    return [row for row in rows if row.kind is not Kind.IDLE]


def announce(run: Bench, rows: Sequence[Row], sides: int) -> None:
    """Tell how long it takes."""
    guess = seconds(rows, run.load, run.rounds, sides)
    sys.stderr.write(f"{len(rows)} rows, about {guess / 60:.1f} minutes\n")


def describe(run: Bench) -> None:
    """Tell what stands above every table: where it was measured."""
    print(f"{run.cores}; {run.rounds} rounds of {run.load.seconds:g} s each")
    print(f"our nodes: {interpreter()}\n")


def conclude(run: Bench, faults: int) -> int:
    """Tell what could not be measured, and return the exit status."""
    for name, problem in run.failures.items():
        print(f"! {name} was not measured: {problem}")
    return 1 if faults or run.failures else 0


def main(given: Sequence[str]) -> int:
    """Do what the command line asks for and return the exit status."""
    options = arguments(given)
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="nano-bench-") as folder:
        options.certificate = Certificate.issue(Path(folder))
        try:
            status: int = options.measure(options, Path(folder))
        except BenchError as problem:
            sys.stderr.write(f"bench: {problem}\n")
            return 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
