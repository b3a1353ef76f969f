"""What one field of the manifest demands of another.

Each rule is written twice, side by side: in Python, for ``nanoctl`` and the
operator, and in CEL, for the API server, which refuses a bad manifest at
``kubectl apply``.  The same good and bad manifests are tried on both.

CEL is kept dull on purpose: a computed message or a long expression makes the
API server refuse the whole CRD as too expensive.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from nano_manifest.model import (
    CLUSTER_PORT,
    CONTROL_PORT,
    OBSERVE_PORT,
    Autoscaling,
    Backend,
    ClusterTls,
    EnvVar,
    Gates,
    IssuedTls,
    Listener,
    NanoCluster,
    RoleFields,
    Routing,
    Spec,
    Template,
    Tls,
    cluster_ports,
)
from nano_manifest.problems import Path, Problem

__all__ = ["CEL", "RESERVED_ENV", "RESERVED_VOLUMES", "CelRule", "violations"]

_PORTS: Final = {
    CLUSTER_PORT: "the cluster port",
    OBSERVE_PORT: "the observe port",
    CONTROL_PORT: "the control port",
}
_PORT_NAMES: Final = ("cluster", "observe", "control")
_BACKEND_NAMES: Final = ("master", "gate")
_PREFIXES: Final = ("nanocluster.io/", "app.kubernetes.io/")

# What the operator mounts into every node pod.
RESERVED_VOLUMES: Final = ("manifest", "control", "tmp", "tls", "source")

# What the operator, or the supervisor, tells every node.
RESERVED_ENV: Final = (
    "NANO_ADDRESS",
    "NANO_BACKEND",
    "NANO_CONTROL",
    "NANO_HOST",
    "NANO_LISTEN_FDS",
    "NANO_MANIFEST",
    "NANO_MASTER",
    "NANO_OBSERVE",
    "NANO_PROCESSES",
    "NANO_ROLE",
    "NANO_TLS_DIR",
    "NANO_TOKEN_FILE",
    "POD_IP",
)


# Where a node looks for components; with a source, the operator says so.
_APP_DIR: Final = "NANO_APP_DIR"

_GO_SPEAKS_NO_TLS: Final = "Go nodes speak no TLS; remove clusterTls to trust them"


@dataclass(frozen=True, slots=True)
class CelRule:
    """One rule for the API server.

    Attributes:
        rule: The expression; ``self`` is the object that the rule belongs to.
        message: What the user reads, and that alone.
        field: The field that the fault is in, as ``.port``; empty for the object.
    """

    rule: str
    message: str
    field: str = ""


def _one_of(values: Iterable[str | int]) -> str:
    return "[" + ", ".join(repr(value) for value in values) + "]"


def _free_of_prefixes(field: str) -> CelRule:
    tests = " && ".join(f"!k.startsWith('{prefix}')" for prefix in _PREFIXES)
    return CelRule(
        f"!has(self.{field}) || self.{field}.all(k, {tests})",
        "the prefixes nanocluster.io/ and app.kubernetes.io/ belong to the operator",
        f".{field}",
    )


CEL: Final[dict[type[msgspec.Struct], tuple[CelRule, ...]]] = {
    NanoCluster: (
        CelRule(
            "self.metadata.name.size() <= 40",
            "metadata.name must have at most 40 characters",
        ),
        CelRule(
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must be lower-case letters, digits and '-', beginning "
            "with a letter",
        ),
    ),
    # Every field of a gate may be absent: Kubernetes tries the rules on the default
    # that is written for spec.gates before it fills in the defaults below it.
    Gates: (
        CelRule(
            "!has(self.listeners) || self.listeners.all(a, !has(a.port) || "
            "self.listeners.exists_one(b, has(b.port) && b.port == a.port))",
            "two listeners have the same port",
            ".listeners",
        ),
        CelRule(
            "!has(self.listeners) || self.listeners.all(a, !has(a.socket) || "
            "a.socket == '' || "
            "self.listeners.exists_one(b, has(b.socket) && b.socket == a.socket))",
            "two listeners have the same socket",
            ".listeners",
        ),
        CelRule(
            "!has(self.listeners) || self.listeners.exists(a, a.transport != 'unix')",
            "one listener at least has a port, for the Service of the gates",
            ".listeners",
        ),
        CelRule(
            "!has(self.listeners) || self.listeners.all(a, !has(a.nodePort) || "
            "self.listeners.exists_one(b, "
            "has(b.nodePort) && b.nodePort == a.nodePort))",
            "two listeners have the same nodePort",
            ".listeners",
        ),
        CelRule(
            "!has(self.listeners) || "
            "(has(self.service) && self.service.type != 'ClusterIP') || "
            "self.listeners.all(a, !has(a.nodePort))",
            "a nodePort needs service.type NodePort or LoadBalancer",
            ".listeners",
        ),
        CelRule(
            "!has(self.processes) || !has(self.listeners) || "
            f"self.listeners.all(a, !has(a.port) || a.port <= {CONTROL_PORT} || "
            f"a.port >= {CONTROL_PORT} + self.processes)",
            "7653 and those behind it are cluster ports of the gate's other processes; "
            "choose another port",
            ".listeners",
        ),
    ),
    Listener: (
        CelRule(
            f"!has(self.port) || !(self.port in {_one_of(_PORTS)})",
            "7650, 7651 and 7652 are used by the node itself; choose another port",
            ".port",
        ),
        CelRule(
            f"!(self.name in {_one_of(_PORT_NAMES)})",
            "cluster, observe and control are ports of the node itself; choose "
            "another name",
            ".name",
        ),
        CelRule(
            "has(self.port) || self.transport == 'unix'",
            "only a listener with transport unix has no port",
        ),
        CelRule(
            "!has(self.port) || self.transport != 'unix'",
            "a listener with transport unix has a socket and no port",
            ".port",
        ),
        CelRule(
            "self.transport != 'unix' || (has(self.socket) && self.socket != '')",
            "a listener with transport unix needs a socket, the path of one",
        ),
        CelRule(
            "self.transport == 'unix' || !has(self.socket) || self.socket == ''",
            "only a listener with transport unix has a socket",
            ".socket",
        ),
        CelRule(
            "!has(self.nodePort) || self.transport != 'unix'",
            "a listener with transport unix has no nodePort",
            ".nodePort",
        ),
        CelRule(
            "!has(self.tls) || self.transport != 'unix'",
            "a unix socket does not leave the machine and speaks no TLS",
            ".tls",
        ),
        CelRule(
            "!has(self.trustedProxies) || self.trustedProxies.size() == 0 || "
            "self.transport == 'websocket' || "
            "(self.transport == 'tcp' && "
            "has(self.proxyProtocol) && self.proxyProtocol)",
            "trustedProxies are for transport websocket, or tcp with proxyProtocol",
            ".trustedProxies",
        ),
        CelRule(
            "!has(self.proxyProtocol) || !self.proxyProtocol || "
            "self.transport == 'unix' || "
            "(has(self.trustedProxies) && self.trustedProxies.size() > 0)",
            "proxyProtocol needs trustedProxies: the addresses of the proxies",
            ".proxyProtocol",
        ),
        CelRule(
            "!has(self.path) || self.path == '' || self.transport == 'websocket'",
            "only a listener with transport websocket has a path",
            ".path",
        ),
        CelRule(
            "!has(self.origins) || self.origins.size() == 0 || "
            "self.transport == 'websocket'",
            "only a listener with transport websocket has origins",
            ".origins",
        ),
    ),
    Tls: (
        CelRule(
            "(has(self.certFile) && self.certFile != '') == "
            "(has(self.keyFile) && self.keyFile != '')",
            "certFile and keyFile go together",
        ),
        CelRule(
            "(has(self.secretName) && self.secretName != '') != "
            "((has(self.certFile) && self.certFile != '') || "
            "(has(self.keyFile) && self.keyFile != ''))",
            "tls needs either secretName, or certFile and keyFile",
        ),
    ),
    ClusterTls: (
        CelRule(
            "(has(self.certFile) && self.certFile != '') == "
            "(has(self.keyFile) && self.keyFile != '') && "
            "(has(self.certFile) && self.certFile != '') == "
            "(has(self.caFile) && self.caFile != '')",
            "certFile, keyFile and caFile go together",
        ),
        CelRule(
            "[has(self.issued), has(self.secretName) && self.secretName != '', "
            "(has(self.certFile) && self.certFile != '') || "
            "(has(self.keyFile) && self.keyFile != '') || "
            "(has(self.caFile) && self.caFile != '')].exists_one(given, given)",
            "clusterTls needs one of issued, secretName, or certFile, keyFile and "
            "caFile",
        ),
        CelRule(
            "!has(self.masterSecretName) || self.masterSecretName == '' || "
            "(has(self.secretName) && self.secretName != '')",
            "masterSecretName goes with secretName",
            ".masterSecretName",
        ),
    ),
    IssuedTls: (
        CelRule(
            "self.authorityDays >= 3 * self.certificateDays",
            "authorityDays must be at least three times certificateDays",
            ".authorityDays",
        ),
    ),
    Autoscaling: (
        CelRule(
            "self.minReplicas <= self.maxReplicas",
            "minReplicas must not be more than maxReplicas",
            ".minReplicas",
        ),
    ),
    Spec: (
        CelRule(
            "!has(self.clusterTls) || !has(self.settings) || "
            "!has(self.settings.goNodes) || self.settings.goNodes == 'untrusted'",
            _GO_SPEAKS_NO_TLS,
            ".settings.goNodes",
        ),
    ),
    Backend: (
        CelRule(
            f"!(self.name in {_one_of(_BACKEND_NAMES)})",
            "master and gate are roles; choose another name",
            ".name",
        ),
        CelRule(
            "!has(self.source) || self.components.all(c, !c.contains('.'))",
            "with source a component is module:ClassName: a ConfigMap has no folders",
            ".components",
        ),
        CelRule(
            "!has(self.source) || !has(self.env) || "
            f"self.env.all(e, e.name != '{_APP_DIR}')",
            "with source components are looked for there; "
            f"remove {_APP_DIR}, or source",
            ".env",
        ),
    ),
    Routing: (
        CelRule(
            "!has(self.dataKey) || self.dataKey == '' || "
            "(has(self.strategy) && self.strategy == 'hash')",
            "dataKey is for strategy hash",
            ".dataKey",
        ),
        CelRule(
            "(has(self.function) && self.function != '') == "
            "(has(self.strategy) && self.strategy == 'function')",
            "strategy function and the function that chooses go together",
        ),
    ),
    EnvVar: (
        CelRule(
            f"!(self.name in {_one_of(RESERVED_ENV)})",
            "this variable is set by the operator; choose another name",
            ".name",
        ),
        CelRule(
            "!has(self.value) || !has(self.valueFrom)",
            "value and valueFrom exclude each other",
        ),
    ),
    Template: (
        _free_of_prefixes("labels"),
        _free_of_prefixes("annotations"),
        CelRule(
            "!has(self.volumes) || "
            f"self.volumes.all(v, !(v.name in {_one_of(RESERVED_VOLUMES)}))",
            "the volumes manifest, control, tmp, tls and source belong to the operator",
            ".volumes",
        ),
    ),
}


def violations(cluster: NanoCluster) -> Iterator[Problem]:
    """Yield every place where *cluster* breaks a rule between fields."""
    spec = cluster.spec
    if spec.cluster_tls is not None:
        yield from _cluster_tls(spec.cluster_tls, ("spec", "clusterTls"))
        if spec.settings.go_nodes == "trusted":
            yield ("spec", "settings", "goNodes"), _GO_SPEAKS_NO_TLS
    yield from _role(spec.master, ("spec", "master"))
    yield from _gates(spec.gates, ("spec", "gates"))
    at: Path = ("spec", "backends")
    yield from _repeated((b.name for b in spec.backends), at, "name")
    for index, backend in enumerate(spec.backends):
        yield from _backend(backend, (*at, index))
    at = ("spec", "routing")
    yield from _repeated((item.service for item in spec.routing), at, "service")
    for index, item in enumerate(spec.routing):
        yield from _routing(item, (*at, index))


def _repeated(
    values: Iterable[str | int | None], at: Path, field: str = ""
) -> Iterator[Problem]:
    """Yield each entry of the list at *at* that repeats an earlier one."""
    seen: Counter[str | int] = Counter()
    for index, value in enumerate(values):
        if value is None:
            continue
        if seen[value]:
            path = (*at, index, field) if field else (*at, index)
            yield path, f"{value} is there already; each may appear once"
        seen[value] += 1


def _autoscaling(
    scaling: Autoscaling | None, role: RoleFields, at: Path
) -> Iterator[Problem]:
    if scaling is None:
        return
    if scaling.min_replicas > scaling.max_replicas:
        text = f"must not be more than maxReplicas, which is {scaling.max_replicas}"
        yield (*at, "autoscaling", "minReplicas"), text
    # Kubernetes takes a limit for the request where that is not written
    for part in ("requests", "limits"):
        amounts = role.resources.get(part)
        if isinstance(amounts, dict) and "cpu" in amounts:
            return
    text = "needs resources.requests.cpu of this role: cpuPercent is a part of it"
    yield (*at, "autoscaling"), text


def _gates(gates: Gates, at: Path) -> Iterator[Problem]:
    yield from _role(gates, at)
    yield from _autoscaling(gates.autoscaling, gates, at)
    yield from _repeated(gates.components, (*at, "components"))
    listeners = (*at, "listeners")
    yield from _repeated((item.name for item in gates.listeners), listeners, "name")
    yield from _repeated((item.port for item in gates.listeners), listeners, "port")
    sockets = (item.socket or None for item in gates.listeners)
    yield from _repeated(sockets, listeners, "socket")
    if all(item.transport == "unix" for item in gates.listeners):
        yield listeners, "one at least has a port, for the Service of the gates"
    ports = (item.node_port for item in gates.listeners)
    yield from _repeated(ports, listeners, "nodePort")
    for index, listener in enumerate(gates.listeners):
        yield from _listener(listener, gates, (*listeners, index))


def _listener(listener: Listener, gates: Gates, at: Path) -> Iterator[Problem]:
    if listener.port in _PORTS:
        whose = _PORTS[listener.port]
        yield (*at, "port"), f"{listener.port} is {whose}; choose another"
    elif listener.port in cluster_ports(gates.processes):
        text = f"{listener.port} is the cluster port of another process of the gate"
        yield (*at, "port"), f"{text}; choose another"
    if listener.name in _PORT_NAMES:
        text = f"{listener.name} is a port of the node itself; choose another name"
        yield (*at, "name"), text
    if listener.node_port is not None and gates.service.type == "ClusterIP":
        text = "needs spec.gates.service.type NodePort or LoadBalancer"
        yield (*at, "nodePort"), text
    if listener.transport != "websocket":
        for field in ("path", "origins"):
            if getattr(listener, field):
                yield (*at, field), "only a listener with transport websocket has this"
    yield from _place(listener, at)
    yield from _proxies(listener, at)
    if listener.tls is not None:
        yield from _tls(listener.tls, (*at, "tls"))
    yield from _repeated(listener.origins, (*at, "origins"))
    yield from _dictionary(listener.dictionary, (*at, "dictionary"))


def _place(listener: Listener, at: Path) -> Iterator[Problem]:
    """Check where a listener is: on a port, or at a socket of this machine."""
    if listener.transport != "unix":
        if listener.port is None:
            text = "is required but with transport unix. Where clients connect."
            yield (*at, "port"), text
        if listener.socket:
            yield (*at, "socket"), "only a listener with transport unix has this"
        return
    if not listener.socket:
        yield (*at, "socket"), "is required with transport unix. The socket's path."
    for field, given in (("port", listener.port), ("nodePort", listener.node_port)):
        if given is not None:
            yield (*at, field), "a listener with transport unix has a socket instead"
    if listener.tls is not None:
        text = "a unix socket does not leave the machine and speaks no TLS; remove it"
        yield (*at, "tls"), text


def _proxies(listener: Listener, at: Path) -> Iterator[Problem]:
    ranges = (*at, "trustedProxies")
    transport, trusted = listener.transport, listener.trusted_proxies
    useful = transport == "tcp" and listener.proxy_protocol
    if trusted and transport != "websocket" and not useful:
        yield ranges, "this is for transport websocket, or tcp with proxyProtocol"
    if listener.proxy_protocol and not trusted and transport != "unix":
        text = "needs trustedProxies: the addresses of the proxies, as in 10.0.0.0/8"
        yield (*at, "proxyProtocol"), text
    for index, given in enumerate(trusted):
        try:
            ipaddress.ip_network(given)
        except ValueError as error:
            text = f"is no range of addresses ({error}); expected one as 10.0.0.0/8"
            yield (*ranges, index), text
    yield from _repeated(trusted, ranges)


def _tls(tls: Tls, at: Path) -> Iterator[Problem]:
    if bool(tls.cert_file) is not bool(tls.key_file):
        yield at, "certFile and keyFile go together"
    elif bool(tls.secret_name) is bool(tls.cert_file):
        yield at, "needs either secretName, or certFile and keyFile"


def _cluster_tls(tls: ClusterTls, at: Path) -> Iterator[Problem]:
    files = [bool(file) for file in (tls.cert_file, tls.key_file, tls.ca_file)]
    if any(files) and not all(files):
        yield at, "certFile, keyFile and caFile go together"
    elif [tls.issued is not None, bool(tls.secret_name), any(files)].count(True) != 1:
        yield at, "needs one of issued, secretName, or certFile, keyFile and caFile"
    if tls.master_secret_name and not tls.secret_name:
        yield (*at, "masterSecretName"), "goes with secretName"
    if tls.issued and tls.issued.authority_days < 3 * tls.issued.certificate_days:
        text = "must be at least three times certificateDays"
        yield (*at, "issued", "authorityDays"), text


def _dictionary(codes: dict[str, int], at: Path) -> Iterator[Problem]:
    """Check what the API server leaves to us: pairs of 1000 cost it too much."""
    owners: dict[int, str] = {}
    for route, code in codes.items():
        if route != route.strip() or not 0 < len(route.encode()) <= 255:
            text = "a route has 1 to 255 bytes, and no space around them"
            yield (*at, route), text
        owner = owners.setdefault(code, route)
        if owner != route:
            yield (*at, route), f"{code} is the code of {owner} already"


def _backend(backend: Backend, at: Path) -> Iterator[Problem]:
    yield from _role(backend, at)
    yield from _autoscaling(backend.autoscaling, backend, at)
    if backend.name in _BACKEND_NAMES:
        yield (*at, "name"), f"{backend.name} is a role; choose another name"
    yield from _repeated(backend.components, (*at, "components"))
    if backend.source is not None:
        yield from _sourced(backend, at)


def _sourced(backend: Backend, at: Path) -> Iterator[Problem]:
    """Check a backend whose components are in a ConfigMap: there, and nowhere else."""
    for index, component in enumerate(backend.components):
        if "." in component:
            text = "a ConfigMap has no folders; expected module:ClassName with source"
            yield (*at, "components", index), text
    for index, variable in enumerate(backend.env):
        if variable.name == _APP_DIR:
            text = f"with source components are looked for there; remove {_APP_DIR}"
            yield (*at, "env", index, "name"), f"{text}, or source"


def _routing(routing: Routing, at: Path) -> Iterator[Problem]:
    if routing.data_key and routing.strategy != "hash":
        yield (*at, "dataKey"), "is for strategy hash"
    if routing.function and routing.strategy != "function":
        yield (*at, "function"), "is for strategy function"
    if routing.strategy == "function" and not routing.function:
        text = "is required with strategy function: the function that chooses"
        yield (*at, "function"), text


def _role(role: RoleFields, at: Path) -> Iterator[Problem]:
    env = (*at, "env")
    yield from _repeated((variable.name for variable in role.env), env, "name")
    for index, variable in enumerate(role.env):
        if variable.name in RESERVED_ENV:
            text = f"{variable.name} is set by the operator; choose another name"
            yield (*env, index, "name"), text
        if variable.value and variable.value_from is not None:
            yield (*env, index), "value and valueFrom exclude each other"
    yield from _template(role.template, (*at, "template"))


def _template(template: Template, at: Path) -> Iterator[Problem]:
    for field in ("labels", "annotations"):
        for key in getattr(template, field):
            if key.startswith(_PREFIXES):
                prefix = key.partition("/")[0]
                text = f"the prefix {prefix}/ belongs to the operator"
                yield (*at, field, key), text
    names: list[str] = []
    for index, volume in enumerate(template.volumes):
        name = volume.get("name")
        names.append(str(name))
        if not isinstance(name, str) or not name:
            yield (*at, "volumes", index, "name"), "is required. Name of the volume."
        elif name in RESERVED_VOLUMES:
            text = f"{name} belongs to the operator; choose another name"
            yield (*at, "volumes", index, "name"), text
    yield from _repeated(names, (*at, "volumes"), "name")
