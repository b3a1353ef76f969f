"""Several servers in one process, each with settings of its own, and begun again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from nano.client import connect
from nano.errors import RequestError
from nano.node import Node, Role
from nano.protocol.client import Accepted, ClientConnection
from nano_manifest import (
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
)

from .clusters import APP_DIR, PATIENCE, options, sample

pytestmark = pytest.mark.process

STRINGS = str(Path(__file__).parents[1] / "serializers" / "app")


def words() -> NanoCluster:
    """Return a cluster whose gate speaks Protocol Buffers and beats slowly."""
    listener = Listener(
        name="tcp", transport="tcp", port=3251, dictionary={"Words.upper": 7}
    )
    return NanoCluster(
        metadata=Metadata(name="words"),
        spec=Spec(
            settings=Settings(
                serializer="protobuf",
                client_heartbeat_seconds=45,
                max_packet_bytes=2048,
            ),
            gates=Gates(
                replicas=1, components=["stringapp:Words"], listeners=[listener]
            ),
        ),
    )


def talk() -> NanoCluster:
    """Return a cluster whose gate speaks JSON and has other routes."""
    listener = Listener(
        name="tcp", transport="tcp", port=3251, dictionary={"Local.where": 9}
    )
    return NanoCluster(
        metadata=Metadata(name="talk"),
        spec=Spec(
            settings=Settings(client_heartbeat_seconds=12.5),
            gates=Gates(replicas=1, components=["nodeapp:Local"], listeners=[listener]),
        ),
    )


class Server:
    """A master and a gate of this process, on a port that stays its own."""

    def __init__(self, manifest: NanoCluster, app_dir: str) -> None:
        self._manifest = manifest
        self._app_dir = app_dir
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"tcp://127.0.0.1:{self.port}"
        self.gate: Node
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> None:
        master = await self._node(Role.MASTER, None)
        descriptor = {"tcp": self._socket.dup().detach()}
        self.gate = await self._node(Role.GATE, master.address, listen_fds=descriptor)

    async def _node(self, role: Role, master: str | None, **more: object) -> Node:
        shared = {"manifest": self._manifest, "app_dir": self._app_dir}
        node = Node(options(role, master, **shared, **more))
        self._stack.push_async_callback(node.stop)
        await node.start()
        return node

    async def stop(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._stack.aclose()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    made = Server(words(), STRINGS), Server(talk(), APP_DIR)
    yield made
    for server in made:
        server.close()


async def greeted(server: Server) -> dict[str, object]:
    """Return what a client is told when it comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    core = ClientConnection()
    writer.write(core.greet())
    async with asyncio.timeout(PATIENCE):
        (accepted,) = core.receive(await reader.read(4096))
    writer.close()
    assert isinstance(accepted, Accepted)
    told: dict[str, object] = json.loads(accepted.body)["sys"]
    del told["servertime"]
    return told


async def test_two_servers_of_one_process_share_nothing_and_may_begin_again(
    servers: tuple[Server, Server],
) -> None:
    one, other = servers

    async def one_answers() -> None:
        async with await connect(one.url, serializer="protobuf") as client:
            said = StringValue(value="hello")
            answer = await client.request("Words.upper", said, wanted=StringValue)
            assert answer.value == "HELLO"
            with pytest.raises(RequestError, match="NANO-404"):
                await client.request("Local.where", said)

    async def other_answers() -> None:
        async with await connect(other.url) as client:
            assert await client.request("Local.where", None) == "gate"
            with pytest.raises(RequestError, match="NANO-404"):
                await client.request("Words.upper", "hello")
            assert await client.request("Local.where", "x" * 4000) == "gate"

    try:
        for server in servers:
            await server.start()
        await one_answers()
        await other_answers()
        assert await greeted(one) == {"heartbeat": 45, "dict": {"Words.upper": 7}}
        assert await greeted(other) == {"heartbeat": 12.5, "dict": {"Local.where": 9}}
        by = {"direction": "in", "type": "request"}
        for gate, route in ((one.gate, "Words.upper"), (other.gate, "Local.where")):
            served = sample(gate, "nano_messages_total", route=route, **by)
            assert served == (1 if gate is one.gate else 2)
            opened = sample(gate, "nano_connections_opened_total", listener="tcp")
            assert opened == 2

        await one.stop()
        await other_answers()  # and does not notice
        await one.start()
        await one_answers()
        opened = sample(one.gate, "nano_connections_opened_total", listener="tcp")
        assert opened == 1  # it has begun from nothing
    finally:
        for server in servers:
            await server.stop()
