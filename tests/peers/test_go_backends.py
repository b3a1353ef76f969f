"""Clients of our gate and services of Go nodes, under our master and under theirs.

Each fact is seen by the client, and in the Go node's log.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest
import pytest_asyncio

from nano.client import Client
from nano.errors import RequestError

from .mixed import Mixed, status_of
from .nodes import OurProcess
from .process import PATIENCE

pytestmark = [
    pytest.mark.peers,
    pytest.mark.process,
    pytest.mark.usefixtures("gate"),
]

MANY = 2000  # numbered messages


@pytest_asyncio.fixture
async def gate(mixed: Mixed) -> OurProcess:
    """Our gate, under either master."""
    return await mixed.gate()


async def served_again(client: Client) -> Any:
    """Ask until there is an answer; until then it has to be 503."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await client.request("ChatService.Where", {})
            except RequestError as error:
                if error.status != 503:
                    raise
            await asyncio.sleep(0.1)


async def test_requests_notifies_and_their_answers(mixed: Mixed) -> None:
    backend = await mixed.go_backend()
    async with await mixed.client() as client:
        answer = await client.request("ChatService.Where", {})
        assert (answer["address"], answer["service"]) == (
            backend.address,
            "ChatService",
        )
        echo = {"text": "to and fro"}
        assert await client.request("ChatService.Echo", echo) == echo
        with client.pushes("onEcho") as pushes:
            await client.notify("ChatService.Echo", echo)
            assert await pushes.next() == echo
    (call,) = await backend.logged(r"CALL ChatService.Where .* mid=[1-9]")
    assert "uid=0" in call
    await backend.logged(r"CALL ChatService.Echo .* mid=0")
    # the client has gone, and the Go node is told
    (closed,) = await backend.logged("CLOSED sid=")
    assert "sid=" in closed


async def test_what_fails_is_answered(mixed: Mixed) -> None:
    backend = await mixed.go_backend()
    async with await mixed.client() as client:
        assert await status_of(client.request("ChatService.Nothing", {})) == 404
        assert await status_of(client.request("Nobody.Where", {})) == 404
        # nano answers nothing to these
        assert await status_of(client.request("ChatService.Fail", {})) == 504
        await backend.logged("CALL ChatService.Fail")
        assert await client.request("ChatService.Echo", {"n": 1}) == {"n": 1}


async def test_a_late_answer_is_dropped_by_who_has_been_told_of_the_end(
    mixed: Mixed,
) -> None:
    backend = await mixed.go_backend()
    async with await mixed.client() as client:
        slow = client.request("ChatService.Slow", {"n": 2600})
        assert await status_of(slow) == 504
        await client.request("ChatService.Block", {"n": 900})  # it comes meanwhile
        assert await client.request("ChatService.Echo", {"n": 2}) == {"n": 2}
        assert not [line for line in backend.process.lines if "SLOW" in line]


async def test_a_go_backend_closes_a_client(mixed: Mixed, gate: OurProcess) -> None:
    backend = await mixed.go_backend()
    client = await mixed.client()
    await client.notify("ChatService.CloseMe", {})
    async with asyncio.timeout(PATIENCE):
        assert await client.wait_closed() == "closed by a backend"
    await backend.logged("CLOSED sid=")
    await gate.holds(0)


async def test_a_room_of_a_go_backend_has_clients_of_our_gate(mixed: Mixed) -> None:
    backend = await mixed.go_backend()
    async with await mixed.client() as one, await mixed.client() as two:
        with one.pushes("onMessage") as first, two.pushes("onMessage") as second:
            await one.request("ChatService.Join", {"name": "one", "uid": 1})
            joined = await two.request("ChatService.Join", {"name": "two", "uid": 2})
            assert sorted(joined["members"]) == [1, 2]
            await one.notify("ChatService.Say", {"text": "hello"})
            for pushes in (first, second):
                assert await pushes.next() == {"text": "hello", "uid": 1}
        await two.close()
        await backend.logged("CLOSED sid=.* uid=2")
        left = await one.request("ChatService.Leave", {})
        assert left["members"] in ([], None)


async def test_the_order_is_kept_there_and_back(mixed: Mixed) -> None:
    backend = await mixed.go_backend()
    async with await mixed.client() as client:
        for number in range(1, MANY + 1):
            await client.notify("ChatService.Count", {"n": number})
        counted = await client.request("ChatService.Counted", {}, timeout=30)
        assert counted == {"n": MANY}
        await backend.logged(f"COUNTED sid=.* n={MANY} inversions=0")

        with client.pushes("onPump", limit=MANY) as pushes:
            await client.request("ChatService.Pump", {"n": MANY}, timeout=30)
            came = [(await pushes.next(timeout=30))["n"] for _ in range(MANY)]
        assert came == list(range(1, MANY + 1))


async def test_what_a_go_backend_says_reaches_our_backend(mixed: Mixed) -> None:
    """nano's ``session.RPC``: a notify, made known to the client's gate."""
    await mixed.go_backend()
    desk = await mixed.backend("desk")
    async with await mixed.client() as client:
        await client.request("DeskService.where", None)
        with client.pushes("onTold") as pushes:
            call = {"route": "DeskService.tell", "text": "from Go"}
            await client.request("ChatService.Call", call)
            assert await pushes.next() == {"n": 0, "text": "from Go"}
        # what is for nodes alone is not for what a client may have asked
        call = {"route": "DeskService.secret", "text": "from Go"}
        await client.request("ChatService.Call", call)
        await client.request("DeskService.where", None)
    await desk.logged("ENDED sid=")
    assert "CALL secret" not in desk.process.log


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_when_a_go_backend_goes_another_serves(
    mixed: Mixed, end: signal.Signals
) -> None:
    backends = {it.address: it for it in [await mixed.go_backend() for _ in range(2)]}
    async with await mixed.client() as client:
        where = (await client.request("ChatService.Where", {}))["address"]
        assert (await client.request("ChatService.Where", {}))["address"] == where
        lost = client.request("ChatService.Slow", {"n": 60_000})
        asked = asyncio.create_task(status_of(lost))
        await backends[where].logged("CALL ChatService.Slow")
        await backends.pop(where).stop(end)
        assert await asked == 503  # and not 504: it is not waited for in vain
        (other,) = backends.values()
        assert (await served_again(client))["address"] == other.address


async def test_without_any_go_backend_the_client_is_told_and_then_served_again(
    mixed: Mixed,
) -> None:
    backend = await mixed.go_backend()
    async with await mixed.client() as client:
        await client.request("ChatService.Where", {})
        await backend.stop(signal.SIGKILL)
        assert await status_of(client.request("ChatService.Where", {})) == 503
        await mixed.go_backend("--label", "second")
        assert (await served_again(client))["label"] == "second"


async def test_a_go_backend_that_comes_back_at_its_address_is_used_again(
    mixed: Mixed,
) -> None:
    backend = await mixed.go_backend()
    async with await mixed.client() as client, await mixed.client() as idle:
        for it in (client, idle):
            await it.request("ChatService.Join", {"uid": 1})
        await backend.stop(signal.SIGKILL)
        assert await status_of(client.request("ChatService.Where", {})) == 503
        again = await mixed.go_backend("--label", "second", address=backend.address)
        for it in (client, idle):  # one that has noticed nothing, too
            answer = await served_again(it)
            assert (answer["label"], answer["uid"]) == ("second", 0)
    await again.logged("CLOSED sid=", count=2)


async def test_a_frozen_go_backend_holds_nobody_for_ever(mixed: Mixed) -> None:
    backend = await mixed.go_backend()
    async with await mixed.client() as client:
        await client.request("ChatService.Where", {})
        backend.process.send(signal.SIGSTOP)
        try:
            asked = status_of(client.request("ChatService.Where", {}))
            assert await asked in (503, 504)
            async with await mixed.client() as other:  # not served, and not held up
                asked = status_of(other.request("ChatService.Where", {}))
                assert await asked in (503, 504)
        finally:
            backend.process.send(signal.SIGCONT)
        assert await status_of(client.request("Nobody.Where", {})) == 404
