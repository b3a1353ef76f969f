"""The backends: one Deployment for each kind."""

from __future__ import annotations

from nano_manifest import Backend
from nano_operator.names import BACKEND_ROLE, role_labels, role_name, role_selector
from nano_operator.objects import Kind, Object
from nano_operator.resources.context import Context, metadata
from nano_operator.resources.pod import PodRole, pod_template

__all__ = ["deployment"]


def deployment(context: Context, pod: PodRole, kind: Backend) -> Object:
    """Return the Deployment of one *kind*: new pods come before old ones go."""
    labels = role_labels(context.name, BACKEND_ROLE, kind.name)
    selector = role_selector(context.name, BACKEND_ROLE, kind.name)
    name = role_name(context.name, kind.name)
    return metadata(context, Kind.DEPLOYMENT, name, labels) | {
        "spec": {
            "replicas": kind.replicas,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0},
            },
            "selector": {"matchLabels": selector},
            "template": pod_template(context, pod),
        }
    }
