"""The pod of a node: what all three roles have in common.

The contract with the image is here and nowhere else: environment, ports, probes,
mounted files.  Every pod satisfies the *restricted* Pod Security Standard.  What a
user puts in a role (``env``, ``resources``, ``template`` …) is added; what the
operator decides cannot be replaced, because the manifest reserves those names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from nano_manifest import (
    CLUSTER_PORT,
    CONTROL_PORT,
    OBSERVE_PORT,
    Autoscaling,
    Backend,
    EnvVar,
    Gates,
    NanoCluster,
    RoleFields,
    Template,
    cluster_ports,
)
from nano_operator.names import (
    AUTOSCALED,
    BACKEND_ROLE,
    CONSUMED,
    GATE,
    MASTER,
    RESTART,
    SOURCE,
    config_name,
    gate_name,
    gates_labels,
    master_name,
    role_labels,
    role_name,
    role_selector,
    secret_name,
)
from nano_operator.objects import Kind, Object, digest
from nano_operator.resources.config import CONFIG_KEY, consumed
from nano_operator.resources.context import Context, metadata
from nano_operator.resources.secret import TOKEN_KEY

__all__ = [
    "PodRole",
    "autoscaling_of",
    "deployment_head",
    "deployment_name",
    "image_of",
    "least_replicas",
    "pod_template",
    "replicas_of",
]

USER_ID: Final = 10001  # of the image; any other non-root one would do
STOP_SECONDS: Final = 30
"""Time to stop once drained: Kubernetes' own default; a node needs one or two."""

CONFIG_FOLDER: Final = "/etc/nano"
CONTROL_FOLDER: Final = "/etc/nano-control"
TLS_FOLDER: Final = "/etc/nano-tls"
SOURCE_FOLDER: Final = "/etc/nano-source"

TLS_KEYS: Final = ("tls.crt", "tls.key")
"""Of every Secret of type kubernetes.io/tls."""

CA_KEY: Final = "ca.crt"
"""Of a Secret for the cluster port, in which cert-manager writes it, too."""

STARTUP_SECONDS: Final = 60
"""How long a node may take until it is alive; user components are imported then."""


@dataclass(frozen=True, slots=True)
class PodRole:
    """One role of a cluster.

    Attributes:
        name: ``master``, ``gate`` or ``backend``.
        role: What the resource says about it.
        backend: Which kind, of a backend only.
    """

    name: str
    role: RoleFields
    backend: str = ""

    @classmethod
    def all_of(cls, cluster: NanoCluster) -> list[PodRole]:
        """Return the roles of *cluster*: master, backends, gates."""
        spec = cluster.spec
        return [
            cls(MASTER, spec.master),
            *(cls(BACKEND_ROLE, kind, kind.name) for kind in spec.backends),
            cls(GATE, spec.gates),
        ]

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"backend {self.backend}" if self.backend else self.name


def image_of(context: Context, pod: PodRole) -> str:
    """Return the image of a role's pods; empty when nobody named one."""
    return pod.role.image or context.cluster.spec.image or context.node_image


def deployment_name(context: Context, pod: PodRole) -> str:
    """Return what a role's Deployment is called, and whatever goes with it."""
    if pod.backend:
        return role_name(context.name, pod.backend)
    return (gate_name if pod.name == GATE else master_name)(context.name)


def autoscaling_of(pod: PodRole) -> Autoscaling | None:
    """Return who chooses the number of a role's pods; None if the resource does."""
    return pod.role.autoscaling if isinstance(pod.role, Gates | Backend) else None


def least_replicas(pod: PodRole) -> int:
    """Return how many pods of a role there are at least."""
    scaling = autoscaling_of(pod)
    if scaling is not None:
        return scaling.min_replicas
    return pod.role.replicas if isinstance(pod.role, Gates | Backend) else 1


def deployment_head(context: Context, pod: PodRole) -> Object:
    """Return the head of a role's Deployment."""
    name = deployment_name(context, pod)
    labels = role_labels(context.name, pod.name, pod.backend)
    scaled = {AUTOSCALED: "true"} if autoscaling_of(pod) else None
    return metadata(context, Kind.DEPLOYMENT, name, labels, scaled)


def replicas_of(pod: PodRole) -> Object:
    """Return the number of pods as a Deployment has it; nothing if others choose it."""
    return {} if autoscaling_of(pod) else {"replicas": least_replicas(pod)}


def _grace(context: Context) -> int:
    """Return how long a pod may take to end: its drain, and its stop."""
    drain = context.cluster.spec.settings.drain_seconds
    return math.ceil(drain) + STOP_SECONDS


def pod_template(context: Context, pod: PodRole) -> Object:
    """Return the ``spec.template`` of the Deployment of one role."""
    extra = pod.role.template
    spec: Object = {
        "automountServiceAccountToken": False,  # a node has no business with the API
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _grace(context),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": _spread(context, pod),
        "containers": [_container(context, pod)],
        "volumes": [
            *_volumes(context),
            *_tls_volume(context, pod),
            *_source_volume(pod),
            *extra.volumes,
        ],
    }
    return {
        "metadata": {
            "labels": extra.labels | _labels(context, pod),
            "annotations": extra.annotations
            | {CONSUMED: consumed(context.cluster, pod.role)}
            | _source_mark(context, pod)
            | _restart(context.cluster),
        },
        "spec": spec | _placement(extra),
    }


def _labels(context: Context, pod: PodRole) -> dict[str, str]:
    if pod.name == GATE:
        return gates_labels(context.name)
    return role_labels(context.name, pod.name, pod.backend)


def _restart(cluster: NanoCluster) -> dict[str, str]:
    """Return the user's wish that pods be replaced although nothing has changed."""
    wish = cluster.metadata.annotations.get(RESTART)
    return {} if wish is None else {RESTART: wish}


def _container(context: Context, pod: PodRole) -> Object:
    role = pod.role
    container: Object = {
        "name": "node",
        "image": image_of(context, pod),
        "imagePullPolicy": context.cluster.spec.image_pull_policy,
        "args": ["node"],
        "env": [*_own_env(context, pod), *(_variable(entry) for entry in role.env)],
        "ports": _ports(role),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        **_probes(),
        "volumeMounts": [
            {"name": "manifest", "mountPath": CONFIG_FOLDER, "readOnly": True},
            {"name": "control", "mountPath": CONTROL_FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
            *_tls_mount(context, pod),
            *_source_mount(pod),
            *role.template.volume_mounts,
        ],
    }
    if role.env_from:
        container["envFrom"] = role.env_from
    if role.resources:
        container["resources"] = role.resources
    return container


def _own_env(context: Context, pod: PodRole) -> list[Object]:
    # $(POD_IP) is replaced only in variables that come after it
    address: Object = {"fieldRef": {"fieldPath": "status.podIP"}}
    values = {
        "NANO_ROLE": pod.name,
        "NANO_MANIFEST": f"{CONFIG_FOLDER}/{CONFIG_KEY}",
        "NANO_ADDRESS": f"$(POD_IP):{CLUSTER_PORT}",
        "NANO_HOST": "$(POD_IP)",
        "NANO_OBSERVE": f"$(POD_IP):{OBSERVE_PORT}",
        "NANO_CONTROL": f"$(POD_IP):{CONTROL_PORT}",
        "NANO_TOKEN_FILE": f"{CONTROL_FOLDER}/{TOKEN_KEY}",
    }
    if _tls_secrets(context, pod):
        values["NANO_TLS_DIR"] = TLS_FOLDER
    if pod.backend:
        values["NANO_BACKEND"] = pod.backend
    if _source_of(pod):
        values["NANO_APP_DIR"] = SOURCE_FOLDER
    if isinstance(pod.role, Gates) and pod.role.processes > 1:
        values["NANO_PROCESSES"] = str(pod.role.processes)
    if pod.name != MASTER:
        host = f"{master_name(context.name)}.{context.namespace}.svc"
        values["NANO_MASTER"] = f"{host}:{CLUSTER_PORT}"
    env: list[Object] = [{"name": "POD_IP", "valueFrom": address}]
    env += [{"name": name, "value": value} for name, value in values.items()]
    return env


def _variable(entry: EnvVar) -> Object:
    if entry.value_from is not None:
        return {"name": entry.name, "valueFrom": entry.value_from}
    if entry.value:
        return {"name": entry.name, "value": entry.value}
    return {"name": entry.name}  # as the API server writes an empty one


def _ports(role: RoleFields) -> list[Object]:
    fixed = [
        ("cluster", CLUSTER_PORT),
        ("observe", OBSERVE_PORT),
        ("control", CONTROL_PORT),
    ]
    if isinstance(role, Gates):
        fixed += [(it.name, it.port) for it in role.listeners if it.port is not None]
    ports: list[Object] = [
        {"name": name, "containerPort": port, "protocol": "TCP"} for name, port in fixed
    ]
    if isinstance(role, Gates):  # without a name, which a listener could have as well
        others = cluster_ports(role.processes)[1:]
        ports += [{"containerPort": port, "protocol": "TCP"} for port in others]
    return ports


def _probes() -> Object:
    """Return the probes: alive from the start, ready as soon as it says so.

    Liveness asks the node about itself only; were it to depend on the master, an
    outage of the master would end every gate.
    """
    alive = {"path": "/healthz", "port": "observe"}
    ready = {"path": "/readyz", "port": "observe"}
    return {
        "startupProbe": {
            "httpGet": alive,
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": STARTUP_SECONDS,
        },
        "livenessProbe": {
            "httpGet": alive,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
        "readinessProbe": {
            "httpGet": ready,
            "periodSeconds": 2,
            "timeoutSeconds": 2,
            "failureThreshold": 2,
        },
    }


def _volumes(context: Context) -> list[Object]:
    return [
        {"name": "manifest", "configMap": {"name": config_name(context.name)}},
        {
            "name": "control",
            "secret": {"secretName": secret_name(context.name), "defaultMode": 0o440},
        },
        {"name": "tmp", "emptyDir": {}},
    ]


def _tls_secrets(context: Context, pod: PodRole) -> dict[str, tuple[str, ...]]:
    """Return the Secrets with certificates that a role needs, and their keys."""
    role = pod.role
    found: dict[str, tuple[str, ...]] = {}
    for item in role.listeners if isinstance(role, Gates) else []:
        if item.tls is not None and item.tls.secret_name:
            found[item.tls.secret_name] = TLS_KEYS
    between = context.cluster.spec.cluster_tls
    if between is not None and between.secret_name:
        own = between.master_secret_name if pod.name == MASTER else ""
        found[own or between.secret_name] = (*TLS_KEYS, CA_KEY)
    return found


def _tls_mount(context: Context, pod: PodRole) -> list[Object]:
    if not _tls_secrets(context, pod):
        return []
    return [{"name": "tls", "mountPath": TLS_FOLDER, "readOnly": True}]


def _tls_volume(context: Context, pod: PodRole) -> list[Object]:
    """Return one volume with a folder for each Secret.

    What is in a Secret is no part of the pod's template: a new certificate replaces no
    pod, the kubelet brings it into the volume and the node takes it up.
    """
    secrets = _tls_secrets(context, pod)
    if not secrets:
        return []
    sources = [
        {
            "secret": {
                "name": name,
                "items": [{"key": key, "path": f"{name}/{key}"} for key in keys],
            }
        }
        for name, keys in secrets.items()
    ]
    return [{"name": "tls", "projected": {"sources": sources, "defaultMode": 0o440}}]


def _source_of(pod: PodRole) -> str:
    """Return the ConfigMap that a role's components are taken from; often none."""
    found = pod.role.source if isinstance(pod.role, Backend) else None
    return found.config_map if found is not None else ""


def _source_mark(context: Context, pod: PodRole) -> dict[str, str]:
    """Return what changes whenever the components' source does.

    A node imports its modules once: files that change under it change nothing.
    """
    name = _source_of(pod)
    return {SOURCE: digest(context.sources.get(name, {}))} if name else {}


def _source_mount(pod: PodRole) -> list[Object]:
    if not _source_of(pod):
        return []
    return [{"name": "source", "mountPath": SOURCE_FOLDER, "readOnly": True}]


def _source_volume(pod: PodRole) -> list[Object]:
    name = _source_of(pod)
    return [{"name": "source", "configMap": {"name": name}}] if name else []


def _spread(context: Context, pod: PodRole) -> list[Object]:
    # a wish, not a condition: small clusters have one machine or one zone
    selector = {"matchLabels": role_selector(context.name, pod.name, pod.backend)}
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": selector,
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


def _placement(extra: Template) -> Object:
    """Return what the user says about where pods run and as whom; nothing if empty."""
    secrets = [{"name": entry.name} for entry in extra.image_pull_secrets]
    wanted: Object = {
        "imagePullSecrets": secrets,
        "nodeSelector": extra.node_selector,
        "tolerations": extra.tolerations,
        "affinity": extra.affinity,
        "serviceAccountName": extra.service_account_name,
    }
    return {key: value for key, value in wanted.items() if value}
