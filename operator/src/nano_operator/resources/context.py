"""What every builder is given, and what every child begins with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec

from nano_manifest import NanoCluster
from nano_manifest.sources import Sources
from nano_operator.names import cluster_labels
from nano_operator.objects import Kind, Object

__all__ = ["Context", "metadata"]


@dataclass(frozen=True, slots=True)
class Context:
    """A checked resource and what the operator adds to it.

    Attributes:
        cluster: The resource.
        node_image: Image of roles for which the resource names none; may be empty.
        operator_namespace: Where the operator's own pods are; empty when it runs
            outside of Kubernetes.
        sources: The ConfigMaps that components are taken from, as far as they are
            there.
    """

    cluster: NanoCluster
    node_image: str = ""
    operator_namespace: str = ""
    sources: Sources = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the cluster."""
        return self.cluster.metadata.name

    @property
    def resolved(self) -> Context:
        """The same as nodes are told: certificates that are issued are in Secrets.

        So a node knows Secrets only, and no pod is replaced when lifetimes change.
        """
        tls = self.cluster.spec.cluster_tls
        if tls is None or tls.issued is None:
            return self
        spec = msgspec.structs.replace(
            self.cluster.spec, cluster_tls=tls.named(self.name)
        )
        cluster = msgspec.structs.replace(self.cluster, spec=spec)
        return replace(self, cluster=cluster)

    @property
    def namespace(self) -> str:
        """Namespace of the cluster and all its children."""
        return self.cluster.metadata.namespace


def metadata(
    context: Context,
    kind: Kind,
    name: str,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
) -> Object:
    """Return the head of a child: what it is, whose it is, who made it.

    The owner reference lets the garbage collector remove the child after its
    cluster, so that no finalizer is needed.
    """
    cluster = context.cluster
    head: Object = {
        "name": name,
        "namespace": context.namespace,
        "labels": labels or cluster_labels(context.name),
        "ownerReferences": [
            {
                "apiVersion": cluster.api_version,
                "kind": cluster.kind,
                "name": context.name,
                "uid": cluster.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    if annotations:
        head["annotations"] = annotations
    return {"apiVersion": kind.api_version, "kind": kind.title, "metadata": head}
