"""The closed list of reasons that a condition can give.

``docs/conditions.md`` is written from this table, and a test compares the two: a
reason that a user meets is one that can be looked up.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["Reason"]


class Reason(Enum):
    """Why a condition is as it is: the word in the status, and a sentence."""

    ALL_READY = (
        "AllReady",
        "Every node that the resource asks for runs as described, and is ready.",
    )
    ROLLING_OUT = (
        "RollingOut",
        "The cluster is on its way to what the resource describes; wait.",
    )
    COMPLETE = ("Complete", "There is nothing left to change.")
    PROGRESS_DEADLINE_EXCEEDED = (
        "ProgressDeadlineExceeded",
        (
            "Pods of a role did not become ready in time. The message names the role; "
            "`kubectl describe` and `kubectl logs` of its pods say why."
        ),
    )
    PODS_REFUSED = (
        "PodsRefused",
        (
            "Kubernetes does not let a role's pods be made, for example because of a "
            "quota, a policy or a service account that is not there. The message is "
            "Kubernetes' own."
        ),
    )
    INVALID_SPEC = (
        "InvalidSpec",
        (
            "The resource contradicts itself in a way that its schema cannot express. "
            "The message names each field. What runs is left as it is."
        ),
    )
    IMAGE_MISSING = (
        "ImageMissing",
        (
            "Nobody named an image: set `spec.image`, or the role's `image`, or give "
            "the operator a default with `--node-image`. What runs is left as it is."
        ),
    )
    SOURCE_MISSING = (
        "SourceMissing",
        (
            "A ConfigMap that a backend takes its components from is not there, or "
            "lacks the file of a module. The message names the field and the "
            "ConfigMap. What runs is left as it is."
        ),
    )
    NAME_TAKEN = (
        "NameTaken",
        (
            "An object with the name of a child belongs to somebody else. It is not "
            "touched; remove or rename it, or give the cluster another name."
        ),
    )
    CHILD_REFUSED = (
        "ChildRefused",
        (
            "The API server does not accept a child, most often because of something "
            "in `template`, `resources` or `env`. The message is the API server's own."
        ),
    )
    SERVING = ("Serving", "The master and at least one gate are ready.")
    MASTER_UNAVAILABLE = (
        "MasterUnavailable",
        "The master is not ready. What runs goes on; no node can join.",
    )
    GATES_UNAVAILABLE = (
        "GatesUnavailable",
        "No gate is ready: no client can connect.",
    )
    NODES_READY = ("NodesReady", "At least one node is ready, of every kind.")
    NO_NODE_READY = ("NoNodeReady", "No node of the role is ready.")
    SCALED_TO_ZERO = ("ScaledToZero", "The resource asks for no node of this role.")
    NO_BACKENDS = ("NoBackends", "The resource declares no backends.")
    PLAIN_CLUSTER_PORT = (
        "PlainClusterPort",
        (
            "Nodes speak without TLS, as Go nodes need it, and believe whoever reaches "
            "their cluster port. `spec.clusterTls` changes that."
        ),
    )
    OWN_CERTIFICATES = (
        "OwnCertificates",
        (
            "Nodes show certificates of Secrets or files that the resource names. "
            "Whoever made them renews them."
        ),
    )
    CERTIFICATES_ISSUED = (
        "CertificatesIssued",
        "Nodes show certificates of the operator. The message says until when.",
    )
    ROTATING_AUTHORITY = (
        "RotatingAuthority",
        (
            "Another authority is about to sign. Nodes get time to believe it, then "
            "certificates of its own; nothing is restarted."
        ),
    )
    CERTIFICATES_MISSING = (
        "CertificatesMissing",
        (
            "The operator has not been able to write a certificate: Ready and its log "
            "say why. New pods wait; those that run keep what they have."
        ),
    )

    def __init__(self, word: str, sentence: str) -> None:
        self.word = word
        self.sentence = sentence
