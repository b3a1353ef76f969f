"""The children of a NanoCluster, each built by a pure function of the resource.

:func:`children` is the whole of what there should be, in the order in which it is
applied: what pods need comes before the pods, the master before those who register
with it, and what is scaled before its autoscaler.  Only Secrets are apart
(:mod:`.secret`, :mod:`.certificates`): they are made from random numbers, and so are no
function of the resource.
"""

from __future__ import annotations

from typing import cast

from nano_manifest import Backend, Gates
from nano_operator.drift import sealed
from nano_operator.names import TEMPLATE
from nano_operator.objects import Object, digest
from nano_operator.resources import backends, gates, master, members
from nano_operator.resources.autoscaler import autoscalers
from nano_operator.resources.config import config_map
from nano_operator.resources.context import Context
from nano_operator.resources.disruption import budgets
from nano_operator.resources.network import policies
from nano_operator.resources.pod import PodRole, image_of

__all__ = ["Context", "children", "missing_images"]


def children(context: Context) -> list[Object]:
    """Return all children but the Secrets, sealed, in the order of their making."""
    context = context.resolved
    roles = PodRole.all_of(context.cluster)
    deployments = [_stamped(_deployment(context, pod)) for pod in roles]
    built = [
        config_map(context),
        master.service(context),
        gates.service(context),
        members.service(context),
        *policies(context),
        *budgets(context),
        *deployments,
        *autoscalers(context),
    ]
    return [sealed(child) for child in built]


def missing_images(context: Context) -> list[str]:
    """Return the roles for which nobody named an image."""
    roles = PodRole.all_of(context.cluster)
    return [pod.title for pod in roles if not image_of(context, pod)]


def _stamped(deployment: Object) -> Object:
    """Return *deployment* with a mark that changes whenever its pods do."""
    metadata = cast("Object", deployment["metadata"])
    template = cast("Object", deployment["spec"])["template"]
    annotations = cast("Object", metadata.get("annotations", {}))
    marked = annotations | {TEMPLATE: digest(template)}
    return deployment | {"metadata": metadata | {"annotations": marked}}


def _deployment(context: Context, pod: PodRole) -> Object:
    if isinstance(pod.role, Backend):
        return backends.deployment(context, pod, pod.role)
    if isinstance(pod.role, Gates):
        return gates.deployment(context, pod)
    return master.deployment(context, pod)
