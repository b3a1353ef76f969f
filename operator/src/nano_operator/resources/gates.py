"""The gates: pods that hold the clients' connections, and the clients' Service."""

from __future__ import annotations

from nano_manifest import Listener
from nano_operator.names import (
    GATE,
    clients_selector,
    gate_name,
    role_labels,
    role_selector,
)
from nano_operator.objects import Kind, Object
from nano_operator.resources.context import Context, metadata
from nano_operator.resources.pod import (
    PodRole,
    deployment_head,
    pod_template,
    replicas_of,
)

__all__ = ["deployment", "service"]


def deployment(context: Context, pod: PodRole) -> Object:
    """Return the gates' Deployment.

    A rollout first makes a whole new set of gates.  A client that has to leave its
    gate then finds only new ones, and is not sent on a second time.  Who has no room
    for two sets can have one gate replaced at a time.
    """
    surge: str | int = "100%" if context.cluster.spec.gates.rollout == "surge" else 1
    return deployment_head(context, pod) | {
        "spec": {
            **replicas_of(pod),
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": surge, "maxUnavailable": 0},
            },
            "selector": {"matchLabels": role_selector(context.name, GATE)},
            "template": pod_template(context, pod),
        }
    }


def service(context: Context) -> Object:
    """Return the Service through which clients reach the ready gates.

    Gates that are about to leave are not selected: :mod:`nano_operator.leaving`.
    """
    gates = context.cluster.spec.gates
    kind = gates.service.type
    spec: Object = {
        "type": kind,
        "selector": clients_selector(context.name),
        "ports": [_port(it, kind) for it in gates.listeners if it.port is not None],
    }
    if kind == "LoadBalancer":
        spec["externalTrafficPolicy"] = "Local"  # keeps the clients' addresses
    return metadata(
        context,
        Kind.SERVICE,
        gate_name(context.name),
        role_labels(context.name, GATE),
        gates.service.annotations,
    ) | {"spec": spec}


def _port(listener: Listener, kind: str) -> Object:
    port: Object = {
        "name": listener.name,
        "port": listener.port,
        "targetPort": listener.name,
        "protocol": "TCP",
    }
    if listener.node_port is not None and kind != "ClusterIP":
        port["nodePort"] = listener.node_port
    return port
