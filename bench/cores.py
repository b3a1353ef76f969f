"""Which processor cores the servers and the load get.

Both sides get the same cores, one for each process, and the load never shares a
core with what it measures unless the machine has a single one.  With two or three
cores, gate, backend and master share the first: the ratio is then one of work per
message, not of parallelism.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Cores"]


@dataclass(frozen=True, slots=True)
class Cores:
    """A core for each part: the number, or None for any.

    Attributes:
        gate: Where clients connect, also in the row with one node.
        backend: Where handlers run behind a gate; the idle master is here too.
        load: The generator.
    """

    gate: int | None
    backend: int | None
    load: int | None

    @classmethod
    def of_this_machine(cls) -> Cores:
        """Choose among the cores that this process may use."""
        return cls.among(sorted(os.sched_getaffinity(0)))

    @classmethod
    def among(cls, numbers: Sequence[int]) -> Cores:
        """Choose among *numbers*."""
        if len(numbers) >= 4:
            return cls(gate=numbers[0], backend=numbers[1], load=numbers[2])
        if len(numbers) >= 2:
            return cls(gate=numbers[0], backend=numbers[0], load=numbers[1])
        return cls(gate=None, backend=None, load=None)

    def __str__(self) -> str:
        if self.load is None:
            return "one core for everything: the load disturbs what it measures"
        if self.gate == self.backend:
            servers = f"all servers on core {self.gate}"
        else:
            servers = f"gate on core {self.gate}, backend on core {self.backend}"
        return f"{servers}, load on core {self.load}"
