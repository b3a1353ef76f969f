"""Whole clusters over loopback, and their real clients."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import cast

import pytest

from nano.client import Client, connect
from nano.errors import ConnectionClosed, RequestError
from nano.node import Node, Role
from nano.testing import LocalCluster

from .clusters import APP_DIR, PATIENCE, manifest, sample, until

pytestmark = pytest.mark.process


@pytest.fixture
async def cluster() -> AsyncIterator[LocalCluster]:
    async with LocalCluster(manifest(), app_dir=APP_DIR) as cluster:
        yield cluster


@pytest.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[Client]:
    async with await connect(cluster.url("tcp")) as client:
        yield client


async def served_by(client: Client) -> str:
    answer = await client.request("Talk.echo", {"text": "x"})
    return str(answer["node"])


def backend_at(cluster: LocalCluster, address: str) -> Node:
    (node,) = [node for node in cluster.backends["talk"] if node.address == address]
    return node


# --------------------------------------------------------------------- messages


@pytest.mark.parametrize("listener", ["tcp", "ws"])
async def test_a_request_goes_to_a_backend_and_back(
    cluster: LocalCluster, listener: str
) -> None:
    async with await connect(cluster.url(listener)) as client:
        answer = await client.request("Talk.echo", {"text": "héllo"})
        assert answer["text"] == "héllo"
        assert answer["node"] in {n.address for n in cluster.backends["talk"]}


@pytest.mark.parametrize("listener", ["tcp", "ws"])
async def test_a_notify_is_followed_by_pushes_in_order(
    cluster: LocalCluster, listener: str
) -> None:
    async with await connect(cluster.url(listener)) as client:
        heard: list[str] = []
        client.on("onShout", lambda value: heard.append(value["text"]))
        words = [f"w{number}" for number in range(200)]
        for word in words:
            await client.notify("Talk.shout", {"text": word})
        await until(lambda: len(heard) == 200)
        assert heard == [word.upper() for word in words]


@pytest.mark.parametrize(
    ("route", "payload", "status", "code"),
    [
        ("Talk.nothing", None, 404, "NANO-404"),
        ("Nobody.home", None, 404, "NANO-404"),
        ("Talk.echo", {"text": 1}, 400, "NANO-400"),
        ("Talk.refuse", None, 402, "SHOP-1"),
        ("Talk.fail", None, 500, "NANO-500"),
        ("Talk.shout", {"text": "x"}, 500, "NANO-500"),
    ],
)
async def test_every_failure_is_answered(
    client: Client, route: str, payload: object, status: int, code: str
) -> None:
    with pytest.raises(RequestError) as refused:
        await client.request(route, payload)
    assert (refused.value.status, refused.value.code) == (status, code)
    assert "secret" not in refused.value.message


async def test_many_requests_at_once_each_get_their_own_answer(client: Client) -> None:
    texts = [f"text {number}" for number in range(500)]
    answers = await asyncio.gather(
        *(client.request("Talk.echo", {"text": text}) for text in texts)
    )
    assert [answer["text"] for answer in answers] == texts


async def test_a_payload_of_megabytes_passes_the_link() -> None:
    large = manifest(backends=1, packet=16_000_000)
    async with (
        LocalCluster(large, app_dir=APP_DIR) as cluster,
        await connect(cluster.url("ws")) as client,
    ):
        text = "x" * 12_000_000
        for _ in range(2):
            answer = await client.request("Talk.echo", {"text": text}, timeout=30)
            assert answer["text"] == text


async def test_gates_serve_their_own_components_without_a_backend() -> None:
    alone = manifest(backends=0, local=True)
    async with (
        LocalCluster(alone, app_dir=APP_DIR) as cluster,
        await connect(cluster.url("tcp")) as client,
    ):
        assert await client.request("Local.where", {}) == "gate"
        with pytest.raises(RequestError) as refused:
            await client.request("Talk.echo", {"text": "x"})
        assert refused.value.status == 404


# --------------------------------------------------------------------- bindings


async def test_clients_stay_with_their_backend_and_both_are_used(
    cluster: LocalCluster,
) -> None:
    served: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        for _ in range(24):
            client = await stack.enter_async_context(await connect(cluster.url("tcp")))
            first = await served_by(client)
            assert {await served_by(client) for _ in range(3)} == {first}
            served[first] += 1
    assert set(served) == {node.address for node in cluster.backends["talk"]}


async def test_when_a_backend_stops_the_other_one_takes_over_at_once(
    cluster: LocalCluster, client: Client
) -> None:
    waits: list[str] = []
    client.on("onWait", waits.append)
    in_flight = asyncio.create_task(client.request("Talk.forever", None))
    await until(lambda: waits)
    first = waits[0]
    stopping = asyncio.create_task(backend_at(cluster, first).stop())
    with pytest.raises(RequestError) as refused:
        await in_flight
    assert refused.value.status == 503
    began = time.monotonic()
    second = await served_by(client)
    assert time.monotonic() - began < 1.0
    assert {first, second} == {n.address for n in cluster.backends["talk"]}
    await stopping


async def test_a_backend_that_joins_later_is_used(cluster: LocalCluster) -> None:
    for node in list(cluster.backends["talk"]):
        await node.stop()
    async with await connect(cluster.url("tcp")) as client:
        with pytest.raises(RequestError) as refused:
            await served_by(client)
        assert refused.value.status == 503
        late = await cluster.start(Role.BACKEND, "talk")
        assert await served_by(client) == late.address


# --------------------------------------------------------------------- sessions


async def test_who_a_client_is_goes_from_the_backend_to_the_gate(
    cluster: LocalCluster, client: Client
) -> None:
    assert await client.request("Talk.login", "ann") == "ann"
    (at_gate,) = cluster.gates[0].sessions(10)
    assert (at_gate["uid"], at_gate["home"]) == ("ann", True)
    mirrors = [s for node in cluster.backends["talk"] for s in node.sessions(10)]
    await served_by(client)
    assert [(m["id"], m["home"]) for m in mirrors] == [(at_gate["id"], False)]
    assert mirrors[0]["address"] == at_gate["address"]


async def test_mirrors_end_with_the_client(
    cluster: LocalCluster, client: Client
) -> None:
    node = backend_at(cluster, await served_by(client))
    assert len(node.sessions(10)) == 1
    await client.close()
    await until(lambda: not node.sessions(10))
    assert not cluster.gates[0].sessions(10)


async def test_a_gate_that_stops_tells_its_clients_and_its_mirrors_end(
    cluster: LocalCluster, client: Client
) -> None:
    node = backend_at(cluster, await served_by(client))
    await cluster.gates[0].stop()
    async with asyncio.timeout(PATIENCE):
        assert await client.wait_closed() == "the server is going away"
    await until(lambda: not node.sessions(10))
    with pytest.raises(ConnectionClosed):
        await served_by(client)


async def test_the_gates_of_a_cluster_accept_on_the_same_ports() -> None:
    async with LocalCluster(manifest(gates=2), app_dir=APP_DIR) as cluster:
        await cluster.gates[0].stop()
        async with await connect(cluster.url("ws")) as client:
            assert await served_by(client)
        assert sample(cluster.gates[1], "nano_handshakes_total", **ACCEPTED) == 1


ACCEPTED = {"listener": "ws", "outcome": "accepted"}


@pytest.mark.parametrize("place", ["gate", "backend"])
async def test_kick_ends_a_session_wherever_it_is_asked_for(
    cluster: LocalCluster, client: Client, place: str
) -> None:
    backend = backend_at(cluster, await served_by(client))
    node = cluster.gates[0] if place == "gate" else backend
    (session,) = node.sessions(10)
    assert not node.kick(4711, "nobody")
    assert node.kick(int(cast("str", session["id"])), "not here")
    async with asyncio.timeout(PATIENCE):
        assert await client.wait_closed() == "not here"
    await until(lambda: not backend.sessions(10))


async def test_sessions_are_listed_up_to_a_limit(cluster: LocalCluster) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await stack.enter_async_context(await connect(cluster.url("tcp")))
        assert len(cluster.gates[0].sessions(3)) == 3
        assert len(cluster.gates[0].sessions(100)) == 5
        assert cluster.gates[0].sessions(0) == []


# ----------------------------------------------------------- what a node can say


async def test_status_tells_who_is_there(cluster: LocalCluster, client: Client) -> None:
    gate = cluster.gates[0]
    await until(lambda: sample(gate, "nano_members", role="backend") == 2)
    status = gate.status()
    assert (status["cluster"], status["role"]) == ("default/demo", "gate")
    assert status["notReady"] is None
    assert (status["sessions"], status["connections"]) == (1, 1)
    assert status["listeners"] == gate.client_addresses
    assert "Talk.echo" in cast("list[str]", status["routes"])
    members = cast("list[dict[str, object]]", status["members"])
    assert Counter(member["role"] for member in members) == {
        "master": 1,
        "gate": 1,
        "backend": 2,
    }
    linked = {member["role"]: member["link"] for member in members}
    assert linked == {"master": False, "gate": False, "backend": True}
    peers = {node.status()["address"]: "linked" for node in cluster.backends["talk"]}
    assert status["peers"] == peers
    backend = cluster.backends["talk"][0].status()
    assert (backend["backend"], backend["listeners"]) == ("talk", {})
    assert cluster.master.status()["routes"] == []
    assert cluster.master.not_ready() is None


async def test_metrics_equal_what_was_done(
    cluster: LocalCluster, client: Client
) -> None:
    gate = cluster.gates[0]
    backend = backend_at(cluster, await served_by(client))
    for _ in range(4):
        await served_by(client)
    heard: list[object] = []
    client.on("onShout", heard.append)
    for _ in range(3):
        await client.notify("Talk.shout", {"text": "x"})
    await until(lambda: len(heard) == 3)
    with pytest.raises(RequestError):
        await client.request("Talk.refuse", None)

    def messages(node: Node, direction: str, kind: str, route: str) -> float | None:
        labels = {"direction": direction, "type": kind, "route": route}
        return sample(node, "nano_messages_total", **labels)

    for node in (gate, backend):
        assert messages(node, "in", "request", "Talk.echo") == 5
        assert messages(node, "out", "response", "Talk.echo") == 5
        assert messages(node, "in", "notify", "Talk.shout") == 3
    assert messages(gate, "out", "push", "onShout") == 3
    assert sample(backend, "nano_failures_total", status="402") == 1
    assert sample(gate, "nano_connections", listener="tcp") == 1
    assert sample(gate, "nano_sessions", place="home") == 1
    assert sample(backend, "nano_sessions", place="mirror") == 1
    await until(lambda: sample(gate, "nano_members", role="backend") == 2)
    assert sample(gate, "nano_links") == 2
    assert sample(gate, "nano_ready") == 1
    assert sample(gate, "nano_pending_requests") == 0
