"""Where nodes of one process meet: members, links and clients, all in memory.

A :class:`Network` stands for everything between nodes, and takes the master's place.
Links and the connections of clients are real but for their sockets; each pair of ends
has a :class:`~nano.testing.faults.Line` on which things can go wrong.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, cast

from nano.client.streams import SocketStream
from nano.cluster.links import Dial
from nano.errors import ConnectionClosed
from nano.node.gate import Entrance
from nano.node.meeting import Meeting, MeetingWorld
from nano.node.options import NodeOptions
from nano.node.world import Security
from nano.runtime.component import Component
from nano.runtime.info import NodeInfo
from nano.testing.clock import ManualClock
from nano.testing.faults import Line
from nano.testing.memory import MemoryStream, stream_pair
from nano.testing.pipes import connect
from nano.transports.connection import TcpTransport
from nano.transports.context import Arriving, Doorway, Front, Terms
from nano_manifest import Listener as ListenerSpec

__all__ = ["MemoryListener", "MemoryWorld", "Network", "Part"]

Part = type[Component] | Component
"""What a node is made of in a test: a class, or an object made by the test."""

FIRST_PORT: Final = 40_000  # of clients


class MemoryListener:
    """A way in for clients that have no socket; all speak as over TCP."""

    def __init__(self, name: str, front: Front, terms: Terms) -> None:
        self.name = name
        self._door = Doorway(front, front.metrics.listener(name), terms)
        self._open = False
        self._port = FIRST_PORT
        self._lines: weakref.WeakValueDictionary[int, Line]
        self._lines = weakref.WeakValueDictionary()  # by port, and so in order

    @property
    def address(self) -> str:
        """Its name, as ``memory:name``; empty before :meth:`start`."""
        return f"memory:{self.name}" if self._open else ""

    async def start(
        self, host: str, port: int, inherited: socket.socket | None = None
    ) -> None:
        """Let clients in."""
        del host, port, inherited
        self._open = True

    async def start_file(
        self, path: Path, inherited: socket.socket | None = None
    ) -> None:
        """Let clients in; there is no file."""
        del path, inherited
        self._open = True

    def tick(self, now: float) -> None:
        """Nothing here has a time of its own."""

    def connect(self, line: Line, host: str) -> SocketStream:
        """Return the client's end of a new connection.

        Args:
            line: What may go wrong on it.
            host: The client's address, as the node sees it.

        Raises:
            ConnectionClosed: Nobody is let in any more.
        """
        if not self._open:
            raise ConnectionClosed(f"cannot connect to memory:{self.name}: it is shut")
        self._port += 1
        self._lines[self._port] = line
        client = cast("asyncio.Protocol", TcpTransport(self._door))
        return connect(client, line, (host, self._port))

    @property
    def clients(self) -> list[Arriving]:
        """The connections that there are."""
        return list(self._door.open)

    def shut(self) -> None:
        """Let nobody in any more; who is connected stays."""
        self._open = False
        self._door.shut = True

    def lose(self) -> None:
        """Let nobody in any more, and cut everybody off without a word."""
        self._open = False
        for line in list(self._lines.values()):
            line.cut()

    async def stop(self) -> None:
        """Let nobody in any more, and wait until everybody has gone."""
        self.shut()
        for client in self.clients:
            client.stop()
        await self._door.deserted.wait()


class Network(Meeting):
    """The ways between the nodes of one process."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[tuple[str, str], Line] = {}

    def line(self, one: str, other: str) -> Line:
        """Return the line of the links between two addresses; ``up`` leads to *other*.

        There is one for each pair, whether there is a link or not; it outlives them.
        """
        if one > other:
            return self.line(other, one).turned()
        line = self._lines.get((one, other))
        if line is None:
            line = self._lines[one, other] = Line()
        return line

    def cut_off(self, address: str) -> None:
        """Cut all links of the node at *address*."""
        for line in self.lines(address):
            line.cut()

    def lines(self, address: str) -> list[Line]:
        """Return the lines of all links that the node at *address* has had."""
        return [line for pair, line in self._lines.items() if address in pair]

    def lose(self, address: str) -> None:
        """Let the node at *address* be gone without a word, links and all."""
        self.cut_off(address)
        place = self._places.get(address)
        if place is not None:
            self.leave(place)

    def dial(self, source: str, target: str) -> MemoryStream:
        """Open a stream for a link.

        Raises:
            ClusterError: Nobody is there.
        """
        serve = self.reached(target)
        line = self.line(source, target)
        near, far = stream_pair(line=line)
        self.attend(serve, far, line.on_cut(far.cut))
        return near


class MemoryWorld(MeetingWorld):
    """What is around one node of a network.

    Args:
        network: Where it meets the others.
        clock: Its time.
        parts: The components that it runs, whatever the manifest calls them.

    Attributes:
        listeners: Its ways in, by name.
        parts: Its components, once it is made.
    """

    def __init__(
        self, network: Network, clock: ManualClock, parts: Sequence[Part] | None = None
    ) -> None:
        super().__init__(network)
        self._network = network
        self._clock = clock
        self._given = parts
        self.listeners: dict[str, MemoryListener] = {}
        self.parts: list[Component] = []

    @property
    def time(self) -> Callable[[], float]:
        """Gives the clock's time."""
        return lambda: self._clock.now

    @property
    def wall(self) -> Callable[[], float]:
        """Gives the clock's seconds since 1970."""
        return lambda: self._clock.wall

    def components(
        self, names: Iterable[str], node: NodeInfo, app_dir: str
    ) -> list[Component]:
        """Make the components that the test has given, or those of the manifest."""
        if self._given is None:
            self.parts = super().components(names, node, app_dir)
        else:
            self.parts = [it() if isinstance(it, type) else it for it in self._given]
        for component in self.parts:
            component.node = node
        return self.parts

    def dialler(self, source: str, security: Security) -> Dial:
        """Return what opens streams from the node at *source*."""
        del security
        return lambda target: self._network.dial(source, target)

    def listener(
        self, item: ListenerSpec, front: Front, terms: Terms, options: NodeOptions
    ) -> Entrance:
        """Make a way in, whatever transport *item* has."""
        made = MemoryListener(item.name, front, terms)
        self.listeners[item.name] = made
        return made
