"""How many nodes of a role may be evicted at a time: one, where there are several.

With a single node there is no budget: it could never be kept, and would hold up
whoever empties the machine for maintenance.
"""

from __future__ import annotations

from nano_operator.names import role_labels, role_selector
from nano_operator.objects import Kind, Object
from nano_operator.resources.context import Context, metadata
from nano_operator.resources.pod import PodRole, deployment_name, least_replicas

__all__ = ["budgets"]


def budgets(context: Context) -> list[Object]:
    """Return a PodDisruptionBudget for each role that always has two nodes or more."""
    return [
        _budget(context, pod)
        for pod in PodRole.all_of(context.cluster)
        if least_replicas(pod) >= 2
    ]


def _budget(context: Context, pod: PodRole) -> Object:
    name = deployment_name(context, pod)
    labels = role_labels(context.name, pod.name, pod.backend)
    selector = role_selector(context.name, pod.name, pod.backend)
    return metadata(context, Kind.DISRUPTION_BUDGET, name, labels) | {
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector},
            # a node that is not ready serves nobody: let it go
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        }
    }
