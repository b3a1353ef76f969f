"""What the operator decides, told by what it then writes.

The world is a model of Kubernetes in memory (``worlds.py``); the operator's own code
runs whole, from reading to writing.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nano_operator.controller import Key
from nano_operator.errors import RefusedError
from nano_operator.metrics import Metrics
from nano_operator.names import MANAGED_BY
from nano_operator.objects import CLUSTERS, Kind, Object
from nano_operator.plan import Requeue, World, make_plan
from nano_operator.reconcile import Reconciler
from nano_operator.rollout import HOLD_SECONDS

from .worlds import MemoryApi, Write, cluster, inner

KEY = Key("demo", "arena")
NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
GATE = (Kind.DEPLOYMENT, "arena-gate")


class Scene:
    """One cluster, one operator, and the world they live in."""

    def __init__(self, resource: Object | None = None, node_image: str = "") -> None:
        self.api = MemoryApi()
        self.api.put(CLUSTERS, resource or cluster())
        self._node_image = node_image
        self.now = NOW
        self.elapsed = 0.0
        self.restart()

    def restart(self) -> None:
        """Forget all that an operator keeps in memory."""
        self.metrics = Metrics()
        self._reconciler = Reconciler(
            self.api,
            self._node_image,
            "system",
            clock=lambda: self.now,
            metrics=self.metrics,
            elapsed=lambda: self.elapsed,
        )

    async def forget(self) -> None:
        """Delete the cluster, and let the operator look."""
        self.api.forget()
        await self._reconciler(KEY)

    async def look(self) -> list[Write]:
        """Let the operator look once; return what it wrote."""
        self.api.writes.clear()
        await self._reconciler(KEY)
        return list(self.api.writes)

    async def pause(self) -> float | None:
        """Let the operator look once; return when it wants to look again."""
        return await self._reconciler(KEY)

    async def rest(self) -> None:
        """Let the operator and Kubernetes work until neither has anything to do."""
        for _ in range(6):  # the three steps of a rollout, and room
            await self.look()
            self.api.settle()
        assert await self.look() == []

    def condition(self, name: str = "Ready") -> tuple[str, str, str]:
        """Return status, reason and message of a condition."""
        entries = cast("list[Object]", self.api.status()["conditions"])
        (found,) = [entry for entry in entries if entry["type"] == name]
        return (str(found["status"]), str(found["reason"]), str(found["message"]))


@pytest.fixture
def scene() -> Scene:
    return Scene()


# ------------------------------------------------ from nothing to ready


async def test_a_new_cluster_is_made_in_order_and_then_reported(scene: Scene) -> None:
    assert await scene.look() == [
        Write("create", "Secret arena-control"),
        Write("apply", "ConfigMap arena-manifest"),
        Write("apply", "Service arena-master"),
        Write("apply", "Service arena-gate"),
        Write("apply", "Service arena-members"),
        Write("apply", "NetworkPolicy arena-nodes"),
        Write("apply", "NetworkPolicy arena-gate"),
        Write("apply", "PodDisruptionBudget arena-gate"),
        Write("apply", "Deployment arena-master"),
        Write("status", "arena"),
    ]
    for name, counts in (
        ("room", "gate 0/2, backend room 0/1"),
        ("gate", "gate 0/2"),
    ):
        scene.api.settle()
        assert await scene.look() == [
            Write("apply", f"Deployment arena-{name}"),
            Write("status", "arena"),
        ]
        assert scene.condition()[2] == f"waiting for {counts}"
    scene = Scene()
    await scene.look()
    assert scene.condition() == (
        "False",
        "RollingOut",
        "waiting for master 0/1, gate 0/2, backend room 0/1",
    )


async def test_it_becomes_ready_when_its_pods_are(scene: Scene) -> None:
    for step in ("master", "backends", "gates"):
        await scene.look()
        assert scene.api.status()["step"] == step
        assert scene.condition()[:2] == ("False", "RollingOut")
        assert scene.condition("Progressing")[2].startswith(f"step {step}: waiting")
        scene.api.settle()
    assert await scene.look() == [Write("status", "arena")]
    assert scene.api.status()["step"] == ""
    assert scene.condition() == (
        "True",
        "AllReady",
        "ready: master 1/1, gate 2/2, backend room 1/1",
    )
    assert await scene.look() == []


async def test_the_status_counts_and_names_the_way_in(scene: Scene) -> None:
    await scene.rest()
    status = scene.api.status()
    assert status["observedGeneration"] == 1
    assert status["gates"] == {
        "replicas": 2,
        "readyReplicas": 2,
        "selector": "nanocluster.io/cluster=arena,nanocluster.io/role=gate",
    }
    assert status["backends"] == [{"name": "room", "replicas": 1, "readyReplicas": 1}]
    url = "ws://arena-gate.demo.svc:3250"
    assert status["endpoints"] == [{"name": "ws", "url": url}]


async def test_a_load_balancers_address_is_the_way_in() -> None:
    listeners = [{"name": "game", "transport": "tcp", "port": 4000}]
    gates = {"listeners": listeners, "service": {"type": "LoadBalancer"}}
    scene = Scene(cluster(gates=gates))
    await scene.rest()
    service = scene.api.see(Kind.SERVICE, "arena-gate")
    service["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}
    assert await scene.look() == [Write("status", "arena")]
    assert inner(scene.api.status(), "endpoints.0.url") == "tcp://192.0.2.7:4000"


async def test_a_restarted_operator_writes_nothing(scene: Scene) -> None:
    await scene.rest()
    scene.restart()
    assert await scene.look() == []


async def test_what_kubernetes_writes_differently_is_not_written_again() -> None:
    gates = {"resources": {"requests": {"memory": "1024Mi"}}}
    scene = Scene(cluster(gates=gates))
    await scene.rest()
    path = "spec.template.spec.containers.0.resources.requests.memory"
    assert inner(scene.api.see(*GATE), path) == "1Gi"
    scene.restart()  # nothing is known of it: one identical apply
    assert await scene.look() == [Write("apply", "Deployment arena-gate")]
    assert await scene.look() == []


# ------------------------------------------------ one step after the other


async def test_new_pods_wait_for_the_step_before(scene: Scene) -> None:
    await scene.rest()
    scene.api.edit(image="arena:2")
    for name in ("master", "room", "gate"):
        wrote = [write for write in await scene.look() if write.verb == "apply"]
        assert Write("apply", f"Deployment arena-{name}") in wrote
        assert len([write for write in wrote if "Deployment" in write.what]) == 1
        assert await scene.look() == []
        scene.api.settle()
    await scene.rest()
    assert scene.condition()[0] == "True"


async def test_old_gates_leave_when_all_the_new_ones_are_ready(scene: Scene) -> None:
    await scene.rest()
    scene.api.edit(image="arena:2")
    for _ in ("master", "backends", "gates"):
        await scene.look()
        if Write("apply", "Deployment arena-gate") not in scene.api.writes:
            scene.api.settle()
    deployment = scene.api.see(*GATE)
    assert inner(deployment, "spec.minReadySeconds") == HOLD_SECONDS
    for ready in (2, 3, 4):  # two old ones, and more and more new ones
        assert not any("Deployment" in write.what for write in await scene.look())
        deployment["status"] = {
            "observedGeneration": inner(deployment, "metadata.generation"),
            "replicas": 4,
            "updatedReplicas": 2,
            "readyReplicas": ready,
            "availableReplicas": 2,
        }
    assert Write("apply", "Deployment arena-gate") in await scene.look()
    spec = cast("Object", inner(scene.api.see(*GATE), "spec"))
    assert "minReadySeconds" not in spec
    assert await scene.look() == []
    scene.restart()
    assert await scene.look() == []
    await scene.rest()
    assert scene.condition()[0] == "True"


async def test_gates_are_replaced_one_at_a_time_where_there_is_no_room() -> None:
    scene = Scene(cluster(gates={"rollout": "conserve"}))
    await scene.rest()
    scene.api.edit(image="arena:2")
    for _ in ("master", "backends", "gates"):
        await scene.look()
        spec = cast("Object", inner(scene.api.see(*GATE), "spec"))
        assert "minReadySeconds" not in spec
        scene.api.settle()
    await scene.rest()


async def test_repairs_and_scaling_do_not_wait(scene: Scene) -> None:
    await scene.rest()
    scene.api.edit(backends=[{"name": "room", "components": ["broken:Room"]}])
    await scene.look()  # and the backend's new pod never becomes ready
    assert scene.api.status()["step"] == "backends"
    scene.api.edit(gates={"replicas": 4})
    assert Write("apply", "Deployment arena-gate") in await scene.look()
    scene.api.drop(*GATE)
    assert Write("apply", "Deployment arena-gate") in await scene.look()
    assert inner(scene.api.see(*GATE), "spec.replicas") == 4


async def test_the_conditions_are_shown_and_go_with_their_cluster(
    scene: Scene,
) -> None:
    await scene.rest()
    ready = 'cluster_condition{condition="Ready",name="arena",namespace="demo"} 1.0'
    assert ready in scene.metrics.render().decode()
    await scene.forget()
    assert "arena" not in scene.metrics.render().decode()


# ------------------------------------------------ changes and drift


async def test_scaling_the_gates_touches_their_number_alone(scene: Scene) -> None:
    await scene.rest()
    before = copy.deepcopy(inner(scene.api.see(*GATE), "spec.template"))
    scene.api.edit(gates={"replicas": 5})
    assert await scene.look() == [
        Write("apply", "ConfigMap arena-manifest"),
        Write("apply", "Deployment arena-gate"),
        Write("status", "arena"),
    ]
    assert inner(scene.api.see(*GATE), "spec.template") == before
    assert inner(scene.api.see(*GATE), "spec.replicas") == 5
    assert scene.condition()[1] == "RollingOut"
    await scene.rest()
    assert scene.condition()[1] == "AllReady"


SCALED: Object = {
    "replicas": 1,
    "resources": {"requests": {"cpu": "500m"}},
    "autoscaling": {"minReplicas": 3, "maxReplicas": 6},
}


async def test_an_autoscaler_is_never_contradicted(scene: Scene) -> None:
    scene.api.edit(gates=SCALED)
    await scene.rest()
    cast("Object", scene.api.see(*GATE)["spec"])["replicas"] = 6  # as it does
    assert await scene.look() == [Write("status", "arena")]
    scene.restart()
    scene.api.edit(gates={**SCALED, "template": {"labels": {"a": "b"}}})
    await scene.rest()
    assert inner(scene.api.see(*GATE), "spec.replicas") == 6
    assert inner(scene.api.status(), "gates.readyReplicas") == 6
    assert scene.condition()[0] == "True"


@pytest.mark.parametrize(("before", "kept"), [(5, 5), (0, 3), (9, 6)])
async def test_the_number_of_nodes_is_handed_over_within_the_autoscalers_bounds(
    scene: Scene, before: int, kept: int
) -> None:
    scene.api.edit(gates={"replicas": before})
    await scene.rest()
    scene.api.edit(gates=SCALED)
    wrote = await scene.look()
    gate = "Deployment arena-gate"
    steps = [write for write in wrote if write.what == gate]
    assert steps == [Write("hand over", gate), Write("apply", gate)]
    assert inner(scene.api.see(*GATE), "spec.replicas") == kept
    await scene.rest()
    scene.restart()
    assert await scene.look() == []


async def test_without_its_autoscaler_a_role_has_its_replicas_again(
    scene: Scene,
) -> None:
    scene.api.edit(gates=SCALED)
    await scene.rest()
    assert scene.api.names(Kind.AUTOSCALER) == ["arena-gate"]
    scene.api.edit(gates={**SCALED, "autoscaling": None})
    await scene.rest()
    assert scene.api.names(Kind.AUTOSCALER) == []
    assert inner(scene.api.see(*GATE), "spec.replicas") == 1


async def test_a_field_that_is_no_longer_asked_for_goes_away(scene: Scene) -> None:
    scene.api.edit(gates={"template": {"nodeSelector": {"disk": "fast"}}})
    await scene.rest()
    scene.api.edit(gates={})
    await scene.rest()
    pod = cast("Object", inner(scene.api.see(*GATE), "spec.template.spec"))
    assert "nodeSelector" not in pod


def _image(gate: Object) -> None:
    cast("Object", inner(gate, "spec.template.spec.containers.0"))["image"] = "evil:1"


def _replicas(gate: Object) -> None:
    cast("Object", gate["spec"])["replicas"] = 0


def _label(gate: Object) -> None:
    del cast("Object", inner(gate, "metadata.labels"))[MANAGED_BY]


def _variable(gate: Object) -> None:
    entries = inner(gate, "spec.template.spec.containers.0.env")
    cast("list[Object]", entries).pop()


def _owner(gate: Object) -> None:
    del cast("Object", gate["metadata"])["ownerReferences"]


@pytest.mark.parametrize("tamper", [_image, _replicas, _label, _variable, _owner])
async def test_what_somebody_changed_is_put_back(
    scene: Scene, tamper: Callable[[Object], None]
) -> None:
    await scene.rest()
    before = copy.deepcopy(scene.api.see(*GATE))
    tamper(scene.api.see(*GATE))
    assert Write("apply", "Deployment arena-gate") in await scene.look()
    await scene.rest()
    for part in ("spec", "metadata.labels", "metadata.ownerReferences"):
        assert inner(scene.api.see(*GATE), part) == inner(before, part)


async def test_what_others_add_is_left_alone(scene: Scene) -> None:
    await scene.rest()
    gate = scene.api.see(*GATE)
    cast("Object", inner(gate, "metadata.annotations"))["audit"] = "seen"
    entries = inner(gate, "spec.template.spec.containers.0.env")
    cast("list[Object]", entries).append({"name": "MINE"})
    assert await scene.look() == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Kind.CONFIG_MAP, "arena-manifest"),
        (Kind.SERVICE, "arena-gate"),
        (Kind.DEPLOYMENT, "arena-master"),
    ],
)
async def test_what_somebody_removed_comes_back(
    scene: Scene, kind: Kind, name: str
) -> None:
    await scene.rest()
    scene.api.drop(kind, name)
    assert Write("apply", f"{kind.title} {name}") in await scene.look()
    await scene.rest()


async def test_a_token_is_made_once_and_kept(scene: Scene) -> None:
    await scene.rest()
    secret = scene.api.see(Kind.SECRET, "arena-control")
    token = str(inner(secret, "stringData.token"))
    assert len(token) >= 40
    scene.api.edit(gates={"replicas": 1})
    scene.restart()
    await scene.rest()
    kept = scene.api.see(Kind.SECRET, "arena-control")
    assert inner(kept, "stringData.token") == token
    scene.api.drop(Kind.SECRET, "arena-control")
    assert await scene.look() != []
    made = scene.api.see(Kind.SECRET, "arena-control")
    assert inner(made, "stringData.token") != token


async def test_a_token_that_somebody_provides_is_welcome(scene: Scene) -> None:
    own: Object = {
        "metadata": {"name": "arena-control", "uid": "own"},
        "data": {"token": "eA"},
    }
    scene.api.put(Kind.SECRET.resource, own)
    await scene.rest()
    assert scene.api.see(Kind.SECRET, "arena-control") == own
    assert scene.condition()[0] == "True"


# ------------------------------------------------ leftovers and strangers


async def test_a_removed_kind_of_backend_is_removed(scene: Scene) -> None:
    room = {"name": "room", "components": ["a:B"]}
    shop = {"name": "shop", "components": ["a:B"]}
    scene.api.edit(backends=[room, shop])
    await scene.rest()
    scene.api.edit(backends=[room])
    assert Write("delete", "deployments arena-shop") in await scene.look()
    await scene.rest()
    names = ["arena-gate", "arena-master", "arena-room"]
    assert scene.api.names(Kind.DEPLOYMENT) == names
    assert inner(scene.api.status(), "backends") == [
        {"name": "room", "replicas": 1, "readyReplicas": 1}
    ]


def _stranger(name: str, **head: object) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "uid": f"strange-{name}", "generation": 1, **head},
        "spec": {"replicas": 1},
    }


async def test_an_object_of_somebody_else_is_never_taken_over(scene: Scene) -> None:
    foreign = _stranger("arena-gate", labels={"app": "other"})
    scene.api.put(Kind.DEPLOYMENT.resource, copy.deepcopy(foreign))
    assert await scene.look() == [Write("status", "arena")]
    assert scene.api.see(*GATE) == foreign
    status, reason, message = scene.condition()
    assert (status, reason) == ("False", "NameTaken")
    assert message.startswith("Deployment arena-gate exists and does not belong")
    assert await scene.look() == []
    scene.api.drop(*GATE)
    await scene.rest()
    assert scene.condition()[0] == "True"


async def test_a_child_of_another_cluster_with_a_similar_name_is_not_touched() -> None:
    scene = Scene()
    owner = {"kind": "NanoCluster", "name": "are", "uid": "u", "controller": True}
    labels = {MANAGED_BY: "nanocluster-operator", "nanocluster.io/cluster": "are"}
    other = _stranger("arena-gate", ownerReferences=[owner], labels=labels)
    scene.api.put(Kind.DEPLOYMENT.resource, other)
    assert await scene.look() == [Write("status", "arena")]
    assert scene.condition()[1] == "NameTaken"


async def test_an_orphan_of_the_same_name_is_adopted(scene: Scene) -> None:
    await scene.rest()
    uid = inner(scene.api.see(*GATE), "metadata.uid")
    _owner(scene.api.see(*GATE))  # as after kubectl delete --cascade=orphan
    await scene.rest()
    assert inner(scene.api.see(*GATE), "metadata.uid") == uid
    owners = inner(scene.api.see(*GATE), "metadata.ownerReferences.0.uid")
    assert owners == "uid-of-arena"


async def test_children_of_a_deleted_namesake_are_removed_and_made_anew(
    scene: Scene,
) -> None:
    await scene.rest()
    resource = copy.deepcopy(cluster())
    cast("Object", resource["metadata"])["uid"] = "uid-of-the-second"
    scene.api.put(CLUSTERS, resource)
    scene.restart()
    wrote = await scene.look()
    assert [write.verb for write in wrote] == [
        *["delete"] * 11,
        "create",
        *["apply"] * 8,
        "status",
    ]
    assert scene.condition()[:2] == ("False", "RollingOut")
    await scene.rest()
    path = "metadata.ownerReferences.0.uid"
    assert inner(scene.api.see(*GATE), path) == "uid-of-the-second"


async def test_a_child_that_is_going_away_is_waited_for(scene: Scene) -> None:
    await scene.rest()
    head = cast("Object", scene.api.see(*GATE)["metadata"])
    head["deletionTimestamp"] = "2026-05-01T12:00:00Z"
    assert await scene.look() == [Write("status", "arena")]
    assert scene.condition()[1] == "RollingOut"
    (resource,) = await scene.api.list(CLUSTERS, "demo")
    seen = World.of(resource, operator_namespace="system")
    world = replace(seen, children=scene.api.children())
    assert make_plan(world, NOW) == (Requeue(2.0),)


async def test_a_deleted_cluster_is_left_to_the_garbage_collector(scene: Scene) -> None:
    await scene.rest()
    scene.api.drop(*GATE)
    (resource,) = await scene.api.list(CLUSTERS, "demo")
    head = cast("Object", resource["metadata"])
    head["deletionTimestamp"] = "2026-05-01T12:00:00Z"
    scene.api.put(CLUSTERS, resource)
    assert await scene.look() == []


async def test_a_cluster_that_is_gone_needs_nothing() -> None:
    scene = Scene()
    assert await Reconciler(scene.api)(Key("demo", "nobody")) is None
    assert scene.api.writes == []


# ------------------------------------------------ what cannot be followed

TWICE = [{"name": "room", "components": ["a:B", "a:B"]}]


async def test_an_invalid_resource_is_explained_and_changes_nothing(
    scene: Scene,
) -> None:
    await scene.rest()
    scene.api.edit(backends=TWICE, gates={"replicas": 9})
    assert await scene.look() == [Write("status", "arena")]
    status, reason, message = scene.condition()
    assert (status, reason) == ("False", "InvalidSpec")
    assert message.startswith("spec.backends[0].components[1]: ")
    assert scene.condition("Available")[0] == "True"
    assert scene.condition("BackendsAvailable")[0] == "True"
    assert inner(scene.api.status(), "observedGeneration") == 2
    assert inner(scene.api.status(), "endpoints.0.name") == "ws"
    assert await scene.look() == []


async def test_an_invalid_resource_that_never_ran_is_explained_too() -> None:
    scene = Scene(cluster(backends=TWICE))
    assert await scene.look() == [Write("status", "arena")]
    assert scene.condition()[1] == "InvalidSpec"
    assert await scene.look() == []


async def test_without_an_image_the_user_is_told_what_to_do() -> None:
    scene = Scene(cluster(image=""))
    assert await scene.look() == [Write("status", "arena")]
    status, reason, message = scene.condition()
    assert (status, reason) == ("False", "ImageMissing")
    assert "set spec.image" in message
    assert "--node-image" in message
    assert await scene.look() == []


async def test_the_operators_image_is_used_where_none_is_named() -> None:
    scene = Scene(cluster(image=""), node_image="node:0")
    await scene.rest()
    path = "spec.template.spec.containers.0.image"
    assert inner(scene.api.see(*GATE), path) == "node:0"


SOURCED: Object = {
    "name": "room",
    "components": ["rooms:RoomService", "shop:ShopService"],
    "source": {"configMap": "first"},
}


def source(**files: str) -> Object:
    """Return a ConfigMap as a user makes it; ``rooms`` is the file ``rooms.py``."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "first", "namespace": "demo", "uid": "uid-of-first"},
        "data": {f"{name}.py": text for name, text in files.items()},
    }


async def test_components_that_are_not_there_are_told_by_field_and_looked_for() -> None:
    scene = Scene(cluster(backends=[SOURCED]))
    assert await scene.look() == [Write("status", "arena")]
    field = "spec.backends[0].source.configMap"
    missing = f"{field}: there is no ConfigMap first"
    assert scene.condition() == ("False", "SourceMissing", missing)
    scene.api.put(Kind.CONFIG_MAP.resource, source(rooms="pass"))
    assert await scene.look() == [Write("status", "arena")]
    missing = f"{field}: ConfigMap first has no key shop.py"
    assert scene.condition() == ("False", "SourceMissing", missing)
    scene.api.put(Kind.CONFIG_MAP.resource, source(rooms="pass", shop="pass"))
    await scene.rest()
    assert scene.condition()[0] == "True"


async def test_a_change_of_the_components_replaces_that_backend_alone() -> None:
    shop = {"name": "shop", "components": ["a:B"]}
    scene = Scene(cluster(backends=[SOURCED, shop]))
    scene.api.put(Kind.CONFIG_MAP.resource, source(rooms="pass", shop="pass"))
    await scene.rest()
    scene.api.put(Kind.CONFIG_MAP.resource, source(rooms="...", shop="pass"))
    assert await scene.look() == [
        Write("apply", "Deployment arena-room"),
        Write("status", "arena"),
    ]
    await scene.rest()
    assert scene.api.see(Kind.CONFIG_MAP, "first") == source(rooms="...", shop="pass")


async def test_components_that_vanish_leave_what_runs() -> None:
    scene = Scene(cluster(backends=[SOURCED]))
    scene.api.put(Kind.CONFIG_MAP.resource, source(rooms="pass", shop="pass"))
    await scene.rest()
    scene.api.drop(Kind.CONFIG_MAP, "first")
    assert await scene.look() == [Write("status", "arena")]
    assert scene.condition()[1] == "SourceMissing"
    assert scene.condition("Available")[0] == "True"


async def test_config_maps_with_components_are_looked_at_again_and_again() -> None:
    scene = Scene(cluster(backends=[SOURCED]))
    assert await scene.pause() == 10.0
    scene.api.put(Kind.CONFIG_MAP.resource, source(rooms="pass", shop="pass"))
    await scene.rest()
    assert await scene.pause() == 10.0
    scene.api.edit(backends=[{"name": "room", "components": ["a:B"]}])
    await scene.rest()
    assert await scene.pause() is None


async def test_a_refused_child_is_reported_and_the_others_are_made(
    scene: Scene,
) -> None:
    await scene.rest()
    scene.api.refuse["Deployment arena-room"] = "spec.affinity: Invalid value"
    shop = {"name": "shop", "components": ["a:B"]}
    room = {"name": "room", "components": ["a:B"], "replicas": 2}
    scene.api.drop(Kind.DEPLOYMENT, "arena-room")
    scene.api.edit(backends=[room, shop])
    with pytest.raises(RefusedError):
        await scene.look()
    assert scene.api.names(Kind.DEPLOYMENT) == [
        "arena-gate",
        "arena-master",
        "arena-shop",
    ]
    assert scene.condition() == (
        "False",
        "ChildRefused",
        "Deployment arena-room: spec.affinity: Invalid value",
    )
    scene.api.settle()
    scene.api.refuse.clear()
    await scene.rest()
    assert scene.condition()[0] == "True"


async def test_a_refused_token_is_reported_like_any_child(scene: Scene) -> None:
    scene.api.refuse["Secret arena-control"] = "exceeded quota"
    with pytest.raises(RefusedError):
        await scene.look()
    assert scene.condition()[1:] == (
        "ChildRefused",
        "Secret arena-control: exceeded quota",
    )
    scene.api.refuse.clear()
    await scene.rest()


@pytest.mark.parametrize("gone", [Kind.DEPLOYMENT, Kind.SECRET])
async def test_nothing_is_made_in_a_namespace_that_is_being_deleted(
    scene: Scene, gone: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.rest()
    scene.api.terminating = True
    scene.api.drop(gone, "arena-room" if gone is Kind.DEPLOYMENT else "arena-control")
    caplog.set_level(logging.INFO, "nano_operator")
    caplog.clear()
    assert await scene.pause() is None
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    said = "demo/arena: left alone: its namespace is being deleted"
    assert record.getMessage() == said
    scene.api.terminating = False  # never so, but it shows that nothing is kept of it
    await scene.rest()
    assert scene.condition()[0] == "True"


async def test_an_event_in_a_namespace_that_is_being_deleted_is_not_missed(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.rest()
    scene.api.terminating = True
    scene.api.edit(gates={"replicas": 0})
    caplog.set_level(logging.INFO, "nano_operator")
    assert await scene.pause() is None
    assert caplog.records[-1].getMessage().endswith("its namespace is being deleted")
    assert all(record.levelno == logging.INFO for record in caplog.records)


async def test_a_child_that_stays_refused_is_reported_once(scene: Scene) -> None:
    await scene.rest()
    scene.api.drop(Kind.DEPLOYMENT, "arena-room")
    scene.api.refuse["Deployment arena-room"] = "no"
    for expected in (True, False):
        with pytest.raises(RefusedError):
            await scene.look()
        wrote = Write("status", "arena") in scene.api.writes
        assert wrote is expected


# ------------------------------------------------ always

_templates: st.SearchStrategy[Object] = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.dictionaries(st.sampled_from(["a", "b"]), st.just("x")),
        "nodeSelector": st.dictionaries(st.sampled_from(["disk"]), st.just("fast")),
        "tolerations": st.just([{"key": "games", "operator": "Exists"}]),
        "volumes": st.just([{"name": "maps", "emptyDir": {}}]),
        "volumeMounts": st.just(
            [
                {"name": "maps", "mountPath": "/a"},
                {"name": "maps", "mountPath": "/b", "subPath": "b"},
            ]
        ),
    },
)
_role: dict[str, st.SearchStrategy[object]] = {
    "env": st.lists(
        st.fixed_dictionaries(
            {"name": st.sampled_from(["A", "B", "C"])},
            optional={"value": st.sampled_from(["", "1"])},
        ),
        max_size=3,
        unique_by=lambda entry: str(entry["name"]),
    ),
    "resources": st.sampled_from([{}, {"requests": {"memory": "1024Mi"}}]),
    "template": _templates,
}
_specs: st.SearchStrategy[Object] = st.fixed_dictionaries(
    {
        "gates": st.fixed_dictionaries({"replicas": st.integers(0, 3)}, optional=_role),
        "backends": st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.sampled_from(["room", "shop", "chat"]),
                    "components": st.just(["a:B"]),
                    "replicas": st.integers(0, 2),
                },
                optional=_role,
            ),
            max_size=3,
            unique_by=lambda entry: str(entry["name"]),
        ),
    },
    optional={"master": st.fixed_dictionaries({}, optional=_role)},
)


@settings(max_examples=25)
@given(specs=st.lists(_specs, min_size=1, max_size=3), restarts=st.booleans())
async def test_every_sequence_of_resources_comes_to_rest(
    specs: list[Object], restarts: bool
) -> None:
    scene = Scene()
    for spec in specs:
        scene.api.edit(**spec)
        await scene.rest()
        if restarts:
            scene.restart()
    assert scene.condition()[0] == "True"
    kinds = cast("list[Object]", specs[-1]["backends"])
    names = {f"arena-{kind['name']}" for kind in kinds}
    assert set(scene.api.names(Kind.DEPLOYMENT)) == names | {
        "arena-master",
        "arena-gate",
    }
