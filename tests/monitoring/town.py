"""A cluster that can be looked at, loaded and troubled."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nano.client
from nano import RequestError
from nano.node import Node, NodeOptions, Role
from nano.protocol.messages import REQUEST, Message, encode_message
from nano.protocol.packets import PacketType, encode_packet
from nano.testing import LocalCluster
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
)

APP_DIR = str(Path(__file__).parent / "app")
CLIENTS = 4
FLOOD = (
    50_000  # bytes of a push, of which there are two hundred: more than sockets take
)


def manifest() -> NanoCluster:
    """Return a cluster of a master, two gates and three kinds of backends."""
    return NanoCluster(
        metadata=Metadata(name="town"),
        spec=Spec(
            settings=Settings(member_heartbeat_seconds=1, backlog_bytes=64 << 20),
            gates=Gates(
                replicas=2,
                listeners=[Listener(name="tcp", transport="tcp", port=3251)],
            ),
            backends=[
                Backend(name="town", components=["townapp:Town"]),
                Backend(name="hall", replicas=3, components=["townapp:Hall"]),
                Backend(name="shop", components=["townapp:Shop"]),
            ],
        ),
    )


class Town:
    """A cluster with its metrics open, and what is done to it."""

    def __init__(self) -> None:
        self.cluster = LocalCluster(manifest(), app_dir=APP_DIR, observe=True)
        self._late: Node | None = None

    @property
    def addresses(self) -> Iterator[str]:
        """Where the nodes' metrics are."""
        cluster = self.cluster
        backends = [node for nodes in cluster.backends.values() for node in nodes]
        for node in (cluster.master, *cluster.gates, *backends):
            yield node.observe_address
        if self._late is not None:
            yield self._late.observe_address

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Have clients come, talk and go, for as long as the context lasts."""
        async with contextlib.AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(await self._connect())
                for _ in range(CLIENTS)
            ]
            works = [self._talk(client) for client in clients]
            async with _running(*works, self._come_and_go()):
                yield

    @asynccontextmanager
    async def trouble(self) -> AsyncIterator[None]:
        """Have everything go wrong that a dashboard tells of."""
        async with contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(await self._connect())
            stack.enter_context(await self._not_reading())
            await self.cluster.backends["shop"][0].stop()
            assert self.cluster.backends["hall"][0].drain() is None
            await self.cluster.master.stop()
            self._late = late = self._waiting()
            stack.push_async_callback(late.stop)
            idler = await stack.enter_async_context(await self._connect())
            rover = await stack.enter_async_context(await self._connect())
            works = (
                self._fail(client),
                self._dawdle(idler),
                self._wander(rover),
                late.start(),
            )
            async with _running(*works):
                while not late.observe_address:  # noqa: ASYNC110  # nobody tells
                    await asyncio.sleep(0.01)
                yield

    async def _connect(self) -> nano.client.Client:
        return await nano.client.connect(self.cluster.url("tcp"))

    async def _talk(self, client: nano.client.Client) -> None:
        client.on("onShout", lambda _: None)
        await client.request("Town.enter", None)
        while True:
            for number in range(10):
                await client.request("Town.echo", number)
            await client.request("Town.ask", None)
            await client.notify("Town.shout", "hi")
            await asyncio.sleep(0.05)

    async def _come_and_go(self) -> None:
        while True:
            async with await self._connect() as client:
                await client.request("Shop.buy", None)
            await asyncio.sleep(0.1)

    async def _fail(self, client: nano.client.Client) -> None:
        asked = (
            ("Town.refuse", None),
            ("Town.fail", None),
            ("Town.nothing", None),
            ("Shop.buy", None),
            ("Town.block", 0.3),
        )
        while True:
            for route, payload in asked:
                with contextlib.suppress(RequestError):
                    await client.request(route, payload)
            await asyncio.sleep(0.1)

    async def _dawdle(self, client: nano.client.Client) -> None:
        while True:
            await client.request("Town.dawdle", 1.5)

    async def _wander(self, client: nano.client.Client) -> None:
        """Have the session move from hall to hall, as when one after another leaves."""
        while True:
            with contextlib.suppress(RequestError):  # between two halls, it is in none
                await client.request("Town.ask", None)
                await client.request("Town.wander", None)
            await asyncio.sleep(0.1)

    async def _not_reading(self) -> socket.socket:
        """Return the socket of a client that is sent a lot and reads nothing."""
        host, port = self.cluster.url("tcp").removeprefix("tcp://").split(":")
        loop = asyncio.get_running_loop()
        client = socket.socket()
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(client, (host, int(port)))
        hello = {"sys": {"type": "test", "version": "1"}}
        asked = Message(REQUEST, 1, "Town.flood", json.dumps(FLOOD).encode())
        for kind, body in (
            (PacketType.HANDSHAKE, json.dumps(hello).encode()),
            (PacketType.HANDSHAKE_ACK, b""),
        ):
            await loop.sock_sendall(client, encode_packet(kind, body))
        await loop.sock_sendall(client, encode_message(asked))
        return client

    def _waiting(self) -> Node:
        """Return a gate that will wait for the master, which is no more."""
        return Node(
            NodeOptions(
                role=Role.BACKEND,
                backend="hall",
                manifest=manifest(),
                address="127.0.0.1:0",
                master=self.cluster.master.address,
                observe="127.0.0.1:0",
                app_dir=APP_DIR,
            )
        )


@asynccontextmanager
async def _running(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do all of this meanwhile; what fails is raised at the end."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


async def until(condition: Callable[[], Any], patience: float) -> None:
    """Wait until *condition*, a coroutine function, holds."""
    async with asyncio.timeout(patience):
        while not await condition():  # noqa: ASYNC110  # it asks Prometheus
            await asyncio.sleep(0.5)
