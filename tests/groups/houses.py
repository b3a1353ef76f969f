"""Two gates and two backends with groups, joined by links in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nano import Component, Group, NodeInfo, Session, handler
from nano.cluster.groups import KINDS, GroupLinks
from nano.cluster.pb import link_pb2 as pb
from nano.runtime.groups import Groups
from tests.links.nodes import GATE, ONE, OTHER_GATE, TWO
from tests.links.nodes import Gate as LinkedGate
from tests.links.nodes import Node as LinkedNode
from tests.links.peers import Network, Raw, hello, member, part, until
from tests.runtime.clients import Client

GATES, BACKENDS = (GATE, OTHER_GATE), (ONE, TWO)
RAW = "10.0.9.9:1"  # a node that is spoken by hand


class Rooms(Component):
    """What the backends serve."""

    def __init__(self) -> None:
        self.sessions: dict[int, Session] = {}

    def room(self, name: str = "room") -> Group:
        return self.node.group(name)

    @handler
    def meet(self, session: Session, uid: str) -> bool:
        self.sessions[session.id] = session
        if uid:
            session.bind(uid)
        return True

    @handler
    def enter(self, session: Session, text: str) -> bool:
        self.room().add(session)
        self.room().publish("onEnter", text)
        return True

    @handler
    def team(self, session: Session, team: str) -> bool:
        session.set("team", team)
        self.room().add(session)
        self.room().publish("onTeam", team, where={"team": team})
        return True


def equip(node: LinkedNode, *components: Component) -> tuple[Groups, GroupLinks]:
    """Give *node* groups, and *components* the node."""
    groups = Groups(node.sessions, node.dispatcher.serializer, node.metrics)
    links = GroupLinks(groups, node.sessions, node.links, node.metrics)
    info = NodeInfo(node.address, "backend", "rooms", "default/demo", groups)
    for component in components:
        component.node = info
    return groups, links


class Gate(LinkedGate):
    """A gate with groups."""

    def __init__(self, network: Network, address: str) -> None:
        super().__init__(network, address)
        self.groups, self.group_links = equip(self)


class Backend(LinkedNode):
    """A backend with groups."""

    def __init__(self, network: Network, address: str) -> None:
        self.rooms = Rooms()
        super().__init__(network, address, self.rooms)
        self.groups, self.group_links = equip(self, self.rooms)


class Houses:
    """All four nodes, linked."""

    def __init__(self) -> None:
        self.network = Network()
        self.gates = [Gate(self.network, it) for it in GATES]
        self.backends = [Backend(self.network, it) for it in BACKENDS]

    @property
    def nodes(self) -> list[Gate | Backend]:
        return [*self.gates, *self.backends]

    async def start(self) -> None:
        self.network.introduce()
        await until(lambda: all(len(it.links.open) == 3 for it in self.nodes))

    async def stop(self) -> None:
        await self.network.stop()
        for node in self.nodes:
            await node.dispatcher.stop()

    async def client(self, gate: int, uid: str = "") -> Client:
        """Return a client of *gate* that both backends have met."""
        client = self.gates[gate].client()
        for backend in self.backends:
            await self.ask(client, backend, "Rooms.meet", uid)
        return client

    async def ask(
        self, client: Client, backend: Backend, route: str, payload: Any = ""
    ) -> None:
        client.session.bindings["Rooms"] = backend.address
        answer = await client.request(route, payload)
        assert answer.value is True

    def mirror(self, client: Client, backend: int = 0) -> Session:
        """Return the session of *client* at *backend*."""
        return self.backends[backend].rooms.sessions[client.session.id]

    async def member(self, gate: int, uid: str = "") -> Client:
        """Return a client that the first backend has added to the room."""
        client = await self.client(gate, uid)
        self.backends[0].rooms.room().add(self.mirror(client))
        await self.settle()
        return client

    def settled(self) -> bool:
        """Every node knows which of the others have members, and of no more."""
        return all(
            set(asker.group_links._peers[other.address].groups)
            == set(other.groups.roll.names)
            for asker in self.nodes
            for other in self.nodes
            if asker is not other and other.address in asker.group_links._peers
        )

    async def settle(self) -> None:
        """Wait until everything that was said of groups has arrived."""
        for node in self.nodes:
            for link in node.links.open:
                await until(lambda link=link: not link.outbox.waiting)  # type: ignore[misc]
        await until(self.settled)

    async def by_hand(
        self, gate: int = 0, *, features: Iterable[pb.Kind.ValueType] = KINDS
    ) -> Raw:
        """Join *gate* as a node that is spoken by hand."""
        links = self.gates[gate].links
        raw = self.network.raw(links)
        theirs = hello(RAW)
        theirs.features.extend(sorted({pb.HELLO, *features}))
        await raw.greet(theirs)
        await until(lambda: links.get(RAW))
        return raw

    async def lose(self, one: Gate | Backend, other: Gate | Backend) -> None:
        """End the link between two nodes for good."""
        part(one.links, other.links)
        await until(lambda: not one.links.get(other.address))
        await until(lambda: not other.links.get(one.address))

    async def regain(self, one: Gate | Backend, other: Gate | Backend) -> None:
        """Make a link between two nodes again."""
        one.links.add(member(other.address))
        other.links.add(member(one.address))
        await until(lambda: one.links.get(other.address))
        await until(lambda: other.links.get(one.address))


async def heard(*clients: Client, route: str = "onNews", times: int = 1) -> None:
    """Wait until each client has heard *route*, and no more often than *times*."""

    def count(client: Client) -> int:
        return sum(name == route for name, _ in client.pushes)

    for client in clients:
        await until(lambda client=client: count(client) >= times)  # type: ignore[misc]
        assert count(client) == times


async def said(raw: Raw, kind: pb.Kind.ValueType) -> pb.Envelope:
    """Return the next envelope of *kind* that comes, whatever is in front of it."""
    while (envelope := await raw.next()).kind != kind:
        pass
    return envelope


async def all_said(raw: Raw) -> list[pb.Envelope]:
    """Return all that has come up to now."""
    await raw.send(pb.Envelope(kind=pb.PING, id=7))
    found = []
    while (envelope := await raw.next()).kind != pb.PONG:
        found.append(envelope)
    return found
