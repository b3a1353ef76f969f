"""How gates leave when their number is lowered: the table, and stories with it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec
import pytest

from nano_operator.census import Census
from nano_operator.controller import Key
from nano_operator.figures import Said
from nano_operator.leaving import TABLE, Exit, Marked, Need, Step, way_out
from nano_operator.names import (
    CLOSED_AT,
    DELETION_COST,
    ENTRANCE,
    SERVICE_NAME,
    clients_selector,
    gates_labels,
)
from nano_operator.objects import (
    CLUSTERS,
    PODS,
    SLICES,
    Deployment,
    Kind,
    Object,
    Pod,
)
from nano_operator.reconcile import Reconciler

from .worlds import MemoryApi, Write, cluster, inner

KEY = Key("demo", "arena")
NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
GATE = (Kind.DEPLOYMENT, "arena-gate")
TOKEN = "dG9rZW4="


def gate_pod(name: str, *, ready: bool = True) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "demo",
            "uid": f"uid-of-{name}",
            "generation": 1,
            "labels": gates_labels("arena"),
        },
        "spec": {"nodeName": "machine"},
        "status": {
            "phase": "Running",
            "podIP": f"10.0.0.{name[-1]}",
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


class Town:
    """A cluster with gates, a Service that knows them, and who removes them.

    Attributes:
        clients: How many each gate has; one that is not here does not answer.
        slow: The Service's endpoints stay as they are.
        removed: The gates that Kubernetes has ended, in order.
    """

    def __init__(self, gates: int) -> None:
        self.api = MemoryApi()
        self.api.put(CLUSTERS, cluster(gates={"replicas": gates}))
        self.clients: dict[str, int] = {}
        self.slow = False
        self.removed: list[str] = []
        self.now = NOW
        self.counted = 0
        self.restart()

    def restart(self) -> None:
        """Let another operator go on."""
        census = Census(self.api, self._ask)
        self._reconciler = Reconciler(self.api, clock=lambda: self.now, census=census)

    async def settle(self, **clients: int) -> None:
        """Let everything run, with these gates and their clients."""
        for _ in range(6):
            await self._reconciler(KEY)
            self.api.settle()
        secret = self.api.see(Kind.SECRET, "arena-control")
        secret["data"] = {"token": TOKEN}
        for name in clients:
            self.api.put(PODS, gate_pod(name))
        self.clients = clients
        self.kubernetes()
        await self._reconciler(KEY)

    async def _ask(self, addresses: Mapping[str, str], token: str) -> dict[str, Said]:
        self.counted += 1
        return {
            name: Said(connections=self.clients[name])
            for name in addresses
            if name in self.clients
        }

    def pods(self) -> list[str]:
        return sorted(name for name, _ in self._all())

    def closed(self) -> list[str]:
        return sorted(
            name for name, pod in self._all() if label(pod, ENTRANCE) == "closed"
        )

    def costs(self) -> list[str]:
        return sorted(
            name for name, pod in self._all() if annotation(pod, DELETION_COST)
        )

    def _all(self) -> list[tuple[str, Object]]:
        objects = self.api._objects
        return [(name, pod) for (kind, name), pod in objects.items() if kind == "pods"]

    def told(self) -> object:
        """Return the number of gates that Kubernetes was told."""
        return inner(self.api.see(*GATE), "spec.replicas")

    def kubernetes(self) -> None:
        """Let the Service see its pods, and remove pods of which there are too many."""
        wanted = clients_selector("arena")
        if not self.slow:
            known = [
                {"targetRef": {"kind": "Pod", "uid": inner(pod, "metadata.uid")}}
                for _, pod in self._all()
                if wanted.items()
                <= cast("Object", inner(pod, "metadata.labels")).items()
            ]
            of_clients = {SERVICE_NAME: "arena-gate"}
            self.api.put(
                SLICES,
                {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {"name": "arena-gate-1", "labels": of_clients},
                    "endpoints": known,
                },
            )
        number = cast("int", self.told())
        # those that are not ready first, then those of the lowest cost
        order = sorted(
            self._all(),
            key=lambda it: (
                inner(it[1], "status.conditions.0.status") == "True",
                int(annotation(it[1], DELETION_COST) or 0),
                it[0],
            ),
        )
        for name, _ in order[: max(0, len(order) - number)]:
            self.removed.append(name)
            del self.api._objects[PODS.plural, name]
        self.api.settle()

    async def look(self) -> list[Write]:
        """Let the operator look once; return its writes to pods and Deployments."""
        self.api.writes.clear()
        await self._reconciler(KEY)
        self.now += timedelta(seconds=2)
        return [write for write in self.api.writes if write.verb != "status"]

    async def rest(self) -> None:
        """Let both work until neither has anything to do."""
        for _ in range(8):
            await self.look()
            self.kubernetes()
        self.api.writes.clear()
        await self._reconciler(KEY)
        assert self.api.writes == []


def label(pod: Object, name: str) -> str:
    labels = cast("dict[str, str]", inner(pod, "metadata.labels"))
    return labels.get(name, "")


def annotation(pod: Object, name: str) -> str:
    metadata = cast("Object", pod["metadata"])
    return cast("dict[str, str]", metadata.get("annotations", {})).get(name, "")


@pytest.fixture
async def town() -> Town:
    made = Town(gates=4)
    await made.settle(g1=40, g2=10, g3=30, g4=20)
    return made


# ------------------------------------------------ the table


def test_every_case_has_a_step() -> None:
    possible = {
        (need, marked, busy)
        for need, marked, busy in itertools.product(Need, Marked, (False, True))
        # where nobody has to go, none closed is enough and any is too many
        if need in (Need.LOWER, Need.REPLACE) or marked in (Marked.ENOUGH, Marked.MANY)
    }
    assert TABLE.keys() == possible
    assert set(TABLE.values()) == set(Step)


def test_the_number_is_lowered_only_when_enough_are_closed_and_forgotten() -> None:
    lowering = {key for key, step in TABLE.items() if step is Step.LOWER}
    assert {key for key in lowering if key[0] is not Need.REPLACE} == {
        (Need.LOWER, Marked.ENOUGH, False)
    }


# ------------------------------------------------ stories


async def test_those_with_the_fewest_clients_leave_after_the_service_forgot_them(
    town: Town,
) -> None:
    town.api.edit(gates={"replicas": 2})
    await town.look()
    assert town.closed() == town.costs() == ["g2", "g4"]
    assert town.told() == 4
    town.slow = True  # as long as clients may still be sent there, nothing happens
    for _ in range(3):
        town.kubernetes()
        assert await town.look() == []
    assert (town.told(), town.removed) == (4, [])
    town.slow = False
    town.kubernetes()
    assert await town.look() == [Write("apply", "Deployment arena-gate")]
    assert town.told() == 2
    town.kubernetes()
    assert town.removed == ["g2", "g4"]
    await town.rest()
    assert town.pods() == ["g1", "g3"]
    assert town.closed() == town.costs() == []


async def test_a_steady_cluster_has_no_marks_and_no_counting(town: Town) -> None:
    await town.rest()
    assert town.counted == 0
    assert town.costs() == []


async def test_the_gates_are_counted_at_the_moment_of_the_choice(town: Town) -> None:
    town.clients = {"g1": 1, "g2": 90, "g3": 30, "g4": 20}
    town.api.edit(gates={"replicas": 3})
    await town.look()
    assert town.counted == 1
    assert town.closed() == ["g1"]
    await town.rest()
    assert town.counted == 1


async def test_a_gate_that_does_not_say_stays_and_one_that_is_not_ready_goes(
    town: Town,
) -> None:
    del town.clients["g2"]
    town.api.put(PODS, gate_pod("g1", ready=False))
    town.api.edit(gates={"replicas": 2})
    await town.look()
    assert town.closed() == ["g1", "g4"]
    await town.rest()
    assert town.removed == ["g1", "g4"]


async def test_who_leaves_is_shown_in_the_status(town: Town) -> None:
    town.api.edit(gates={"replicas": 3})
    await town.look()
    assert town.api.status()["drains"] == [{"pod": "g2", "role": "gate"}]
    conditions = cast("list[Object]", town.api.status()["conditions"])
    ready = next(entry for entry in conditions if entry["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "RollingOut")


async def test_a_number_that_is_raised_again_undoes_all(town: Town) -> None:
    town.api.edit(gates={"replicas": 1})
    await town.look()
    assert len(town.closed()) == 3
    town.api.edit(gates={"replicas": 4})
    await town.look()
    assert town.closed() == town.costs() == []
    await town.rest()
    assert town.removed == []


async def test_of_fewer_that_have_to_go_those_with_most_clients_are_spared(
    town: Town,
) -> None:
    town.api.edit(gates={"replicas": 1})
    await town.look()
    assert town.closed() == ["g2", "g3", "g4"]
    town.api.edit(gates={"replicas": 3})
    await town.look()
    assert town.closed() == ["g2"]
    await town.rest()
    assert town.removed == ["g2"]


async def test_more_that_have_to_go_are_added(town: Town) -> None:
    town.api.edit(gates={"replicas": 3})
    await town.look()
    town.api.edit(gates={"replicas": 2})
    await town.look()
    assert town.closed() == ["g2", "g4"]
    await town.rest()
    assert town.removed == ["g2", "g4"]


@pytest.mark.parametrize("looks", range(6))
async def test_another_operator_goes_on_wherever_the_first_one_died(
    town: Town, looks: int
) -> None:
    town.api.edit(gates={"replicas": 2})
    for _ in range(looks):
        await town.look()
        town.kubernetes()
    town.restart()
    await town.rest()
    assert town.removed == ["g2", "g4"]
    assert town.closed() == town.costs() == []


@pytest.mark.parametrize("looks", range(3))
async def test_an_undone_one_is_undone_by_another_operator_too(
    town: Town, looks: int
) -> None:
    town.api.edit(gates={"replicas": 2})
    for _ in range(looks):
        await town.look()
        town.kubernetes()
    town.api.edit(gates={"replicas": 4})
    town.restart()
    await town.rest()
    assert town.closed() == town.costs() == []


async def test_where_another_went_the_closed_one_stays(town: Town) -> None:
    town.api.edit(gates={"replicas": 3})
    await town.look()
    assert town.closed() == ["g2"]
    town.kubernetes()
    # it fails in the moment in which the number is lowered
    town.api.put(PODS, gate_pod("g3", ready=False))
    await town.look()
    town.kubernetes()
    assert town.removed == ["g3"]
    await town.rest()
    assert town.pods() == ["g1", "g2", "g4"]
    assert town.closed() == town.costs() == []


async def test_a_closed_one_that_dies_is_not_replaced_by_a_second_choice(
    town: Town,
) -> None:
    town.api.edit(gates={"replicas": 3})
    await town.look()
    del town.api._objects[PODS.plural, "g2"]  # evicted
    await town.rest()
    assert town.removed == []
    assert town.pods() == ["g1", "g3", "g4"]


async def test_a_service_that_forgets_nobody_stops_it_for_a_while_only(
    town: Town,
) -> None:
    town.slow = True
    town.api.edit(gates={"replicas": 3})
    await town.look()
    town.now += timedelta(seconds=20)
    await town.look()
    assert town.told() == 4
    town.now += timedelta(seconds=20)
    await town.look()
    assert town.told() == 3


async def test_where_all_are_replaced_nobody_is_chosen(town: Town) -> None:
    town.api.edit(gates={"replicas": 2}, image="arena:2")
    for _ in range(4):
        await town.look()
        assert town.closed() == []
        town.api.settle()
    assert town.told() == 2
    assert town.counted == 0


async def test_where_an_autoscaler_chooses_the_number_marks_are_taken_back(
    town: Town,
) -> None:
    town.api.edit(gates={"replicas": 2})
    await town.look()
    town.api.edit(
        gates={
            "replicas": 2,
            "autoscaling": {"minReplicas": 2, "maxReplicas": 6},
            "resources": {"requests": {"cpu": 1}},
        }
    )
    await town.rest()
    assert town.closed() == town.costs() == []
    assert town.told() == 4


async def test_what_somebody_changes_meanwhile_is_put_back_without_haste(
    town: Town,
) -> None:
    town.api.edit(gates={"replicas": 2})
    await town.look()
    strategy = cast("Object", inner(town.api.see(*GATE), "spec.strategy"))
    strategy["type"] = "Recreate"
    await town.look()
    assert inner(town.api.see(*GATE), "spec.strategy.type") == "RollingUpdate"
    assert town.told() == 4


async def test_a_number_that_somebody_raised_is_lowered_in_the_same_way(
    town: Town,
) -> None:
    cast("Object", town.api.see(*GATE)["spec"])["replicas"] = 5
    town.api.put(PODS, gate_pod("g5"))
    town.clients["g5"] = 0
    await town.look()
    assert town.closed() == ["g5"]
    await town.rest()
    assert town.removed == ["g5"]


# ------------------------------------------------ one by one


def pods(**closed_at: str) -> list[Pod]:
    found = []
    for name, at in closed_at.items():
        raw = gate_pod(name)
        if at:
            metadata = cast("Object", raw["metadata"])
            metadata["labels"] = {ENTRANCE: "closed"}
            metadata["annotations"] = {CLOSED_AT: at}
        found.append(msgspec.convert(raw, Pod))
    return found


def deployment(replicas: int) -> Deployment:
    status = dict.fromkeys(("replicas", "updatedReplicas"), replicas)
    return msgspec.convert(
        {"metadata": {"name": "g"}, "spec": {"replicas": replicas}, "status": status},
        Deployment,
    )


@pytest.mark.parametrize(
    ("at", "step"),
    [
        ("2026-05-01T11:59:40Z", Step.WAIT),
        ("2026-05-01T11:59:40", Step.WAIT),  # as a person might write it
        ("2026-05-01T11:59:00Z", Step.LOWER),
        ("yesterday", Step.LOWER),
    ],
)
def test_a_time_that_cannot_be_read_is_long_ago(at: str, step: Step) -> None:
    gates = Exit(pods=pods(g1="", g2=at), endpoints=frozenset({"uid-of-g2"}))
    assert way_out(1, deployment(2), False, gates, NOW).step is step


def test_with_fewer_pods_than_kubernetes_was_told_fewer_have_to_go() -> None:
    gates = Exit(pods=pods(g1="", g2=""), counted=True)
    assert way_out(2, deployment(5), False, gates, NOW).step is Step.LOWER
    way = way_out(1, deployment(5), False, gates, NOW)
    assert (way.step, way.replicas, len(way.close)) == (Step.CLOSE, 5, 1)
