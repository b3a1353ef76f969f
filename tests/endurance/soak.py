"""Let clients come and go in every manner there is, and see that nothing stays.

``python -m tests.endurance.soak [--cycles 50000]``, some four minutes, or ``make
endurance``.  A gate runs as a process, and clients leave it as
:mod:`~tests.endurance.manners` says, a thousand at a time.  After each thousand the
gate is asked for its memory; at the end nothing may be left of any connection: no
session, transport, group member, promise or task, as its garbage collector counts them.
The memory may grow by less than 64 bytes a cycle: the slope of a straight line through
the second half of the measurements.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from .census import census, settled, slope, witness
from .gate import Gate, running_gate
from .manners import MANNERS, SETTINGS, Crowd, visit_of

__all__ = ["Soaked", "soak"]

AT_ONCE: Final = 150  # connections; fewer than an address would be refused for
MOST_SLOPE: Final = 64.0  # bytes a cycle


@dataclass(slots=True)
class Soaked:
    """What a run has seen.

    Attributes:
        cycles: Connections that came and went, by manner.
        memory: The gate's memory in bytes, by how many cycles there had been.
        failures: What went otherwise than its manner says.
        left: What there is too much of at the end.
        reasons: How many connections the gate says to have ended, by reason.
    """

    cycles: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def slope(self) -> float:
        """Bytes a cycle, over the second half."""
        return slope(self.memory[len(self.memory) // 2 :])


async def soak(gate: Gate, cycles: int) -> Soaked:
    """Have *cycles* clients come to *gate* and leave it."""
    before = await witness(gate)
    seen = Soaked()
    free = asyncio.Semaphore(AT_ONCE)

    async def live(number: int) -> None:
        manner, way = MANNERS[number % len(MANNERS)]
        name = f"{manner.__name__} by {way}"
        async with free:
            seen.cycles[name] += 1
            try:
                await manner(visit_of(gate, number, way))
            except (OSError, AssertionError, TimeoutError) as error:
                seen.failures.append(f"{name}, {number}: {error!r}")

    async with Crowd(gate):
        for start in range(0, cycles, len(MANNERS)):
            stop = min(cycles, start + len(MANNERS))
            async with asyncio.TaskGroup() as group:
                for number in range(start, stop):
                    group.create_task(live(number))
            async with await gate.client() as client:
                counts = await census(client)
            seen.memory.append((stop, counts["rss"]))
    seen.left = await settled(gate, before)
    seen.reasons = await asyncio.to_thread(gate.closed)
    return seen


async def main() -> int:
    """Run as the command line says; print the figures; 1 if something is wrong."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        prog="python -m tests.endurance.soak",
    )
    parser.add_argument("--cycles", type=int, default=50_000)
    args = parser.parse_args()
    began = time.monotonic()
    with running_gate(**SETTINGS) as gate:
        seen = await soak(gate, args.cycles)
        log = gate.log
    for name, number in sorted(seen.cycles.items()):
        print(f"{number:7}  {name}")
    for cycles, memory in seen.memory:
        print(f"{cycles:7.0f} cycles  {memory / 1024:9.0f} KiB")
    total = seen.cycles.total()
    print(f"{total} cycles, {time.monotonic() - began:.0f} s")
    print(f"slope of the memory: {seen.slope:.1f} bytes a cycle")
    print("the gate's reasons:", *(f"{it[0]} {it[1]}" for it in seen.reasons.items()))
    print(f"left behind: {seen.left or 'nothing'}")
    print(f"logged: {log or 'nothing'}")
    print(f"failures: {len(seen.failures)}", *seen.failures[:20], sep="\n")
    wrong = seen.left or seen.failures or log or seen.slope >= MOST_SLOPE
    return 1 if wrong else 0


if __name__ == "__main__":
    import uvloop

    sys.exit(uvloop.run(main()))
