"""The Service that lists every node of the cluster, ready or not.

It has no address of its own: its name resolves to the nodes.  Those that drain stay
in it, because others still have business with them; so it is for nodes, tools and
Prometheus, never for clients.
"""

from __future__ import annotations

from nano_manifest import CLUSTER_PORT, OBSERVE_PORT
from nano_operator.names import members_name, nodes_selector
from nano_operator.objects import Kind, Object
from nano_operator.resources.context import Context, metadata

__all__ = ["service"]


def service(context: Context) -> Object:
    """Return the headless Service of all nodes."""
    ports = (("cluster", CLUSTER_PORT), ("observe", OBSERVE_PORT))
    return metadata(context, Kind.SERVICE, members_name(context.name)) | {
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": nodes_selector(context.name),
            "ports": [
                {"name": name, "port": port, "targetPort": name, "protocol": "TCP"}
                for name, port in ports
            ],
        }
    }
