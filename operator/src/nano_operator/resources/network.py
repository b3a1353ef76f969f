"""Who reaches which port of the nodes.

Two NetworkPolicies, which add up: one closes every node but for its own ports, the
other opens the listeners of the gates.  Probes come from the pod's own machine, and
Kubernetes always lets those in.
"""

from __future__ import annotations

from nano_manifest import CONTROL_PORT, OBSERVE_PORT, cluster_ports
from nano_operator.names import (
    GATE,
    MANAGER,
    NAME,
    gate_name,
    nodes_name,
    nodes_selector,
    role_labels,
    role_selector,
)
from nano_operator.objects import Kind, Object
from nano_operator.resources.context import Context, metadata

__all__ = ["policies"]

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""Label that Kubernetes gives every namespace."""


def policies(context: Context) -> list[Object]:
    """Return the policies; none where the manifest wants none."""
    if not context.cluster.spec.network_policy.enabled:
        return []
    return [_nodes(context), _clients(context)]


def _nodes(context: Context) -> Object:
    wanted = context.cluster.spec.network_policy
    # a gate of several processes has a cluster port for each
    processes = context.cluster.spec.gates.processes
    own: Object = {"podSelector": {"matchLabels": nodes_selector(context.name)}}
    ingress = [
        _rule(cluster_ports(processes), [own, *wanted.cluster_from]),
        _rule([OBSERVE_PORT], wanted.observe_from),
    ]
    if context.operator_namespace:
        ingress.append(_rule([CONTROL_PORT], [_operator(context.operator_namespace)]))
    name = nodes_name(context.name)
    return metadata(context, Kind.NETWORK_POLICY, name) | {
        "spec": _spec(nodes_selector(context.name), ingress)
    }


def _clients(context: Context) -> Object:
    listeners = context.cluster.spec.gates.listeners
    ports = [item.port for item in listeners if item.port is not None]
    name, labels = gate_name(context.name), role_labels(context.name, GATE)
    return metadata(context, Kind.NETWORK_POLICY, name, labels) | {
        "spec": _spec(role_selector(context.name, GATE), [_rule(ports, [])])
    }


def _spec(selector: dict[str, str], ingress: list[Object]) -> Object:
    return {
        "podSelector": {"matchLabels": selector},
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    }


def _rule(ports: list[int], sources: list[Object]) -> Object:
    """Return one rule; no *sources* means everybody, as in Kubernetes."""
    rule: Object = {"ports": [{"port": port, "protocol": "TCP"} for port in ports]}
    return rule | ({"from": sources} if sources else {})


def _operator(namespace: str) -> Object:
    return {
        "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: namespace}},
        "podSelector": {"matchLabels": {NAME: MANAGER}},
    }
