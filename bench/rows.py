"""What is measured: one row for each shape of load and way through the nodes.

A row says nothing about how servers are started; :mod:`bench.contenders` does that
for each side.  *must* and *aim* are the project's goals for ours : Go nano; they are
shown beside the result and never decide whether a run passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["ROWS", "Row", "Way"]


class Way(Enum):
    """Through which nodes a request goes."""

    ONE_NODE = "one node"  # the handler runs where the client is connected
    GATE_BACKEND = "gate → backend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: What ``--rows`` selects by.
        way: Through which nodes.
        connections: How many clients.
        in_flight: Requests that each keeps waiting at once.
        must: The lowest acceptable ratio ours : Go nano.
        aim: The ratio hoped for.
    """

    name: str
    way: Way
    connections: int
    in_flight: int = 1
    must: float
    aim: float

    @property
    def title(self) -> str:
        """The row in words."""
        shape = f"{self.connections} connections"
        if self.in_flight > 1:
            shape += f", {self.in_flight} in flight on each"
        return f"{self.way.value}, {shape}"


ROWS: Final = (
    Row(name="node-50", way=Way.ONE_NODE, connections=50, must=1.0, aim=1.17),
    Row(name="node-1000", way=Way.ONE_NODE, connections=1000, must=1.0, aim=1.17),
    Row(name="cluster-50", way=Way.GATE_BACKEND, connections=50, must=6.0, aim=7.0),
)
