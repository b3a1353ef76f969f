"""The autoscalers: Kubernetes chooses the number of nodes by their use of the CPU.

Down it goes slowly, one node a minute, because a node that leaves has clients or
sessions to hand over; up it goes as fast as Kubernetes likes.
"""

from __future__ import annotations

from nano_manifest import Autoscaling
from nano_operator.names import role_labels
from nano_operator.objects import Kind, Object
from nano_operator.resources.context import Context, metadata
from nano_operator.resources.pod import PodRole, autoscaling_of, deployment_name

__all__ = ["autoscalers"]


def autoscalers(context: Context) -> list[Object]:
    """Return a HorizontalPodAutoscaler for each role that asks for one."""
    return [
        _autoscaler(context, pod, scaling)
        for pod in PodRole.all_of(context.cluster)
        if (scaling := autoscaling_of(pod)) is not None
    ]


def _autoscaler(context: Context, pod: PodRole, scaling: Autoscaling) -> Object:
    name = deployment_name(context, pod)
    labels = role_labels(context.name, pod.name, pod.backend)
    target = {"type": "Utilization", "averageUtilization": scaling.cpu_percent}
    slowly = {"type": "Pods", "value": 1, "periodSeconds": 60}
    return metadata(context, Kind.AUTOSCALER, name, labels) | {
        "spec": {
            "scaleTargetRef": {
                "apiVersion": Kind.DEPLOYMENT.api_version,
                "kind": Kind.DEPLOYMENT.title,
                "name": name,
            },
            "minReplicas": scaling.min_replicas,
            "maxReplicas": scaling.max_replicas,
            "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": target}}
            ],
            "behavior": {
                "scaleDown": {
                    "stabilizationWindowSeconds": 300,
                    "selectPolicy": "Max",
                    "policies": [slowly],
                }
            },
        }
    }
