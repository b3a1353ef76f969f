"""Go nodes without a process: what nano's calls do there, by nano.md part B."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from nano import Component
from nano.cluster.gonodes import GoNodes
from nano.cluster.link import make_hello
from nano.cluster.links import Links
from nano.cluster.members import Member
from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.peer import DEADLINE, PeerError
from nano.errors import ClusterError
from nano.metrics import Metrics
from nano.runtime.calls import Calls
from nano.runtime.component import collect_handlers
from nano.runtime.dispatch import Dispatcher
from nano.runtime.sessions import Sessions, tell_components
from nano.serializers import SerializerName, by_name

HERE = "10.0.0.1:33"


class Played:
    """A Go node: its clients, and what it was told."""

    def __init__(self, address: str, *services: str) -> None:
        self.address = address
        self.services = services
        self.clients: set[int] = set()
        self.taken: list[Any] = []
        self.status = grpc.StatusCode.OK  # what calls to it come to
        self.details = ""
        self.open = asyncio.Event()
        self.open.set()

    def fail(self, status: grpc.StatusCode, details: str) -> None:
        """Let calls fail from now on."""
        self.status, self.details = status, details

    def kill(self) -> None:
        """Let nobody listen any more."""
        self.fail(grpc.StatusCode.UNAVAILABLE, "Connection refused")

    async def _call(self, name: str, what: object, session: int | None = None) -> None:
        await self.open.wait()
        await asyncio.sleep(0)
        if self.status is not grpc.StatusCode.OK:
            raise PeerError(self.address, name, self.status, self.details)
        if session is not None and session not in self.clients:
            text = f"session not found: {session}"
            raise PeerError(self.address, name, grpc.StatusCode.UNKNOWN, text)
        if isinstance(what, pb.ResponseMessage) and not what.id:
            text = "current session working on notify mode"
            raise PeerError(self.address, name, grpc.StatusCode.UNKNOWN, text)
        self.taken.append(what)

    async def handle_request(
        self, message: pb.RequestMessage, deadline: float = DEADLINE
    ) -> None:
        await self._call("HandleRequest", message)

    async def handle_notify(
        self, message: pb.NotifyMessage, deadline: float = DEADLINE
    ) -> None:
        await self._call("HandleNotify", message)

    async def handle_push(
        self, message: pb.PushMessage, deadline: float = DEADLINE
    ) -> None:
        await self._call("HandlePush", message, message.sessionId)

    async def handle_response(
        self, message: pb.ResponseMessage, deadline: float = DEADLINE
    ) -> None:
        await self._call("HandleResponse", message, message.sessionId)

    async def session_closed(self, session_id: int, deadline: float = DEADLINE) -> None:
        await self._call("SessionClosed", ("closed", session_id))

    async def close_session(self, session_id: int, deadline: float = DEADLINE) -> None:
        await self._call("CloseSession", ("close", session_id))
        self.clients.discard(session_id)


def _dial(address: str) -> Any:
    raise ClusterError(f"nobody is at {address}")


class Ours:
    """A node of ours among Go nodes.

    Attributes:
        now: Its clock.
        lenient: Its master is a Go node.
    """

    def __init__(
        self,
        *components: Component,
        serializer: SerializerName = "json",
        trusted: bool = False,
    ) -> None:
        self.now = 0.0
        self.lenient = False
        self.metrics = Metrics()
        self.sessions = Sessions(self.metrics)
        self.dispatcher = Dispatcher(by_name(serializer), self.metrics, 10.0)
        handlers = collect_handlers(components)
        self.dispatcher.add(handlers)
        self.calls = Calls(self.dispatcher)
        self.calls.add(handlers)
        tell_components(components, self.sessions)
        hello = make_hello("games/arena", Member(address=HERE, role="gate"), [])
        links = Links(hello, _dial, self.metrics, lambda: self.now)
        self.played: dict[str, Played] = {}
        self.go = GoNodes(
            self.dispatcher,
            self.calls,
            self.sessions,
            way=self.played.__getitem__,
            address=lambda: HERE,
            links=lambda: links,
            lenient=lambda: self.lenient,
            time=lambda: self.now,
            trusted=trusted,
        )

    def meet(self, address: str, *services: str) -> Played:
        """Have a Go node join."""
        node = self.played[address] = Played(address, *services)
        self.go.add(Member(address=address, services=services))
        return node

    async def request(
        self, gate: Played, session: int, route: str, data: bytes = b"{}", *, by: str
    ) -> None:
        """Have a client of *gate* ask something, over the connection *by*."""
        gate.clients.add(session)
        message = pb.RequestMessage(
            gateAddr=gate.address, sessionId=session, id=1, route=route, data=data
        )
        await self.go.handle_request(message, by)

    async def stop(self) -> None:
        """End what it does."""
        await self.dispatcher.stop()
        await self.go.stop()
