"""Several nodes of both makes, side by side in one cluster, under either master."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

import pytest

from nano.client import Client

from .mixed import Mixed
from .process import PATIENCE

pytestmark = [pytest.mark.peers, pytest.mark.process]

EACH = 6  # clients of each gate


async def test_clients_of_all_gates_are_served_by_all_backends(mixed: Mixed) -> None:
    desks = [await mixed.backend("desk") for _ in range(2)]
    ours = await mixed.gate()
    go_backends = [await mixed.go_backend() for _ in range(2)]
    # gates with equal numbers would lead each other's clients astray in Go backends
    numbers = [["--node-id", "7"], ["--node-id", "8"]]
    gates = [await mixed.go_gate("--calls", *number) for number in numbers]
    chats = {node.address for node in go_backends}
    async with AsyncExitStack() as stack:
        clients: list[Client] = []
        for _ in range(EACH):
            clients += [await gate.client() for gate in gates]
            clients.append(await mixed.client())
        for client in clients:
            stack.push_async_callback(client.close)

        async def use(client: Client) -> None:
            desk = await client.request("DeskService.where", {})
            assert desk["address"] in {node.address for node in desks}
            chat = await client.request("ChatService.Where", {})
            assert chat["address"] in chats
            with client.pushes("onTold") as told, client.pushes("onEcho") as echo:
                for number in range(1, 21):
                    words = {"n": number, "text": "mixed"}
                    await client.notify("DeskService.tell", words)
                    await client.notify("ChatService.Echo", words)
                    again = await client.request("DeskService.where", {})
                    assert again == desk
                    again = await client.request("ChatService.Where", {})
                    assert again == chat
                for pushes in (told, echo):
                    came = [(await pushes.next())["n"] for _ in range(20)]
                    assert came == list(range(1, 21))

        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(use(client))
        held = [(await node.status())["sessions"] for node in desks]
        assert held[0] + held[1] == len(clients)
        assert (await ours.status())["sessions"] == EACH
    for node in (*desks, ours):
        await node.holds(0)
    for gate in gates:
        calls = await gate.logged("RPC .*Handle(Request|Notify) ")
        assert all("status=OK" in line for line in calls)
    for backend in go_backends:
        await backend.logged("CLOSED sid=")


async def test_gates_with_equal_numbers_do_each_other_no_harm_here(
    mixed: Mixed,
) -> None:
    """In nano's own backends a client of one gets what is meant for the other's.

    And a Go gate that is told of the end of the other's client forgets its own.
    """
    desk = await mixed.backend("desk")
    gates = [await mixed.go_gate("--node-id", "7") for _ in range(2)]
    async with AsyncExitStack() as stack:
        clients: list[Client] = []
        for _ in range(20):  # pairs at one moment, of which some get one number
            pair = await asyncio.gather(*(gate.client() for gate in gates))
            clients += pair
            for client in pair:
                stack.push_async_callback(client.close)
        for number, client in enumerate(clients):
            text = {"n": number, "text": f"client {number}"}
            with client.pushes("onEcho") as pushes:
                assert await client.request("DeskService.echo", text) == text
                assert await pushes.next() == text
        await desk.holds(len(clients))
        for client in clients[::2]:
            await client.close()
        await desk.holds(len(clients) // 2)
    await desk.holds(0)


async def test_a_service_that_both_makes_offer_is_shared(mixed: Mixed) -> None:
    python = await mixed.backend("chat")
    await mixed.gate()
    go = await mixed.go_backend()
    found: dict[str, int] = {python.address: 0, go.address: 0}
    async with asyncio.timeout(PATIENCE):
        while not all(found.values()):
            async with await mixed.client() as client:
                first = await client.request("ChatService.Where", {})
                for _ in range(3):
                    again = await client.request("ChatService.Where", {})
                    assert again["address"] == first["address"]
                found[first["address"]] += 1
                # what only one make has is served by that one
                await client.request("ChatService.Echo", {"n": 1})
    await go.logged("CALL ChatService.Where")


async def test_a_gate_of_ours_that_is_killed_can_come_back(mixed: Mixed) -> None:
    gate = await mixed.gate()
    backend = await mixed.go_backend()
    client = await mixed.client()
    await client.request("ChatService.Where", {})
    await gate.stop(signal.SIGKILL)
    await client.close()
    again = await mixed.gate()
    await again.sees(backend.address)
    async with await mixed.client() as client:
        answer = await client.request("ChatService.Where", {})
        assert answer["address"] == backend.address
    await backend.logged("CLOSED sid=")


async def test_a_gate_of_ours_that_stops_tells_go_backends_of_its_clients(
    mixed: Mixed,
) -> None:
    """Go gates tell nobody."""
    gate = await mixed.gate()
    backend = await mixed.go_backend()
    clients = [await mixed.client() for _ in range(3)]
    for client in clients:
        await client.request("ChatService.Where", {})
    assert await gate.stop() == 0
    await backend.logged("CLOSED sid=", count=3)
    for client in clients:
        await client.close()
