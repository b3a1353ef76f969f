"""Nodes for tests that start and stop within milliseconds.

They are what runs in production, from the manifest's settings to the order of hooks;
what lies around them is a :class:`~nano.testing.network.Network`, and time is a
:class:`~nano.testing.clock.ManualClock`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self, TypeVar

from prometheus_client.parser import text_string_to_metric_families

from nano.client.streams import Stream
from nano.errors import UsageError
from nano.node import Node, NodeOptions, Role
from nano.runtime.component import Component
from nano.testing.clients import MemoryClient
from nano.testing.clock import ManualClock
from nano.testing.faults import Line
from nano.testing.network import MemoryListener, MemoryWorld, Network, Part
from nano_manifest import Gates, Listener, Metadata, NanoCluster, Settings, Spec

__all__ = ["MemoryCluster", "MemoryNode"]

C = TypeVar("C", bound=Component)

NOWHERE: Final = "memory"  # where a node of a network finds its master
LINK_TIME: Final = 10.0  # seconds of the clock for the links of a new node
ANY_PORT: Final = 1024  # a manifest wants one, and nobody binds it


class _Nodes:
    """A network with its nodes, clients and clock; what both classes below share."""

    def __init__(self, clock: ManualClock | None) -> None:
        self.network = Network()
        self._given = clock
        self.clock = clock or ManualClock()
        self._stack = contextlib.AsyncExitStack()
        self._worlds: dict[Node, MemoryWorld] = {}
        self._numbers: Counter[str] = Counter()
        self._hosts = 0

    async def _start(
        self,
        role: Role,
        manifest: NanoCluster,
        backend: str | None = None,
        parts: Sequence[Part] | None = None,
        app_dir: str = ".",
    ) -> Node:
        kind = backend or role.value
        self._numbers[kind] += 1
        world = MemoryWorld(self.network, self.clock, parts)
        options = NodeOptions(
            role=role,
            manifest=manifest,
            address=f"{kind}-{self._numbers[kind]}",
            backend=backend,
            master=NOWHERE,
            app_dir=app_dir,
        )
        node = Node(options, world)
        self._worlds[node] = world
        self._stack.push_async_callback(node.stop)
        await node.start()
        return node

    async def _connect(
        self, node: Node, listener: str | None, options: Mapping[str, Any]
    ) -> MemoryClient:
        entrance = self._entrance(node, listener)
        line = Line()
        self._hosts += 1
        host = f"10.9.{self._hosts // 256}.{self._hosts % 256}"

        async def opener() -> Stream:
            return entrance.connect(line, host)

        client = MemoryClient(opener, line, **options)
        self._stack.push_async_callback(client.close)
        await client.open()
        return client

    def _entrance(self, node: Node, listener: str | None) -> MemoryListener:
        listeners = self._worlds[node].listeners
        if not listeners:
            raise UsageError(f"{node.address} has no listener; clients come to gates")
        if listener is None:
            return next(iter(listeners.values()))
        if listener in listeners:
            return listeners[listener]
        names = ", ".join(listeners)
        raise UsageError(f"the manifest has no listener {listener!r}; it has: {names}")

    def _component(self, node: Node, wanted: type[C]) -> C:
        for component in self._worlds[node].parts:
            if isinstance(component, wanted):
                return component
        raise UsageError(f"{node.address} runs no {wanted.__name__}")

    async def _begin(self) -> None:
        if self._given is None:
            self._stack.enter_context(self.clock)
        self._stack.push_async_callback(self.network.stop)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


class MemoryNode(_Nodes):
    """One node that runs the components of a test, and lets clients in.

    ::

        async with MemoryNode(RoomService, client_heartbeat_seconds=10) as node:
            client = await node.connect(user={"token": "secret"})

    Args:
        components: Classes, which are made without arguments, or objects.
        dictionary: Routes that the listener sends as codes.
        clock: The clock to go by, installed by the test; by default one of its own.
        settings: What a manifest has as ``spec.settings``, by the names of
            :class:`nano_manifest.Settings`.

    Attributes:
        node: The node; ``node.node.metrics()`` and the like.
        clock: Its time.
    """

    node: Node

    def __init__(
        self,
        *components: Part,
        dictionary: Mapping[str, int] | None = None,
        clock: ManualClock | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(clock)
        self._parts = components
        self._manifest = NanoCluster(
            metadata=Metadata(name="test"),
            spec=Spec(
                settings=Settings(**settings),
                gates=Gates(
                    replicas=1,
                    listeners=[
                        Listener(
                            name="memory",
                            transport="tcp",
                            port=ANY_PORT,
                            dictionary=dict(dictionary or {}),
                        )
                    ],
                ),
            ),
        )

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
            self.node = await self._start(Role.GATE, self._manifest, parts=self._parts)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def connect(self, **options: Any) -> MemoryClient:
        """Return a client that is connected and greeted; it is closed with the node.

        Args:
            options: Those of :class:`nano.client.Client`, as ``user`` or ``reconnect``.

        Raises:
            ConnectionRefused: It is not let in.
            ConnectionClosed: It was sent away.
        """
        serializer = self._manifest.spec.settings.serializer
        return await self._connect(
            self.node, None, {"serializer": serializer} | options
        )

    def stream(self, line: Line | None = None) -> Stream:
        """Return a bare connection, for a test that speaks the protocol itself.

        Args:
            line: What may go wrong on it.
        """
        entrance = self._entrance(self.node, None)
        return entrance.connect(line or Line(), "10.9.255.255")

    def component(self, wanted: type[C]) -> C:
        """Return the node's component of a class.

        Raises:
            UsageError: There is none.
        """
        return self._component(self.node, wanted)

    def count(self, metric: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels; 0 for none."""
        return _count(self.node, metric, **labels)


class MemoryCluster(_Nodes):
    """A manifest as nodes that are linked in memory.

    ::

        async with MemoryCluster(manifest, app_dir="examples/chat") as cluster:
            client = await cluster.connect()
            gate, backend = cluster.gates[0], cluster.backends["rooms"][0]
            cluster.line(gate, backend).freeze()

    There is no master: the network itself knows who is a member.

    Args:
        manifest: What to start; as many gates and backends as it says.
        app_dir: Where the components' modules are.
        components: Classes to run in place of those that the manifest names, by
            backend; ``gate`` for those of gates.
        clock: The clock to go by, installed by the test; by default one of its own.

    Attributes:
        gates: The nodes of that role, in order.
        backends: The others, by the manifest's names.
        clock: Their time.
        network: What is between them.
    """

    def __init__(
        self,
        manifest: NanoCluster,
        *,
        app_dir: str = ".",
        components: Mapping[str, Sequence[type[Component]]] | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        super().__init__(clock)
        self._manifest = manifest
        self._app_dir = app_dir
        self._parts = components or {}
        self.gates: list[Node] = []
        self.backends: dict[str, list[Node]] = {}

    async def __aenter__(self) -> Self:
        spec = self._manifest.spec
        try:
            await self._begin()
            for _ in range(spec.gates.replicas):
                await self.start(Role.GATE)
            for item in spec.backends:
                self.backends[item.name] = []
                for _ in range(item.replicas):
                    await self.start(Role.BACKEND, item.name)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def start(self, role: Role, backend: str | None = None) -> Node:
        """Start one more node; it is stopped with the cluster, or before.

        When this returns, all nodes that run are linked with it.
        """
        node = await self._start(
            role,
            self._manifest,
            backend,
            self._parts.get(backend or role.value),
            self._app_dir,
        )
        (self.gates if backend is None else self.backends[backend]).append(node)
        async with asyncio.timeout(LINK_TIME):
            while not self._is_linked(node):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)
        return node

    def _is_linked(self, node: Node) -> bool:
        return all(
            other.address in node.linked and node.address in other.linked
            for other in self.nodes
            if other is not node and not self._is_apart(node, other)
        )

    def _is_apart(self, one: Node, other: Node) -> bool:
        line = self.line(one, other)
        return line.up.frozen or line.down.frozen

    @property
    def nodes(self) -> list[Node]:
        """Those that run."""
        backends = itertools.chain.from_iterable(self.backends.values())
        return [it for it in (*self.gates, *backends) if it.not_ready() is None]

    async def kill(self, node: Node) -> None:
        """Let *node* be gone without a word to its peers or clients, links and all."""
        for listener in self._worlds[node].listeners.values():
            listener.lose()
        self.network.lose(node.address)
        await node.stop()

    async def connect(
        self, gate: int = 0, *, listener: str | None = None, **options: Any
    ) -> MemoryClient:
        """Return a client that is connected and greeted; it is closed with the cluster.

        Args:
            gate: To which gate, counted from 0.
            listener: By which of its listeners; the first unless given.
            options: Those of :class:`nano.client.Client`, as ``user`` or ``reconnect``.

        Raises:
            ConnectionRefused: It is not let in.
            ConnectionClosed: It was sent away.
        """
        serializer = self._manifest.spec.settings.serializer
        return await self._connect(
            self.gates[gate], listener, {"serializer": serializer} | options
        )

    def line(self, one: Node, other: Node) -> Line:
        """Return the line of the links between two nodes; ``up`` leads to *other*."""
        return self.network.line(one.address, other.address)

    def component(self, node: Node, wanted: type[C]) -> C:
        """Return a node's component of a class.

        Raises:
            UsageError: There is none.
        """
        return self._component(node, wanted)

    def count(self, node: Node, metric: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels; 0 for none."""
        return _count(node, metric, **labels)


def _count(node: Node, metric: str, **labels: str) -> float:
    """Return the sum of a node's samples of *metric* that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(node.metrics().decode())
        for sample in family.samples
        if sample.name == metric and labels.items() <= sample.labels.items()
    )
