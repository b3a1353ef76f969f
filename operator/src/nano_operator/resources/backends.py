"""The backends: one Deployment for each kind."""

from __future__ import annotations

from nano_manifest import Backend
from nano_operator.names import BACKEND_ROLE, role_selector
from nano_operator.objects import Object
from nano_operator.resources.context import Context
from nano_operator.resources.pod import (
    PodRole,
    deployment_head,
    pod_template,
    replicas_of,
)

__all__ = ["deployment"]


def deployment(context: Context, pod: PodRole, kind: Backend) -> Object:
    """Return the Deployment of one *kind*: new pods come before old ones go."""
    selector = role_selector(context.name, BACKEND_ROLE, kind.name)
    return deployment_head(context, pod) | {
        "spec": {
            **replicas_of(pod),
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0},
            },
            "selector": {"matchLabels": selector},
            "template": pod_template(context, pod),
        }
    }
