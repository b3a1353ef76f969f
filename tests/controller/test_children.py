"""What Kubernetes is told around the pods: budgets, policies, autoscalers, members."""

from __future__ import annotations

from typing import cast

import pytest

from nano_manifest import from_object
from nano_operator.objects import Object
from nano_operator.resources import Context, children

from .worlds import cluster, inner, of_kind

CPU = {"requests": {"cpu": "500m"}}
BOUNDS = {"minReplicas": 2, "maxReplicas": 8, "cpuPercent": 60}
OWN = {"podSelector": {"matchLabels": {"nanocluster.io/cluster": "arena"}}}
PROMETHEUS = {"namespaceSelector": {"matchLabels": {"team": "watch"}}}


def built(namespace: str = "system", /, **spec: object) -> list[Object]:
    return children(Context(from_object(cluster(**spec)), "", namespace))


def named(objects: list[Object], kind: str) -> list[object]:
    return [inner(each, "metadata.name") for each in objects if each["kind"] == kind]


def backend(**fields: object) -> Object:
    return {"name": "room", "components": ["a:B"], **fields}


# ------------------------------------------------ members


def test_the_members_service_lists_nodes_that_are_not_ready_too() -> None:
    made = of_kind(built(), "Service", "arena-members")
    assert made["spec"] == {
        "type": "ClusterIP",
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {"nanocluster.io/cluster": "arena"},
        "ports": [
            {"name": name, "port": port, "targetPort": name, "protocol": "TCP"}
            for name, port in (("cluster", 7650), ("observe", 7651))
        ],
    }


# ------------------------------------------------ budgets


@pytest.mark.parametrize(
    ("spec", "budgets"),
    [
        ({}, ["arena-gate"]),
        ({"gates": {"replicas": 1}}, []),
        ({"gates": {"replicas": 0}}, []),
        ({"backends": [backend(replicas=2)]}, ["arena-room", "arena-gate"]),
        (
            {"gates": {"replicas": 1, "resources": CPU, "autoscaling": BOUNDS}},
            ["arena-gate"],
        ),
        (
            {
                "gates": {
                    "replicas": 5,
                    "resources": CPU,
                    "autoscaling": {"minReplicas": 1, "maxReplicas": 9},
                }
            },
            [],
        ),
    ],
)
def test_a_role_has_a_budget_if_it_always_has_two_nodes(
    spec: Object, budgets: list[str]
) -> None:
    assert named(built(**spec), "PodDisruptionBudget") == budgets


def test_a_budget_lets_one_node_go_and_every_node_that_is_not_ready() -> None:
    made = of_kind(
        built(backends=[backend(replicas=3)]), "PodDisruptionBudget", "arena-room"
    )
    assert made["spec"] == {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {
            "matchLabels": {
                "nanocluster.io/cluster": "arena",
                "nanocluster.io/role": "backend",
                "nanocluster.io/backend": "room",
            }
        },
    }


# ------------------------------------------------ policies


def nodes(namespace: str = "system", /, **spec: object) -> Object:
    return of_kind(built(namespace, **spec), "NetworkPolicy", "arena-nodes")


def sources(policy: Object) -> dict[int, object]:
    """Return who is let in, by port; everybody is None."""
    rules = cast("list[Object]", inner(policy, "spec.ingress"))
    return {
        cast("int", inner(each, "ports.0.port")): each.get("from") for each in rules
    }


def test_the_nodes_own_ports_are_for_those_who_need_them() -> None:
    made = nodes()
    assert inner(made, "spec.policyTypes") == ["Ingress"]
    assert inner(made, "spec.podSelector") == OWN["podSelector"]
    operator = {
        "namespaceSelector": {
            "matchLabels": {"kubernetes.io/metadata.name": "system"},
        },
        "podSelector": {
            "matchLabels": {"app.kubernetes.io/name": "nanocluster-operator"},
        },
    }
    assert sources(made) == {7650: [OWN], 7651: None, 7652: [operator]}


def test_every_process_of_a_gate_has_its_cluster_port_open() -> None:
    made = nodes(gates={"processes": 3})
    ports = cast("list[Object]", inner(made, "spec.ingress.0.ports"))
    assert [entry["port"] for entry in ports] == [7650, 7653, 7654]


def test_an_operator_outside_of_kubernetes_opens_no_control_port() -> None:
    assert sources(nodes("")) == {7650: [OWN], 7651: None}


def test_others_are_let_in_where_the_manifest_says_so() -> None:
    go = {"podSelector": {"matchLabels": {"app": "go-node"}}}
    asked = {"clusterFrom": [go], "observeFrom": [PROMETHEUS]}
    found = sources(nodes(networkPolicy=asked))
    assert found[7650] == [OWN, go]
    assert found[7651] == [PROMETHEUS]


def test_every_listener_is_open_to_everybody() -> None:
    listeners = [
        {"name": "ws", "transport": "websocket", "port": 3250},
        {"name": "raw", "transport": "tcp", "port": 4000},
        {"name": "local", "transport": "unix", "socket": "/tmp/nano.sock"},
    ]
    made = of_kind(built(gates={"listeners": listeners}), "NetworkPolicy", "arena-gate")
    assert made["spec"] == {
        "podSelector": {
            "matchLabels": {
                "nanocluster.io/cluster": "arena",
                "nanocluster.io/role": "gate",
            }
        },
        "policyTypes": ["Ingress"],
        "ingress": [
            {
                "ports": [
                    {"port": 3250, "protocol": "TCP"},
                    {"port": 4000, "protocol": "TCP"},
                ]
            }
        ],
    }


def test_the_manifest_can_do_without_policies() -> None:
    assert named(built(networkPolicy={"enabled": False}), "NetworkPolicy") == []


# ------------------------------------------------ autoscalers


def test_a_role_is_scaled_by_its_use_of_the_cpu() -> None:
    scaled = backend(resources=CPU, autoscaling=BOUNDS)
    made = built(backends=[scaled])
    assert named(made, "HorizontalPodAutoscaler") == ["arena-room"]
    spec = of_kind(made, "HorizontalPodAutoscaler", "arena-room")["spec"]
    assert inner(spec, "scaleTargetRef") == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "arena-room",
    }
    assert inner(spec, "minReplicas") == 2
    assert inner(spec, "maxReplicas") == 8
    resource = "metrics.0.resource"
    assert inner(spec, f"{resource}.name") == "cpu"
    assert inner(spec, f"{resource}.target.averageUtilization") == 60
    assert inner(spec, "behavior.scaleDown.policies") == [
        {"type": "Pods", "value": 1, "periodSeconds": 60}
    ]


def test_the_operator_says_nothing_of_replicas_that_others_choose() -> None:
    made = built(
        gates={"resources": CPU, "autoscaling": BOUNDS},
        backends=[backend(resources=CPU, autoscaling=BOUNDS)],
    )
    for name in ("arena-gate", "arena-room"):
        spec = cast("Object", of_kind(made, "Deployment", name)["spec"])
        assert "replicas" not in spec
    master = of_kind(made, "Deployment", "arena-master")
    assert inner(master, "spec.replicas") == 1


# ------------------------------------------------ rollouts


def test_gates_can_be_replaced_one_at_a_time() -> None:
    made = of_kind(built(gates={"rollout": "conserve"}), "Deployment", "arena-gate")
    strategy = inner(made, "spec.strategy.rollingUpdate")
    assert strategy == {"maxSurge": 1, "maxUnavailable": 0}


def test_a_wish_to_restart_is_an_annotation_of_every_pod() -> None:
    resource = cluster()
    wish = {"nanocluster.io/restart": "monday"}
    cast("Object", resource["metadata"])["annotations"] = wish
    for made in children(Context(from_object(resource))):
        if made["kind"] == "Deployment":
            path = "spec.template.metadata.annotations"
            assert wish.items() <= cast("Object", inner(made, path)).items()
