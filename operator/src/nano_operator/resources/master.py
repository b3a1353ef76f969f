"""The master: one pod, and a Service that gives it a lasting name.

Never two at a time: each would keep its own list of members.
"""

from __future__ import annotations

from typing import Final

from nano_manifest import CLUSTER_PORT
from nano_operator.names import MASTER, master_name, role_labels, role_selector
from nano_operator.objects import Kind, Object
from nano_operator.resources.context import Context, metadata
from nano_operator.resources.pod import (
    PodRole,
    deployment_head,
    pod_template,
    replicas_of,
)

__all__ = ["RETURN_SECONDS", "deployment", "service"]

RETURN_SECONDS: Final = 3
"""How long a master is ready before it counts as done, and backends are replaced.

It begins with an empty list, and within a second or two all members are back in it.  A
new backend that joins before the gates do is unknown to them when an old one goes.
"""


def deployment(context: Context, pod: PodRole) -> Object:
    """Return the master's Deployment: the old pod goes before the new one comes."""
    return deployment_head(context, pod) | {
        "spec": {
            **replicas_of(pod),
            "strategy": {"type": "Recreate"},
            "minReadySeconds": RETURN_SECONDS,
            "selector": {"matchLabels": role_selector(context.name, MASTER)},
            "template": pod_template(context, pod),
        }
    }


def service(context: Context) -> Object:
    """Return the Service through which nodes find the master.

    It lists the pod also while that is not ready.  There is no other to send
    anybody to, so hiding a slow master would only make it unreachable.
    """
    name = master_name(context.name)
    labels = role_labels(context.name, MASTER)
    return metadata(context, Kind.SERVICE, name, labels) | {
        "spec": {
            "type": "ClusterIP",
            "publishNotReadyAddresses": True,
            "selector": role_selector(context.name, MASTER),
            "ports": [
                {
                    "name": "cluster",
                    "port": CLUSTER_PORT,
                    "targetPort": "cluster",
                    "protocol": "TCP",
                }
            ],
        }
    }
