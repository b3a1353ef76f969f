"""Calling another node in nano's words: one channel, unary calls, deadlines.

A :class:`Peer` is the way to one address, :class:`Peers` all the ways that a node
has, kept by address and closed when the member goes.  They know gRPC and nothing
of membership: who is called and when is decided by :mod:`nano.cluster.server`
(members) and by the routes (messages for Go nodes).

Where nano opens ten connections to an address that back off on their own for up to
two minutes and never ends a call by itself (nano.md B.9, E.2 29, 30, 39), there is
one connection here that is back within a second, and every call has a deadline.
HTTP/2 keep-alive stays off: a Go server answers pings that it finds too frequent
with GOAWAY.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import grpc
import grpc.aio

from nano.cluster.credentials import Credentials, open_channel
from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.pb import cluster_pb2_grpc as rpc
from nano.errors import ClusterError

__all__ = ["CHANNEL_OPTIONS", "DEADLINE", "MESSAGE_LIMIT", "Peer", "PeerError", "Peers"]

DEADLINE: Final = 5.0
"""Seconds that a call may take unless the caller says otherwise."""

MESSAGE_LIMIT: Final = 4 * 1024 * 1024
"""The largest message, in bytes, that nano receives; gRPC's own default."""

CHANNEL_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.min_reconnect_backoff_ms", 2000),  # in truth how long an attempt may take
    ("grpc.dns_min_time_between_resolutions_ms", 1000),  # a new pod, a new address
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.enable_http_proxy", 0),  # a proxy is for the way out, never between nodes
    ("grpc.use_local_subchannel_pool", 1),  # closing this channel ends its connection
)
"""How every channel between nodes is made."""

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class PeerError(ClusterError):
    """A call to another node came to nothing.

    Attributes:
        address: Whom we called.
        status: gRPC's word for it.
        details: The node's own words, or gRPC's.
        refused: The machine is there and nobody listens at that port, so the call
            certainly did not arrive.
    """

    def __init__(
        self, address: str, call: str, status: grpc.StatusCode, details: str
    ) -> None:
        super().__init__(address, call, status, details)
        self.address = address
        self.call = call
        self.status = status
        self.details = details
        self.refused = (
            status is grpc.StatusCode.UNAVAILABLE and "Connection refused" in details
        )

    def __str__(self) -> str:
        if self.refused:
            return f"{self.call}: nobody listens at {self.address}"
        match self.status:
            case grpc.StatusCode.UNAVAILABLE:
                return f"{self.call}: {self.address} is out of reach: {self.details}"
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                return f"{self.call}: {self.address} did not answer in time"
            case _:
                return f"{self.call}: {self.address} refused: {self.details}"


class Peer:
    """The way to one address: a channel that connects when it is first used.

    Every method takes a deadline in seconds and raises :class:`PeerError`.  The
    owner closes the peer; calls that are out then fail.

    Args:
        address: ``host:port``.
        credentials: What is shown and believed there; None: plain.  After new ones
            the next call goes by a new channel, and those that are out end on theirs.
    """

    def __init__(self, address: str, credentials: Credentials | None = None) -> None:
        self.address = address
        self._credentials = credentials
        self._leaving: set[asyncio.Task[None]] = set()  # channels before this one
        self._open()

    def _open(self) -> None:
        credentials = self._credentials
        self._generation = credentials.generation if credentials else 0
        self.channel = open_channel(self.address, CHANNEL_OPTIONS, credentials)
        self._master_stub = rpc.MasterStub(self.channel)
        self._member_stub = rpc.MemberStub(self.channel)

    @property
    def _master(self) -> rpc.MasterAsyncStub:
        if self._credentials is not None:
            self._keep_up(self._credentials)
        return self._master_stub

    @property
    def _member(self) -> rpc.MemberAsyncStub:
        if self._credentials is not None:
            self._keep_up(self._credentials)
        return self._member_stub

    def _keep_up(self, credentials: Credentials) -> None:
        """Leave a channel that was opened with credentials before these."""
        if self._generation == credentials.generation:
            return
        old = self.channel
        self._open()
        task = asyncio.create_task(old.close(DEADLINE), name="close an old channel")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    @property
    def is_connected(self) -> bool:
        """There is a connection, and nobody has ended it as far as we know."""
        return self.channel.get_state() is grpc.ChannelConnectivity.READY

    async def register(
        self, request: pb.RegisterRequest, deadline: float = DEADLINE
    ) -> pb.RegisterResponse:
        """Ask a master to take us in."""
        return await self._call("Register", self._master.Register, request, deadline)

    async def unregister(
        self, request: pb.UnregisterRequest, deadline: float = DEADLINE
    ) -> None:
        """Tell the master that we leave."""
        await self._call("Unregister", self._master.Unregister, request, deadline)

    async def heartbeat(
        self, request: pb.HeartbeatRequest, deadline: float = DEADLINE
    ) -> pb.HeartbeatResponse:
        """Tell the master that we live."""
        return await self._call("Heartbeat", self._master.Heartbeat, request, deadline)

    async def new_member(
        self, request: pb.NewMemberRequest, deadline: float = DEADLINE
    ) -> None:
        """Tell a member of another one."""
        await self._call("NewMember", self._member.NewMember, request, deadline)

    async def del_member(
        self, request: pb.DelMemberRequest, deadline: float = DEADLINE
    ) -> None:
        """Tell a member that another one is gone."""
        await self._call("DelMember", self._member.DelMember, request, deadline)

    async def handle_request(
        self, message: pb.RequestMessage, deadline: float = DEADLINE
    ) -> None:
        """Have a Go node handle a request; it answers to the gate named inside."""
        await self._call("HandleRequest", self._member.HandleRequest, message, deadline)

    async def handle_notify(
        self, message: pb.NotifyMessage, deadline: float = DEADLINE
    ) -> None:
        """Have a Go node handle a notify."""
        await self._call("HandleNotify", self._member.HandleNotify, message, deadline)

    async def handle_push(
        self, message: pb.PushMessage, deadline: float = DEADLINE
    ) -> None:
        """Have a Go gate push to one of its clients."""
        await self._call("HandlePush", self._member.HandlePush, message, deadline)

    async def handle_response(
        self, message: pb.ResponseMessage, deadline: float = DEADLINE
    ) -> None:
        """Have a Go gate answer one of its clients."""
        call = self._member.HandleResponse
        await self._call("HandleResponse", call, message, deadline)

    async def session_closed(self, session_id: int, deadline: float = DEADLINE) -> None:
        """Tell a Go node that a client of ours is gone."""
        request = pb.SessionClosedRequest(sessionId=session_id)
        await self._call("SessionClosed", self._member.SessionClosed, request, deadline)

    async def close_session(self, session_id: int, deadline: float = DEADLINE) -> None:
        """Have a Go gate close one of its clients."""
        request = pb.CloseSessionRequest(sessionId=session_id)
        await self._call("CloseSession", self._member.CloseSession, request, deadline)

    async def close(self) -> None:
        """Give the connection up; calls that are out fail."""
        await self.channel.close(None)
        await asyncio.gather(*self._leaving)

    async def _call(
        self,
        name: str,
        method: grpc.aio.UnaryUnaryMultiCallable[_Request, _Response],
        request: _Request,
        deadline: float,
    ) -> _Response:
        try:
            return await method(request, timeout=deadline)
        except grpc.aio.AioRpcError as error:
            status, details = error.code(), error.details() or ""
            if self._credentials is not None:
                self._credentials.failed(self.address, details)
            raise PeerError(self.address, name, status, details) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Not we were cancelled but the call: its channel was closed meanwhile.
            status = grpc.StatusCode.UNAVAILABLE
            raise PeerError(self.address, name, status, "closed by us") from None
        except grpc.aio.UsageError:
            status = grpc.StatusCode.UNAVAILABLE
            raise PeerError(self.address, name, status, "closed by us") from None


class Peers:
    """The ways of one node to the others, one for each address.

    Args:
        credentials: What all of them show and believe; None: they are plain.
    """

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._credentials = credentials
        self._peers: dict[str, Peer] = {}

    @property
    def open(self) -> Mapping[str, Peer]:
        """Those that were used and not closed since."""
        return MappingProxyType(self._peers)

    def to(self, address: str) -> Peer:
        """The way to *address*; it is made on the first call."""
        peer = self._peers.get(address)
        if peer is None:
            peer = self._peers[address] = self.another(address)
        return peer

    def another(self, address: str) -> Peer:
        """A way to *address* of the caller's own, that the caller closes."""
        return Peer(address, self._credentials)

    def drop(self, address: str) -> Peer | None:
        """Take out the way to a member that is gone; the caller closes it."""
        return self._peers.pop(address, None)

    async def close(self) -> None:
        """Close them all."""
        peers = list(self._peers.values())
        self._peers.clear()
        for peer in peers:
            await peer.close()
