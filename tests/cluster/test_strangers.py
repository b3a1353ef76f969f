"""What a stranger tries at a plain cluster port, and that nobody is harmed."""

from __future__ import annotations

import asyncio
import logging
import random

import grpc
import grpc.aio
import pytest

from nano.cluster.members import Member, to_info
from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.peer import PeerError
from nano.cluster.server import SERVER_OPTIONS
from nano.cluster.services import LARGEST_MEMBER
from nano.cluster.streams import LINK_LIMIT

from .neighbourhood import Neighbour, Neighbourhood, labels

pytestmark = pytest.mark.process


@pytest.fixture
async def master(neighbourhood: Neighbourhood) -> Neighbour:
    return await neighbourhood.master()


async def unharmed(neighbourhood: Neighbourhood, master: Neighbour) -> None:
    """See that somebody can join, and that nobody else has."""
    node = await neighbourhood.member("late", master.address)
    await asyncio.wait_for(node.join(), 10)
    await neighbourhood.until(lambda: labels(master) == {"master", "late"})


async def raw(address: str, said: bytes) -> bytes:
    """Say something that is not gRPC; return what comes until the end."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(said)
    try:
        return await asyncio.wait_for(reader.read(), 30)
    except ConnectionError:
        return b""
    finally:
        writer.close()


GARBAGE = {
    "a web browser": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": bytes.fromhex("1603010200010001fc0303") + bytes(600),
    "noise": random.Random(20).randbytes(10_000),
    "an HTTP/2 preface and noise": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + random.Random(21).randbytes(5_000),
}


@pytest.mark.parametrize("what", GARBAGE)
async def test_bytes_that_are_no_grpc_end_their_connection(
    neighbourhood: Neighbourhood, master: Neighbour, what: str
) -> None:
    await raw(master.address, GARBAGE[what])
    await unharmed(neighbourhood, master)


@pytest.mark.slow
async def test_who_says_nothing_is_not_waited_for_for_ever(
    neighbourhood: Neighbourhood, master: Neighbour
) -> None:
    assert await raw(master.address, b"") is not None
    await unharmed(neighbourhood, master)


async def test_a_plain_port_says_that_it_is_one(
    neighbourhood: Neighbourhood, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nano.cluster")
    await neighbourhood.master()
    (line,) = (it for it in caplog.messages if "port is plain" in it)
    assert "whoever reaches it is believed, Go nodes too" in line
    assert "spec.clusterTls" in line


async def test_what_is_bounded_is_bounded() -> None:
    bounds = dict(SERVER_OPTIONS)
    assert bounds["grpc.max_receive_message_length"] == LINK_LIMIT
    assert bounds["grpc.server_handshake_timeout_ms"] == 10_000
    assert bounds["grpc.max_concurrent_streams"] == 1000
    assert bounds["grpc.max_allowed_incoming_connections"] == 10_000


@pytest.mark.parametrize(
    ("method", "message", "status"),
    [
        ("/clusterpb.Master/Nothing", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("/nobody/home", b"x", grpc.StatusCode.UNIMPLEMENTED),
        ("/clusterpb.Master/Register", b"\xff" * 50, grpc.StatusCode.INVALID_ARGUMENT),
        ("/clusterpb.Member/NewMember", b"\x0a\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (
            "/clusterpb.Master/Register",
            bytes(LINK_LIMIT + 1),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        ),
    ],
    ids=["no method", "no service", "no message", "half a message", "too long"],
)
async def test_calls_that_make_no_sense_are_refused(
    neighbourhood: Neighbourhood,
    master: Neighbour,
    method: str,
    message: bytes,
    status: grpc.StatusCode,
) -> None:
    channel = grpc.aio.insecure_channel(master.address)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(method, bytes, bytes)(message, timeout=20)
    assert caught.value.code() is status
    await channel.close(None)
    await unharmed(neighbourhood, master)


async def test_messages_that_are_none_are_counted_and_do_not_fill_the_log(
    master: Neighbour, caplog: pytest.LogCaptureFixture
) -> None:
    channel = grpc.aio.insecure_channel(master.address)
    call = channel.unary_unary("/clusterpb.Member/HandlePush", bytes, bytes)
    for _ in range(20):
        with pytest.raises(grpc.aio.AioRpcError, match="this is no message"):
            await call(b"\xff", timeout=20)
    await channel.close(None)
    assert master.strangers.counts == {"unreadable": 20}
    (line,) = caplog.messages
    assert line.startswith("a call of clusterpb.Member.HandlePush from ipv4:127.0.0.1:")


async def test_a_member_that_says_too_much_about_itself_is_refused(
    neighbourhood: Neighbourhood, master: Neighbour, caplog: pytest.LogCaptureFixture
) -> None:
    way = neighbourhood.way(master.address)
    member = Member(address="127.0.0.1:1", label="x" * LARGEST_MEMBER, incarnation=1)
    for call in (
        way.register(pb.RegisterRequest(memberInfo=to_info(member))),
        way.heartbeat(pb.HeartbeatRequest(memberInfo=to_info(member))),
    ):
        with pytest.raises(PeerError, match="is too large: 262144 at most"):
            await call
    assert master.strangers.counts == {"member-too-large": 2}
    (line,) = (it for it in caplog.messages if "too large" in it)
    assert line.startswith("a call from ipv4:127.0.0.1:")
    await unharmed(neighbourhood, master)
