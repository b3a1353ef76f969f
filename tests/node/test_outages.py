"""Processes that freeze, die and come back, and what everybody else makes of it.

The evidence is what the nodes say: their metrics, their status, their logs.
"""

from __future__ import annotations

import asyncio
import signal

import pytest

from nano.errors import RequestError

from .towns import PATIENCE, Answer, Make, ask, until, visitor, whole

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(120)]


async def test_a_backend_frozen_for_six_seconds_is_not_expelled(make: Make) -> None:
    """A long computation or a collected heap; a laptop's lid is longer."""
    town = await make()
    async with await visitor(town) as client:
        before = await ask(client, 1)
        town.signal("backend0", signal.SIGSTOP)
        waiting = asyncio.create_task(ask(client, 2))
        await asyncio.sleep(6)  # it is the matter of this test
        town.signal("backend0", signal.SIGCONT)
        with pytest.raises(RequestError) as refused:
            await waiting
        assert refused.value.status in (503, 504)
        await whole(town, ["master", "gate", "backend0"])
        after = await ask(client, 3)
        assert (after.pid, after.first) == (before.pid, 1)  # the mirror it was
        assert (after.opened, after.closed) == (1, 0)
        assert town.lost("master") == town.lost("gate") == set()


@pytest.mark.parametrize("stopped", ["gate", "backend0"])
async def test_a_process_that_stops_for_ten_seconds_finds_all_that_was_kept_for_it(
    make: Make, stopped: str
) -> None:
    """Its link is given up after five of them, and the grace is ten more."""
    town = await make()
    async with await visitor(town) as client:
        before = await ask(client, 1)
        (other,) = {"gate", "backend0"} - {stopped}
        town.signal(stopped, signal.SIGSTOP)
        waiting = asyncio.create_task(ask(client, 2))
        await asyncio.sleep(10)  # it is the matter of this test
        await until(lambda: town.count(other, "nano_peers", state="unlinked") == 1)
        town.signal(stopped, signal.SIGCONT)
        (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
        if isinstance(outcome, RequestError):
            assert outcome.status in (503, 504)
        else:  # a gate that was stopped itself may find the next link first
            assert isinstance(outcome, Answer)
        await whole(town, ["master", "gate", "backend0"])
        after = await ask(client, 3)
        assert (after.pid, after.first) == (before.pid, 1)  # the mirror it was
        assert (after.opened, after.closed) == (1, 0)
        assert town.count("backend0", "nano_sessions", place="mirror") == 1
        assert town.lost("master") == set()


async def test_a_dead_master_is_not_noticed_and_finds_everybody_again(
    make: Make,
) -> None:
    town = await make(backends=2, member_heartbeat_seconds=1)
    names = ["gate", "backend0", "backend1"]
    async with await visitor(town) as client:
        before = await ask(client, 0)
        town.signal("master", signal.SIGKILL)
        for number in range(1, 61):  # six heartbeats; four are death
            after = await ask(client, number)
            assert (after.pid, after.first, after.closed) == (before.pid, 0, 0)
            await asyncio.sleep(0.1)
        assert {town.members(name) for name in names} == {4}
        town.start("master")
        await until(lambda: town.ready("master"))
        await whole(town, ["master", *names])
        town.start("backend2")
        await whole(town, ["master", *names, "backend2"])
        after = await ask(client, 100)
        assert (after.pid, after.first, after.closed) == (before.pid, 0, 0)
    for name in names:
        assert town.lost(name) == set()
        assert town.said(name, "has ended") == 0
        assert town.said(name, "is ready") == 1


async def test_a_backend_killed_under_load_owes_nobody_and_is_used_again(
    make: Make,
) -> None:
    town = await make(backends=2, member_heartbeat_seconds=0.5)
    pids = {town.processes[name].pid: name for name in ("backend0", "backend1")}
    async with await visitor(town) as client:
        dead = pids[(await ask(client, 0)).pid]
        (other,) = set(pids.values()) - {dead}
        load = [asyncio.create_task(ask(client, number)) for number in range(1, 500)]
        await asyncio.sleep(0)
        town.signal(dead, signal.SIGKILL)
        for outcome in await asyncio.gather(*load, return_exceptions=True):
            if isinstance(outcome, RequestError):
                assert outcome.status in (503, 504)
            else:
                assert isinstance(outcome, Answer)
        number = 1000
        while pids[(await ask(client, number)).pid] != other:
            number += 1
        town.start(dead)  # at the address that it had
        await whole(town, ["master", "gate", "backend0", "backend1"])
        used: set[int] = set()
        async with asyncio.timeout(PATIENCE):
            while len(used) < 2:
                async with await visitor(town) as newcomer:
                    used.add((await ask(newcomer, 1)).pid)
        assert town.processes[dead].pid in used


async def test_two_backends_killed_at_once_keep_nobody_out(make: Make) -> None:
    town = await make(backends=3, member_heartbeat_seconds=0.5)
    for name in ("backend0", "backend1"):
        town.signal(name, signal.SIGKILL)
    town.start("backend3")
    await whole(town, ["master", "gate", "backend2", "backend3"])
    assert town.count("gate", "nano_peers") == 2
    alive = {town.processes[name].pid for name in ("backend2", "backend3")}
    async with asyncio.timeout(PATIENCE):
        used: set[int] = set()
        while used != alive:
            async with await visitor(town) as client:
                used.add((await ask(client, 1)).pid)


async def test_a_gate_that_is_killed_leaves_no_session_behind(make: Make) -> None:
    town = await make(member_heartbeat_seconds=0.5)
    async with await visitor(town) as client:
        await ask(client, 1)
        assert town.count("backend0", "nano_sessions", place="mirror") == 1
        town.signal("gate", signal.SIGKILL)
        await until(
            lambda: town.count("backend0", "nano_sessions", place="mirror") == 0
        )
        assert town.count("backend0", "nano_peers") == 0
    town.start("gate")
    await whole(town, ["master", "gate", "backend0"])
    async with await visitor(town) as client:
        answer = await ask(client, 2)
        assert (answer.opened, answer.closed) == (2, 1)
