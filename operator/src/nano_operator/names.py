"""What everything is called: labels, object names, ports, paths, variables.

One table for builders, plan and watches, so that what one part writes another part
finds.  Pure values; the rules behind them (lengths, allowed characters) are checked
by :mod:`nano_manifest`.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = [
    "AUTOSCALED",
    "CLOSED_AT",
    "COMPONENT",
    "CONSUMED",
    "DELETION_COST",
    "ENTRANCE",
    "HANDOVER",
    "INSTANCE",
    "INTENT",
    "MANAGED_BY",
    "MANAGER",
    "NAME",
    "PART_OF",
    "RESTART",
    "ROTATE",
    "SERVICE_NAME",
    "SOURCE",
    "TEMPLATE",
    "Entrance",
    "authority_name",
    "clients_selector",
    "cluster_labels",
    "config_name",
    "gate_name",
    "gates_labels",
    "master_name",
    "members_name",
    "nodes_name",
    "nodes_selector",
    "owned_selector",
    "role_name",
    "secret_name",
]

MANAGER: Final = "nanocluster-operator"
"""Field manager of every child, and the value of the label ``managed-by``."""

HANDOVER: Final = f"{MANAGER}-handover"
"""Field manager of what the operator has said once and will not say again."""

NAME: Final = "app.kubernetes.io/name"
INSTANCE: Final = "app.kubernetes.io/instance"
COMPONENT: Final = "app.kubernetes.io/component"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
PART_OF: Final = "app.kubernetes.io/part-of"

CLUSTER: Final = "nanocluster.io/cluster"
ROLE: Final = "nanocluster.io/role"
BACKEND: Final = "nanocluster.io/backend"

INTENT: Final = "nanocluster.io/intent"
"""Annotation of a child: digest of all that the operator said about it."""

CONSUMED: Final = "nanocluster.io/consumed"
"""Annotation of a pod: digest of the part of the manifest that its role reads."""

AUTOSCALED: Final = "nanocluster.io/autoscaled"
"""Annotation of a Deployment: somebody else chooses its number of pods."""

RESTART: Final = "nanocluster.io/restart"
"""Annotation of a cluster; the pods get it too, so a new value replaces them all."""

ROTATE: Final = "nanocluster.io/rotate-certificates"
"""Annotation of a cluster: another value asks for another authority; and of the Secret
of the authority: the last one that was followed."""

SOURCE: Final = "nanocluster.io/source"
"""Annotation of a pod: digest of the ConfigMap that its components are taken from."""

TEMPLATE: Final = "nanocluster.io/template"
"""Annotation of a Deployment: digest of its pods' template as it should be."""

ENTRANCE: Final = "nanocluster.io/entrance"
"""Label of a gate's pod: whether the clients' Service selects it."""


class Entrance(Enum):
    """The values of that label."""

    OPEN = "open"
    CLOSED = "closed"


CLOSED_AT: Final = "nanocluster.io/closed-at"
"""Annotation of a gate's pod that is closed: since when."""

DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
"""Kubernetes' own annotation: who of several pods is removed first."""

SERVICE_NAME: Final = "kubernetes.io/service-name"
"""Kubernetes' own label of an EndpointSlice: whose it is."""

MASTER: Final = "master"
GATE: Final = "gate"
BACKEND_ROLE: Final = "backend"


def cluster_labels(cluster: str) -> dict[str, str]:
    """Return the labels of everything made for *cluster*."""
    return {
        NAME: "nanocluster",
        INSTANCE: cluster,
        MANAGED_BY: MANAGER,
        PART_OF: "nanocluster",
        CLUSTER: cluster,
    }


def role_labels(cluster: str, role: str, backend: str = "") -> dict[str, str]:
    """Return the labels of what belongs to one role, with the kind of backend."""
    labels = cluster_labels(cluster) | {COMPONENT: role, ROLE: role}
    return labels | {BACKEND: backend} if backend else labels


def role_selector(cluster: str, role: str, backend: str = "") -> dict[str, str]:
    """Return the fewest labels that tell a role's pods from all others.

    A Deployment's selector can never be changed, so nothing may be in it that
    could ever want to.
    """
    selector = {CLUSTER: cluster, ROLE: role}
    return selector | {BACKEND: backend} if backend else selector


def gates_labels(cluster: str) -> dict[str, str]:
    """Return the labels that a new gate's pod has."""
    return role_labels(cluster, GATE) | {ENTRANCE: Entrance.OPEN.value}


def clients_selector(cluster: str) -> dict[str, str]:
    """Return the labels of the gates to which new clients may come."""
    return role_selector(cluster, GATE) | {ENTRANCE: Entrance.OPEN.value}


def nodes_selector(cluster: str) -> dict[str, str]:
    """Return the labels that tell the pods of *cluster* from all others."""
    return {CLUSTER: cluster}


def written(selector: dict[str, str]) -> str:
    """Return *selector* the way the API and HPAs want it: ``a=b,c=d``."""
    return ",".join(f"{key}={value}" for key, value in selector.items())


def owned_selector(cluster: str) -> str:
    """Return the label selector that lists every child of *cluster*."""
    return written({MANAGED_BY: MANAGER, CLUSTER: cluster})


def config_name(cluster: str) -> str:
    """Return the name of the ConfigMap with the manifest."""
    return f"{cluster}-manifest"


def secret_name(cluster: str) -> str:
    """Return the name of the Secret with the control token."""
    return f"{cluster}-control"


def authority_name(cluster: str) -> str:
    """Return the name of the Secret with the key that signs the nodes' certificates."""
    return f"{cluster}-authority"


def master_name(cluster: str) -> str:
    """Return the name of the master's Deployment and Service."""
    return f"{cluster}-master"


def gate_name(cluster: str) -> str:
    """Return the name of the gates' Deployment and of the clients' Service."""
    return f"{cluster}-gate"


def members_name(cluster: str) -> str:
    """Return the name of the Service that lists all nodes."""
    return f"{cluster}-members"


def nodes_name(cluster: str) -> str:
    """Return the name of the NetworkPolicy of all nodes."""
    return f"{cluster}-nodes"


def role_name(cluster: str, backend: str) -> str:
    """Return the name of one backend kind's Deployment."""
    return f"{cluster}-{backend}"
