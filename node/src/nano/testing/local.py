"""For tests: a whole cluster with real sockets, in one event loop.

::

    async with LocalCluster(manifest, app_dir="examples/echo") as cluster:
        async with await nano.client.connect(cluster.url("ws")) as client:
            assert await client.request("EchoService.echo", {"text": "hi"})

The nodes are real: they listen on loopback ports that the system chooses, register
with a master and keep links.  Only processes and signals are missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
from pathlib import Path
from typing import Self

from nano.node import Node, NodeOptions, Role
from nano_manifest import NanoCluster

__all__ = ["LocalCluster"]

ANY_PORT = "127.0.0.1:0"
LINK_TIME = 10.0  # seconds for the links of a node that is ready


class LocalCluster:
    """A manifest as nodes of this process.

    Args:
        manifest: What to start; as many gates and backends as it says.
        app_dir: Where the components' modules are.
        tls_dir: What stands for the Secrets with certificates: a folder each, with
            tls.crt, tls.key and, for the cluster port, ca.crt.
        observe: Nodes serve health and metrics, at ``node.observe_address``.

    Attributes:
        master: The node of that role; the lists hold the others, in order.
    """

    def __init__(
        self,
        manifest: NanoCluster,
        *,
        app_dir: str = ".",
        tls_dir: str | None = None,
        observe: bool = False,
    ) -> None:
        self._manifest = manifest
        self._app_dir = app_dir
        self._tls_dir = tls_dir
        self._observe = ANY_PORT if observe else None
        self._sockets: dict[str, socket.socket] = {}
        self._stack = contextlib.AsyncExitStack()
        self._running: list[Node] = []
        self.master: Node
        self.gates: list[Node] = []
        self.backends: dict[str, list[Node]] = {}

    async def start(self, role: Role, backend: str | None = None) -> Node:
        """Start one more node; it is stopped with the cluster, or before.

        When this returns, the nodes that run exchange messages with it: a node is
        ready when its own ends of links are open, the others' follow a moment later.
        """
        options = NodeOptions(
            role=role,
            manifest=self._manifest,
            address=ANY_PORT,
            backend=backend,
            master=None if role is Role.MASTER else self.master.address,
            app_dir=self._app_dir,
            tls_dir=self._tls_dir,
            observe=self._observe,
            listen_fds={
                name: os.dup(listening.fileno())
                for name, listening in self._sockets.items()
                if role is Role.GATE
            },
        )
        node = Node(options)
        self._stack.push_async_callback(node.stop)
        await node.start()
        if role is not Role.MASTER:
            self._running.append(node)
            async with asyncio.timeout(LINK_TIME):
                while not self._is_linked(node):  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(0.001)
        return node

    def _is_linked(self, node: Node) -> bool:
        return all(
            other.address in node.linked and node.address in other.linked
            for other in self._running
            if other is not node and other.not_ready() is None
        )

    def url(self, listener: str) -> str:
        """Return where clients reach *listener*; all gates accept there."""
        name = self._sockets[listener].getsockname()
        place = name if isinstance(name, str) else f"{name[0]}:{name[1]}"
        for item in self._manifest.spec.gates.listeners:
            if item.name == listener:
                return f"{item.scheme}://{place}"
        message = f"the manifest has no listener {listener!r}"
        raise KeyError(message)

    def _open(self, as_file: bool) -> socket.socket:
        if not as_file:
            return socket.create_server(("127.0.0.1", 0))
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(Path(folder, "clients.sock")))
        return listening

    async def __aenter__(self) -> Self:
        spec = self._manifest.spec
        try:
            for item in spec.gates.listeners:
                listening = self._open(item.port is None)
                self._stack.callback(listening.close)
                self._sockets[item.name] = listening
            self.master = await self.start(Role.MASTER)
            async with asyncio.TaskGroup() as group:
                gates = [
                    group.create_task(self.start(Role.GATE))
                    for _ in range(spec.gates.replicas)
                ]
                backends = {
                    item.name: [
                        group.create_task(self.start(Role.BACKEND, item.name))
                        for _ in range(item.replicas)
                    ]
                    for item in spec.backends
                }
        except BaseException:
            await self._stack.aclose()
            raise
        self.gates = [task.result() for task in gates]
        self.backends = {
            name: [task.result() for task in tasks] for name, tasks in backends.items()
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
