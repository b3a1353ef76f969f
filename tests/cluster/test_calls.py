"""Calls between nodes over loopback: what is answered, refused, survived."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

import grpc
import grpc.aio
import pytest

from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.peer import PeerError
from nano.cluster.streams import LINK_LIMIT
from nano.errors import ClusterError

from .neighbourhood import Neighbourhood, free_address, hole, labels

pytestmark = pytest.mark.process


class TestCalls:
    async def test_messages_of_go_nodes_are_handed_on(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        way = neighbourhood.way(master.address)
        request = pb.RequestMessage(gateAddr="g:1", sessionId=2**40, id=7, route="A.b")
        await way.handle_request(request)
        await way.handle_notify(pb.NotifyMessage(route="A.c"))
        await way.handle_push(pb.PushMessage(route="onA"))
        await way.handle_response(pb.ResponseMessage(id=7))
        await way.session_closed(5)
        await way.close_session(6)
        assert master.calls.taken == [
            request,
            pb.NotifyMessage(route="A.c"),
            pb.PushMessage(route="onA"),
            pb.ResponseMessage(id=7),
            ("closed", 5),
            ("close", 6),
        ]

    async def test_a_refusal_reaches_go_nodes_in_nanos_words(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        master.calls.error = ClusterError("session not found: 7")
        with pytest.raises(PeerError) as caught:
            await neighbourhood.way(master.address).close_session(7)
        assert caught.value.status is grpc.StatusCode.UNKNOWN
        assert caught.value.details == "session not found: 7"

    async def test_a_bug_of_ours_is_logged_and_not_told(
        self, neighbourhood: Neighbourhood, caplog: pytest.LogCaptureFixture
    ) -> None:
        master = await neighbourhood.master()
        master.calls.error = RuntimeError("secret")
        with pytest.raises(PeerError) as caught:
            await neighbourhood.way(master.address).close_session(7)
        assert caught.value.status is grpc.StatusCode.INTERNAL
        assert "secret" not in str(caught.value)
        assert "secret" in caplog.text

    async def test_only_a_master_is_a_master(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        node = await neighbourhood.member("n", master.address)
        with pytest.raises(PeerError) as caught:
            await neighbourhood.way(node.address).heartbeat(pb.HeartbeatRequest())
        assert caught.value.status is grpc.StatusCode.UNIMPLEMENTED

    async def test_refusals_of_the_master_are_nanos(
        self, neighbourhood: Neighbourhood
    ) -> None:
        way = neighbourhood.way((await neighbourhood.master()).address)
        with pytest.raises(PeerError, match="invalid register request"):
            await way.register(pb.RegisterRequest())
        with pytest.raises(PeerError, match="address x:1 has not registered"):
            await way.unregister(pb.UnregisterRequest(serviceAddr="x:1"))
        with pytest.raises(PeerError, match="a member needs an address"):
            await way.new_member(pb.NewMemberRequest())

    async def test_a_go_node_gets_nothing_that_it_could_misread(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        way = neighbourhood.way(master.address)
        info = pb.MemberInfo(serviceAddr=free_address(), services=["Chat"])
        answer = await way.register(pb.RegisterRequest(memberInfo=info))
        assert [it.serviceAddr for it in answer.members] == [master.address]
        again = await way.heartbeat(pb.HeartbeatRequest(memberInfo=info))
        assert not again.members


class TestStrangers:
    async def test_garbage_does_no_harm(
        self, neighbourhood: Neighbourhood, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.CRITICAL, "grpc")  # it reports each garbled message
        master = await neighbourhood.master()
        node = await neighbourhood.member("n", master.address)
        await node.join()
        for target in (master, node):
            channel = neighbourhood.way(target.address).channel
            for method in ("Master/Register", "Master/Heartbeat", "Member/NewMember"):
                call = channel.unary_unary(f"/clusterpb.{method}", bytes, bytes)
                with pytest.raises(grpc.aio.AioRpcError):
                    await call(b"\xff" * 40, timeout=5.0)
            host, _, port = target.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET / HTTP/1.0\r\n\r\n" + bytes(1000))
            await asyncio.wait_for(reader.read(), 5.0)
            writer.close()
            await writer.wait_closed()
        other = await neighbourhood.member("other", master.address)
        await other.join()
        await neighbourhood.until(
            lambda: labels(node) == labels(master) == {"master", "n", "other"}
        )
        assert node.gone() == []

    async def test_announcements_of_a_stranger_are_not_believed(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        node = await neighbourhood.member("n", master.address)
        await node.join()
        for target in (master, node):
            way = neighbourhood.way(target.address)
            await way.del_member(pb.DelMemberRequest(serviceAddr=master.address))
            info = pb.MemberInfo(serviceAddr="x:1")
            await way.new_member(pb.NewMemberRequest(memberInfo=info))
            assert labels(target) == {"master", "n"}

    async def test_a_message_that_no_link_carries_is_refused(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        way = neighbourhood.way(master.address)
        await way.handle_push(pb.PushMessage(data=bytes(LINK_LIMIT - 100)))
        with pytest.raises(PeerError) as caught:
            await way.handle_push(pb.PushMessage(data=bytes(LINK_LIMIT + 1)))
        assert caught.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED


class TestPeers:
    async def test_a_peer_that_returns_is_reached_within_a_second_or_so(
        self, neighbourhood: Neighbourhood
    ) -> None:
        address = free_address()
        way = neighbourhood.way(address)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while loop.time() < begin + 3.0:  # nano is out of reach for 10 s by now
            with pytest.raises(PeerError) as caught:
                await way.session_closed(1, deadline=1.0)
            assert caught.value.refused
            await asyncio.sleep(0.05)
        master = await neighbourhood.master(address)
        back = loop.time()
        while not master.calls.taken:
            try:
                await way.session_closed(1, deadline=1.0)
            except PeerError:
                await asyncio.sleep(0.02)
            assert loop.time() < back + 5.0
        assert loop.time() < back + 2.5

    async def test_a_call_ends_at_its_deadline(
        self, neighbourhood: Neighbourhood
    ) -> None:
        async with hole() as address:
            way = neighbourhood.way(address)
            with pytest.raises(PeerError, match="did not answer in time") as caught:
                await way.session_closed(1, deadline=0.2)
            assert not caught.value.refused
            await way.close()

    async def test_closing_a_peer_fails_its_calls_and_cancels_nobody(
        self, neighbourhood: Neighbourhood
    ) -> None:
        async with hole() as address:
            way = neighbourhood.way(address)
            async with asyncio.TaskGroup() as group:
                call = group.create_task(caught(way.session_closed(1)), name="call")
                await asyncio.sleep(0)
                await way.close()
            assert "closed by us" in str(call.result())
            with pytest.raises(PeerError, match="closed by us"):
                await way.session_closed(1)


async def caught(work: Awaitable[None]) -> PeerError | None:
    try:
        await work
    except PeerError as error:
        return error
    return None
