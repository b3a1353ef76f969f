"""What nodes call in components besides handlers."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

import nano.client
from nano.testing import LocalCluster
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Spec,
)

from .clusters import APP_DIR, PATIENCE, until

pytestmark = pytest.mark.process


def manifest() -> NanoCluster:
    """One gate and one backend, and both want to know of sessions."""
    return NanoCluster(
        metadata=Metadata(name="visits"),
        spec=Spec(
            gates=Gates(
                replicas=1,
                components=["nodeapp:Local", "nodeapp:Visits"],
                listeners=[Listener(name="tcp", transport="tcp", port=3251)],
            ),
            backends=[
                Backend(name="talk", components=["nodeapp:Talk", "nodeapp:Visits"])
            ],
        ),
    )


async def test_components_are_told_of_sessions_on_gates_and_backends() -> None:
    async with LocalCluster(manifest(), app_dir=APP_DIR) as cluster:
        from nodeapp import Visits  # type: ignore[import-not-found]

        Visits.lines.clear()
        welcomes: asyncio.Queue[str] = asyncio.Queue()
        client = await nano.client.connect(cluster.url("tcp"))
        async with client, asyncio.timeout(PATIENCE):
            client.on("onWelcome", welcomes.put_nowait)
            await client.request("Talk.login", "ann")
            assert await welcomes.get() == "backend"
            await client.request("Local.where", None)
        await until(lambda: len(Visits.lines) == 4)
        assert Visits.lines[:2] == [("gate", "opened", ""), ("backend", "opened", "")]
        assert sorted(Visits.lines[2:]) == [
            ("backend", "client-closed", "ann"),
            ("gate", "client-closed", "ann"),
        ]


async def test_timers_run_from_a_components_start_to_its_stop() -> None:
    spec = manifest().spec
    gates = msgspec.structs.replace(spec.gates, components=["nodeapp:Clock"])
    only_gates = msgspec.structs.replace(spec, gates=gates, backends=[])
    cluster = NanoCluster(metadata=Metadata(name="clock"), spec=only_gates)
    async with LocalCluster(cluster, app_dir=APP_DIR):
        from nodeapp import Clock

        await until(lambda: len(Clock.ticks) >= 3)
    assert Clock.ticks == ["gate"] * (len(Clock.ticks) - 1) + ["stopped"]
