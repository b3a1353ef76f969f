"""Whole clusters over loopback: real gRPC, short heartbeats, one event loop."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import grpc
import pytest

from nano.cluster.members import Member, MemberState
from nano.cluster.membership import MemberAdded
from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.pb import cluster_pb2_grpc as rpc
from nano.errors import UsageError

from .neighbourhood import (
    HEARTBEAT,
    Neighbour,
    Neighbourhood,
    Wire,
    free_address,
    hole,
    labels,
)

pytestmark = pytest.mark.process


class TestMembership:
    async def test_six_members_that_join_at_once_all_see_each_other(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        names = [f"n{i}" for i in range(6)]
        nodes = [await neighbourhood.member(name, master.address) for name in names]
        await asyncio.gather(*(node.join() for node in nodes))
        everybody = {"master", *names}
        await neighbourhood.until(
            lambda: all(labels(node) == everybody for node in neighbourhood.nodes)
        )
        for node in nodes:
            added = [it for it in node.changes if isinstance(it, MemberAdded)]
            assert len(added) == 6
            assert node.gone() == []

    async def test_twenty_that_start_and_stop_at_once_leave_no_trace(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        names = [f"n{i}" for i in range(20)]
        nodes = [await neighbourhood.member(name, master.address) for name in names]
        await asyncio.gather(*(node.join() for node in nodes))
        await neighbourhood.until(
            lambda: all(len(labels(node)) == 21 for node in neighbourhood.nodes)
        )
        await neighbourhood.stop(*nodes)
        assert labels(master) == {"master"}
        await neighbourhood.until(lambda: not master.peers.open)

    async def test_two_dead_members_keep_nobody_from_joining_and_are_dropped(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        await neighbourhood.ghost(master, free_address(), "dead 1")
        await neighbourhood.ghost(master, free_address(), "dead 2")
        node = await neighbourhood.member("n", master.address)
        async with asyncio.timeout(4 * HEARTBEAT):
            await node.join()
        await neighbourhood.until(
            lambda: labels(node) == labels(master) == {"master", "n"}
        )
        assert sorted(node.gone()) == ["dead 1", "dead 2"]

    async def test_a_member_that_accepts_and_never_answers_holds_nobody_up(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        nodes = [
            await neighbourhood.member(name, master.address) for name in ("a", "b")
        ]
        async with hole() as address:
            await neighbourhood.ghost(master, address, "hole")
            async with asyncio.timeout(2.0):
                await asyncio.gather(*(node.join() for node in nodes))
            await neighbourhood.until(
                lambda: all(labels(it) == {"master", "a", "b"} for it in nodes)
            )
            await neighbourhood.until(lambda: address not in master.peers.open)

    async def test_a_master_that_comes_back_loses_nobody(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master(free_address())
        nodes = [
            await neighbourhood.member(name, master.address) for name in ("a", "b", "c")
        ]
        await asyncio.gather(*(node.join() for node in nodes))
        everybody = {"master", "a", "b", "c"}
        await neighbourhood.until(lambda: all(labels(it) == everybody for it in nodes))
        await neighbourhood.stop(master)
        again = await neighbourhood.master(master.address)
        await neighbourhood.until(lambda: labels(again) == everybody)
        late = await neighbourhood.member("late", master.address)
        await late.join()
        everybody.add("late")
        await neighbourhood.until(
            lambda: all(labels(it) == everybody for it in neighbourhood.nodes)
        )
        for node in nodes:
            assert node.gone() == ["master"]

    async def test_a_member_back_under_its_address_replaces_itself(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        witness = await neighbourhood.member("witness", master.address)
        await witness.join()
        address = free_address()
        await neighbourhood.ghost(master, address, "first")
        await neighbourhood.until(lambda: "first" in labels(witness))
        second = await neighbourhood.member(
            "second", master.address, address=address, services=("Room",)
        )
        await second.join()
        await neighbourhood.until(lambda: "second" in labels(witness))
        assert witness.members[address].services == ("Room",)
        assert witness.gone() == ["first"]
        assert labels(witness) == {"master", "witness", "second"}

    async def test_who_drains_is_known_to_drain(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        a = await neighbourhood.member("a", master.address)
        b = await neighbourhood.member("b", master.address)
        await asyncio.gather(a.join(), b.join())
        await neighbourhood.until(lambda: "a" in labels(b))
        a.update(replace(a.me, state=MemberState.DRAINING))
        await neighbourhood.until(
            lambda: b.members[a.address].state is MemberState.DRAINING
        )
        assert b.gone() == []

    async def test_news_of_the_master_reach_the_members(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        a = await neighbourhood.member("a", master.address)
        await a.join()
        master.update(replace(master.me, services=("MasterService",)))
        await neighbourhood.until(
            lambda: a.members[master.address].services == ("MasterService",)
        )

    async def test_who_is_not_in_the_list_registers_again(
        self, neighbourhood: Neighbourhood, caplog: pytest.LogCaptureFixture
    ) -> None:
        master = await neighbourhood.master()
        node = await neighbourhood.member("n", master.address)
        await node.join()
        await neighbourhood.ghost(master, node.address, "thief")
        await neighbourhood.until(lambda: labels(master) == {"master", "n"})
        assert "the master does not know this node: registering again" in caplog.text

    async def test_a_dead_connection_to_the_master_is_given_up(
        self, neighbourhood: Neighbourhood, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "nano.cluster")
        master = await neighbourhood.master()
        async with Wire(master.address) as wire:
            node = await neighbourhood.member("n", wire.address)
            await node.join()
            wire.cut()
            back = f"the master at {wire.address} is back"
            await neighbourhood.until(lambda: back in caplog.messages)
            await neighbourhood.until(lambda: labels(master) == {"master", "n"})
            await neighbourhood.stop(node)

    async def test_a_new_master_is_found_long_before_the_next_heartbeat(
        self, neighbourhood: Neighbourhood
    ) -> None:
        address = free_address()
        master = await neighbourhood.master(address)
        node = await neighbourhood.member("n", address, heartbeat=300.0)
        await node.join()
        await neighbourhood.stop(master)
        again = await neighbourhood.master(address)
        await neighbourhood.until(lambda: labels(again) == {"master", "n"})
        life = again.me.incarnation
        await neighbourhood.until(lambda: node.members[address].incarnation == life)

    async def test_another_address_is_no_news(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        with pytest.raises(ValueError, match="cannot change its address"):
            master.update(replace(master.me, address="127.0.0.1:1"))


class TestStartAndStop:
    async def test_joining_waits_for_the_master_and_says_so(
        self, neighbourhood: Neighbourhood, caplog: pytest.LogCaptureFixture
    ) -> None:
        address = free_address()
        node = await neighbourhood.member("n", address)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(node.join(), 0.5)
        assert not node.registered.is_set()
        waiting = [it for it in caplog.messages if "waiting for the master" in it]
        assert waiting == [
            f"waiting for the master: Register: nobody listens at {address}"
        ]
        await neighbourhood.master(address)
        await asyncio.wait_for(node.join(), 5.0)
        assert labels(node) == {"master", "n"}

    async def test_a_taken_address_is_the_users_error(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        with pytest.raises(UsageError, match=master.address):
            await neighbourhood.master(master.address)

    @pytest.mark.parametrize("address", ["", "7650", "host:", "host:http"])
    async def test_an_address_without_host_or_port_is_the_users_error(
        self, neighbourhood: Neighbourhood, address: str
    ) -> None:
        with pytest.raises(UsageError, match="give host:port"):
            await neighbourhood.master(address)

    async def test_before_it_starts_a_node_knows_itself(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        node = await neighbourhood.member("n", master.address)
        assert labels(node) == {"n"}
        assert not node.registered.is_set()
        assert labels(master) == {"master"}

    async def test_a_node_without_a_master_stops_soon(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        node = await neighbourhood.member("n", master.address)
        await node.join()
        await neighbourhood.stop(master)
        async with asyncio.timeout(3.0):
            await neighbourhood.stop(node)

    async def test_stopping_twice_is_harmless(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        await master.stop(0)
        await master.stop(0)

    async def test_other_services_share_the_port(
        self, neighbourhood: Neighbourhood
    ) -> None:
        master = await neighbourhood.master()
        assert len(master.grpc_servers) == 1

    async def test_a_callback_that_fails_stops_nothing(
        self,
        neighbourhood: Neighbourhood,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        master = await neighbourhood.master()
        a = await neighbourhood.member("a", master.address)
        a.changes = Refusing()
        b = await neighbourhood.member("b", master.address)
        await asyncio.gather(a.join(), b.join())
        await neighbourhood.until(lambda: labels(a) == {"master", "a", "b"})
        assert "the node could not follow a change of the member list" in caplog.text
        await neighbourhood.stop(b)
        await neighbourhood.until(lambda: labels(a) == {"master", "a"})

    async def test_a_tick_that_fails_is_not_the_last(
        self, neighbourhood: Neighbourhood, caplog: pytest.LogCaptureFixture
    ) -> None:
        master = await neighbourhood.master()
        failures = iter([RuntimeError("no clock")])

        def clock() -> float:
            for error in failures:
                raise error
            return asyncio.get_running_loop().time()

        me = Member(address="127.0.0.1:0", label="n")
        node = Neighbour(me, master.address, neighbourhood.moved, clock=clock)
        await node.start()
        neighbourhood.nodes.append(node)
        await asyncio.wait_for(node.join(), 5.0)
        assert "the member list missed a tick" in caplog.text


class OldMaster(rpc.MasterServicer):
    """A nano master from before v0.5.1, which knows no heartbeats."""

    def __init__(self) -> None:
        self.heartbeats = 0

    async def Register(
        self, request: pb.RegisterRequest, context: object
    ) -> pb.RegisterResponse:
        return pb.RegisterResponse(members=[pb.MemberInfo(serviceAddr="old:1")])

    async def Unregister(
        self, request: pb.UnregisterRequest, context: object
    ) -> pb.UnregisterResponse:
        return pb.UnregisterResponse()

    async def Heartbeat(
        self,
        request: pb.HeartbeatRequest,
        context: grpc.aio.ServicerContext[object, object],
    ) -> pb.HeartbeatResponse:
        self.heartbeats += 1
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown method Heartbeat")


async def test_an_old_master_without_heartbeats_is_not_lost(
    neighbourhood: Neighbourhood, caplog: pytest.LogCaptureFixture
) -> None:
    old = OldMaster()
    server = grpc.aio.server()
    rpc.add_MasterServicer_to_server(old, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    node = await neighbourhood.member("n", f"127.0.0.1:{port}")
    await node.join()
    assert node.members["old:1"].is_master
    await neighbourhood.until(lambda: old.heartbeats >= 3)
    assert "lost" not in caplog.text
    await neighbourhood.stop(node)
    await server.stop(None)


class Refusing(list):  # type: ignore[type-arg]
    """Changes that nobody can note."""

    def append(self, _: object) -> None:
        raise RuntimeError("no more paper")
