"""The ConfigMap with the manifest, which every pod gets whole, and what is read of it.

A running node reads its manifest once.  So a change must replace exactly the pods
whose role reads what changed: :func:`consumed` says what that is, and its digest is
an annotation of the pods.  Neither the operator's version nor a number of replicas
is in it.
"""

from __future__ import annotations

import msgspec

from nano_manifest import (
    Backend,
    Gates,
    Metadata,
    NanoCluster,
    RoleFields,
    dumps,
)
from nano_manifest.parse import plain
from nano_operator.names import config_name
from nano_operator.objects import Kind, Object, digest
from nano_operator.resources.context import Context, metadata

__all__ = ["CONFIG_KEY", "config_map", "consumed"]

CONFIG_KEY = "cluster.yaml"


def config_map(context: Context) -> Object:
    """Return the ConfigMap: the resource without what Kubernetes keeps about it."""
    head = context.cluster.metadata
    kept = msgspec.structs.replace(
        context.cluster,
        metadata=Metadata(name=head.name, namespace=head.namespace),
        status={},
    )
    name = config_name(context.name)
    return metadata(context, Kind.CONFIG_MAP, name) | {
        "data": {CONFIG_KEY: dumps(kept)}
    }


def consumed(cluster: NanoCluster, role: RoleFields) -> str:
    """Return a digest of what nodes of *role* read from the manifest.

    Every role reads the settings and clusterTls; gates read their listeners and
    components, a backend its components.  Images, environment and the rest of the pod
    are in the pod's own template.  Both read how members are chosen, and a backend
    its version.
    """
    reads: dict[str, object] = {"settings": cluster.spec.settings}
    if cluster.spec.cluster_tls is not None:
        reads["clusterTls"] = plain(cluster.spec.cluster_tls)
    if isinstance(role, Gates):
        # as written, so that a field to come changes nothing where it is not used;
        # nodePort is the Service's business: a gate never sees it
        reads["listeners"] = [
            plain(msgspec.structs.replace(item, node_port=None))
            for item in role.listeners
        ]
    if isinstance(role, Gates | Backend):
        reads["components"] = role.components
        if cluster.spec.routing:
            reads["routing"] = plain(cluster.spec.routing)
    if isinstance(role, Backend) and role.version:
        reads["version"] = role.version
    return digest(reads)
