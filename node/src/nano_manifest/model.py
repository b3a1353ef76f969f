"""The NanoCluster resource: what a person writes to describe a cluster.

These types are the only definition of the manifest.  The checks of
:mod:`nano_manifest.check`, the CRD of :mod:`nano_manifest.schema` and the
reference of :mod:`nano_manifest.manual` are derived from them; what one field
demands of another stands in :mod:`nano_manifest.rules`.

Objects are values: frozen, compared by content.  They know no file, no process
and no Kubernetes client, so ``nanoctl up`` and the operator read the same ones.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, field

from nano_manifest._base import (
    MAX_ITEMS,
    AddressRange,
    Component,
    ConfigMapName,
    DataKey,
    FilePath,
    Function,
    Image,
    ListenerName,
    Name,
    Object,
    Origin,
    Passed,
    RouteCode,
    SecretName,
    Service,
    SocketPath,
    StringMap,
    UrlPath,
    VariableName,
    Version,
)
from nano_manifest.settings import Settings

__all__ = [
    "API_VERSION",
    "CLUSTER_PORT",
    "CONTROL_PORT",
    "GROUP",
    "KIND",
    "MAX_BACKENDS",
    "OBSERVE_PORT",
    "PLURAL",
    "VERSION",
    "Autoscaling",
    "Backend",
    "ClusterTls",
    "EnvVar",
    "GateService",
    "Gates",
    "IssuedTls",
    "Listener",
    "LocalReference",
    "Master",
    "Metadata",
    "NanoCluster",
    "NetworkPolicy",
    "RoleFields",
    "Routing",
    "Source",
    "Spec",
    "Template",
    "Tls",
    "cluster_ports",
]

GROUP: Final = "nanocluster.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "nanocluster.io/v1alpha1"
KIND: Final = "NanoCluster"
PLURAL: Final = "nanoclusters"

# What every node pod listens on besides its listeners.
CLUSTER_PORT: Final = 7650
OBSERVE_PORT: Final = 7651
CONTROL_PORT: Final = 7652

MAX_BACKENDS: Final = 32


def cluster_ports(processes: int) -> list[int]:
    """Return the cluster ports of the processes of one pod, in their order.

    The first has the port of a node that is alone; the others follow behind the ports
    that the pod has once.
    """
    return [CLUSTER_PORT, *range(CONTROL_PORT + 1, CONTROL_PORT + processes)]


class Metadata(Object, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What Kubernetes keeps about the object; keys not listed here are ignored."""

    name: Annotated[
        Name,
        Meta(
            max_length=40,
            description="Name of the cluster; what is made for it is named after it.",
        ),
    ]
    namespace: Annotated[
        str, Meta(max_length=63, description="Kubernetes namespace it lives in.")
    ] = "default"
    labels: Annotated[StringMap, Meta(description="Labels of the object itself.")] = (
        field(default_factory=dict)
    )
    annotations: Annotated[
        dict[str, str], Meta(description="Annotations of the object itself.")
    ] = field(default_factory=dict)
    uid: Annotated[str, Meta(description="Set by Kubernetes.")] = ""
    generation: Annotated[int, Meta(description="Set by Kubernetes.")] = 0


class EnvVar(Object, frozen=True, kw_only=True):
    """One environment variable."""

    name: Annotated[VariableName, Meta(description="Name of the variable.")]
    value: Annotated[
        str, Meta(max_length=32_768, description="Its value; a text, so quote numbers.")
    ] = ""
    value_from: Annotated[
        Passed | None,
        Meta(
            description="Where Kubernetes takes the value from, instead of value "
            "(configMapKeyRef, secretKeyRef, fieldRef, …). Not on a laptop.",
        ),
    ] = None


class LocalReference(Object, frozen=True, kw_only=True):
    """Another object of the same namespace, by its name."""

    name: Annotated[str, Meta(min_length=1, max_length=253, description="Its name.")]


class Template(Object, frozen=True, kw_only=True):
    """What a role's pods get besides what the operator decides."""

    labels: Annotated[
        StringMap,
        Meta(
            description="More labels. The prefixes nanocluster.io/ and "
            "app.kubernetes.io/ belong to the operator."
        ),
    ] = field(default_factory=dict)
    annotations: Annotated[
        StringMap,
        Meta(
            description="More annotations. The prefixes nanocluster.io/ and "
            "app.kubernetes.io/ belong to the operator."
        ),
    ] = field(default_factory=dict)
    volumes: Annotated[
        list[
            Annotated[
                Passed,
                Meta(
                    extra_json_schema={
                        "properties": {
                            "name": {
                                "type": "string",
                                "minLength": 1,
                                "maxLength": 63,
                                "description": "Name of the volume.",
                            }
                        },
                        "required": ["name"],
                    }
                ),
            ]
        ],
        Meta(
            max_length=MAX_ITEMS,
            description="More volumes, as in a pod. The names manifest, control, "
            "tmp, tls and source are taken.",
            extra={"key": "name"},
        ),
    ] = field(default_factory=list)
    volume_mounts: Annotated[
        list[Passed],
        Meta(max_length=MAX_ITEMS, description="Where they are mounted, as in a pod."),
    ] = field(default_factory=list)
    image_pull_secrets: Annotated[
        list[LocalReference],
        Meta(max_length=16, description="Secrets for private image registries."),
    ] = field(default_factory=list)
    node_selector: Annotated[
        StringMap, Meta(description="Labels that a machine must have, as in a pod.")
    ] = field(default_factory=dict)
    tolerations: Annotated[
        list[Passed],
        Meta(max_length=MAX_ITEMS, description="Tainted machines that are accepted."),
    ] = field(default_factory=list)
    affinity: Annotated[
        Passed, Meta(description="Rules of placement, as in a pod.")
    ] = field(default_factory=dict)
    service_account_name: Annotated[
        str,
        Meta(
            max_length=253,
            description="Service account of the pods; none is needed by the nodes.",
        ),
    ] = ""


class RoleFields(Object, frozen=True, kw_only=True):
    """What master, gates and each backend have in common."""

    image: Annotated[
        Image, Meta(description="Image of this role only; empty: spec.image.")
    ] = ""
    env: Annotated[
        list[EnvVar],
        Meta(
            max_length=MAX_ITEMS,
            description="Environment variables of its nodes.",
            extra={"key": "name"},
        ),
    ] = field(default_factory=list)
    env_from: Annotated[
        list[Passed],
        Meta(
            max_length=16,
            description="Whole ConfigMaps and Secrets as environment variables, as "
            "in a pod. Not on a laptop.",
        ),
    ] = field(default_factory=list)
    resources: Annotated[
        Passed,
        Meta(description="Requests and limits of its pods, as in a container."),
    ] = field(default_factory=dict)
    template: Annotated[
        Template, Meta(description="More about its pods. Not on a laptop.")
    ] = Template()


class Master(RoleFields, frozen=True, kw_only=True):
    """The one node that keeps the list of members."""


class Tls(Object, frozen=True, kw_only=True):
    """The certificate of a listener: of a Secret, or of two files."""

    secret_name: Annotated[
        SecretName,
        Meta(
            description="Secret of type kubernetes.io/tls in the cluster's namespace. "
            "Elsewhere than in Kubernetes, the folder of this name in the folder of "
            "--tls-dir, with tls.crt and tls.key in it.",
        ),
    ] = ""
    cert_file: Annotated[
        FilePath,
        Meta(
            description="File with the certificate and those between it and the root, "
            "in PEM; a relative path begins where the components are. With keyFile.",
        ),
    ] = ""
    key_file: Annotated[
        FilePath,
        Meta(description="File with the certificate's key, in PEM. With certFile."),
    ] = ""


class IssuedTls(Object, frozen=True, kw_only=True):
    """Certificates that the operator makes, renews and replaces."""

    certificate_days: Annotated[
        int,
        Meta(
            ge=1,
            le=397,
            description="Days that a node's certificate is valid; its successor comes "
            "after two thirds of them.",
        ),
    ] = 30
    authority_days: Annotated[
        int,
        Meta(
            ge=3,
            le=7300,
            description="Days that the authority is valid, at least three times "
            "certificateDays; its successor comes after two thirds of them.",
        ),
    ] = 1825
    settle_seconds: Annotated[
        int,
        Meta(
            ge=60,
            le=86_400,
            description="Seconds that nodes get to take up new authorities before the "
            "next step of a rotation; a kubelet may take two minutes and a half.",
        ),
    ] = 300


class ClusterTls(Object, frozen=True, kw_only=True):
    """Mutual TLS between nodes: the operator's, of Secrets, or of three files."""

    issued: Annotated[
        IssuedTls | None,
        Meta(
            description="The operator is the authority: it makes the Secrets "
            "NAME-nodes-tls and NAME-master-tls and renews them while the nodes run. "
            "Elsewhere than in Kubernetes, folders of these names in that of "
            "--tls-dir.",
        ),
    ] = None

    secret_name: Annotated[
        SecretName,
        Meta(
            description="Secret in the cluster's namespace with tls.crt, tls.key and "
            "ca.crt, the authorities that are believed. Elsewhere than in Kubernetes, "
            "the folder of this name in the folder of --tls-dir.",
        ),
    ] = ""
    master_secret_name: Annotated[
        SecretName,
        Meta(
            description="The same for the master alone, whose certificate names its "
            "role; empty: secretName, and every node could speak as the master.",
        ),
    ] = ""
    cert_file: Annotated[
        FilePath,
        Meta(
            description="File with a node's certificate and those between it and the "
            "root, in PEM; a relative path begins where the components are.",
        ),
    ] = ""
    key_file: Annotated[
        FilePath, Meta(description="File with the certificate's key, in PEM.")
    ] = ""
    ca_file: Annotated[
        FilePath,
        Meta(description="File with the authorities that are believed, in PEM."),
    ] = ""

    def named(self, cluster: str) -> ClusterTls:
        """Return the same as nodes need it: with the names of issued Secrets.

        Args:
            cluster: The name of the cluster.
        """
        if self.issued is None:
            return self
        return ClusterTls(
            secret_name=f"{cluster}-nodes-tls",
            master_secret_name=f"{cluster}-master-tls",
        )


class Listener(Object, frozen=True, kw_only=True):
    """One way in for clients."""

    name: Annotated[
        ListenerName,
        Meta(description="Name of the listener and of its port in Services."),
    ]
    transport: Annotated[
        Literal["tcp", "websocket", "unix"],
        Meta(
            description="What carries the bytes: unix is for clients on the same "
            "machine, or in the same pod.",
        ),
    ]
    protocol: Annotated[
        Literal["nano"],
        Meta(description="What the bytes mean: nano is the protocol of pomelo."),
    ] = "nano"
    port: Annotated[
        Annotated[int, Meta(ge=1024, le=65_535)] | None,
        Meta(
            description="Where clients connect; every listener has one, but for those "
            "with transport unix. 7650, 7651 and 7652 are taken.",
        ),
    ] = None
    node_port: Annotated[
        Annotated[int, Meta(ge=30_000, le=32_767)] | None,
        Meta(
            description="The same port on every machine of the Kubernetes cluster, for "
            "a service of type NodePort or LoadBalancer; absent: Kubernetes chooses.",
        ),
    ] = None
    socket: Annotated[
        SocketPath,
        Meta(
            description="Where clients connect with transport unix: the path of the "
            "socket, which the node makes; a relative one begins where the components "
            "are. Only its user and group may connect.",
        ),
    ] = ""
    tls: Annotated[
        Tls | None,
        Meta(
            description="Speak TLS, 1.2 or newer; absent: plain. A new certificate is "
            "taken up while the node runs. Not with transport unix.",
        ),
    ] = None
    proxy_protocol: Annotated[
        bool,
        Meta(
            description="Every connection begins with a PROXY protocol header, of "
            "version 1 or 2, that says the client's address; others are closed.",
        ),
    ] = False
    trusted_proxies: Annotated[
        list[AddressRange],
        Meta(
            max_length=MAX_ITEMS,
            description="Addresses of the proxies that are believed when they tell the "
            "client's address, by the PROXY protocol or, with transport websocket, by "
            "X-Forwarded-For; as in 10.0.0.0/8.",
            extra={"set": True},
        ),
    ] = field(default_factory=list)
    path: Annotated[
        UrlPath,
        Meta(
            description="Path at which WebSockets are served, and no other; empty: any "
            "path. Only with transport websocket.",
        ),
    ] = ""
    origins: Annotated[
        list[Origin],
        Meta(
            max_length=MAX_ITEMS,
            description="Origins of the pages that may open WebSockets, as in "
            "https://example.com; empty: all. Clients that name none are no browsers "
            "and are let in. Only with transport websocket.",
            extra={"set": True},
        ),
    ] = field(default_factory=list)
    dictionary: Annotated[
        dict[str, RouteCode],
        Meta(
            max_length=1000,
            description="Routes that go as a code of two bytes instead of their name, "
            "both ways; no two share a code. Clients learn it in the handshake.",
        ),
    ] = field(default_factory=dict)

    @property
    def scheme(self) -> str:
        """What the URLs of this listener begin with."""
        return _SCHEMES[self.transport, self.tls is not None]

    def url(self, host: str) -> str:
        """Return where clients connect if *host* is where it listens."""
        return f"{self.scheme}://{self.socket or f'{host}:{self.port}{self.path}'}"


_SCHEMES: Final = {
    ("tcp", False): "tcp",
    ("tcp", True): "tls",
    ("websocket", False): "ws",
    ("websocket", True): "wss",
    ("unix", False): "unix",
}


class GateService(Object, frozen=True, kw_only=True):
    """The Kubernetes Service through which clients reach the gates."""

    type: Annotated[
        Literal["ClusterIP", "NodePort", "LoadBalancer"],
        Meta(description="Who can reach it, as of any Service."),
    ] = "ClusterIP"
    annotations: Annotated[
        StringMap, Meta(description="Annotations, which load balancers read.")
    ] = field(default_factory=dict)


class Autoscaling(Object, frozen=True, kw_only=True):
    """Kubernetes chooses the number of nodes, by what they use of the CPU they ask for.

    In Kubernetes only; elsewhere the role's replicas are started.
    """

    min_replicas: Annotated[
        int, Meta(ge=1, le=1000, description="Never fewer than these.")
    ]
    max_replicas: Annotated[
        int, Meta(ge=1, le=1000, description="Never more than these.")
    ]
    cpu_percent: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Use of CPU to aim at, in percent of resources.requests.cpu, "
            "averaged over the nodes.",
        ),
    ] = 70


def _default_listeners() -> list[Listener]:
    return [Listener(name="ws", transport="websocket", port=3250)]


class Gates(RoleFields, frozen=True, kw_only=True):
    """The nodes that hold the clients' connections."""

    replicas: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="How many. With one, each rollout disconnects everybody.",
        ),
    ] = 2
    processes: Annotated[
        int,
        Meta(
            ge=1,
            le=64,
            description="Processes of each gate, one for each core that it shall use. "
            "They share its listeners; each is a member of the cluster, and the second "
            "and those behind it have the cluster ports 7653, 7654 ….",
        ),
    ] = 1
    autoscaling: Annotated[
        Autoscaling | None,
        Meta(
            description="Let Kubernetes choose how many, by a HorizontalPodAutoscaler; "
            "replicas are then ignored there. Needs resources.requests.cpu.",
        ),
    ] = None
    rollout: Annotated[
        Literal["surge", "conserve"],
        Meta(
            description="How Kubernetes replaces gates: surge makes a whole new set "
            "first, so that no client has to move twice; conserve makes one at a time, "
            "where the machines have no room for twice as many.",
        ),
    ] = "surge"
    listeners: Annotated[
        list[Listener],
        Meta(
            min_length=1,
            max_length=8,
            description="The ways in for clients; every gate has all of them.",
            extra={"key": "name"},
        ),
    ] = field(default_factory=_default_listeners)
    components: Annotated[
        list[Component],
        Meta(
            max_length=MAX_ITEMS,
            description="Classes that the gates run themselves, each as "
            "module.path:ClassName; small clusters need no backends.",
            extra={"set": True},
        ),
    ] = field(default_factory=list)
    service: Annotated[
        GateService, Meta(description="How Kubernetes publishes the listeners.")
    ] = GateService()


class Source(Object, frozen=True, kw_only=True):
    """Where components are taken from, if not from the image."""

    config_map: Annotated[
        ConfigMapName,
        Meta(
            description="ConfigMap in the cluster's namespace with a key for each "
            "module, as in room.py. A change of it replaces the backend's nodes. "
            "Elsewhere than in Kubernetes, a ConfigMap in the file of the manifest.",
        ),
    ]


class Backend(RoleFields, frozen=True, kw_only=True):
    """A kind of node that runs components."""

    name: Annotated[
        Name,
        Meta(max_length=20, description="Name of this kind of backend."),
    ]
    replicas: Annotated[int, Meta(ge=0, le=1000, description="How many.")] = 1
    autoscaling: Annotated[
        Autoscaling | None,
        Meta(
            description="Let Kubernetes choose how many, by a HorizontalPodAutoscaler; "
            "replicas are then ignored there. Needs resources.requests.cpu.",
        ),
    ] = None
    components: Annotated[
        list[Component],
        Meta(
            min_length=1,
            max_length=MAX_ITEMS,
            description="The classes it runs, each as module.path:ClassName.",
            extra={"set": True},
        ),
    ]
    source: Annotated[
        Source | None,
        Meta(
            description="Where the components are, which then need no image of their "
            "own; absent: in the image or, elsewhere than in Kubernetes, beside the "
            "manifest.",
        ),
    ] = None
    version: Annotated[
        Version,
        Meta(
            description="Which version of the application it runs; for people, and for "
            "the functions of spec.routing.",
        ),
    ] = ""


class Routing(Object, frozen=True, kw_only=True):
    """How a member is chosen for a session's first message to one service."""

    service: Annotated[
        Service,
        Meta(description="What its routes begin with: the part before the last dot."),
    ]
    strategy: Annotated[
        Literal["random", "roundRobin", "leastLoaded", "hash", "function"],
        Meta(
            description="random: any; roundRobin: each in its turn; leastLoaded: the "
            "one to which the fewest sessions of the gate are bound; hash: the one "
            "that the session's key belongs to, at every gate; function: the one that "
            "a function of the application returns.",
        ),
    ] = "random"
    data_key: Annotated[
        DataKey,
        Meta(
            description="The key of session.data whose value is hashed; empty: the "
            "uid is. Only with strategy hash.",
        ),
    ] = ""
    function: Annotated[
        Function,
        Meta(
            description="The function that chooses, as module.path:function; gates "
            "load it. With strategy function.",
        ),
    ] = ""


class NetworkPolicy(Object, frozen=True, kw_only=True):
    """Who reaches the nodes' own ports; the listeners are open to everybody."""

    enabled: Annotated[
        bool,
        Meta(
            description="Make NetworkPolicies: the cluster port for the cluster's own "
            "nodes, the control port for the operator. They work where the network of "
            "Kubernetes enforces them.",
        ),
    ] = True
    cluster_from: Annotated[
        list[Passed],
        Meta(
            max_length=16,
            description="Who else reaches the cluster port, such as Go nodes: entries "
            "of a NetworkPolicy's from.",
        ),
    ] = field(default_factory=list)
    observe_from: Annotated[
        list[Passed],
        Meta(
            max_length=16,
            description="Who alone reaches the observe port, such as Prometheus; "
            "empty: everybody.",
        ),
    ] = field(default_factory=list)


class Spec(Object, frozen=True, kw_only=True):
    """The cluster as it shall be."""

    image: Annotated[
        Image,
        Meta(
            description="Image of all nodes, with the components in it; empty: the "
            "operator's plain node image. A laptop ignores it.",
        ),
    ] = ""
    image_pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"],
        Meta(description="When Kubernetes pulls the image."),
    ] = "IfNotPresent"
    settings: Annotated[Settings, Meta(description="How the nodes behave.")] = (
        Settings()
    )
    cluster_tls: Annotated[
        ClusterTls | None,
        Meta(
            description="Nodes show each other certificates; absent: the cluster port "
            "is plain, which Go nodes need. New certificates are taken up while the "
            "nodes run.",
        ),
    ] = None
    network_policy: Annotated[
        NetworkPolicy,
        Meta(description="Who reaches the nodes' own ports in Kubernetes."),
    ] = NetworkPolicy()
    master: Annotated[
        Master, Meta(description="The node that keeps the list of members.")
    ] = Master()
    gates: Annotated[
        Gates, Meta(description="The nodes that hold the clients' connections.")
    ] = Gates()
    backends: Annotated[
        list[Backend],
        Meta(
            max_length=MAX_BACKENDS,
            description="The kinds of nodes that run components.",
            extra={"key": "name"},
        ),
    ] = field(default_factory=list)
    routing: Annotated[
        list[Routing],
        Meta(
            max_length=MAX_ITEMS,
            description="How members are chosen, by service; at random where nothing "
            "is said. A session stays with the member that was chosen for it.",
            extra={"key": "service"},
        ),
    ] = field(default_factory=list)


class NanoCluster(Object, frozen=True, kw_only=True):
    """A realtime message cluster: one master, gates, and backends."""

    api_version: Annotated[
        Literal["nanocluster.io/v1alpha1"], Meta(description="Always this.")
    ] = "nanocluster.io/v1alpha1"
    kind: Annotated[Literal["NanoCluster"], Meta(description="Always this.")] = (
        "NanoCluster"
    )
    metadata: Annotated[Metadata, Meta(description="Name, namespace, labels.")]
    spec: Annotated[Spec, Meta(description="The cluster as it shall be.")] = Spec()
    status: Annotated[
        dict[str, object],
        Meta(description="What the operator says about it; read by no node."),
    ] = field(default_factory=dict)
