"""Nodes under certificates that the operator's machine makes, in each of its phases.

The Secrets are brought as a kubelet does it: a link is turned round, in one folder
later than in the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import grpc.aio
import msgspec
import pytest

from nano.client import connect
from nano.cluster.link import VERSION
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.pb import link_pb2_grpc as rpc
from nano.testing import LocalCluster
from nano_manifest import ClusterTls, IssuedTls, NanoCluster
from nano_operator.certificates.machine import Owner, Phase
from tests.controller.certifying import TERMS, Desk

from .clusters import APP_DIR, manifest, sample, until
from .test_rotation import Load, moved, nodes, taken

pytestmark = pytest.mark.process

LINKS = 6  # of four nodes, the master apart


def secured(cluster: NanoCluster) -> NanoCluster:
    """Return *cluster* with certificates that are issued."""
    tls = ClusterTls(issued=IssuedTls())
    spec = msgspec.structs.replace(cluster.spec, cluster_tls=tls)
    return msgspec.structs.replace(cluster, spec=spec)


class Kubelet:
    """Brings Secrets into the folders that nodes look into."""

    def __init__(self, folder: Path, desk: Desk) -> None:
        self.folder = folder
        self._desk = desk
        self._count = 0
        for owner in Owner:
            there = self._there(owner)
            there.mkdir(parents=True)
            for key in desk.kept.leaves[owner]:
                (there / key).symlink_to(Path("..data", key))
            self.bring(owner)

    def _there(self, owner: Owner) -> Path:
        return self.folder / f"demo-{owner.value}-tls"

    def bring(self, owner: Owner) -> None:
        """Put in place what the Secret of *owner* holds now."""
        self._count += 1
        there = self._there(owner)
        new = there / f"..{self._count}"
        new.mkdir()
        for key, value in self._desk.kept.leaves[owner].items():
            (new / key).write_bytes(value)
        turned = there / "..data_tmp"
        turned.symlink_to(new.name)
        turned.rename(there / "..data")


@pytest.fixture
def desk() -> Desk:
    desk = Desk("demo", "default", now=datetime.now(UTC))
    desk.rest()
    return desk


@pytest.fixture
def kubelet(tmp_path: Path, desk: Desk) -> Kubelet:
    return Kubelet(tmp_path, desk)


@pytest.fixture
async def cluster(kubelet: Kubelet) -> AsyncIterator[LocalCluster]:
    async with LocalCluster(
        secured(manifest(gates=2)), app_dir=APP_DIR, tls_dir=str(kubelet.folder)
    ) as cluster:
        yield cluster


async def knock(address: str, stranger: Desk, authorities: bytes) -> None:
    """Try to open a link with the certificate of another cluster's authority.

    It believes the node, by *authorities*; the node must not believe it.
    """
    shown = stranger.kept.leaves[Owner.MASTER]
    channel = grpc.aio.secure_channel(
        address,
        grpc.ssl_channel_credentials(authorities, shown["tls.key"], shown["tls.crt"]),
        options=[("grpc.ssl_target_name_override", "node.demo.default")],
    )
    hello = pb.Hello(version=VERSION, cluster="default/demo", address="127.0.0.1:1")
    batch = pb.Batch(envelopes=[pb.Envelope(kind=pb.HELLO, hello=hello)])
    call = rpc.LinkStub(channel).Connect(iter([batch]), timeout=10)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call.read()
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE  # TLS, not a call
    await channel.close(None)


@pytest.mark.slow
async def test_no_session_is_cut_in_any_phase(
    desk: Desk,
    kubelet: Kubelet,
    cluster: LocalCluster,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "nano.cluster")
    clients = [await connect(cluster.url("tcp")) for _ in range(6)]
    load = Load(clients)
    running = asyncio.create_task(load.run())

    turns = 0

    async def brought() -> None:
        """Bring the Secrets to the master last, and wait until all have moved."""
        nonlocal turns
        await load.more()
        before = taken(cluster)
        kubelet.bring(Owner.NODES)
        await until(lambda: taken(cluster) == before + 4, 60)
        kubelet.bring(Owner.MASTER)
        await until(lambda: taken(cluster) == before + 5, 60)
        turns += 1
        await until(lambda: moved(caplog) == LINKS * turns, 60)

    for owner in Owner:  # both are renewed by the same authority
        desk.lose(owner)
    assert desk.rest() == ["issue nodes", "issue master"]
    await brought()

    desk.lose()  # whose key is gone: others must be believed beside it
    assert desk.rest()[0] == "recover"
    phases = [desk.phase()]
    await brought()
    for _ in range(2):
        desk.wait(TERMS.settle)
        assert desk.rest()
        phases.append(desk.phase())
        await brought()
    assert phases == [Phase.SPREADING, Phase.SIGNING, Phase.STEADY]

    await load.more()
    load.stop()
    await running
    for client in clients:
        await client.close()
    assert not any("has ended" in it for it in caplog.messages)
    assert not [it for it in caplog.records if it.levelno >= logging.WARNING]
    for node in nodes(cluster):
        assert node.not_ready() is None


@pytest.mark.slow
async def test_a_certificate_of_another_clusters_authority_opens_nothing(
    desk: Desk, cluster: LocalCluster
) -> None:
    stranger = Desk("demo", "default", now=desk.now)  # the names are right
    stranger.rest()
    gate = cluster.gates[0]
    before = set(gate.linked)
    await knock(gate.address, stranger, desk.kept.leaves[Owner.NODES]["ca.crt"])
    assert set(gate.linked) == before
    async with await connect(cluster.url("tcp")) as client:
        answer = await client.request("Talk.echo", {"text": "x"})
    assert answer["text"] == "x"
    turned_away = {"reason": "no-call"}
    await until(
        lambda: bool(sample(gate, "nano_cluster_refusals_total", **turned_away)), 60
    )
