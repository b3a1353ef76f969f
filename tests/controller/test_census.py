"""Counting the clients of clusters: bounded, beside the reconciles, and rarely told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Mapping
from typing import cast

import pytest

from nano_operator.census import Census
from nano_operator.controller import Key
from nano_operator.figures import Said
from nano_operator.objects import CLUSTERS, PODS, Kind, Object
from nano_operator.reconcile import Reconciler

from .worlds import MemoryApi, cluster, inner

KEY = Key("demo", "arena")
TOKEN = "a token"


def gate_pod(name: str, ip: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {
                "nanocluster.io/cluster": "arena",
                "nanocluster.io/role": "gate",
            },
        },
        "status": {"phase": "Running", "podIP": ip},
    }


class Town:
    """A cluster with gates that answer what a test says, or nothing."""

    def __init__(self) -> None:
        self.api = MemoryApi()
        self.api.put(CLUSTERS, cluster())
        self.says: dict[str, Said] = {}
        self.asked: list[tuple[dict[str, str], str]] = []
        self.census = Census(self.api, self._ask, seconds=0.01)
        self.reconciler = Reconciler(self.api, census=self.census)
        self.changed: asyncio.Queue[Key] = asyncio.Queue()
        self.rounds = asyncio.Semaphore(0)

    async def settle(self) -> None:
        for _ in range(6):
            await self.reconciler(KEY)
            self.api.settle()
        secret = self.api.see(Kind.SECRET, "arena-control")
        secret["data"] = {"token": base64.b64encode(TOKEN.encode()).decode()}

    def gates(self, **connections: int | None) -> None:
        """Let there be these gates; None: it does not answer."""
        for number, (name, count) in enumerate(connections.items(), 1):
            self.api.put(PODS, gate_pod(name, f"10.0.0.{number}"))
            self.says.pop(name, None)
            if count is not None:
                self.says[name] = Said(connections=count)

    async def _ask(self, addresses: Mapping[str, str], token: str) -> dict[str, Said]:
        self.asked.append((dict(addresses), token))
        self.rounds.release()
        return {name: said for name, said in self.says.items() if name in addresses}

    async def count(self) -> list[str]:
        """Count once and look; return which writes that made."""
        await self.census.take(KEY)
        self.api.writes.clear()
        await self.reconciler(KEY)
        return [write.verb for write in self.api.writes]

    def shown(self) -> Object:
        return cast("Object", self.api.status()["gates"])


@pytest.fixture
async def town() -> Town:
    made = Town()
    await made.settle()
    return made


async def test_running_gates_are_asked_with_the_token(town: Town) -> None:
    town.gates(one=3, two=4)
    pending = gate_pod("three", "")
    cast("Object", pending["status"])["phase"] = "Pending"
    town.api.put(PODS, pending)
    await town.count()
    assert town.asked == [({"one": "10.0.0.1", "two": "10.0.0.2"}, TOKEN)]
    assert town.shown()["connections"] == 7
    assert town.shown()["silent"] == []


async def test_a_status_is_not_written_for_every_client(town: Town) -> None:
    town.gates(one=600, two=400)
    assert await town.count() == ["status"]
    for count in (410, 380, 430):
        town.gates(one=600, two=count)
        assert await town.count() == []
    town.gates(one=600, two=460)
    assert await town.count() == ["status"]
    assert town.shown()["connections"] == 1060


async def test_an_unknown_number_is_not_called_zero(town: Town) -> None:
    town.gates(one=5, two=None)
    await town.count()
    assert town.shown()["connections"] == 5
    assert town.shown()["silent"] == ["two"]
    town.gates(one=None, two=None)
    await town.count()
    assert "connections" not in town.shown()
    assert town.shown()["silent"] == ["one", "two"]


async def test_an_operator_that_starts_anew_keeps_what_was_known(town: Town) -> None:
    town.gates(one=5, two=None)
    await town.count()
    before = town.api.status()
    town.api.writes.clear()
    fresh = Reconciler(town.api, census=Census(town.api, town._ask))
    await fresh(KEY)
    assert town.api.writes == []
    assert town.api.status() == before


async def test_only_what_is_worth_telling_asks_for_a_look(town: Town) -> None:
    town.gates(one=100)
    running = asyncio.create_task(town.census.run(town.changed.put))
    try:
        async with asyncio.timeout(20):
            assert await town.changed.get() == KEY
            town.gates(one=101)
            for _ in range(len(town.asked) + 3):
                await town.rounds.acquire()
            assert town.changed.empty()
            town.gates(one=200)
            assert await town.changed.get() == KEY
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_what_goes_wrong_with_one_count_ends_no_other(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    town.gates(one=100)
    secret = town.api.see(Kind.SECRET, "arena-control")
    good, secret["data"] = secret["data"], "no mapping at all"
    running = asyncio.create_task(town.census.run(town.changed.put))
    try:
        async with asyncio.timeout(20):
            while "failed unexpectedly" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            assert town.changed.empty()
            secret["data"] = good
            assert await town.changed.get() == KEY
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_a_cluster_that_is_gone_is_not_counted(town: Town) -> None:
    town.gates(one=100)
    town.api.forget()
    await town.reconciler(KEY)
    running = asyncio.create_task(town.census.run(town.changed.put))
    try:
        await asyncio.sleep(0)  # one round
        assert town.asked == []
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def test_without_a_token_nobody_is_asked(town: Town) -> None:
    town.gates(one=100)
    secret = town.api.see(Kind.SECRET, "arena-control")
    secret["data"] = {"token": "not base64!"}
    await town.count()
    assert town.asked == []
    assert inner(town.api.status(), "gates.silent") == ["one"]
