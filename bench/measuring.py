"""Runs the load generator and keeps what it reports."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from bench.contenders import WS_PATH
from bench.processes import BenchError, Servers, accepts, free_address, on_core
from bench.rows import Client, Kind, Row, Setup

__all__ = ["Load", "Outcome", "Report", "Work"]

ROUTES: Final = {
    Kind.REQUESTS: "EchoService.echo",
    Kind.ROOM: "RoomService.say",
    Kind.IDLE: "EchoService.echo",
}

PATIENCE: Final = 2.0  # seconds that an answer is waited for
CROWDED: Final = 30.0  # seconds until each of many idle connections has had one
CONNECTING: Final = 60.0  # the generator's own bound
SETTLING: Final = 20.0  # seconds until the first request through all nodes works


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Processor time for one message, in microseconds.

    It hardly depends on what else the machine does, unlike rates.
    """

    user: float
    system: float

    @property
    def total(self) -> float:
        """Both."""
        return self.user + self.system


class Report(msgspec.Struct, kw_only=True, frozen=True):
    """What one run of ``load`` says; see ``bench/load/report.go``."""

    c: int
    k: int
    seconds: float
    served: int
    answers: int
    rate: float
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float
    errors: int
    wrong: int
    late: int
    lost: int
    closed: int
    cpu: float
    user: float
    system: float
    before: int
    after: int

    @property
    def memory(self) -> float:
        """KiB that the watched servers needed for one idle connection."""
        return (self.after - self.before) / self.c / 1024

    @property
    def work(self) -> Work:
        """Processor time of all watched servers for one message."""
        share = 1e6 / max(self.answers, 1)
        return Work(user=self.user * share, system=self.system * share)

    @property
    def faults(self) -> int:
        """Requests that did not get their answer, and lost connections."""
        return self.errors + self.wrong + self.late + self.lost + self.closed


@dataclass(slots=True)
class Outcome:
    """Every round of one contender in one row.

    Attributes:
        kind: What the load did.
        reports: One for each round.
    """

    kind: Kind
    reports: list[Report] = field(default_factory=list)

    @property
    def figures(self) -> list[float]:
        """What each round found: answers or deliveries per second, or KiB."""
        if self.kind is Kind.IDLE:
            return [report.memory for report in self.reports]
        return [report.rate for report in self.reports]

    @property
    def figure(self) -> float:
        """The median of them."""
        return statistics.median(self.figures)

    @property
    def p50(self) -> float:
        """Median latency in microseconds, the median round."""
        return statistics.median(report.p50_us for report in self.reports)

    @property
    def p99(self) -> float:
        """99th percentile in microseconds, the median round."""
        return statistics.median(report.p99_us for report in self.reports)

    @property
    def cost(self) -> float:
        """Microseconds of processor time for one message, the median round."""
        return statistics.median(report.work.total for report in self.reports)

    @property
    def faults(self) -> int:
        """Requests without their answer in all rounds."""
        return sum(report.faults for report in self.reports)


class Load:
    """The load generator on its core.

    Attributes:
        seconds: How long a round counts.
        warmup: Seconds before it counts.
        tried: Good answers while the last :meth:`settle` tried the nodes.
    """

    def __init__(
        self,
        program: Path,
        core: int | None,
        authority: Path,
        *,
        seconds: float,
        warmup: float,
    ) -> None:
        self.seconds = seconds
        self.warmup = warmup
        self.tried = 0
        self._program = program
        self._core = core
        self._authority = authority

    def measure(self, row: Row, address: str, watch: Sequence[int] = ()) -> Report:
        """Put the row's load on *address* for one round.

        Args:
            row: What load.
            address: Where.
            watch: The server's processes; how much they work is reported.
        """
        patience = CROWDED if row.kind is Kind.IDLE else PATIENCE
        return self.run(row, address, self.warmup, self.seconds, watch, patience)

    def round(self, row: Row, address: str, servers: Servers, into: Outcome) -> None:
        """Measure one round and add it to *into*."""
        report = self.measure(row, address, servers.processes)
        servers.check()
        into.reports.append(report)

    def settle(self, setup: Setup, address: str) -> None:
        """Wait until requests are answered: the nodes know the way by then.

        Until then errors are no surprise; a wrong answer is, at any time.

        Raises:
            BenchError: They are not answered in time, or one of them wrongly.
        """
        probe = Row(name="probe", setup=setup, connections=1, must=0, aim=0)
        deadline = time.monotonic() + SETTLING
        self.tried = 0
        while True:
            try:
                report = self.run(probe, address, warmup=0, window=0.05)
            except BenchError as error:
                problem = str(error)
            else:
                self.tried += report.served
                if report.wrong:
                    message = f"{report.wrong} wrong among the first answers: {report}"
                    raise BenchError(message)
                if report.answers and not report.faults:
                    return
                problem = f"answered {report}"
            if time.monotonic() > deadline:
                message = f"no answer within {SETTLING:.0f} s: {problem}"
                raise BenchError(message)
            time.sleep(0.1)

    @contextmanager
    def bare(self, core: int | None) -> Iterator[str]:
        """Run the server that does almost nothing, on *core*; gives its address."""
        address = free_address()
        with on_core(core):
            process = subprocess.Popen(
                [self._program, "bare", "--listen", address],
                stderr=subprocess.DEVNULL,
                env={"GOMAXPROCS": "1"},
            )
        try:
            _wait(lambda: accepts(address), process)
            yield address
        finally:
            process.kill()
            process.wait()

    def run(
        self,
        row: Row,
        address: str,
        warmup: float,
        window: float,
        watch: Sequence[int] = (),
        patience: float = PATIENCE,
    ) -> Report:
        """Put the row's load on *address* and return what the generator says.

        Args:
            row: What load.
            address: Where.
            warmup: Seconds before it counts.
            window: Seconds of counting.
            watch: The server's processes.
            patience: Seconds after which an answer counts as lost.

        Raises:
            BenchError: It could not connect, or lost every connection.
        """
        options: dict[str, object] = {
            "kind": row.kind.value,
            "addr": address,
            "route": ROUTES[row.kind],
            "connections": row.connections,
            "in-flight": row.in_flight,
            "warmup": f"{warmup}s",
            "window": f"{window}s",
            "patience": f"{patience}s",
            "serializer": row.setup.format.value,
        }
        if row.setup.client is not Client.TCP:
            options["ws"] = WS_PATH
        if row.setup.client is Client.TLS:
            options["ca"] = self._authority
        if watch:
            options["watch"] = ",".join(map(str, watch))
        command = [str(self._program)]
        command += [f"--{name}={value}" for name, value in options.items()]
        with on_core(self._core):
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        try:
            bound = CONNECTING + warmup + window + patience + 15
            out, errors = process.communicate(timeout=bound)
        except subprocess.TimeoutExpired:
            message = f"the load took longer than {bound:.0f} s"
            raise BenchError(message) from None
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            raise BenchError(errors.decode().strip())
        return msgspec.json.decode(out, type=Report)


def _wait(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            message = "the bare server did not start"
            raise BenchError(message)
        time.sleep(0.02)
