"""In which order the nodes of a cluster are made and replaced: master, backends, gates.

Whoever comes later needs who came before: backends register with the master, and
gates that let clients in must find backends that understand them.  So a step begins
when the one before it is done.

Only new pods wait.  A Deployment that somebody removed or changed is repaired at
once, and one that is scaled is scaled, however the others are.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from nano_operator.conditions import RoleState
from nano_operator.names import BACKEND_ROLE, GATE, MASTER, TEMPLATE
from nano_operator.objects import Child, Kind, Object, Ref
from nano_operator.resources import Context
from nano_operator.resources.pod import PodRole, deployment_name

__all__ = ["held_back", "is_replaced"]

Children = Mapping[Ref, Child]


def held_back(
    context: Context,
    rendered: Mapping[Ref, Object],
    children: Children,
    previous: Object,
) -> set[Ref]:
    """Return the Deployments that wait for an earlier step, with their autoscalers.

    Args:
        context: Whose they are.
        rendered: What there should be.
        children: What there is.
        previous: The cluster's status, which tells what has been there before.
    """
    held: set[Ref] = set()
    waiting = False
    for step in (MASTER, BACKEND_ROLE, GATE):
        roles = [pod for pod in PodRole.all_of(context.cluster) if pod.name == step]
        for pod in roles if waiting else []:
            ref = Ref(Kind.DEPLOYMENT, deployment_name(context, pod))
            if _needs_new_pods(pod, rendered[ref], children.get(ref), previous):
                scaler = Ref(Kind.AUTOSCALER, ref.name)
                held |= {ref, scaler} & rendered.keys()
        for pod in roles:
            ref = Ref(Kind.DEPLOYMENT, deployment_name(context, pod))
            waiting = waiting or not _is_done(pod, rendered[ref], children.get(ref))
    return held


def is_replaced(rendered: Object, observed: Child) -> bool:
    """Tell whether writing *rendered* replaces all pods of a Deployment."""
    return _template(rendered) != observed.meta.annotations.get(TEMPLATE)


def _needs_new_pods(
    pod: PodRole, rendered: Object, observed: Child | None, previous: Object
) -> bool:
    if observed is not None:
        return is_replaced(rendered, observed)
    return not _was_there(pod, previous)


def _was_there(pod: PodRole, previous: Object) -> bool:
    """Tell whether the role had pods when the status was written."""
    if not pod.backend:
        return bool(cast("Object", previous.get("gates", {})).get("replicas"))
    backends = cast("list[Object]", previous.get("backends", []))
    return any(
        entry["name"] == pod.backend and entry.get("replicas") for entry in backends
    )


def _is_done(pod: PodRole, rendered: Object, observed: Child | None) -> bool:
    if observed is None:
        return False
    deployment = observed.deployment()
    spec = cast("Object", rendered["spec"])
    desired = cast("int", spec.get("replicas", deployment.spec.replicas))
    pending = is_replaced(rendered, observed)
    return RoleState.of(pod.title, desired, deployment, pending).complete


def _template(rendered: Object) -> str:
    metadata = cast("Object", rendered["metadata"])
    return str(cast("Object", metadata["annotations"])[TEMPLATE])
