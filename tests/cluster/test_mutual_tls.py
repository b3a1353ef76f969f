"""Clusters under mutual TLS over loopback: who is let in, and who is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import grpc
import grpc.aio
import pytest

from nano.cluster.guard import PATIENCE, Connections
from nano.cluster.members import Member, to_info
from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.pb import cluster_pb2_grpc as rpc
from nano.cluster.peer import PeerError
from nano.cluster.strangers import REMIND, Strangers

from .certificates import Authority, Secret
from .neighbourhood import Neighbour, Neighbourhood, labels

AUTHORITY = Authority()
OTHER_AUTHORITY = Authority()

process = pytest.mark.process

Make: TypeAlias = Callable[[str], Secret]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return what makes the certificate of a node in some role."""

    def made(role: str) -> Secret:
        number = len([*tmp_path.iterdir()])
        return Secret(tmp_path / str(number), AUTHORITY, role)

    return made


def channel(
    address: str,
    pair: tuple[bytes, bytes] | None,
    name: str = "node.demo.default",
    authority: Authority = AUTHORITY,
) -> grpc.aio.Channel:
    """Return a stranger's channel, with any certificate or none."""
    cert, key = pair or (None, None)
    shown = grpc.ssl_channel_credentials(authority.pem, key, cert)
    options = [("grpc.ssl_target_name_override", name)]
    return grpc.aio.secure_channel(address, shown, options=options)


async def register(way: grpc.aio.Channel) -> None:
    """Try to become a member."""
    info = to_info(Member(address="127.0.0.1:1", label="stranger", incarnation=1))
    request = pb.RegisterRequest(memberInfo=info)
    try:
        await rpc.MasterStub(way).Register(request, timeout=5.0)
    finally:
        await way.close(None)


async def unharmed(neighbourhood: Neighbourhood, master: Neighbour, make: Make) -> None:
    """See that the cluster goes on: somebody joins and everybody knows."""
    node = await neighbourhood.member(
        "late", master.address, credentials=make("gate").credentials()
    )
    await asyncio.wait_for(node.join(), 10)
    await neighbourhood.until(lambda: "late" in labels(master))
    assert "stranger" not in labels(master)


@process
async def test_nodes_with_certificates_of_the_cluster_are_one_cluster(
    neighbourhood: Neighbourhood, make: Make
) -> None:
    master = await neighbourhood.master(credentials=make("master").credentials())
    nodes = [
        await neighbourhood.member(
            name, master.address, credentials=make(role).credentials()
        )
        for name, role in (("a", "backend"), ("b", "gate"), ("c", "backend"))
    ]
    await asyncio.gather(*(node.join() for node in nodes))
    everybody = {"master", "a", "b", "c"}
    await neighbourhood.until(
        lambda: all(labels(it) == everybody for it in neighbourhood.nodes)
    )
    await neighbourhood.stop(nodes[0])
    await neighbourhood.until(lambda: labels(nodes[1]) == everybody - {"a"})
    for node in neighbourhood.nodes:
        assert not node.strangers.counts


TURNED_AWAY = {
    "no certificate": lambda at: channel(at, None),
    "another authority": lambda at: channel(at, OTHER_AUTHORITY.issue()),
    "expired": lambda at: channel(at, AUTHORITY.issue(days=-1)),
    "plain": lambda at: grpc.aio.insecure_channel(at),
}


@process
@pytest.mark.parametrize("who", TURNED_AWAY)
async def test_who_has_no_certificate_of_ours_does_not_get_as_far_as_a_call(
    neighbourhood: Neighbourhood,
    make: Make,
    who: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    master = await neighbourhood.master(credentials=make("master").credentials())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await register(TURNED_AWAY[who](master.address))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "Handshake failed" in capfd.readouterr().err  # gRPC's own words
    await unharmed(neighbourhood, master, make)
    connections = master._connections
    assert connections
    connections.tick(asyncio.get_running_loop().time() + PATIENCE + 2)
    assert master.strangers.counts["no-call"] >= 1
    (line,) = (it for it in caplog.messages if "came to nothing" in it)
    assert "connections to the cluster port came to nothing" in line


@process
async def test_another_clusters_certificate_is_refused_each_call(
    neighbourhood: Neighbourhood, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    master = await neighbourhood.master(credentials=make("master").credentials())
    for cluster in ("default/other", "other/demo"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await register(channel(master.address, AUTHORITY.issue(cluster, "master")))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert caught.value.details() == "the certificate is not for node.demo.default"
    assert master.strangers.counts == {"other-cluster": 2}
    (line,) = (it for it in caplog.messages if "refused" in it)
    assert "the certificate is not for node.demo.default" in line
    await unharmed(neighbourhood, master, make)


@process
async def test_a_wildcard_is_no_node(neighbourhood: Neighbourhood, make: Make) -> None:
    master = await neighbourhood.master(credentials=make("master").credentials())
    wide = AUTHORITY.issue("default/*")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await register(channel(master.address, wide))
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


@process
async def test_only_a_master_announces_members(
    neighbourhood: Neighbourhood, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    master = await neighbourhood.master(credentials=make("master").credentials())
    node = await neighbourhood.member(
        "n", master.address, credentials=make("gate").credentials()
    )
    await node.join()
    liar = neighbourhood.way(node.address, make("backend").credentials())
    info = to_info(Member(address="127.0.0.1:1", label="stranger", incarnation=1))
    for announced in (
        liar.new_member(pb.NewMemberRequest(memberInfo=info)),
        liar.del_member(pb.DelMemberRequest(serviceAddr=master.address)),
    ):
        with pytest.raises(PeerError) as caught:
            await announced
        assert caught.value.status is grpc.StatusCode.PERMISSION_DENIED
        assert "nano://node.demo.default/master" in caught.value.details
    assert node.strangers.counts == {"not-master": 2}
    assert labels(node) == {"master", "n"}
    (line,) = (it for it in caplog.messages if "refused" in it)
    assert "NewMember is the master's" in line


@process
async def test_calls_go_by_a_new_connection_after_new_certificates(
    neighbourhood: Neighbourhood, make: Make
) -> None:
    mine, masters = make("backend"), make("master")
    theirs = masters.credentials()
    master = await neighbourhood.master(credentials=theirs)
    credentials = mine.credentials()
    way = neighbourhood.way(master.address, credentials)
    info = to_info(Member(address="127.0.0.1:1", label="n", incarnation=1))
    request = pb.HeartbeatRequest(memberInfo=info)
    await way.heartbeat(request)
    first = way.channel
    await way.heartbeat(request)
    assert way.channel is first
    out = asyncio.create_task(way.heartbeat(request))
    await asyncio.sleep(0)  # it is on its way by the old connection
    for secret, held in ((mine, credentials), (masters, theirs)):
        secret.believe(AUTHORITY, OTHER_AUTHORITY)
        held.refresh()
    for secret, held in ((mine, credentials), (masters, theirs)):
        secret.issue(OTHER_AUTHORITY)
        held.refresh()
    await way.heartbeat(request)
    await out
    assert way.channel is not first
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await register(channel(master.address, AUTHORITY.issue()))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(grpc.aio.AioRpcError):  # nor is the old one believed
        await register(
            channel(master.address, OTHER_AUTHORITY.issue(), authority=AUTHORITY)
        )


class Mute(rpc.MasterServicer):
    """What a node registers with that is not the master it should be."""

    def __init__(self) -> None:
        self.registered = 0

    async def Register(
        self, request: pb.RegisterRequest, context: object
    ) -> pb.RegisterResponse:
        self.registered += 1
        return pb.RegisterResponse()

    async def Unregister(
        self, request: pb.UnregisterRequest, context: object
    ) -> pb.UnregisterResponse:
        return pb.UnregisterResponse()

    async def Heartbeat(
        self, request: pb.HeartbeatRequest, context: object
    ) -> pb.HeartbeatResponse:
        return pb.HeartbeatResponse()


def shown(pair: tuple[bytes, bytes]) -> grpc.ServerCredentials:
    cert, key = pair
    return grpc.ssl_server_credentials([(key, cert)])


FALSE_MASTERS: dict[str, tuple[Callable[[], grpc.ServerCredentials] | None, str]] = {
    "another cluster's": (
        lambda: shown(AUTHORITY.issue("default/other", "master")),
        "its certificate has another name",
    ),
    "another authority's": (
        lambda: shown(OTHER_AUTHORITY.issue(role="master")),
        "no authority of ours has signed its certificate",
    ),
    "expired": (
        lambda: shown(AUTHORITY.issue(role="master", days=-1)),
        "its certificate has expired",
    ),
    "plain": (None, "it speaks no TLS"),
}


@process
async def test_a_node_with_tls_and_one_without_do_not_meet(
    neighbourhood: Neighbourhood, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    master = await neighbourhood.master(credentials=make("master").credentials())
    plain = await neighbourhood.member("plain", master.address)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(plain.join(), 0.5)
    assert "waiting for the master" in caplog.text
    await neighbourhood.stop(plain)
    await unharmed(neighbourhood, master, make)


def test_connections_and_their_calls_are_paired(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 100.0
    strangers = Strangers(time=lambda: now)
    connections = Connections(strangers, lambda: now)
    for _ in range(5):
        connections.begin()
    for peer in ("ipv4:10.0.0.1:1", "ipv4:10.0.0.2:1", "ipv4:10.0.0.1:1"):
        connections.call(peer)
    connections.tick(now + PATIENCE)
    assert not strangers.counts
    now += PATIENCE + 1
    connections.begin()
    connections.tick(now)
    connections.tick(now)
    assert strangers.counts == {"no-call": 3}
    (line,) = caplog.messages
    assert line.startswith("3 connections to the cluster port came to nothing")


def test_the_log_is_not_filled_by_strangers(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    strangers = Strangers(time=lambda: now)
    for _ in range(1000):
        strangers.refuse("bad", "somebody came")
    strangers.refuse("worse", "somebody else came")
    now = REMIND
    strangers.refuse("bad", "somebody came")
    assert caplog.messages == [
        "somebody came",
        "somebody else came",
        "somebody came (999 more since the last line)",
    ]
    assert strangers.counts == {"bad": 1001, "worse": 1}


@process
@pytest.mark.parametrize("which", FALSE_MASTERS)
async def test_a_node_believes_no_master_but_its_own(
    neighbourhood: Neighbourhood,
    make: Make,
    which: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    present, meaning = FALSE_MASTERS[which]
    mute = Mute()
    server = grpc.aio.server()
    rpc.add_MasterServicer_to_server(mute, server)
    if present is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", present())
    await server.start()
    credentials = make("backend").credentials()
    strangers = credentials._strangers
    node = await neighbourhood.member("n", f"127.0.0.1:{port}", credentials=credentials)
    joining = asyncio.create_task(node.join())
    await neighbourhood.until(lambda: strangers.counts["unverified-peer"] > 0)
    joining.cancel()
    assert not node.registered.is_set()
    assert not mute.registered
    assert any(
        it == f"127.0.0.1:{port} is not believed to be node.demo.default: {meaning}"
        for it in caplog.messages
    )
    await neighbourhood.stop(node)
    await server.stop(None)
