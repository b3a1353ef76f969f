"""A gate and two backends without sockets: links in memory, clients that remember."""

from __future__ import annotations

import asyncio
from typing import Any

from nano import Component, NodeInfo, RequestError, Session, handler
from nano.cluster.bindings import Bindings
from nano.cluster.calls import CallLinks
from nano.cluster.link import Link
from nano.cluster.links import Links
from nano.cluster.mirrors import Mirrors
from nano.cluster.mover import Mover
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.routes import Forwarder
from nano.cluster.takeovers import Takeovers
from nano.metrics import Metrics
from nano.runtime.answers import Deferred
from nano.runtime.calls import Calls
from nano.runtime.component import collect_handlers
from nano.runtime.dispatch import Dispatcher
from nano.runtime.handovers import Handovers
from nano.runtime.sessions import Sessions
from nano.serializers import JsonSerializer
from tests.runtime.clients import Client

from .peers import Network, hello, part, until

GATE, ONE, TWO, OTHER_GATE = (f"10.0.0.{n}:1" for n in (1, 2, 3, 4))
TIMEOUT = 10.0  # of forwarded requests, by the clock of the network


class Shop(Component):
    """What the backends serve."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.free = asyncio.Event()
        self.seen: list[tuple[str, Any]] = []
        self.promises: list[Deferred] = []

    @handler
    def who(self, session: Session, payload: Any) -> str:
        self.seen.append((session.uid, dict(session.data)))
        return self.name

    @handler
    def where(self, session: Session, payload: None) -> str:
        return session.remote_address

    @handler
    def refuse(self, session: Session, payload: Any) -> str:
        raise RequestError(402, "no money")

    @handler
    def know(self, session: Session, payload: dict[str, Any]) -> str:
        session.bind(payload["uid"])
        session.set("level", payload["level"])
        return session.uid

    @handler
    def push(self, session: Session, payload: int) -> None:
        for number in range(payload):
            session.push("onNews", number)

    @handler
    def kick(self, session: Session, payload: Any) -> bool:
        session.kick("not here", reconnect=payload == "for now")
        return True

    @handler
    async def wait(self, session: Session, payload: Any) -> str:
        await self.free.wait()
        return self.name

    @handler
    async def early(self, session: Session, payload: Any) -> None:
        session.respond("early")
        await self.free.wait()

    @handler
    def later(self, session: Session, payload: Any) -> None:
        self.promises.append(session.defer())

    @handler
    def huge(self, session: Session, payload: int) -> bytes:
        return b'"' + b"x" * (payload - 2) + b'"'

    @handler
    def huge_push(self, session: Session, payload: int) -> str:
        session.push("onNews", "x" * payload)
        return "sent"


class Lobby(Component):
    """What the gate serves itself."""

    @handler
    def name(self, session: Session, payload: str) -> str:
        session.bind(payload)
        return session.uid


class Node:
    """One node without its sockets."""

    def __init__(self, network: Network, address: str, *components: Component) -> None:
        handlers = collect_handlers(components)
        self.address = address
        self.metrics = Metrics()
        self.sessions = Sessions()
        self.dispatcher = Dispatcher(JsonSerializer(), self.metrics, 5.0)
        self.dispatcher.add(handlers)
        self.calls = Calls(self.dispatcher)
        self.calls.add(handlers)
        self.info = NodeInfo(address, "", "", "default/demo", calls=self.calls)
        for component in components:
            component.node = self.info
        self.links = Links(
            hello(
                address,
                [item.route for item in handlers if not item.internal],
                [item.route for item in handlers if item.internal],
            ),
            network.dialler(address),
            self.metrics,
            network.clock,
        )
        Mirrors(self.dispatcher, self.sessions, self.links)
        self.takeovers = Takeovers(
            Handovers(components, self.dispatcher),
            self.dispatcher,
            self.sessions,
            self.links,
        )
        self.called = CallLinks(self.calls, self.dispatcher, self.sessions, self.links)
        self.called.takeovers = self.takeovers
        self.bindings = Bindings(self.sessions, self.links, self.metrics)
        network.add(address, self.links)


class Gate(Node):
    """One that has clients."""

    def __init__(self, network: Network, address: str, *components: Component) -> None:
        super().__init__(network, address, *components)
        self.forwarder = Forwarder(self.dispatcher, self.sessions, self.links, TIMEOUT)
        self.forwarder.tick(network.clock.now)
        self.mover = Mover(self.dispatcher, self.sessions, self.links, self.forwarder)
        self.mover.tick(network.clock.now)
        self.called.mover = self.bindings.mover = self.mover

    def client(self) -> Client:
        client = Client(self.dispatcher)
        self.sessions.add(client.session)
        return client


class Story:
    """A gate and two backends, linked."""

    def __init__(self) -> None:
        self.network = Network()
        self.shops = {address: Shop(address) for address in (ONE, TWO)}
        self.gate = Gate(self.network, GATE, Lobby())
        self.backends = {
            address: Node(self.network, address, shop)
            for address, shop in self.shops.items()
        }
        self.client = self.gate.client()

    async def start(self) -> None:
        self.network.introduce()
        await until(lambda: len(self.gate.links.open) == 2)
        await until(lambda: all(node.links.open for node in self.backends.values()))

    async def stop(self) -> None:
        for node in (self.gate, *self.backends.values()):
            await node.dispatcher.stop()
        await self.network.stop()

    async def bound(self, client: Client) -> str:
        """Ask once; return the backend that serves *client* from now on."""
        return str((await client.request("Shop.who")).value)

    def mirror(self, address: str, client: Client) -> Session | None:
        return self.backends[address].sessions.get(client.session.id)

    async def lose(self, address: str) -> None:
        """End the link to *address* for good."""
        node = self.backends[address]
        part(self.gate.links, node.links)
        await until(lambda: not self.gate.links.get(address))
        await until(lambda: not node.links.get(GATE))


def sent_on(link: Link | None) -> list[pb.Envelope]:
    """Take out what waits on *link*."""
    assert link is not None
    found: list[pb.Envelope] = []
    while (taken := link.outbox.take()) is not None:
        link.outbox.sent(len(taken.data))
        found.extend(pb.Batch.FromString(taken.data).envelopes)
    return found
