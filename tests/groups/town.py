"""A cluster of real nodes in which a client can choose its gate."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import nano.client
from nano.client import Client
from nano.cluster.groups import GroupLinks
from nano.node import Node, NodeOptions, Role
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
)

APP_DIR: Final = str(Path(__file__).parent / "app")
LISTENERS: Final = {"tcp": "tcp", "ws": "websocket"}
PORTS: Final = {"tcp": 3251, "ws": 3250}  # never bound: sockets are handed down
BACKLOG: Final = 65_536  # bytes
PATIENCE: Final = 20.0  # seconds; the machine may be busy


def manifest() -> NanoCluster:
    return NanoCluster(
        metadata=Metadata(name="town"),
        spec=Spec(
            settings=Settings(member_heartbeat_seconds=0.5, backlog_bytes=BACKLOG),
            gates=Gates(
                components=["groupapp:Lobby"],
                listeners=[
                    Listener(name=name, transport=transport, port=PORTS[name])  # type: ignore[arg-type]
                    for name, transport in LISTENERS.items()
                ],
            ),
            backends=[Backend(name="rooms", components=["groupapp:Rooms"])],
        ),
    )


def _known_to(node: Node) -> Mapping[str, object]:
    """Return the addresses at which, as *node* knows, the room has members."""
    elsewhere = node._groups.elsewhere
    assert isinstance(elsewhere, GroupLinks)
    return elsewhere._having.get("room", {})


class Resident:
    """A client, and what was pushed to it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.heard: list[Any] = []
        self.joined: list[str] = []
        self.whispers: list[str] = []
        client.on("onSay", self.heard.append)
        client.on("onJoin", self.joined.append)
        client.on("onWhisper", self.whispers.append)

    async def ask(self, route: str, payload: Any = None) -> Any:
        return await self.client.request(route, payload)


class Town:
    """A master, two gates and two backends."""

    def __init__(self) -> None:
        self._manifest = manifest()
        self._stack = contextlib.AsyncExitStack()
        self._urls: dict[Node, dict[str, str]] = {}
        self.master: Node
        self.gates: list[Node] = []
        self.backends: list[Node] = []

    async def __aenter__(self) -> Self:
        try:
            self.master = await self._start(Role.MASTER, {})
            for _ in range(2):
                self.gates.append(await self.gate())
                self.backends.append(await self.backend())
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def backend(self) -> Node:
        """Start one more backend."""
        return await self._start(Role.BACKEND, {})

    async def gate(self) -> Node:
        """Start one more gate, which has ports of its own."""
        descriptors, urls = {}, {}
        for name in LISTENERS:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                port = listening.getsockname()[1]
                descriptors[name] = os.dup(listening.fileno())
            urls[name] = f"{name}://127.0.0.1:{port}"
        node = await self._start(Role.GATE, descriptors)
        self._urls[node] = urls
        return node

    async def _start(self, role: Role, descriptors: dict[str, int]) -> Node:
        options = NodeOptions(
            role=role,
            manifest=self._manifest,
            address="127.0.0.1:0",
            backend="rooms" if role is Role.BACKEND else None,
            master=None if role is Role.MASTER else self.master.address,
            app_dir=APP_DIR,
            listen_fds=descriptors,
        )
        node = Node(options)
        self._stack.push_async_callback(node.stop)
        await node.start()
        return node

    def port(self, gate: int) -> int:
        """Return the TCP port of the gate with that number."""
        return int(self._urls[self.gates[gate]]["tcp"].rpartition(":")[2])

    async def client(self, gate: int, listener: str = "tcp") -> Resident:
        """Connect to the gate with that number."""
        url = self._urls[self.gates[gate]][listener]
        client = await nano.client.connect(url)
        self._stack.push_async_callback(client.close)
        return Resident(client)

    async def member(self, gate: int, uid: str, listener: str = "tcp") -> Resident:
        """Connect and join the room by one of the backends."""
        resident = await self.client(gate, listener)
        await resident.ask("Rooms.join", uid)
        await self._told_of(self.gates[gate])
        return resident

    async def _told_of(self, gate: Node) -> None:
        """Wait until every node knows that *gate* has members.

        The news travels to each by a link of its own, and may come behind what a
        client has done since by way of other nodes.
        """
        running = [it for it in (*self.gates, *self.backends) if not it.not_ready()]
        async with asyncio.timeout(PATIENCE):
            for node in running:
                while (  # noqa: ASYNC110  # a node tells nobody what it has heard
                    node is not gate and gate.address not in _known_to(node)
                ):
                    await asyncio.sleep(0.005)

    async def members(self, number: int) -> list[Resident]:
        """Connect and join, to both gates and by both listeners in turn."""
        return await asyncio.gather(
            *(
                self.member(it % 2, f"uid-{it}", "ws" if it % 4 < 2 else "tcp")
                for it in range(number)
            )
        )
