"""Groups in clusters of real nodes, with clients at several gates."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable

import pytest

from nano.errors import RequestError
from nano.node import Node
from nano.protocol.client import ClientConnection
from nano.protocol.messages import Message

from .town import PATIENCE, Resident, Town

pytestmark = pytest.mark.process


async def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds; fail after :data:`PATIENCE`."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # it may be about anything
            await asyncio.sleep(0.005)


async def all_heard(residents: Iterable[Resident], expected: list[object]) -> None:
    """Wait until each has heard as much as *expected*; it must be exactly that."""
    for resident in residents:
        await until(lambda it=resident: len(it.heard) >= len(expected))  # type: ignore[misc]
        assert resident.heard == expected


async def settled(members: list[Resident]) -> None:
    """Wait until every member has the answer to a request of its own.

    An answer comes behind all that its gate was sent before.
    """
    for member in members:
        await member.ask("Rooms.who")


async def who_says(member: Resident, value: object) -> str:
    """Say *value*, as often as nobody is there to take it; return who took it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return str(await member.ask("Rooms.say", value))
            except RequestError as error:
                if error.status != 503:
                    raise
                await asyncio.sleep(0.005)


def total(nodes: Iterable[Node]) -> Counter[str]:
    """Return the samples of all *nodes* about groups, added up."""
    found: Counter[str] = Counter()
    for node in nodes:
        found.update({name: int(value) for name, value in served(node).items()})
    return found


def served(node: Node) -> dict[str, float]:
    """Return the samples of *node* about groups."""
    lines = node.metrics().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith("nano_group"))
    return {name.partition("{")[0]: float(value) for name, value in pairs}


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with Town() as town:
        yield town


async def test_a_publish_of_any_backend_reaches_members_at_both_gates_once(
    town: Town,
) -> None:
    members = await town.members(8)
    stranger = await town.client(0)
    talkers: Counter[str] = Counter()
    said: list[object] = []
    for member, number in zip(itertools.cycle(members), range(24), strict=False):
        talkers[await member.ask("Rooms.say", number)] += 1
        said.append(number)
        await all_heard(members, said)
    assert set(talkers) <= {node.address for node in town.backends}
    await settled(members)
    assert [it.heard for it in members] == [said] * 8
    assert stranger.heard == []
    who = await stranger.ask("Rooms.who")
    assert who == {"count": 8, "uids": sorted(f"uid-{it}" for it in range(8))}


async def test_a_newcomer_is_announced_to_the_others_and_not_to_itself(
    town: Town,
) -> None:
    ann = await town.member(0, "ann")
    bob = await town.member(1, "bob", "ws")
    eve = await town.member(0, "eve")
    await until(lambda: len(ann.joined) == 2 and bob.joined)
    assert ann.joined == ["bob", "eve"]
    assert bob.joined == ["eve"]
    assert eve.joined == []


async def test_a_publish_of_a_gates_own_component_reaches_everybody(
    town: Town,
) -> None:
    members = await town.members(4)
    newcomer = await town.client(0)
    assert await newcomer.ask("Lobby.join", "new") == town.gates[0].address
    assert await newcomer.ask("Lobby.say", "hello") == town.gates[0].address
    await all_heard([*members, newcomer], ["hello"])
    who = await (await town.client(1)).ask("Lobby.who")
    assert who["count"] == 5


async def test_somebody_at_another_gate_is_found_and_told(town: Town) -> None:
    ann, bob = await town.member(0, "ann"), await town.member(1, "bob", "ws")
    assert await ann.ask("Rooms.whisper", "bob") is True
    assert await ann.ask("Lobby.whisper", "bob") is True
    assert await ann.ask("Rooms.whisper", "eve") is False
    await until(lambda: len(bob.whispers) == 2)
    assert bob.whispers == ["ann", "ann"]


async def test_who_has_gone_or_left_is_no_member_any_more(town: Town) -> None:
    stays, leaves, goes = await town.members(3)
    await leaves.ask("Rooms.leave")
    await goes.client.close()

    async def alone() -> bool:
        return bool((await stays.ask("Rooms.who"))["count"] == 1)

    async with asyncio.timeout(PATIENCE):
        while not await alone():  # noqa: ASYNC110  # the gate must see the end
            await asyncio.sleep(0.005)
    await stays.ask("Rooms.say", "alone?")
    await all_heard([stays], ["alone?"])
    await settled([leaves])
    assert leaves.heard == []


async def test_a_group_outlives_all_the_backends_that_made_it(town: Town) -> None:
    members = await town.members(4)
    for node in town.backends:
        await node.stop()
    with pytest.raises(RequestError) as refused:
        await members[0].ask("Rooms.say", "nobody there")
    assert refused.value.status == 503
    fresh = await town.backend()
    await until(lambda: fresh.linked == {it.address for it in town.gates})
    assert await who_says(members[0], 0) == fresh.address
    async with asyncio.timeout(PATIENCE):
        # both gates have to say that they have members
        while (await members[0].ask("Rooms.who"))["count"] != 4:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await settled(members)
    for member in members:
        member.heard.clear()
    for member in members[:2]:  # one at each gate
        assert await who_says(member, "new") == fresh.address
    await all_heard(members, ["new", "new"])
    assert (await members[0].ask("Rooms.who"))["count"] == 4


async def test_the_members_of_a_gate_that_stops_are_gone(town: Town) -> None:
    members = await town.members(4)
    away, stay = members[0::2], members[1::2]
    await town.gates[0].stop()
    for member in away:
        await member.client.wait_closed()
    assert (await stay[0].ask("Rooms.who"))["count"] == 2
    await stay[0].ask("Rooms.say", "left")
    await all_heard(stay, ["left"])


async def test_two_hundred_members_hear_fifty_publishes_in_order(town: Town) -> None:
    members = await town.members(200)
    await settled(members)
    assert [served(it)["nano_group_members"] for it in town.gates] == [100, 100]
    nodes = [*town.gates, *town.backends]
    before = total(nodes)
    speaker = await town.client(0)
    await speaker.ask("Rooms.count_up", 50)
    await all_heard(members, list(range(50)))
    grown = total(nodes) - before
    assert grown["nano_group_publishes_total"] == 50
    assert grown["nano_group_deliveries_total"] == 200 * 50


async def test_a_member_that_does_not_read_is_closed_and_holds_up_nobody(
    town: Town,
) -> None:
    members = await town.members(4)
    slow = await _stuck(town.port(0))
    text = "x" * 50_000
    said: list[object] = []
    try:
        async with asyncio.timeout(PATIENCE):
            while (await members[0].ask("Rooms.who"))["count"] == 5:
                await members[0].ask("Rooms.say", text)
                said.append(text)
                await all_heard(members, said)
    finally:
        slow.close()
    assert 'reason="slow-client"} 1.0' in town.gates[0].metrics().decode()


async def _stuck(port: int) -> socket.socket:
    """Join the room by TCP, and read nothing from then on."""
    loop = asyncio.get_running_loop()
    connection = ClientConnection()
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.setblocking(False)
    async with asyncio.timeout(PATIENCE):
        await loop.sock_connect(stuck, ("127.0.0.1", port))
        await loop.sock_sendall(stuck, connection.greet(None))
        connection.receive(await loop.sock_recv(stuck, 4096))
        _, packet = connection.request("Rooms.join", b'"stuck"')
        await loop.sock_sendall(stuck, connection.acknowledge() + packet)
        events = connection.receive(await loop.sock_recv(stuck, 4096))
    assert [type(event) for event in events] == [Message]
    return stuck
