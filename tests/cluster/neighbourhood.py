"""Real cluster servers over loopback in one event loop, and how to wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import grpc.aio

from nano.cluster.credentials import Credentials
from nano.cluster.members import Member, new_incarnation, to_info
from nano.cluster.membership import MemberAdded, MemberChanged, MemberRemoved
from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.peer import Peer
from nano.cluster.server import ClusterServer
from nano.cluster.strangers import Strangers
from nano.local.ports import free_ports

HEARTBEAT = 0.2

Change = MemberAdded | MemberRemoved | MemberChanged


class Calls:
    """Takes what Go nodes send, and fails when told to."""

    def __init__(self) -> None:
        self.taken: list[object] = []
        self.error: Exception | None = None

    async def handle_request(self, message: pb.RequestMessage, sender: str) -> None:
        self._take(message)

    async def handle_notify(self, message: pb.NotifyMessage) -> None:
        self._take(message)

    async def handle_push(self, message: pb.PushMessage) -> None:
        self._take(message)

    async def handle_response(self, message: pb.ResponseMessage) -> None:
        self._take(message)

    async def session_closed(self, session_id: int, sender: str) -> None:
        self._take(("closed", session_id))

    async def close_session(self, session_id: int) -> None:
        self._take(("close", session_id))

    def _take(self, what: object) -> None:
        if self.error:
            raise self.error
        self.taken.append(what)


class Neighbour(ClusterServer):
    """A node that writes down what it is told of the list."""

    def __init__(
        self,
        me: Member,
        master: str | None,
        moved: asyncio.Event,
        *,
        clock: Callable[[], float] | None = None,
        credentials: Credentials | None = None,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        self.strangers = Strangers()
        self.changes: list[Change] = []
        self.calls = Calls()
        self.moved = moved
        self.grpc_servers: list[grpc.aio.Server] = []
        super().__init__(
            me,
            master=master,
            heartbeat=heartbeat,
            on_change=self.note,
            calls=self.calls,
            extra=[self.grpc_servers.append],
            clock=clock,
            credentials=credentials,
            strangers=self.strangers,
        )

    def note(self, change: Change) -> None:
        self.changes.append(change)
        self.moved.set()

    def gone(self) -> list[str]:
        """Whose lives it saw end."""
        return [it.member.label for it in self.changes if isinstance(it, MemberRemoved)]


class Neighbourhood:
    """The nodes of one test; all are stopped at its end."""

    def __init__(self) -> None:
        self.moved = asyncio.Event()
        self.nodes: list[Neighbour] = []
        self.ways: list[Peer] = []

    async def master(
        self, address: str = "127.0.0.1:0", credentials: Credentials | None = None
    ) -> Neighbour:
        me = Member(address=address, label="master")
        made = Neighbour(me, None, self.moved, credentials=credentials)
        node = await self._start(made)
        await node.join()
        return node

    async def member(
        self,
        label: str,
        master: str,
        *,
        address: str = "127.0.0.1:0",
        services: tuple[str, ...] = (),
        credentials: Credentials | None = None,
        heartbeat: float = HEARTBEAT,
    ) -> Neighbour:
        """A node that has started and not joined yet."""
        me = Member(address=address, label=label, services=services, role="backend")
        made = Neighbour(
            me, master, self.moved, credentials=credentials, heartbeat=heartbeat
        )
        return await self._start(made)

    async def stop(self, *nodes: Neighbour) -> None:
        for node in nodes:
            self.nodes.remove(node)
        await asyncio.gather(*(node.stop(0) for node in nodes))

    async def close(self) -> None:
        for way in self.ways:
            await way.close()
        # The master goes last, else the others wait for it to say farewell.
        members = [node for node in self.nodes if not node.me.is_master]
        await self.stop(*members)
        await self.stop(*self.nodes)

    def way(self, address: str, credentials: Credentials | None = None) -> Peer:
        """To call a node as another one would, or a stranger."""
        peer = Peer(address, credentials)
        self.ways.append(peer)
        return peer

    async def ghost(self, at: Neighbour, address: str, label: str) -> None:
        """Register a member of ours that never says another word."""
        me = Member(
            address=address,
            label=label,
            incarnation=new_incarnation(),
            heartbeat=HEARTBEAT,
        )
        request = pb.RegisterRequest(memberInfo=to_info(me))
        await self.way(at.address).register(request)

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait for *condition*, which changes of the list or time bring about."""
        async with asyncio.timeout(seconds):
            while not condition():
                self.moved.clear()
                try:
                    await asyncio.wait_for(self.moved.wait(), 0.02)
                except TimeoutError:
                    continue

    async def _start(self, node: Neighbour) -> Neighbour:
        await node.start()
        self.nodes.append(node)
        return node


@asynccontextmanager
async def hole() -> AsyncGenerator[str]:
    """An address that takes connections and never says a word."""
    writers: list[asyncio.StreamWriter] = []

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    await server.wait_closed()


class Wire:
    """A way through which bytes go to *address*, until it is cut.

    A cut leaves open what is connected, and silent, as when a machine dies.
    """

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._cuts = 0

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    def cut(self) -> None:
        self._cuts += 1

    async def _take(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        self._writers += [writer, back]
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._carry(source, sink), name="wire")
            self._tasks.add(task)

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        cuts = self._cuts
        while data := await source.read(65536):
            if cuts == self._cuts:
                sink.write(data)
        sink.close()


def labels(node: ClusterServer) -> set[str]:
    """Whom a node knows."""
    return {member.label for member in node.members.values()}


def free_address() -> str:
    """An address of this machine where nobody listens.

    It is none of those that the kernel gives to outgoing connections: a node that is
    dialled at one, and is not there, may find its port taken when it comes back.
    """
    return f"127.0.0.1:{free_ports(1)[0]}"
