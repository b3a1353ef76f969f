"""In which order the nodes of a cluster are made and replaced: master, backends, gates.

Whoever comes later needs who came before: backends register with the master, and
gates that let clients in must find backends that understand them.  So a step begins
when the one before it is done.

Only new pods wait.  A Deployment that somebody removed or changed is repaired at
once, and one that is scaled is scaled, however the others are.

Old gates leave together, when all the new ones are ready: a client that is sent away by
one of them would otherwise come to another that leaves as well.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from nano_operator.conditions import RoleState
from nano_operator.drift import sealed
from nano_operator.names import BACKEND_ROLE, GATE, MASTER, TEMPLATE, gate_name
from nano_operator.objects import Child, Deployment, Kind, Object, Ref
from nano_operator.resources import Context
from nano_operator.resources.pod import PodRole, deployment_name

__all__ = ["HOLD_SECONDS", "held_back", "is_replaced", "together", "wanted_replicas"]

Children = Mapping[Ref, Child]

HOLD_SECONDS: Final = 300
"""How long a new gate that is ready replaces no old one, unless all of them are ready.

After that Kubernetes goes on by itself, should there be no operator.  Less than a
Deployment's ``progressDeadlineSeconds``, which is 600.
"""


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


def together(
    context: Context, rendered: Mapping[Ref, Object], children: Children
) -> dict[Ref, Object]:
    """Return *rendered* with the old gates kept until all the new ones are ready.

    Kubernetes replaces an old pod by each new one that is available, which is ready for
    ``minReadySeconds``.  That is long while new gates start, and nothing afterwards.
    """
    ref = Ref(Kind.DEPLOYMENT, gate_name(context.name))
    observed = children.get(ref)
    if context.cluster.spec.gates.rollout != "surge" or observed is None:
        return dict(rendered)
    if not _waits_for_others(rendered[ref], observed):
        return dict(rendered)
    spec = cast("Object", rendered[ref]["spec"]) | {"minReadySeconds": HOLD_SECONDS}
    return {**rendered, ref: sealed(rendered[ref] | {"spec": spec})}


def _waits_for_others(rendered: Object, observed: Child) -> bool:
    """Tell whether new gates are yet to become ready."""
    if is_replaced(rendered, observed):
        return True
    deployment = observed.deployment()
    status = deployment.status
    if not deployment.spec.min_ready_seconds:
        return False  # they were, and the old ones are on their way
    if status.observed_generation < deployment.metadata.generation:
        return True
    # the old ones are available; what is ready besides is new
    ready = status.ready_replicas - status.available_replicas
    alone = status.updated_replicas == status.replicas
    return not alone and ready < deployment.spec.replicas


def is_replaced(rendered: Object, observed: Child) -> bool:
    """Tell whether writing *rendered* replaces all pods of a Deployment."""
    return _template(rendered) != observed.meta.annotations.get(TEMPLATE)


def wanted_replicas(rendered: Object, deployment: Deployment) -> int:
    """Return how many pods there should be; an autoscaler's number is what it is."""
    spec = cast("Object", rendered["spec"])
    return cast("int", spec.get("replicas", deployment.spec.replicas))


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
    desired = wanted_replicas(rendered, deployment)
    pending = is_replaced(rendered, observed)
    return RoleState.of(pod.title, desired, deployment, pending).complete


def _template(rendered: Object) -> str:
    metadata = cast("Object", rendered["metadata"])
    return str(cast("Object", metadata["annotations"])[TEMPLATE])
