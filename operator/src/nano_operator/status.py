"""The status of a NanoCluster: numbers, addresses and conditions.

Pure.  :mod:`nano_operator.plan` decides whether it differs from the one that is
there; it is written by server-side apply, so what is left out here is removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import cast

from nano_manifest import Backend, Gates, NanoCluster
from nano_operator.conditions import Obstacle, RoleState, Verdict, View, conditions
from nano_operator.conditions.view import PLAIN
from nano_operator.figures import (
    SHOWN,
    Figures,
    drains_shown,
    routes_shown,
    shown,
)
from nano_operator.names import (
    BACKEND,
    BACKEND_ROLE,
    GATE,
    MASTER,
    ROLE,
    gate_name,
    master_name,
    role_name,
    role_selector,
    written,
)
from nano_operator.objects import Child, Kind, Meta, Object, Ref

__all__ = ["by_type", "same_status", "status_of"]

Children = Mapping[Ref, Child]


def status_of(
    meta: Meta,
    cluster: NanoCluster | None,
    children: Children,
    previous: Object,
    now: datetime,
    *,
    obstacle: Obstacle | None = None,
    pending: tuple[Ref, ...] = (),
    figures: Figures | None = None,
    closed: Mapping[str, str] = MappingProxyType({}),
    encryption: Verdict = PLAIN,
    certificates: Object | None = None,
) -> Object:
    """Return the status that the resource should have.

    Args:
        meta: Of the resource.
        cluster: What the resource asks for; None where that is invalid, and then
            the status tells how the children of an earlier generation are.
        children: As the API server shows them.
        previous: The status that is there.
        now: The time of a transition that happens here.
        obstacle: Why the resource cannot be followed.
        pending: What cannot be written at present.
        figures: What the nodes said last; None: nobody has asked yet, and what was
            written stays.
        closed: Role of each pod that is about to leave, by its name.
        encryption: How the cluster port is secured.
        certificates: What is told of certificates that the operator issues.
    """
    roles = _Roles(meta.name, children, pending)
    view = View(
        master=roles.of(MASTER, master_name(meta.name), 1),
        gates=roles.of(
            GATE,
            gate_name(meta.name),
            _wanted(cluster.spec.gates) if cluster else None,
        ),
        backends=tuple(roles.backends(cluster).values()),
        obstacle=obstacle,
        pending=tuple(str(ref) for ref in pending if ref.kind is not Kind.DEPLOYMENT),
        encryption=encryption,
    )
    told: Object = {} if certificates is None else {"certificates": certificates}
    return {
        "observedGeneration": meta.generation,
        "conditions": conditions(view, meta.generation, by_type(previous), now),
        "step": view.step,
        "gates": {
            "replicas": view.gates.replicas,
            "readyReplicas": view.gates.ready,
            "selector": written(role_selector(meta.name, GATE)),
            **_connections(figures, cast("Object", previous.get("gates") or {})),
        },
        "backends": [
            {"name": name, "replicas": kind.replicas, "readyReplicas": kind.ready}
            for name, kind in roles.backends(cluster).items()
        ],
        "routes": previous.get("routes", [])
        if figures is None or figures.routes is None
        else routes_shown(figures),
        "drains": drains_shown({**_drains(figures, previous), **closed}),
        "endpoints": _endpoints(cluster, children)
        if cluster
        else previous.get("endpoints", []),
        **told,
    }


def _connections(figures: Figures | None, previous: Object) -> Object:
    """Return how many clients the gates have, and which gates did not say."""
    if figures is None:
        kept = ("connections", "silent")
        return {key: previous[key] for key in kept if key in previous}
    count = shown(figures.connections, previous.get("connections"))
    known: Object = {} if count is None else {"connections": count}
    return known | {"silent": list(figures.silent[:SHOWN])}


def _drains(figures: Figures | None, previous: Object) -> Mapping[str, str]:
    if figures is not None:
        return figures.drains
    entries = cast("list[Object]", previous.get("drains") or [])
    return {str(entry["pod"]): str(entry.get("role", "")) for entry in entries}


def same_status(wanted: Object, previous: Object) -> bool:
    """Tell whether *previous* says all that *wanted* says.

    Conditions of other writers may stand between ours.
    """
    if ("certificates" in wanted) is not ("certificates" in previous):
        return False
    ours = cast("list[Object]", wanted["conditions"])
    theirs = by_type(previous)
    return all(theirs.get(str(entry["type"])) == entry for entry in ours) and all(
        previous.get(key, [] if value == [] else None) == value
        for key, value in wanted.items()
        if key != "conditions"
    )


class _Roles:
    """Reads the state of roles from the Deployments among the children."""

    def __init__(
        self, cluster: str, children: Children, pending: tuple[Ref, ...]
    ) -> None:
        self._cluster = cluster
        self._children = children
        self._pending = pending

    def of(
        self, role: str, name: str, desired: int | None, backend: str = ""
    ) -> RoleState:
        ref = Ref(Kind.DEPLOYMENT, name)
        child = self._children.get(ref)
        deployment = child.deployment() if child else None
        if desired is None:  # not said here: it is what the Deployment was told last
            desired = deployment.spec.replicas if deployment else 0
        title = f"backend {backend}" if backend else role
        return RoleState.of(title, desired, deployment, ref in self._pending)

    def backends(self, cluster: NanoCluster | None) -> dict[str, RoleState]:
        wanted: dict[str, int | None]
        if cluster is not None:
            wanted = {kind.name: _wanted(kind) for kind in cluster.spec.backends}
        else:
            labels = (child.meta.labels for child in self._children.values())
            wanted = dict.fromkeys(
                sorted(
                    label[BACKEND]
                    for label in labels
                    if label.get(ROLE) == BACKEND_ROLE and BACKEND in label
                )
            )
        return {
            name: self.of(BACKEND_ROLE, role_name(self._cluster, name), desired, name)
            for name, desired in wanted.items()
        }


def _wanted(role: Gates | Backend) -> int | None:
    """Return how many nodes the resource asks for; None if an autoscaler does."""
    return role.replicas if role.autoscaling is None else None


def _endpoints(cluster: NanoCluster, children: Children) -> list[Object]:
    """Return where clients connect: the load balancer if there is one, or inside."""
    name = gate_name(cluster.metadata.name)
    host = f"{name}.{cluster.metadata.namespace}.svc"
    service = children.get(Ref(Kind.SERVICE, name))
    if service is not None:
        for entry in service.service().status.load_balancer.ingress:
            host = entry.hostname or entry.ip or host
    return [
        {
            "name": listener.name,
            "url": listener.url(host),
        }
        for listener in cluster.spec.gates.listeners
        if listener.port is not None
    ]


def by_type(status: Object) -> dict[str, Object]:
    """Return the conditions that a status has, by their types."""
    entries = cast("list[Object]", status.get("conditions") or [])
    return {str(entry.get("type")): entry for entry in entries}
