"""Kubernetes objects as the pure parts of the operator see them.

What the operator writes is built as plain nested dictionaries; what it reads is
parsed into the small typed views here, which keep only fields that decide
something and ignore everything else an API server may add.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import Final, cast

import msgspec

from nano_manifest import GROUP, PLURAL, VERSION
from nano_operator.names import BACKEND, ROLE

__all__ = [
    "CLUSTERS",
    "PODS",
    "SLICES",
    "Child",
    "Deployment",
    "DeploymentStatus",
    "Kind",
    "Meta",
    "Object",
    "Pod",
    "Ref",
    "Resource",
    "Service",
    "Slice",
    "digest",
    "ref_of",
]

Object = dict[str, object]
"""One Kubernetes object, as in JSON."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object as the API's paths and RBAC name it."""

    group: str
    version: str
    plural: str


CLUSTERS: Final = Resource(GROUP, VERSION, PLURAL)
PODS: Final = Resource("", "v1", "pods")
SLICES: Final = Resource("discovery.k8s.io", "v1", "endpointslices")


class Kind(Enum):
    """The kinds of children, in the order in which they are applied."""

    CONFIG_MAP = ("ConfigMap", "v1", "", "configmaps")
    SECRET = ("Secret", "v1", "", "secrets")
    SERVICE = ("Service", "v1", "", "services")
    NETWORK_POLICY = (
        "NetworkPolicy",
        "networking.k8s.io/v1",
        "networking.k8s.io",
        "networkpolicies",
    )
    DISRUPTION_BUDGET = (
        "PodDisruptionBudget",
        "policy/v1",
        "policy",
        "poddisruptionbudgets",
    )
    DEPLOYMENT = ("Deployment", "apps/v1", "apps", "deployments")
    AUTOSCALER = (
        "HorizontalPodAutoscaler",
        "autoscaling/v2",
        "autoscaling",
        "horizontalpodautoscalers",
    )

    def __init__(self, title: str, api_version: str, group: str, plural: str) -> None:
        self.title = title
        self.api_version = api_version
        self.resource = Resource(group, api_version.rpartition("/")[2], plural)


@dataclass(frozen=True, slots=True)
class Ref:
    """Which child: its kind and name.  The namespace is the cluster's own."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.title} {self.name}"


class _View(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Root of the views: unknown keys are ignored."""


class Owner(_View, frozen=True, kw_only=True):
    """One entry of ``metadata.ownerReferences``."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class Meta(_View, frozen=True, kw_only=True):
    """What decides something in ``metadata``."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[Owner] = []
    deletion_timestamp: str | None = None

    @property
    def controller(self) -> Owner | None:
        """Whoever manages the object, if anybody does."""
        return next(
            (owner for owner in self.owner_references if owner.controller), None
        )


class DeploymentCondition(_View, frozen=True, kw_only=True):
    """One of a Deployment's own conditions."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class DeploymentStatus(_View, frozen=True, kw_only=True):
    """How far a Deployment got."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    conditions: list[DeploymentCondition] = []


class DeploymentSpec(_View, frozen=True, kw_only=True):
    """How many pods a Deployment wants, and for how long each must have been ready."""

    replicas: int = 1
    min_ready_seconds: int = 0


class Deployment(_View, frozen=True, kw_only=True):
    """A Deployment, read for its progress."""

    metadata: Meta
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class Ingress(_View, frozen=True, kw_only=True):
    """Where a load balancer can be reached."""

    ip: str = ""
    hostname: str = ""


class LoadBalancer(_View, frozen=True, kw_only=True):
    """What the cloud gave a Service."""

    ingress: list[Ingress] = []


class ServiceStatus(_View, frozen=True, kw_only=True):
    """The part of a Service's status that clients care about."""

    load_balancer: LoadBalancer = LoadBalancer()


class Service(_View, frozen=True, kw_only=True):
    """A Service, read for its outside address."""

    metadata: Meta
    status: ServiceStatus = ServiceStatus()


class PodCondition(_View, frozen=True, kw_only=True):
    """One of a pod's own conditions."""

    type: str
    status: str


class PodStatus(_View, frozen=True, kw_only=True):
    """How a pod is.  *pod_ip* is empty as long as it has none."""

    phase: str = "Pending"
    pod_ip: str = msgspec.field(name="podIP", default="")
    conditions: list[PodCondition] = []


class PodSpec(_View, frozen=True, kw_only=True):
    """Where a pod is; empty as long as nobody has decided."""

    node_name: str = ""


class Pod(_View, frozen=True, kw_only=True):
    """A pod, read for who it is and how."""

    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def role(self) -> str:
        """``master``, ``gate`` or ``backend``."""
        return self.metadata.labels.get(ROLE, "")

    @property
    def title(self) -> str:
        """The role, or the kind of backend."""
        return self.metadata.labels.get(BACKEND) or self.role

    @property
    def is_running(self) -> bool:
        """Whether its node may be asked."""
        return self.status.phase == "Running"

    @property
    def is_ready(self) -> bool:
        """Whether Kubernetes sends clients to it."""
        return any(
            it.type == "Ready" and it.status == "True" for it in self.status.conditions
        )


class Target(_View, frozen=True, kw_only=True):
    """What an endpoint is."""

    kind: str = ""
    uid: str = ""


class Endpoint(_View, frozen=True, kw_only=True):
    """One address of a Service."""

    target_ref: Target = Target()


class Slice(_View, frozen=True, kw_only=True):
    """A part of the endpoints of a Service."""

    endpoints: list[Endpoint] | None = None

    @property
    def pods(self) -> set[str]:
        """UIDs of the pods that are in it."""
        targets = (it.target_ref for it in self.endpoints or [])
        return {target.uid for target in targets if target.kind == "Pod"}


class _Headed(_View, frozen=True, kw_only=True):
    metadata: Meta


@dataclass(frozen=True, slots=True)
class Child:
    """A child as the API server showed it.

    Attributes:
        ref: Which one.
        meta: Its parsed metadata.
        raw: All of it.
    """

    ref: Ref
    meta: Meta
    raw: Object

    @classmethod
    def parse(cls, kind: Kind, raw: Object) -> Child:
        """Read what a LIST, a GET or an apply returned.

        Raises:
            msgspec.ValidationError: It is no Kubernetes object.
        """
        meta = msgspec.convert(raw, _Headed).metadata
        # the items of a list do not say what they are
        raw = {**raw, "apiVersion": kind.api_version, "kind": kind.title}
        return cls(ref=Ref(kind, meta.name), meta=meta, raw=raw)

    def deployment(self) -> Deployment:
        """Return it as a Deployment."""
        return msgspec.convert(self.raw, Deployment)

    def service(self) -> Service:
        """Return it as a Service."""
        return msgspec.convert(self.raw, Service)


def ref_of(built: Object) -> Ref:
    """Return which child a built object is."""
    kind = next(kind for kind in Kind if kind.title == built["kind"])
    return Ref(kind, str(cast("Object", built["metadata"])["name"]))


def digest(value: object) -> str:
    """Return a short digest of a JSON-able *value*, the same on every machine."""
    encoded = msgspec.json.encode(value, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()[:16]
