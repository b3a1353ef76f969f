"""What is measured: one row for each shape of load and way through the nodes.

A row says nothing about how servers are started; :mod:`bench.contenders` does that
for each side.  *must* and *aim* are the project's goals for ours : Go nano; they are
shown beside the result and never decide whether a run passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Final

__all__ = ["ROWS", "Client", "Format", "Row", "Setup", "Way", "chosen"]


class Way(Enum):
    """Through which nodes a request goes."""

    ONE_NODE = "one node"  # the handler runs where the client is connected
    GATE_BACKEND = "gate → backend"


class Client(Enum):
    """How clients are connected."""

    TCP = "TCP"
    WEBSOCKET = "WebSocket"


class Format(Enum):
    """The serializer, by its name in manifests."""

    JSON = "json"
    PROTOBUF = "protobuf"


@dataclass(frozen=True, slots=True)
class Setup:
    """What servers a row needs; rows that need the same are measured on the same.

    Attributes:
        way: Through which nodes.
        client: How the load is connected.
        format: What payloads are.
    """

    way: Way = Way.ONE_NODE
    client: Client = Client.TCP
    format: Format = Format.PROTOBUF

    @property
    def title(self) -> str:
        """The set-up in words; what goes without saying is left out."""
        words = [self.way.value]
        if self.format is Format.JSON:
            words.append("JSON")
        if self.client is not Client.TCP:
            words.append(self.client.value)
        return ", ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        name: What ``--rows`` selects by.
        setup: Which servers.
        connections: How many clients.
        in_flight: Requests that each keeps waiting at once.
        must: The lowest acceptable ratio ours : Go nano.
        aim: The ratio hoped for.
    """

    name: str
    setup: Setup
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
        return f"{self.setup.title}, {shape}"


NODE: Final = Setup()
JSON: Final = Setup(format=Format.JSON)
WEBSOCKET: Final = Setup(client=Client.WEBSOCKET)
CLUSTER: Final = Setup(way=Way.GATE_BACKEND)
DEEP: Final = 16  # in flight on each; beyond that Go nano drops answers

ROWS: Final = (
    Row(name="node-50", setup=NODE, connections=50, must=1.0, aim=1.17),
    Row(name="node-1000", setup=NODE, connections=1000, must=1.0, aim=1.17),
    Row(name="node-k16", setup=NODE, connections=50, in_flight=DEEP, must=2.5, aim=3.2),
    Row(name="json-50", setup=JSON, connections=50, must=1.25, aim=1.5),
    Row(name="json-1000", setup=JSON, connections=1000, must=1.25, aim=1.5),
    Row(name="json-k16", setup=JSON, connections=50, in_flight=DEEP, must=2.5, aim=3.2),
    Row(name="ws-50", setup=WEBSOCKET, connections=50, must=1.0, aim=1.1),
    Row(
        name="ws-k16",
        setup=WEBSOCKET,
        connections=50,
        in_flight=DEEP,
        must=2.5,
        aim=3.2,
    ),
    Row(name="cluster-50", setup=CLUSTER, connections=50, must=6.0, aim=7.0),
    Row(name="cluster-1000", setup=CLUSTER, connections=1000, must=6.0, aim=7.0),
    Row(
        name="cluster-k16",
        setup=CLUSTER,
        connections=50,
        in_flight=DEEP,
        must=25.0,
        aim=38.0,
    ),
)


def chosen(names: str) -> tuple[Row, ...]:
    """Return the rows that *names* means, in the order of the table.

    Args:
        names: Names or patterns as of a shell, separated by commas: ``ws-*,node-50``.

    Raises:
        ValueError: One of them means no row.
    """
    patterns = names.split(",")
    for pattern in patterns:
        if not any(fnmatchcase(row.name, pattern) for row in ROWS):
            there = ", ".join(row.name for row in ROWS)
            message = f"no row {pattern!r}; there are {there}"
            raise ValueError(message)
    return tuple(
        row
        for row in ROWS
        if any(fnmatchcase(row.name, pattern) for pattern in patterns)
    )
