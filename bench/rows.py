"""What is measured: one row for each shape of load and way through the nodes.

A row says nothing about how servers are started; :mod:`bench.contenders` does that
for each side.  *must* and *aim* are the project's goals; they are shown beside the
result and never decide whether a run passes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from fnmatch import fnmatchcase
from typing import Final

__all__ = ["CROWD", "ROWS", "Client", "Format", "Kind", "Row", "Setup", "Way", "chosen"]


class Way(Enum):
    """Through which nodes a request goes."""

    ONE_NODE = "one node"  # the handler runs where the client is connected
    GATE_BACKEND = "gate → backend"
    GO_BACKEND = "our gate → Go backend"  # beside a cluster that is all Go
    GO_GATE = "Go gate → our backend"


class Client(Enum):
    """How clients are connected."""

    TCP = "TCP"
    WEBSOCKET = "WebSocket"
    TLS = "WebSocket over TLS"


class Format(Enum):
    """The serializer, by its name in manifests."""

    JSON = "json"
    PROTOBUF = "protobuf"


class Kind(Enum):
    """What the load does, by its name in ``load --kind``."""

    REQUESTS = "requests"  # a closed loop on every connection
    ROOM = "room"  # one connection speaks, all hear it
    IDLE = "idle"  # nothing, and the server's memory is looked at


@dataclass(frozen=True, slots=True)
class Setup:
    """What servers a row needs; rows that need the same are measured on the same.

    Attributes:
        way: Through which nodes.
        client: How the load is connected.
        format: What payloads are.
        fresh: Whether nothing may have happened on the servers before.
    """

    way: Way = Way.ONE_NODE
    client: Client = Client.TCP
    format: Format = Format.PROTOBUF
    fresh: bool = False

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
        kind: What the load does.
        connections: How many clients.
        in_flight: Requests that each keeps waiting at once; in a room, the messages of
            the one that speaks.
        must: What is acceptable: the lowest ratio ours : Go nano, or the most KiB that
            an idle connection may cost ours.
        aim: What is hoped for, in the same terms.
        ceiling: Whether to find the generator's limit with this load.
    """

    name: str
    setup: Setup = Setup()
    kind: Kind = Kind.REQUESTS
    connections: int = 50
    in_flight: int = 1
    must: float
    aim: float
    ceiling: bool = False

    @property
    def title(self) -> str:
        """The row in words."""
        match self.kind:
            case Kind.REQUESTS:
                shape = f"{self.connections} connections"
            case Kind.ROOM:
                shape = f"to {self.connections} members"
            case Kind.IDLE:
                shape = f"{self.connections} idle connections"
        if self.in_flight > 1:
            shape += f", {self.in_flight} in flight"
        return f"{self.setup.title}, {shape}"


JSON: Final = Setup(format=Format.JSON)
WEBSOCKET: Final = Setup(client=Client.WEBSOCKET)
TLS: Final = Setup(client=Client.TLS)
CLUSTER: Final = Setup(way=Way.GATE_BACKEND)
GO_BACKEND: Final = Setup(way=Way.GO_BACKEND)
GO_GATE: Final = Setup(way=Way.GO_GATE)
UNUSED: Final = Setup(fresh=True)
UNUSED_WEBSOCKET: Final = Setup(client=Client.WEBSOCKET, fresh=True)
UNUSED_TLS: Final = Setup(client=Client.TLS, fresh=True)

K16: Final = 16  # in flight on a connection; beyond that Go nano drops answers
CROWD: Final = 10_000

ROWS: Final = (
    Row(name="node-50", must=1.0, aim=1.17, ceiling=True),
    Row(name="node-1000", connections=1000, must=1.0, aim=1.17, ceiling=True),
    Row(name="node-k16", in_flight=K16, must=2.5, aim=3.2, ceiling=True),
    Row(name="json-50", setup=JSON, must=1.25, aim=1.5, ceiling=True),
    Row(
        name="json-1000",
        setup=JSON,
        connections=1000,
        must=1.25,
        aim=1.5,
        ceiling=True,
    ),
    Row(name="json-k16", setup=JSON, in_flight=K16, must=2.5, aim=3.2, ceiling=True),
    Row(name="ws-50", setup=WEBSOCKET, must=1.0, aim=1.1),
    Row(name="ws-k16", setup=WEBSOCKET, in_flight=K16, must=2.5, aim=3.2),
    Row(name="tls-50", setup=TLS, must=0.8, aim=0.95),
    Row(name="broadcast-200", kind=Kind.ROOM, connections=200, must=1.3, aim=1.5),
    Row(name="broadcast-1000", kind=Kind.ROOM, connections=1000, must=1.3, aim=1.5),
    Row(
        name="merged-200",
        kind=Kind.ROOM,
        connections=200,
        in_flight=4,
        must=5.0,
        aim=6.0,
    ),
    Row(name="cluster-50", setup=CLUSTER, must=6.0, aim=7.0),
    Row(name="cluster-1000", setup=CLUSTER, connections=1000, must=6.0, aim=7.0),
    Row(name="cluster-k16", setup=CLUSTER, in_flight=K16, must=25.0, aim=38.0),
    # design asks nothing of these: nobody should lose by moving one service
    Row(name="go-backend-50", setup=GO_BACKEND, must=1.0, aim=2.0),
    Row(name="go-backend-k16", setup=GO_BACKEND, in_flight=K16, must=1.0, aim=2.0),
    Row(name="go-gate-50", setup=GO_GATE, must=1.0, aim=2.0),
    Row(name="go-gate-k16", setup=GO_GATE, in_flight=K16, must=1.0, aim=2.0),
    # KiB: musts of design's, and aims that the prototypes needed; of TLS it asks
    # nothing, and the must is what Go nano needs
    Row(
        name="idle-tcp",
        setup=UNUSED,
        kind=Kind.IDLE,
        connections=CROWD,
        must=6.0,
        aim=1.6,
    ),
    Row(
        name="idle-ws",
        setup=UNUSED_WEBSOCKET,
        kind=Kind.IDLE,
        connections=CROWD,
        must=6.0,
        aim=2.0,
    ),
    Row(
        name="idle-tls",
        setup=UNUSED_TLS,
        kind=Kind.IDLE,
        connections=CROWD,
        must=30.0,
        aim=20.0,
    ),
)


def chosen(names: str, crowd: int) -> tuple[Row, ...]:
    """Return the rows that *names* means, in the order of the table.

    Args:
        names: Names or patterns as of a shell, separated by commas: ``ws-*,node-50``.
        crowd: How many idle connections the rows of such have.

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
        replace(row, connections=crowd) if row.kind is Kind.IDLE else row
        for row in ROWS
        if any(fnmatchcase(row.name, pattern) for pattern in patterns)
    )
