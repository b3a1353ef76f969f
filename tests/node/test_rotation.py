"""Whole clusters under mutual TLS, with new certificates and authorities under load."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import grpc.aio
import msgspec
import pytest

from nano.client import Client, connect
from nano.cluster.link import VERSION
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.pb import link_pb2_grpc as rpc
from nano.errors import UsageError
from nano.node import Node, Role
from nano.testing import LocalCluster
from nano_manifest import ClusterTls, NanoCluster
from tests.cluster.certificates import Authority, Secret

from .clusters import APP_DIR, manifest, options, sample, until

pytestmark = pytest.mark.process


def secured(cluster: NanoCluster) -> NanoCluster:
    """Return *cluster* with certificates of two Secrets."""
    tls = ClusterTls(secret_name="nodes", master_secret_name="master")
    spec = msgspec.structs.replace(cluster.spec, cluster_tls=tls)
    return msgspec.structs.replace(cluster, spec=spec)


class Secrets:
    """What all nodes of a cluster show each other."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = str(folder)
        self.nodes = Secret(folder / "nodes", authority)
        self.master = Secret(folder / "master", authority, "master")

    def issue(self, authority: Authority, *believed: Authority) -> None:
        for secret in (self.nodes, self.master):
            secret.issue(authority, *believed)

    def believe(self, *authorities: Authority) -> None:
        for secret in (self.nodes, self.master):
            secret.believe(*authorities)


OLD, NEW = Authority(), Authority()


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(tmp_path, OLD)


@pytest.fixture
async def cluster(secrets: Secrets) -> AsyncIterator[LocalCluster]:
    async with LocalCluster(
        secured(manifest(gates=2)), app_dir=APP_DIR, tls_dir=secrets.folder
    ) as cluster:
        yield cluster


def nodes(cluster: LocalCluster) -> list[Node]:
    return [cluster.master, *cluster.gates, *cluster.backends["talk"]]


def moved(caplog: pytest.LogCaptureFixture) -> int:
    """How many links have gone over to a new certificate, by the log."""
    return sum(
        it.startswith("the link with") and it.endswith("has a new certificate")
        for it in caplog.messages
    )


def taken(cluster: LocalCluster) -> float:
    """How many certificates the nodes have taken up."""
    labels = {"listener": "cluster", "outcome": "taken"}
    return sum(
        sample(node, "nano_certificates_total", **labels) or 0
        for node in nodes(cluster)
    )


class Load:
    """Numbered requests of several clients, until it is told to stop."""

    def __init__(self, clients: list[Client]) -> None:
        self._clients = clients
        self._stop = asyncio.Event()
        self.answered = 0

    async def _ask(self, number: int, client: Client) -> None:
        count = 0
        while not self._stop.is_set():
            texts = [f"{number}.{count + n}" for n in range(16)]
            count += 16
            answers = await asyncio.gather(
                *(client.request("Talk.echo", {"text": text}) for text in texts)
            )
            assert [answer["text"] for answer in answers] == texts
            self.answered += len(texts)

    async def run(self) -> None:
        await asyncio.gather(
            *(self._ask(number, it) for number, it in enumerate(self._clients))
        )

    async def more(self) -> None:
        """Wait until it has gone on for a while."""
        enough = self.answered + 500
        await until(lambda: self.answered >= enough)

    def stop(self) -> None:
        self._stop.set()


@pytest.mark.slow
async def test_certificates_and_authorities_rotate_under_load_without_a_lost_request(
    secrets: Secrets, cluster: LocalCluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nano.cluster")
    clients = [await connect(cluster.url("tcp")) for _ in range(6)]
    load = Load(clients)
    running = asyncio.create_task(load.run())

    steps: list[Callable[[], None]] = [
        lambda: secrets.believe(OLD, NEW),  # first everybody believes both
        lambda: secrets.issue(NEW, OLD),  # then certificates are the new one's
        lambda: secrets.believe(NEW),  # then the old one is forgotten
    ]
    links = 6  # of four nodes, the master apart
    for phase, step in enumerate(steps, 1):
        await load.more()
        step()  # the nodes look every 5 seconds
        await until(lambda phase=phase: taken(cluster) == 5 * phase, 60)  # type: ignore[misc]
        await until(lambda phase=phase: moved(caplog) == links * phase, 60)  # type: ignore[misc]
    await load.more()
    load.stop()
    await running
    for client in clients:
        await client.close()
    assert not any("has ended" in it for it in caplog.messages)
    assert not [it for it in caplog.records if it.levelno >= logging.WARNING]
    for node in nodes(cluster):
        assert sample(node, "nano_cluster_refusals_total", reason="no-link") is None
        assert node.not_ready() is None
    late = await cluster.start(Role.BACKEND, "talk")
    assert len(late.linked) == 4


async def test_a_cluster_under_tls_serves_clients_and_says_when_it_ends(
    secrets: Secrets, cluster: LocalCluster
) -> None:
    async with await connect(cluster.url("ws")) as client:
        answer = await client.request("Talk.echo", {"text": "x"})
    assert answer["node"] in {it.address for it in cluster.backends["talk"]}
    for node in nodes(cluster):
        ends = sample(node, "nano_certificate_expiry_seconds", listener="cluster")
        assert ends == secrets.nodes.credentials().term.ends


@pytest.mark.parametrize("who", ["plain", "another cluster"])
async def test_a_stranger_has_no_link(cluster: LocalCluster, who: str) -> None:
    gate = cluster.gates[0]
    if who == "plain":
        channel = grpc.aio.insecure_channel(gate.address)
    else:
        cert, key = OLD.issue("default/other", "master")
        channel = grpc.aio.secure_channel(
            gate.address,
            grpc.ssl_channel_credentials(OLD.pem, key, cert),
            options=[("grpc.ssl_target_name_override", "node.demo.default")],
        )
    hello = pb.Hello(
        version=VERSION,
        cluster="default/demo",
        address=cluster.backends["talk"][0].address,
        incarnation=1,
        role="backend",
    )
    batch = pb.Batch(envelopes=[pb.Envelope(kind=pb.HELLO, hello=hello)])
    call = rpc.LinkStub(channel).Connect(iter([batch]), timeout=10)
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()
    await channel.close(None)
    assert len(gate.linked) == 3
    if who != "plain":
        reason = {"reason": "other-cluster"}
        assert sample(gate, "nano_cluster_refusals_total", **reason) == 1


def test_a_node_without_a_usable_certificate_does_not_start(secrets: Secrets) -> None:
    told = options(
        Role.GATE, "127.0.0.1:1", manifest=secured(manifest()), tls_dir=secrets.folder
    )
    secrets.nodes.put(*OLD.issue("default/other"), OLD.pem)
    with pytest.raises(UsageError, match=r"it is for node\.other\.default"):
        Node(told)
    with pytest.raises(UsageError, match="--tls-dir"):
        Node(options(Role.GATE, "127.0.0.1:1", manifest=secured(manifest())))


def test_a_master_needs_the_certificate_of_one(secrets: Secrets) -> None:
    secrets.master.put(*OLD.issue(), OLD.pem)
    told = options(Role.MASTER, manifest=secured(manifest()), tls_dir=secrets.folder)
    with pytest.raises(UsageError, match=r"no URI nano://node\.demo\.default/master"):
        Node(told)
