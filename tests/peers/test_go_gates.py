"""Clients of Go gates and services of our nodes, under our master and under theirs.

Each fact is seen by the client, in our node's log, and in the Go node's where it has
words for it.
"""

from __future__ import annotations

import asyncio
import signal

import pytest

from nano.client import Client

from .mixed import Mixed
from .process import PATIENCE

pytestmark = [pytest.mark.peers, pytest.mark.process]

MANY = 2000  # numbered messages


async def refused(client: Client, route: str) -> dict[str, object]:
    """Ask, and return the error: nano's gates have no sign that it is one."""
    answer = await client.request(route, {})
    assert isinstance(answer, dict)
    return {"code": answer["code"], "status": answer["status"]}


async def test_requests_notifies_and_their_answers(mixed: Mixed) -> None:
    desk = await mixed.backend("desk")
    gate = await mixed.go_gate("--calls")
    async with await gate.client() as client:
        answer = await client.request("DeskService.where", {})
        assert answer["address"] == desk.address
        assert int(answer["session"]) >= 1 << 62
        with client.pushes("onEcho") as echo, client.pushes("onTold") as told:
            words = {"n": 1, "text": "to and fro"}
            assert await client.request("DeskService.echo", words) == words
            assert await echo.next() == words
            await client.notify("DeskService.tell", words)
            assert await told.next() == words
        await desk.holds(1)
    (ended,) = await desk.logged("ENDED sid=")
    assert "why=client-closed" in ended
    await desk.holds(0)
    await gate.logged(f"RPC .*HandleRequest to={desk.address} status=OK", count=2)
    await gate.logged(f"RPC .*HandleNotify to={desk.address} status=OK")
    await gate.logged(f"RPC .*SessionClosed to={desk.address} status=OK")


async def test_what_fails_is_answered(mixed: Mixed) -> None:
    await mixed.backend("desk", "--request-timeout-seconds", "1")
    gate = await mixed.go_gate("--calls")
    async with await gate.client() as client:
        coffee = {"code": "NANO-418", "status": 418}
        assert await refused(client, "DeskService.refuse") == coffee
        nothing = {"code": "NANO-404", "status": 404}
        assert await refused(client, "DeskService.nothing") == nothing
        late = {"code": "NANO-504", "status": 504}
        assert await refused(client, "DeskService.keep") == late
        # for the Go node's log, the reason as nano gives it
        await gate.logged("RPC .*HandleRequest .* status=Unknown")
        await gate.logged("service not found in current node: DeskService.nothing")


async def test_what_is_for_nodes_alone_cannot_be_reached(mixed: Mixed) -> None:
    desk = await mixed.backend("desk")
    gate = await mixed.go_gate()
    async with await gate.client() as client:
        nothing = {"code": "NANO-404", "status": 404}
        assert await refused(client, "DeskService.secret") == nothing
        await client.notify("DeskService.secret", {})
        await client.request("DeskService.where", {})
    assert "CALL secret" not in desk.process.log


async def test_what_is_for_nodes_can_be_reached_if_go_nodes_are_trusted(
    mixed: Mixed,
) -> None:
    desk = await mixed.backend("desk", "--go-nodes", "trusted")
    gate = await mixed.go_gate()
    async with await gate.client() as client:
        assert await client.request("DeskService.secret", {}) == {"secret": "none"}
        await client.notify("DeskService.secret", {})
        await desk.logged("CALL secret", count=2)


async def test_a_handler_closes_a_client(mixed: Mixed) -> None:
    desk = await mixed.backend("desk")
    gate = await mixed.go_gate()
    client = await gate.client()
    await client.notify("DeskService.leave", {})
    async with asyncio.timeout(PATIENCE):
        await client.wait_closed()
    await gate.logged("CLOSED sid=")
    await desk.logged("ENDED sid=")
    await desk.holds(0)


async def test_the_order_is_kept_there_and_back(mixed: Mixed) -> None:
    await mixed.backend("desk")
    gate = await mixed.go_gate()
    async with await gate.client() as client:
        for number in range(1, MANY + 1):
            await client.notify("DeskService.count", {"n": number})
        counted = await client.request("DeskService.counted_so_far", {}, timeout=30)
        assert counted == {"n": MANY, "inversions": 0}

        with client.pushes("onPump", limit=MANY) as pushes:
            asked = client.request("DeskService.pump", {"n": MANY}, timeout=30)
            assert (await asked)["n"] == MANY
            came = [(await pushes.next(timeout=30))["n"] for _ in range(MANY)]
        assert came == list(range(1, MANY + 1))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_a_go_gate_that_goes_leaves_no_mirror(
    mixed: Mixed, end: signal.Signals
) -> None:
    """nano's own backends keep them for ever."""
    desk = await mixed.backend("desk")
    gate, other = await mixed.go_gate(), await mixed.go_gate()
    clients = [await gate.client() for _ in range(3)]
    async with await other.client() as stays:
        for client in [*clients, stays]:
            await client.request("DeskService.where", {})
        await desk.holds(4)
        await gate.stop(end)
        await desk.logged("ENDED sid=.* why=(gate-lost|client-closed)", count=3)
        await desk.holds(1)
        await stays.request("DeskService.where", {})
    for client in clients:
        await client.close()


async def test_a_go_gate_that_comes_back_at_its_address_begins_anew(
    mixed: Mixed,
) -> None:
    desk = await mixed.backend("desk")
    gate = await mixed.go_gate()
    client = await gate.client()
    await client.request("DeskService.where", {})
    await gate.stop(signal.SIGKILL)
    await client.close()
    gate = await mixed.go_gate(address=gate.address)
    async with await gate.client() as client:
        await client.request("DeskService.where", {})
        await desk.logged("ENDED sid=")
        await desk.holds(1)
        await client.request("DeskService.where", {})
    await desk.holds(0)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_a_backend_that_goes_is_replaced_for_new_clients(
    mixed: Mixed, end: signal.Signals
) -> None:
    """A client that a Go gate has bound to it is lost: nano holds it there for ever."""
    gone = await mixed.backend("desk")
    gate = await mixed.go_gate()
    async with await gate.client() as client:
        await client.request("DeskService.where", {})
    await gone.stop(end)
    desk = await mixed.backend("desk")
    await gate.logged("Register remote service DeskService", count=2)
    await gate.logged("DelMember member serviceAddr")
    async with await gate.client() as client:
        answer = await client.request("DeskService.where", {})
        assert answer["address"] == desk.address


async def test_a_group_has_members_at_gates_of_both_makes(mixed: Mixed) -> None:
    desk = await mixed.backend("desk")
    await mixed.gate()
    gates = [await mixed.go_gate() for _ in range(2)]
    there = [await gate.client() for gate in gates]
    async with await mixed.client() as here:
        clients = [*there, here]
        for number, client in enumerate(clients):
            await client.request("DeskService.join", {"text": f"uid{number}"})
        members = await here.request("DeskService.members", None)
        assert members == ["uid0", "uid1", "uid2"]
        pushes = [client.pushes("onPublished") for client in clients]
        for number, client in enumerate(clients):
            await client.notify("DeskService.publish", {"n": number})
            for other, its in enumerate(pushes):
                if other != number:
                    assert (await its.next())["n"] == number
        assert [its.take() for its in pushes] == [[], [], []]
        await there[0].close()
        await desk.logged("ENDED sid=")
        members = await here.request("DeskService.members", None)
        assert members == ["uid1", "uid2"]
        await there[1].close()


async def test_a_session_of_a_go_gate_goes_along_to_other_nodes_of_ours(
    mixed: Mixed,
) -> None:
    await mixed.backend("desk")
    back = await mixed.backend("back")
    gate = await mixed.go_gate()
    async with await gate.client() as client:
        with client.pushes("onGreeting") as pushes:
            answer = await client.request("DeskService.ask", {"n": 3, "text": "hi"})
            assert answer == {"at": back.address}
            assert await pushes.next() == {"n": 3, "text": "hi"}
    await back.logged("BACK ENDED sid=")
