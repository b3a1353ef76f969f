"""What there should be for a resource, table by table."""

from __future__ import annotations

from typing import cast

import pytest

from nano_manifest import from_object, loads
from nano_manifest.rules import RESERVED_ENV, RESERVED_VOLUMES
from nano_operator.names import CONSUMED, INTENT, MANAGED_BY, MANAGER, TEMPLATE
from nano_operator.objects import Object
from nano_operator.resources import Context, children, missing_images
from nano_operator.resources.master import RETURN_SECONDS
from nano_operator.resources.secret import secret

from .worlds import cluster, inner, of_kind

SOURCED: Object = {
    "name": "room",
    "components": ["rooms:RoomService"],
    "source": {"configMap": "first"},
}
DEPLOYMENTS = ("arena-master", "arena-room", "arena-gate")


def built(node_image: str = "", /, **spec: object) -> list[Object]:
    return children(Context(from_object(cluster(**spec)), node_image, "system"))


def deployment(name: str, /, **spec: object) -> Object:
    return of_kind(built(**spec), "Deployment", name)


def container(name: str, /, **spec: object) -> Object:
    found = inner(deployment(name, **spec), "spec.template.spec.containers.0")
    return cast("Object", found)


def env(name: str, /, **spec: object) -> dict[str, Object]:
    entries = cast("list[Object]", container(name, **spec)["env"])
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {str(entry["name"]): entry for entry in entries}


def consumed(name: str, /, **spec: object) -> object:
    made = deployment(name, **spec)
    return cast("Object", inner(made, "spec.template.metadata.annotations"))[CONSUMED]


def test_everything_is_made_in_an_order_in_which_pods_find_what_they_need() -> None:
    made = [f"{item['kind']} {inner(item, 'metadata.name')}" for item in built()]
    assert made == [
        "ConfigMap arena-manifest",
        "Service arena-master",
        "Service arena-gate",
        "Service arena-members",
        "NetworkPolicy arena-nodes",
        "NetworkPolicy arena-gate",
        "PodDisruptionBudget arena-gate",
        "Deployment arena-master",
        "Deployment arena-room",
        "Deployment arena-gate",
    ]


def test_every_child_is_labelled_and_owned_by_its_cluster() -> None:
    everything = [*built(), secret(Context(from_object(cluster())), "token")]
    for item in everything:
        labels = cast("Object", inner(item, "metadata.labels"))
        assert labels["app.kubernetes.io/name"] == "nanocluster"
        assert labels["app.kubernetes.io/instance"] == "arena"
        assert labels["app.kubernetes.io/part-of"] == "nanocluster"
        assert labels[MANAGED_BY] == MANAGER
        assert labels["nanocluster.io/cluster"] == "arena"
        assert inner(item, "metadata.namespace") == "demo"
        assert inner(item, "metadata.ownerReferences") == [
            {
                "apiVersion": "nanocluster.io/v1alpha1",
                "kind": "NanoCluster",
                "name": "arena",
                "uid": "uid-of-arena",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]


@pytest.mark.parametrize(
    ("name", "selector"),
    [
        ("arena-master", {"nanocluster.io/role": "master"}),
        ("arena-gate", {"nanocluster.io/role": "gate"}),
        (
            "arena-room",
            {"nanocluster.io/role": "backend", "nanocluster.io/backend": "room"},
        ),
    ],
)
def test_a_deployment_selects_by_the_fewest_labels(
    name: str, selector: dict[str, str]
) -> None:
    made = deployment(name)
    chosen = {"nanocluster.io/cluster": "arena", **selector}
    assert inner(made, "spec.selector.matchLabels") == chosen
    labels = cast("Object", inner(made, "spec.template.metadata.labels"))
    assert chosen.items() <= labels.items()


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("arena-master", {"type": "Recreate"}),
        (
            "arena-gate",
            {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0},
            },
        ),
        (
            "arena-room",
            {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0},
            },
        ),
    ],
)
def test_each_role_is_replaced_in_its_own_way(name: str, strategy: Object) -> None:
    assert inner(deployment(name), "spec.strategy") == strategy


def test_a_master_is_done_only_when_its_members_have_had_time_to_return() -> None:
    assert inner(deployment("arena-master"), "spec.minReadySeconds") == RETURN_SECONDS


def test_replicas_are_always_said() -> None:
    spec: Object = {
        "gates": {"replicas": 5},
        "backends": [{"name": "room", "replicas": 0, "components": ["a:B"]}],
    }
    assert inner(deployment("arena-master", **spec), "spec.replicas") == 1
    assert inner(deployment("arena-gate", **spec), "spec.replicas") == 5
    assert inner(deployment("arena-room", **spec), "spec.replicas") == 0


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_satisfies_the_restricted_standard(name: str) -> None:
    pod = cast("Object", inner(deployment(name), "spec.template.spec"))
    for security in (pod["securityContext"], inner(pod, "containers.0")):
        assert "privileged" not in cast("Object", security)
    assert inner(pod, "securityContext.runAsNonRoot") is True
    assert inner(pod, "securityContext.runAsUser") != 0
    assert inner(pod, "securityContext.seccompProfile") == {"type": "RuntimeDefault"}
    assert inner(pod, "containers.0.securityContext") == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    kinds = [set(volume) - {"name"} for volume in cast("list[Object]", pod["volumes"])]
    assert kinds == [{"configMap"}, {"secret"}, {"emptyDir"}]
    for entry in cast("list[Object]", inner(pod, "containers.0.ports")):
        assert "hostPort" not in entry


@pytest.mark.parametrize("name", DEPLOYMENTS)
@pytest.mark.parametrize(
    ("settings", "seconds"), [({}, 90), ({"drainSeconds": 10.2}, 41)]
)
def test_a_pod_has_time_to_drain_and_to_stop(
    name: str, settings: Object, seconds: int
) -> None:
    made = deployment(name, settings=settings)
    path = "spec.template.spec.terminationGracePeriodSeconds"
    assert inner(made, path) == seconds


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_gets_nothing_of_the_cluster_that_it_does_not_need(name: str) -> None:
    pod = cast("Object", inner(deployment(name), "spec.template.spec"))
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_pods_address_comes_before_the_variables_that_use_it(name: str) -> None:
    entries = cast("list[Object]", container(name)["env"])
    assert entries[0] == {
        "name": "POD_IP",
        "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}},
    }
    assert {"$(POD_IP)" in str(entry.get("value")) for entry in entries[1:]} == {
        True,
        False,
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("arena-master", {"NANO_ROLE": "master"}),
        (
            "arena-gate",
            {"NANO_ROLE": "gate", "NANO_MASTER": "arena-master.demo.svc:7650"},
        ),
        (
            "arena-room",
            {
                "NANO_ROLE": "backend",
                "NANO_BACKEND": "room",
                "NANO_MASTER": "arena-master.demo.svc:7650",
            },
        ),
    ],
)
def test_a_node_is_told_who_it_is(name: str, expected: dict[str, str]) -> None:
    common = {
        "NANO_MANIFEST": "/etc/nano/cluster.yaml",
        "NANO_ADDRESS": "$(POD_IP):7650",
        "NANO_HOST": "$(POD_IP)",
        "NANO_OBSERVE": "$(POD_IP):7651",
        "NANO_CONTROL": "$(POD_IP):7652",
        "NANO_TOKEN_FILE": "/etc/nano-control/token",
    }
    told = {key: entry["value"] for key, entry in env(name).items() if "value" in entry}
    assert told == common | expected
    assert set(env(name)) <= set(RESERVED_ENV)
    assert container(name)["args"] == ["node"]


def test_a_users_variables_come_after_the_operators() -> None:
    backend = {
        "name": "room",
        "components": ["a:B"],
        "env": [
            {"name": "LEVEL", "value": "3"},
            {"name": "EMPTY"},
            {
                "name": "PLACE",
                "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}},
            },
        ],
        "envFrom": [{"secretRef": {"name": "keys"}}],
    }
    made = container("arena-room", backends=[backend])
    assert cast("list[Object]", made["env"])[-3:] == [
        {"name": "LEVEL", "value": "3"},
        {"name": "EMPTY"},
        {"name": "PLACE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ]
    assert made["envFrom"] == [{"secretRef": {"name": "keys"}}]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_is_probed_on_its_observe_port(name: str) -> None:
    made = container(name)
    assert inner(made, "startupProbe.httpGet") == {
        "path": "/healthz",
        "port": "observe",
    }
    assert inner(made, "livenessProbe.httpGet") == inner(made, "startupProbe.httpGet")
    assert inner(made, "readinessProbe.httpGet") == {
        "path": "/readyz",
        "port": "observe",
    }


def test_a_gate_opens_its_listeners_and_others_do_not() -> None:
    listeners = [
        {"name": "ws", "transport": "websocket", "port": 3250},
        {"name": "game", "transport": "tcp", "port": 4000},
    ]
    fixed = {"cluster": 7650, "observe": 7651, "control": 7652}
    opened = {
        name: {
            entry["name"]: entry["containerPort"]
            for entry in cast(
                "list[Object]", container(name, gates={"listeners": listeners})["ports"]
            )
        }
        for name in DEPLOYMENTS
    }
    assert opened == {
        "arena-master": fixed,
        "arena-room": fixed,
        "arena-gate": fixed | {"ws": 3250, "game": 4000},
    }


def test_a_gate_of_several_processes_opens_a_cluster_port_for_each() -> None:
    gates = {"processes": 3}
    assert env("arena-gate", gates=gates)["NANO_PROCESSES"]["value"] == "3"
    assert "NANO_PROCESSES" not in env("arena-room", gates=gates)
    ports = cast("list[Object]", container("arena-gate", gates=gates)["ports"])
    opened = [(entry.get("name"), entry["containerPort"]) for entry in ports]
    own = [("cluster", 7650), ("observe", 7651), ("control", 7652), ("ws", 3250)]
    assert opened == [*own, (None, 7653), (None, 7654)]


def test_a_gate_of_one_process_is_as_ever() -> None:
    assert deployment("arena-gate", gates={"processes": 1}) == deployment("arena-gate")
    assert "NANO_PROCESSES" not in env("arena-gate")


def test_another_number_of_processes_replaces_the_gates_alone() -> None:
    def templates(**gates: object) -> dict[str, object]:
        return {
            name: inner(deployment(name, gates=gates), "spec.template")
            for name in DEPLOYMENTS
        }

    before, after = templates(), templates(processes=2)
    changed = [name for name in DEPLOYMENTS if before[name] != after[name]]
    assert changed == ["arena-gate"]


def test_what_a_template_says_is_added_to_the_pod() -> None:
    template = {
        "labels": {"team": "red"},
        "annotations": {"note": "hello"},
        "volumes": [{"name": "maps", "configMap": {"name": "maps"}}],
        "volumeMounts": [{"name": "maps", "mountPath": "/maps"}],
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "games", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "serviceAccountName": "arena",
    }
    made = deployment("arena-gate", gates={"template": template, "resources": {"a": 1}})
    pod = cast("Object", inner(made, "spec.template.spec"))
    assert inner(made, "spec.template.metadata.labels.team") == "red"
    assert inner(made, "spec.template.metadata.annotations.note") == "hello"
    assert cast("list[Object]", pod["volumes"])[-1] == template["volumes"][0]  # type: ignore[index]
    mounts = cast("list[Object]", inner(pod, "containers.0.volumeMounts"))
    assert mounts[-1] == {"name": "maps", "mountPath": "/maps"}
    assert inner(pod, "containers.0.resources") == {"a": 1}
    for key in (
        "imagePullSecrets",
        "nodeSelector",
        "tolerations",
        "affinity",
        "serviceAccountName",
    ):
        assert pod[key] == template[key]
    plain = cast("Object", inner(deployment("arena-master"), "spec.template.spec"))
    assert not {"imagePullSecrets", "affinity", "serviceAccountName"} & plain.keys()


def secure(name: str, secret: str, port: int = 4000) -> Object:
    tls = {"secretName": secret}
    return {"name": name, "transport": "websocket", "port": port, "tls": tls}


def test_gates_have_the_secrets_of_their_listeners_each_in_a_folder() -> None:
    gates = {
        "listeners": [
            secure("a", "game-tls", 4000),
            secure("b", "game-tls", 4001),
            secure("c", "other.tls", 4002),
            {"name": "d", "transport": "tcp", "port": 4003},
        ]
    }
    pod = inner(deployment("arena-gate", gates=gates), "spec.template.spec")
    volumes = cast("list[Object]", inner(pod, "volumes"))
    (volume,) = (entry for entry in volumes if entry["name"] == "tls")

    def source(name: str) -> Object:
        items = [
            {"key": key, "path": f"{name}/{key}"} for key in ("tls.crt", "tls.key")
        ]
        return {"secret": {"name": name, "items": items}}

    assert volume["projected"] == {
        "sources": [source("game-tls"), source("other.tls")],
        "defaultMode": 0o440,
    }
    mounts = cast("list[Object]", inner(pod, "containers.0.volumeMounts"))
    assert {"name": "tls", "mountPath": "/etc/nano-tls", "readOnly": True} in mounts
    assert env("arena-gate", gates=gates)["NANO_TLS_DIR"]["value"] == "/etc/nano-tls"
    for name in ("arena-master", "arena-room"):
        others = cast(
            "list[Object]",
            inner(deployment(name, gates=gates), "spec.template.spec.volumes"),
        )
        assert "tls" not in {entry["name"] for entry in others}
        assert "NANO_TLS_DIR" not in env(name, gates=gates)


@pytest.mark.parametrize("own", ["", "arena-master-tls"])
def test_every_node_has_the_secret_for_the_cluster_port_the_master_its_own(
    own: str,
) -> None:
    between = {"secretName": "arena-tls"} | ({"masterSecretName": own} if own else {})
    gates = {"listeners": [secure("a", "game-tls"), secure("b", "arena-tls", 4001)]}
    keys = {"game-tls": ["tls.crt", "tls.key"]}
    all_keys = ["tls.crt", "tls.key", "ca.crt"]
    wanted = {
        "arena-master": {own or "arena-tls": all_keys},
        "arena-room": {"arena-tls": all_keys},
        "arena-gate": keys | {"arena-tls": all_keys},
    }
    for name, secrets in wanted.items():
        made = deployment(name, gates=gates, clusterTls=between)
        pod = inner(made, "spec.template.spec")
        volumes = cast("list[Object]", inner(pod, "volumes"))
        (volume,) = (entry for entry in volumes if entry["name"] == "tls")
        assert inner(volume, "projected.sources") == [
            {
                "secret": {
                    "name": secret,
                    "items": [{"key": it, "path": f"{secret}/{it}"} for it in items],
                }
            }
            for secret, items in secrets.items()
        ]
        variables = env(name, gates=gates, clusterTls=between)
        assert variables["NANO_TLS_DIR"]["value"] == "/etc/nano-tls"


def test_a_listener_of_files_mounts_nothing() -> None:
    listener = secure("a", "x") | {"tls": {"certFile": "a.crt", "keyFile": "a.key"}}
    made = deployment("arena-gate", gates={"listeners": [listener]})
    volumes = cast("list[Object]", inner(made, "spec.template.spec.volumes"))
    assert "tls" not in {entry["name"] for entry in volumes}


def test_a_unix_listener_is_no_port_of_pods_or_services() -> None:
    gates: Object = {
        "listeners": [
            {"name": "ws", "transport": "websocket", "port": 4000},
            {"name": "local", "transport": "unix", "socket": "/tmp/nano.sock"},
        ]
    }
    ports = cast("list[Object]", container("arena-gate", gates=gates)["ports"])
    names = ["cluster", "observe", "control", "ws"]
    assert [port["name"] for port in ports] == names
    published = of_kind(built(gates=gates), "Service", "arena-gate")
    entries = cast("list[Object]", inner(published, "spec.ports"))
    assert [entry["name"] for entry in entries] == ["ws"]


def test_the_operators_volumes_are_those_that_the_manifest_reserves() -> None:
    secured = {"listeners": [secure("ws", "game-tls")]}
    made = built(gates=secured, backends=[SOURCED])
    names: dict[object, None] = {}
    for name in ("arena-gate", "arena-room"):
        pod = inner(of_kind(made, "Deployment", name), "spec.template.spec")
        volumes = cast("list[Object]", inner(pod, "volumes"))
        names |= dict.fromkeys(entry["name"] for entry in volumes)
    assert list(names) == list(RESERVED_VOLUMES)


def test_a_backend_takes_its_components_from_a_config_map() -> None:
    room = deployment("arena-room", backends=[SOURCED])
    pod = cast("Object", inner(room, "spec.template.spec"))
    volume = {"name": "source", "configMap": {"name": "first"}}
    assert volume in cast("list[Object]", pod["volumes"])
    mounts = cast("list[Object]", inner(pod, "containers.0.volumeMounts"))
    (mount,) = [entry for entry in mounts if entry["name"] == "source"]
    assert mount["readOnly"] is True
    told = env("arena-room", backends=[SOURCED])
    assert told["NANO_APP_DIR"]["value"] == mount["mountPath"]
    for other in ("arena-gate", "arena-master"):
        assert "NANO_APP_DIR" not in env(other, backends=[SOURCED])


def test_what_is_in_the_config_map_is_in_the_mark_of_the_template() -> None:
    resource = from_object(cluster(backends=[SOURCED]))
    marks: dict[str, set[object]] = {name: set() for name in DEPLOYMENTS}
    for text in ("pass", "...", "pass"):
        made = children(Context(resource, sources={"first": {"rooms.py": text}}))
        for name, seen in marks.items():
            found = of_kind(made, "Deployment", name)
            seen.add(cast("Object", inner(found, "metadata.annotations"))[TEMPLATE])
    assert {name: len(seen) for name, seen in marks.items()} == {
        "arena-master": 1,
        "arena-room": 2,
        "arena-gate": 1,
    }


def test_pods_are_spread_where_that_is_possible() -> None:
    pod = inner(deployment("arena-room"), "spec.template.spec")
    spread = cast("list[Object]", inner(pod, "topologySpreadConstraints"))
    assert [entry["topologyKey"] for entry in spread] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    assert {entry["whenUnsatisfiable"] for entry in spread} == {"ScheduleAnyway"}


@pytest.mark.parametrize(
    ("role", "spec", "node_image", "expected"),
    [
        ("own:2", "arena:1", "node:0", "own:2"),
        ("", "arena:1", "node:0", "arena:1"),
        ("", "", "node:0", "node:0"),
    ],
)
def test_the_nearest_image_wins(
    role: str, spec: str, node_image: str, expected: str
) -> None:
    made = of_kind(
        built(node_image, image=spec, gates={"image": role}), "Deployment", "arena-gate"
    )
    assert inner(made, "spec.template.spec.containers.0.image") == expected


def test_roles_without_any_image_are_named() -> None:
    resource = from_object(cluster(image="", master={"image": "own:1"}))
    assert missing_images(Context(resource)) == ["backend room", "gate"]
    assert missing_images(Context(resource, "node:0")) == []


def test_the_master_can_be_found_also_while_it_is_not_ready() -> None:
    service = of_kind(built(), "Service", "arena-master")
    assert inner(service, "spec.publishNotReadyAddresses") is True
    assert inner(service, "spec.ports") == [
        {"name": "cluster", "port": 7650, "targetPort": "cluster", "protocol": "TCP"}
    ]


@pytest.mark.parametrize(
    ("service", "node_port", "expected"),
    [
        ({}, None, {"type": "ClusterIP"}),
        ({"type": "NodePort"}, 30250, {"type": "NodePort"}),
        (
            {"type": "LoadBalancer"},
            None,
            {"type": "LoadBalancer", "externalTrafficPolicy": "Local"},
        ),
    ],
)
def test_clients_reach_the_gates_as_the_resource_says(
    service: Object, node_port: int | None, expected: Object
) -> None:
    listener: Object = {"name": "ws", "transport": "websocket", "port": 3250}
    if node_port:
        listener["nodePort"] = node_port
    gates: Object = {
        "listeners": [listener],
        "service": {**service, "annotations": {"lb": "fast"}},
    }
    made = of_kind(built(gates=gates), "Service", "arena-gate")
    port = {"name": "ws", "port": 3250, "targetPort": "ws", "protocol": "TCP"}
    spec = dict(cast("Object", made["spec"]))
    assert spec.pop("ports") == [port | ({"nodePort": node_port} if node_port else {})]
    selector = spec.pop("selector")
    assert spec == expected
    assert selector == {
        "nanocluster.io/cluster": "arena",
        "nanocluster.io/role": "gate",
        "nanocluster.io/entrance": "open",
    }
    gate = of_kind(built(gates=gates), "Deployment", "arena-gate")
    labels = cast("Object", inner(gate, "spec.template.metadata.labels"))
    assert selector.items() <= labels.items()
    assert inner(made, "metadata.annotations.lb") == "fast"


def test_the_config_map_holds_a_manifest_that_reads_back_as_the_resource() -> None:
    resource = cluster(gates={"replicas": 3}) | {"status": {"observedGeneration": 1}}
    made = of_kind(
        children(Context(from_object(resource))), "ConfigMap", "arena-manifest"
    )
    data = cast("Object", made["data"])
    read = loads(str(data["cluster.yaml"]))
    assert read.spec == from_object(resource).spec
    assert (read.metadata.name, read.metadata.namespace) == ("arena", "demo")
    assert (read.metadata.uid, read.metadata.generation) == ("", 0)
    assert read.status == {}


def websocket(**more: object) -> Object:
    """Return the listener that a cluster has by default, with *more*."""
    return {"name": "ws", "transport": "websocket", "port": 3250, **more}


ROLES = {"arena-master", "arena-room", "arena-gate"}


@pytest.mark.parametrize(
    ("change", "rolled"),
    [
        ({"gates": {"replicas": 9}}, set()),
        ({"gates": {"service": {"type": "NodePort"}}}, set()),
        ({"settings": {"logLevel": "debug"}}, ROLES),
        ({"clusterTls": {"certFile": "a", "keyFile": "b", "caFile": "c"}}, ROLES),
        (
            {"gates": {"listeners": [{"name": "t", "transport": "tcp", "port": 4000}]}},
            {"arena-gate"},
        ),
        (
            {"gates": {"listeners": [websocket(path="/nano")]}},
            {"arena-gate"},
        ),
        (
            {"gates": {"listeners": [websocket(origins=["https://a.example"])]}},
            {"arena-gate"},
        ),
        (
            {"gates": {"listeners": [websocket(tls={"secretName": "x"})]}},
            {"arena-gate"},
        ),
        (
            {"gates": {"listeners": [websocket(trustedProxies=["10.0.0.1"])]}},
            {"arena-gate"},
        ),
        (
            {
                "gates": {
                    "service": {"type": "NodePort"},
                    "listeners": [websocket(nodePort=30_250)],
                }
            },
            set(),
        ),
        ({"gates": {"components": ["a:B"]}}, {"arena-gate"}),
        ({"backends": [{"name": "room", "components": ["a:B"]}]}, {"arena-room"}),
        (
            {
                "backends": [
                    {
                        "name": "room",
                        "components": ["rooms:RoomService"],
                        "version": "2",
                    }
                ]
            },
            {"arena-room"},
        ),
        (
            {"routing": [{"service": "RoomService", "strategy": "hash"}]},
            {"arena-gate", "arena-room"},
        ),
        (
            {
                "backends": [
                    {"name": "room", "components": ["rooms:RoomService"]},
                    {"name": "shop", "components": ["a:B"]},
                ]
            },
            set(),
        ),
    ],
)
def test_a_change_rolls_exactly_the_pods_that_read_it(
    change: Object, rolled: set[str]
) -> None:
    before = {name: consumed(name) for name in ROLES}
    after = {name: consumed(name, **change) for name in ROLES}
    assert {name for name in ROLES if before[name] != after[name]} == rolled


def test_what_kubernetes_keeps_about_the_resource_changes_no_child() -> None:
    resource = cluster()
    later = cluster()
    later["metadata"] = cast("Object", later["metadata"]) | {
        "generation": 7,
        "resourceVersion": "99",
        "labels": {"a": "b"},
    }
    assert children(Context(from_object(resource))) == children(
        Context(from_object(later))
    )


def test_each_child_says_what_was_intended() -> None:
    marks = {
        str(inner(item, "metadata.name")): cast(
            "Object", inner(item, "metadata.annotations")
        )[INTENT]
        for item in built()
        if item["kind"] == "Deployment"
    }
    again = deployment("arena-gate", gates={"replicas": 3})
    assert len(set(marks.values())) == 3
    annotations = cast("Object", inner(again, "metadata.annotations"))
    assert annotations[INTENT] != marks["arena-gate"]
