"""Asking nodes: a real gate, and whoever may stand in its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import nano_operator.nodes
from nano.admin import AdminServer
from nano.client import connect
from nano.testing import LocalCluster
from nano_manifest import from_object
from nano_operator.nodes import Nodes

pytestmark = pytest.mark.process

TOKEN = "a long secret"
MANIFEST = {
    "apiVersion": "nanocluster.io/v1alpha1",
    "kind": "NanoCluster",
    "metadata": {"name": "demo"},
    "spec": {
        "gates": {
            "replicas": 1,
            "listeners": [{"name": "tcp", "transport": "tcp", "port": 3250}],
        },
    },
}


@asynccontextmanager
async def stranger(answer: bytes) -> AsyncIterator[int]:
    """Something that answers all the same, and then says no more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()  # until it is left
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_gate_says_how_many_clients_it_has() -> None:
    async with LocalCluster(from_object(MANIFEST)) as cluster, Nodes() as unused:
        assert await unused.ask({}, TOKEN) == {}
        gate = cluster.gates[0]
        server = AdminServer(gate, control="127.0.0.1:0", token=TOKEN)
        await server.start()
        port = int(server.control_address.rpartition(":")[2])
        try:
            async with (
                await connect(cluster.url("tcp")),
                await connect(cluster.url("tcp")),
                Nodes(port) as nodes,
            ):
                # nobody listens at the second address
                addresses = {"gate": "127.0.0.1", "gone": "127.0.0.2"}
                said = await nodes.ask(addresses, TOKEN)
                assert list(said) == ["gate"]
                assert said["gate"].connections == 2
                assert said["gate"].draining is None
                assert {it.address for it in said["gate"].members} == {
                    cluster.master.address,
                    gate.address,
                }
                assert await nodes.ask(addresses, "wrong") == {}
        finally:
            await server.stop()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",  # never answers
        b"SSH-2.0-hello\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
        HEAD + b"Content-Length: 3\r\n\r\n{]}",
        HEAD + b'Content-Length: 18\r\n\r\n{"connections":-1}',
        HEAD + b'Content-Length: 21\r\n\r\n{"connections":"many"}',
        HEAD + b"Content-Length: 999\r\n\r\n{",
        HEAD + b"Content-Length: 9999999\r\n\r\n" + b" " * (3 << 20),
    ],
    ids=["silent", "ssh", "redirect", "500", "json", "-1", "words", "stuck", "endless"],
)
async def test_who_says_nothing_sensible_is_left_out_in_time(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nano_operator.nodes, "SECONDS", 0.3)
    async with stranger(answer) as port, Nodes(port) as nodes, asyncio.timeout(20):
        assert await nodes.ask({"gate": "127.0.0.1"}, TOKEN) == {}
