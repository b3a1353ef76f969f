"""The cluster side of one node: its port, its membership, its ways to the others.

:class:`ClusterServer` is what a node starts to belong to a cluster.  It binds the
cluster address, answers nano's calls there, registers with the master and keeps the
member list.  It knows nothing of clients, sessions or routes: messages of Go nodes
go to a :class:`~nano.cluster.services.MemberCalls`, changes of the list to a
callback.  The rules are in :mod:`nano.cluster.membership`, the calls in
:mod:`nano.cluster.drivers`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from types import MappingProxyType
from typing import Final, cast

import grpc.aio

from nano.cluster.credentials import Credentials
from nano.cluster.drivers import (
    Change,
    Driver,
    MasterDriver,
    MemberDriver,
    Surroundings,
    Tasks,
)
from nano.cluster.guard import HANDSHAKE_TIME, Connections, Guard
from nano.cluster.members import MASTER, Member, new_incarnation
from nano.cluster.pb import cluster_pb2_grpc as rpc
from nano.cluster.peer import Peer, Peers
from nano.cluster.readable import Readable
from nano.cluster.registrar import Registrar
from nano.cluster.roster import Roster
from nano.cluster.services import MasterService, MemberCalls, MemberService
from nano.cluster.strangers import Strangers
from nano.cluster.streams import LINK_LIMIT
from nano.errors import UsageError

__all__ = ["ClusterServer"]

_log: Final = logging.getLogger("nano.cluster")

SERVER_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # a second process at this address must fail
    ("grpc.max_receive_message_length", LINK_LIMIT),  # the port serves links, too
    ("grpc.server_handshake_timeout_ms", round(HANDSHAKE_TIME * 1000)),
    ("grpc.max_allowed_incoming_connections", 10_000),  # 20 of each of 500 Go nodes
    ("grpc.max_concurrent_streams", 1000),  # of one connection; more wait at the caller
)

LONGEST_TICK: Final = 0.25
"""Seconds between two looks at what is due; a quarter of a shorter heartbeat."""

FAREWELL: Final = 2.0
"""Seconds that a leaving node waits for the master to take note."""


class ClusterServer:
    """One node's place in the cluster, from start to stop.

    Owned by the node; everything happens in the event loop that calls
    :meth:`start`.  When that fails nothing is left open.

    Args:
        me: This node.  Port 0 means any: :attr:`address` tells which.  Without an
            incarnation it is given one.
        master: Where the master is (``host:port``); None: this node is the master.
        heartbeat: Seconds between heartbeats to the master.
        on_change: Is told of each change of the list, in order, within the loop.
            This node itself appears there only when it changes.
        calls: Takes what Go nodes send.
        credentials: What this node shows the others and believes of them; None: the
            port and all ways are plain.
        strangers: Where those who are refused are counted.
        extra: More services for the same port; each is handed the gRPC server
            before it starts.
        clock: Seconds from any origin; the event loop's unless given.

    Attributes:
        peers: The ways to the other nodes, for nano's calls.  They are closed
            here: when a member goes, and at the end.
        registered: Set once the master has taken this node in; never cleared.
    """

    def __init__(
        self,
        me: Member,
        *,
        master: str | None,
        heartbeat: float,
        on_change: Callable[[Change], None],
        calls: MemberCalls,
        credentials: Credentials | None = None,
        strangers: Strangers | None = None,
        extra: Sequence[Callable[[grpc.aio.Server], None]] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.peers = Peers(credentials)
        self.registered = asyncio.Event()
        self._me = dataclasses.replace(
            me,
            heartbeat=heartbeat,
            incarnation=me.incarnation or new_incarnation(),
            role=me.role if master else MASTER,
        )
        self._master = master
        self._on_change = on_change
        self._calls = calls
        self._credentials = credentials
        self._strangers = strangers or Strangers()
        self._connections: Connections | None = None
        self._extra = extra
        self._clock = clock
        self._tasks = Tasks()
        self._server: grpc.aio.Server | None = None
        self._driver: Driver | None = None
        self._ticking = False

    @property
    def address(self) -> str:
        """Where this node is reached; the true port once it has started."""
        return self._me.address

    @property
    def me(self) -> Member:
        """What this node says about itself."""
        return self._me

    @property
    def members(self) -> Mapping[str, Member]:
        """Everybody known, by address, this node included."""
        if self._driver is None:
            return MappingProxyType({self._me.address: self._me})
        return self._driver.members

    @property
    def list_version(self) -> int:
        """Which list of the master's this node has; 0: none yet, or a Go master's."""
        return 0 if self._driver is None else self._driver.list_version

    @property
    def is_master_reachable(self) -> bool:
        """The master has answered last time; of the master itself, always."""
        return self._driver is not None and self._driver.is_master_reachable

    def peer(self, address: str) -> Peer:
        """Return the way to the node at *address*, for nano's calls."""
        return self.peers.to(address)

    async def start(self) -> None:
        """Bind the address and answer there.

        Raises:
            UsageError: The address makes no sense or cannot be bound.
        """
        server, shown = self._make_server()
        try:
            address = _bind(server, self.address, shown)
            self._me = dataclasses.replace(self._me, address=address)
            driver = self._serve(server)
            for add in self._extra:
                add(server)
            await server.start()
        except BaseException:
            await server.stop(None)
            raise
        self._server, self._driver = server, driver
        if self._master is None:
            self._start_ticking()

    async def join(self) -> None:
        """Register with the master, and again until it answers.

        Cancelling it stops the wait only: the node goes on trying until
        :meth:`stop`.
        """
        self._start_ticking()
        await self.registered.wait()

    def update(self, me: Member) -> None:
        """Say something new about this node: other services, or that it drains.

        The others learn it from the master, at once when that can be reached.

        Raises:
            ValueError: The new address or incarnation is another one.
        """
        if (me.address, me.incarnation) != (self.address, self._me.incarnation):
            raise ValueError("a node cannot change its address or incarnation")
        self._me = me
        if self._driver is not None:
            self._driver.update(me)

    async def stop(self, grace: float) -> None:
        """Leave the cluster and close everything; calls get *grace* seconds to end."""
        await self._tasks.cancel()
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.leave(FAREWELL)
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace)
        await self.peers.close()

    def _make_server(self) -> tuple[grpc.aio.Server, grpc.ServerCredentials | None]:
        """Make the gRPC server, and what it is to show; None: it is plain."""
        credentials = self._credentials
        if credentials is None:
            _log.info(
                "the cluster port is plain: whoever reaches it is believed, Go nodes "
                "too; spec.clusterTls shuts it to others"
            )
            return grpc.aio.server(options=SERVER_OPTIONS), None
        connections = Connections(self._strangers, monotonic)
        guard = Guard(credentials, connections, self._strangers)
        self._connections = connections
        server = grpc.aio.server(options=SERVER_OPTIONS, interceptors=[guard])
        return server, credentials.server(connections.begin)

    def _serve(self, server: grpc.aio.Server) -> Driver:
        """Put nano's services on the port, in front of the right driver."""
        clock = self._clock or asyncio.get_running_loop().time
        # to the generated code a server is what takes its methods
        port = cast("grpc.aio.Server", Readable(server, self._strangers))
        around = Surroundings(self.peers, clock, self._on_change, self.registered)
        driver: Driver
        if self._master is None:
            registrar = Registrar(self._me, epoch=self._me.incarnation)
            driver = master = MasterDriver(registrar, around)
            service = MasterService(master.ask, self._strangers)
            rpc.add_MasterServicer_to_server(service, port)
        else:
            driver = MemberDriver(
                Roster(self._me, jitter=_jitter), self._master, around
            )
        member = MemberService(self._calls, driver.hear)
        rpc.add_MemberServicer_to_server(member, port)
        return driver

    def _start_ticking(self) -> None:
        if not self._ticking and self._driver is not None:
            self._ticking = True
            self._tasks.spawn(self._tick(self._driver), f"tick {self.address}")

    async def _tick(self, driver: Driver) -> None:
        period = min(LONGEST_TICK, self._me.heartbeat / 4)
        while True:
            try:
                driver.tick()
                if self._credentials is not None and self._connections is not None:
                    self._credentials.tick(monotonic())
                    self._connections.tick(monotonic())
            except Exception:
                _log.exception("the member list missed a tick")
            await asyncio.sleep(period)


def _jitter() -> float:
    """Give a factor in [0.5, 1): nodes that wait must not march in step."""
    return 0.5 + random.random() / 2


def _bind(
    server: grpc.aio.Server, address: str, shown: grpc.ServerCredentials | None
) -> str:
    """Bind exactly *address* and return it with the port that it got."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"{address!r} is no cluster address: give host:port")
    try:
        if shown is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, shown)
    except RuntimeError:
        bound = 0
    if not bound:
        raise UsageError(
            f"cannot listen on the cluster address {address}: another process has it,"
            " or it is not an address of this machine; choose another one"
        )
    return f"{host}:{bound}"
