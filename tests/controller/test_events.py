"""What ``kubectl describe`` tells of a cluster, and what it does not repeat."""

from __future__ import annotations

import pytest

from nano_operator.errors import RefusedError
from nano_operator.objects import Kind, Object

from .test_plan import TWICE, Scene
from .worlds import cluster


async def test_a_new_cluster_tells_its_steps_and_when_it_is_ready() -> None:
    scene = Scene()
    await scene.rest()
    told = [event[:2] for event in scene.api.events]
    assert told == [
        ("Normal", "RollingOut"),
        ("Normal", "RollingOut"),
        ("Normal", "RollingOut"),
        ("Normal", "Serving"),
        ("Normal", "AllReady"),
    ]
    messages = [event[2].partition(":")[0] for event in scene.api.events]
    assert messages[:3] == ["step master", "step backends", "step gates"]


async def test_a_cluster_to_which_nothing_happens_tells_nothing() -> None:
    scene = Scene()
    await scene.rest()
    scene.api.events.clear()
    for _ in range(3):
        scene.restart()
        await scene.look()
    assert scene.api.events == []


async def test_an_invalid_resource_is_told_once_for_each_fault() -> None:
    scene = Scene(cluster(backends=TWICE))
    await scene.look()
    await scene.look()
    (event,) = scene.api.events
    assert event[:2] == ("Warning", "InvalidSpec")
    assert event[2].startswith("spec.backends[0].components[1]: ")
    scene.api.edit(backends=[{"name": "room", "components": ["a:B", "a:C", "a:C"]}])
    await scene.look()
    assert len(scene.api.events) == 2


async def test_a_conflict_over_a_child_is_told() -> None:
    scene = Scene()
    stranger: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "arena-manifest", "uid": "x"},
    }
    scene.api.put(Kind.CONFIG_MAP.resource, stranger)
    await scene.look()
    (event,) = scene.api.events
    assert event[:2] == ("Warning", "NameTaken")
    assert "ConfigMap arena-manifest" in event[2]


async def test_a_child_that_stays_refused_is_told_once() -> None:
    scene = Scene()
    scene.api.refuse["Deployment arena-master"] = "no"
    for _ in range(3):
        with pytest.raises(RefusedError):
            await scene.look()
    assert [event[:2] for event in scene.api.events] == [("Warning", "ChildRefused")]


async def test_a_cluster_that_stops_serving_tells_it() -> None:
    scene = Scene()
    await scene.rest()
    scene.api.events.clear()
    scene.api.edit(gates={"replicas": 0})
    await scene.rest()
    assert ("Warning", "ScaledToZero") in [event[:2] for event in scene.api.events]


async def test_events_that_are_refused_hold_nothing_up() -> None:
    scene = Scene()
    scene.api.refuse["Event"] = "no"
    await scene.rest()
    assert scene.condition()[0] == "True"
    assert scene.api.events == []
