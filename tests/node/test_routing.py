"""How members are chosen, from the manifest to the client; docs/routing.md as it is."""

from __future__ import annotations

import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from nano import Candidate, Component, RequestError, Session, handler
from nano.errors import UsageError
from nano.node import Node, Role
from nano.runtime.strategies import rank
from nano.testing import MemoryCluster
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Routing,
    Spec,
    loads,
)

from .clusters import options
from .towns import Make, Town, ask, until, visitor, whole

PAGE = (Path(__file__).parents[2] / "docs" / "routing.md").read_text()
ROUTES = """\
def newest(session, members):
    return max(members, key=lambda it: it.version)

async def late(session, members):
    return members[0]

number = 3
"""


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def app_dir(tmp_path: Path) -> Iterator[str]:
    """A folder with the page's program, and with functions of all sorts."""
    (tmp_path / "game.py").write_text(block("python"))
    (tmp_path / "routes_of_a_test.py").write_text(ROUTES)
    before = list(sys.path)
    yield str(tmp_path)
    sys.path[:] = before
    for name in ("game", "routes_of_a_test"):
        sys.modules.pop(name, None)


class Room(Component):
    """What backends serve."""

    @handler
    def where(self, session: Session, _: Any) -> str:
        return self.node.name

    @handler(internal=True)
    def which(self, _: None) -> str:
        return self.node.name


class Hall(Component):
    """What asks without a session."""

    @handler
    async def ask(self, session: Session, _: Any) -> str:
        return str(await self.node.call("Room.which"))


class Chooser(Component):
    """A component of the gates that chooses."""

    def session_opened(self, session: Session) -> None:
        """Be something."""

    async def start(self) -> None:
        self.node.route("Room", self.choose)

    def choose(self, session: Session, members: Sequence[Candidate]) -> Candidate:
        return max(members)


def manifest(*routing: Routing, rooms: int = 2) -> NanoCluster:
    return NanoCluster(
        metadata=Metadata(name="demo"),
        spec=Spec(
            gates=Gates(
                replicas=2,
                listeners=[Listener(name="tcp", transport="tcp", port=3250)],
            ),
            backends=[
                Backend(name="rooms", replicas=rooms, components=["a:B"], version="1"),
                Backend(name="canary", components=["a:B"], version="2"),
                Backend(name="hall", components=["a:B"]),
            ],
            routing=list(routing),
        ),
    )


def cluster(
    *routing: Routing, app_dir: str = ".", gate: Sequence[type[Component]] = ()
) -> MemoryCluster:
    components: dict[str, Sequence[type[Component]]]
    components = {"gate": gate, "rooms": [Room], "canary": [Room], "hall": [Hall]}
    return MemoryCluster(manifest(*routing), app_dir=app_dir, components=components)


async def spread(made: MemoryCluster, number: int) -> Counter[str]:
    clients = [await made.connect() for _ in range(number)]
    return Counter([await client.request("Room.where") for client in clients])


EVENLY = {"rooms-1": 3, "rooms-2": 3, "canary-1": 3}


@pytest.mark.parametrize("strategy", ["roundRobin", "leastLoaded"])
async def test_the_manifest_says_who_is_chosen(strategy: Any) -> None:
    async with cluster(Routing(service="Room", strategy=strategy)) as made:
        assert await spread(made, 9) == EVENLY


async def test_backends_choose_alike_for_calls() -> None:
    async with cluster(Routing(service="Room", strategy="roundRobin")) as made:
        client = await made.connect()
        asked = Counter([await client.request("Hall.ask") for _ in range(9)])
        assert asked == EVENLY


async def test_by_hash_a_client_finds_its_member_at_every_gate() -> None:
    class Name(Component):
        @handler
        def login(self, session: Session, name: str) -> None:
            session.bind(name)

    routing = Routing(service="Room", strategy="hash")
    async with cluster(routing, gate=[Name]) as made:
        for uid in ("ann", "bob", "cid", "dan", "eve"):
            for gate in (0, 1):
                client = await made.connect(gate)
                await client.notify("Name.login", uid)
                assert await client.request("Room.where") == max(
                    EVENLY, key=lambda it: rank(uid.encode(), it)
                )


async def test_a_function_of_the_manifest_sees_versions(app_dir: str) -> None:
    routing = Routing(
        service="Room", strategy="function", function="routes_of_a_test:newest"
    )
    async with cluster(routing, app_dir=app_dir) as made:
        assert await spread(made, 5) == {"canary-1": 5}
        (canary,) = made.backends["canary"]
        await canary.stop()
        assert set(await spread(made, 5)) <= {"rooms-1", "rooms-2"}


async def test_a_component_of_the_gates_chooses() -> None:
    async with cluster(gate=[Chooser]) as made:
        assert await spread(made, 5) == {"rooms-2": 5}


async def test_two_ways_to_choose_are_refused_when_the_node_starts() -> None:
    routing = Routing(service="Room", strategy="roundRobin")
    with pytest.raises(UsageError, match="Room is chosen in two ways"):
        async with cluster(routing, gate=[Chooser]):
            pass


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("no_such_module:f", "function no_such_module:f: module .* cannot be imported"),
        ("routes_of_a_test:absent", "routes_of_a_test has no function absent"),
        ("routes_of_a_test:number", "routes_of_a_test has no function number"),
        ("routes_of_a_test:late", "is called and not awaited; make it a plain def"),
    ],
)
def test_a_gate_does_not_start_with_a_function_that_is_none(
    app_dir: str, function: str, says: str
) -> None:
    routing = Routing(service="Room", strategy="function", function=function)
    given = {"manifest": manifest(routing), "app_dir": app_dir}
    with pytest.raises(UsageError, match=says):
        Node(options(Role.GATE, "127.0.0.1:1", **given))


async def test_a_member_tells_its_version_on_links_and_to_the_master() -> None:
    async with cluster() as made:
        (gate, _), (canary,) = made.gates, made.backends["canary"]
        link = gate._links.get(canary.address)
        assert link is not None
        assert (link.kind, link.version) == ("canary", "2")
        assert canary._cluster.me.app_version == "2"
        assert gate._cluster.me.app_version == ""


async def test_the_pages_game(app_dir: str) -> None:
    async with MemoryCluster(loads(block("yaml")), app_dir=app_dir) as made:
        rooms: dict[str, list[str]] = {}
        matches: dict[str, set[str]] = {}
        for number, name in enumerate(["ann", "bob", "cid", "tester-1", "tester-2"]):
            client = await made.connect(number % 2)
            league = f"league-{number % 2}"
            await client.request("Door.login", {"name": name, "league": league})
            rooms[name] = await client.request("RoomService.where")
            match = await client.request("MatchService.where")
            matches.setdefault(league, set()).add(match)
        assert rooms["tester-1"] == rooms["tester-2"] == ["canary", "canary-1"]
        assert {rooms[it][0] for it in ("ann", "bob", "cid")} == {"rooms"}
        assert rooms["ann"] != rooms["cid"]  # of one gate
        assert {len(members) for members in matches.values()} == {1}


async def test_the_pages_auditor(app_dir: str) -> None:
    class AuditService(Component):
        @handler
        def where(self, session: Session, _: None) -> str:
            return self.node.name

    made = NanoCluster(
        metadata=Metadata(name="game"),
        spec=Spec(
            gates=Gates(replicas=1, components=["game:Door"]),
            backends=[
                Backend(name=name, components=["game:RoomService"])
                for name in ("audit", "other")
            ],
        ),
    )
    parts = {"audit": [AuditService], "other": [AuditService]}
    async with MemoryCluster(made, app_dir=app_dir, components=parts) as game:
        client = await game.connect()
        with pytest.raises(RequestError, match="log in first") as refused:
            await client.request("AuditService.where")
        assert refused.value.status == 401
        await client.request("Door.login", {"name": "ann", "league": "a"})
        assert await client.request("AuditService.where") == "audit-1"
        (gate,) = game.gates
        labels = {"stage": "route", "reason": "function-refused"}
        assert game.count(gate, "nano_dropped_total", **labels) == 1


@pytest.mark.process
async def test_by_load_real_nodes_share_clients_and_one_that_is_back_catches_up(
    make: Make,
) -> None:
    routing = [Routing(service="Town", strategy="leastLoaded")]
    town: Town = await make(2, routing=routing)
    clients = [await visitor(town) for _ in range(4)]
    try:
        pids = [(await ask(client, 1)).pid for client in clients]
        dead, other = (town.processes[it].pid for it in ("backend0", "backend1"))
        assert Counter(pids) == {dead: 2, other: 2}
        town.signal("backend0", signal.SIGKILL)
        await until(lambda: town.count("gate", "nano_links") == 1)
        assert [(await ask(client, 2)).pid for client in clients] == [other] * 4
        town.start("backend0")
        await whole(town, ["master", "gate", "backend0", "backend1"])
        back = town.processes["backend0"].pid
        for _ in range(3):
            clients.append(await visitor(town))
            assert (await ask(clients[-1], 3)).pid == back
    finally:
        for client in clients:
            await client.close()
