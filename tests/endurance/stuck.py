"""Let clients stop reading, and see what that costs: memory, and other clients' time.

``python -m tests.endurance.stuck``, or ``make endurance``.  Two questions:

*Memory.*  Many clients stop reading while a gate pushes to them without pause.  Each
may cost the gate its backlog and the one write that found it too large, and then is cut
off by the rule.  The peak of the gate's resident memory is divided by their number.

*Time.*  Other clients ask at a steady pace.  Meanwhile a gate pushes as much to some
clients that read, and to some that do not, by turns, so much that a backlog lasts about
as long as a turn; a new one comes for each that is cut off.  What is printed is the
99th percentile of the others' waits with either, and the ratio of the two: from one
run, since the machine has other work too.  Turns in which they read come twice, and the
ratio of these two is printed as well: it should be 1, and how far it is from that says
how much the other ratio is worth.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from itertools import cycle, islice, permutations
from typing import Final

from nano.client import Client

from .census import census
from .gate import Gate, running_gate
from .guest import GREETING, Guest
from .idle import memory
from .manners import notify

__all__ = ["BACKLOG", "cost_of_stopping", "waits"]

BACKLOG: Final = 1 << 20  # bytes; the default
SMALL: Final = 4096  # bytes; what a client's kernel takes in that reads slowly
PUSH: Final = 16_384  # bytes of one push, a thousand of which a second come to each
LOUD_PUSH: Final = 4096  # the same while time is taken: to stop is to lag for long
SLOW: Final = "slow-client"
READERS: Final = 20
LOUD: Final = 4  # clients that are pushed to while others' time is taken
OTHERS: Final = 10
PACE: Final = 0.01  # seconds between two requests of one of them
TURN: Final = 1.0  # seconds
ROUNDS: Final = 12  # of three turns, in all six orders alike
PATIENCE: Final = 60.0


async def _flooded(gate: Gate, size: int, *, reading: bool) -> Guest:
    """Return a client that *size* bytes are pushed to a thousand times a second."""
    guest = await Guest.come(gate.tcp, receive_buffer=0 if reading else SMALL)
    guest.say(GREETING)
    await guest.hear(b'"code":200')
    if not reading:
        guest.stop_reading()
    guest.say(notify("Yard.flood", b"%d" % size))
    return guest


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # it is about another process
            await asyncio.sleep(0.002)


async def cost_of_stopping(gate: Gate, readers: int) -> float:
    """Let *readers* stop at once; return the memory that each has cost, in bytes.

    Returns when all of them were cut off for it.
    """
    async with await gate.client() as client:
        await census(client)
    before = peak = memory(gate.pid)
    looked = 0
    guests = [await _flooded(gate, PUSH, reading=False) for _ in range(readers)]

    def all_cut() -> bool:
        nonlocal peak, looked
        peak = max(peak, memory(gate.pid))
        looked += 1
        return not looked % 50 and gate.closed()[SLOW] >= readers

    await _until(all_cut)
    for guest in guests:
        guest.reset()
    return (peak - before) / readers


class Flood:
    """Some clients that are pushed to; who is cut off is followed by another."""

    def __init__(self, gate: Gate, *, reading: bool) -> None:
        self._gate = gate
        self._reading = reading
        self._tasks: list[asyncio.Task[None]] = []

    async def _one(self) -> None:
        while True:
            guest = await _flooded(self._gate, LOUD_PUSH, reading=self._reading)
            try:
                await guest.nag(b"\x03\0\0\0")
            finally:
                guest.reset()

    async def __aenter__(self) -> None:
        self._tasks = [asyncio.create_task(self._one()) for _ in range(LOUD)]

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _ask(client: Client, until: float) -> list[float]:
    found = []
    while time.monotonic() < until:
        began = time.perf_counter()
        await client.request("Yard.hello", {"name": "ann"}, timeout=PATIENCE)
        found.append(time.perf_counter() - began)
        await asyncio.sleep(PACE)
    return found


async def waits(gate: Gate, rounds: int, turn: float) -> list[list[float]]:
    """Return how long others wait while loud clients read, read, and do not.

    Of each round the three turns have another order: what a turn leaves behind, such as
    the ends of its clients, is the next one's burden.
    """
    clients = [await gate.client() for _ in range(OTHERS)]
    found: list[list[float]] = [[], [], []]
    orders = permutations(zip(found, (True, True, False), strict=True))
    for order in islice(cycle(orders), rounds):
        for kind, reading in order:
            async with Flood(gate, reading=reading):
                until = time.monotonic() + turn
                results = await asyncio.gather(*(_ask(it, until) for it in clients))
            kind += [wait for result in results for wait in result]
    for client in clients:
        await client.close()
    return found


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


async def main() -> int:
    """Run as the command line says; print the figures; 1 if memory is too much."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        prog="python -m tests.endurance.stuck",
    )
    parser.add_argument("--readers", type=int, default=READERS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    with running_gate(backlog_bytes=BACKLOG) as gate:
        cost = await cost_of_stopping(gate, args.readers)
    print(
        f"{args.readers} clients stopped reading and were cut off: at most "
        f"{cost / 1024:.0f} KiB each, of a backlog of {BACKLOG // 1024} KiB",
        flush=True,
    )
    with running_gate(backlog_bytes=BACKLOG) as gate:
        calm, again, stuck = await waits(gate, args.rounds, TURN)
        cut = gate.closed()[SLOW]
    for name, found in (("read", calm), ("read", again), ("do not", stuck)):
        each = " ".join(
            f"p{it} {1000 * _percentile(found, it):.2f} ms" for it in (50, 90, 99)
        )
        print(f"others' waits while {LOUD} loud clients {name}: {each} ({len(found)})")
    ratio = _percentile(stuck, 99) / _percentile([*calm, *again], 99)
    control = _percentile(again, 99) / _percentile(calm, 99)
    print(
        f"ratio of the p99: {ratio:.2f}, of the control: {control:.2f}; cut off: {cut}"
    )
    return 1 if cost > BACKLOG + 2 * PUSH else 0


if __name__ == "__main__":
    import uvloop

    sys.exit(uvloop.run(main()))
