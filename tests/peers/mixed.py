"""One cluster of nodes of both makes, under either master."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from nano.client import Client, connect
from nano.errors import RequestError

from .go import GoNode, Peers
from .nodes import Nodes, OurProcess
from .process import free_address

__all__ = ["GoGate", "Mixed", "status_of"]

BEATS = ["--heartbeat", "300ms"]


class GoGate:
    """A Go gate, and where its clients come in."""

    def __init__(self, node: GoNode, client_address: str) -> None:
        self.address = node.address
        self.process = node.process
        self.logged = node.logged
        self.stop = node.stop
        self._client_address = client_address

    async def client(self) -> Client:
        """Connect to it; the test closes the client."""
        return await connect(f"tcp://{self._client_address}")


class Mixed:
    """Starts what a test wants, all members of one cluster.

    Attributes:
        nodes: Starts ours.
        peers: Starts those of Go.
        member: The options of every member.
    """

    def __init__(self, nodes: Nodes, peers: Peers) -> None:
        self.nodes = nodes
        self.peers = peers
        self.member: list[str] = []
        self._ours: list[OurProcess] = []

    async def start(self, go_master: bool) -> None:
        """Start the master."""
        if go_master:  # it lets nobody in until a dead one has missed four heartbeats
            go = await self.peers.start("master", "--heartbeat", "1s")
            self.member = ["--master", go.address]
        else:
            ours = await self.nodes.start("master")
            self.member = ["--master", ours.address]

    async def gate(self) -> OurProcess:
        """Start our gate, which waits two seconds for answers."""
        options = ["--request-timeout-seconds", "2", *self.member]
        return self._kept(await self.nodes.start("gate", *options))

    async def backend(self, kind: str, *options: str) -> OurProcess:
        """Start a backend of ours."""
        options = (*self.member, *options)
        return self._kept(await self.nodes.start("backend", *options, backend=kind))

    def _kept(self, node: OurProcess) -> OurProcess:
        self._ours.append(node)
        return node

    async def go_gate(self, *options: str, address: str = "") -> GoGate:
        """Start a Go gate that all of ours see."""
        clients = free_address()
        options = (*self.member, *BEATS, "--client", clients, *options)
        node = await self.peers.start("gate", *options, address=address)
        await self._seen(node)
        return GoGate(node, clients)

    async def go_backend(self, *options: str, address: str = "") -> GoNode:
        """Start a Go backend that all of ours see."""
        options = (*self.member, *BEATS, *options)
        node = await self.peers.start("backend", *options, address=address)
        await self._seen(node)
        return node

    async def _seen(self, node: GoNode) -> None:
        for ours in self._ours:
            if not ours.process.ended:
                await ours.sees(node.address)

    async def client(self) -> Client:
        """Connect to our gate; the test closes the client."""
        return await connect(f"tcp://{self.nodes.tcp}")


async def status_of(asked: Awaitable[Any]) -> int:
    """Return the status of the error that *asked* comes to."""
    with pytest.raises(RequestError) as caught:
        await asked
    return caught.value.status
