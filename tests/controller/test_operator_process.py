"""The operator as a process on a real API server.

It has a service account with exactly the rights of ``CALLS``, so whatever it does
here, it may do under the chart.  There is no kubelet: where a test needs pods that
are ready, it patches their status itself and says so.
"""

from __future__ import annotations

import base64
import contextlib
import json
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import yaml

from nano_operator.conditions import CONDITIONS
from nano_operator.kube import CALLS
from nano_operator.objects import Object
from tests.chart.statemetrics import samples

from .apiserver import ApiServer
from .operating import OperatorProcess, eventually, grant, look, ready
from .worlds import cluster, inner

pytestmark = pytest.mark.apiserver

EXAMPLE = Path(__file__).parents[2] / "examples" / "echo" / "cluster.yaml"
SPACE = "play"
ACCOUNT = "system:serviceaccount:operating:operator"
OURS = "-lapp.kubernetes.io/managed-by=nanocluster-operator"
CHILDREN = (
    "deployments,services,configmaps,secrets,networkpolicies,"
    "poddisruptionbudgets,horizontalpodautoscalers"
)
ALL = 11
"""Children of a cluster with two gates and one backend."""

WRITES = {"create", "update", "patch", "delete", "deletecollection"}


@pytest.fixture(scope="module")
def server(apiserver: ApiServer) -> ApiServer:
    """The API server with two namespaces; one enforces the restricted standard."""
    if not apiserver.has_controllers:
        pytest.skip("KUBEBUILDER_ASSETS has no kube-controller-manager: see make tools")
    for name in ("operating", SPACE):
        apiserver.kubectl("create", "namespace", name)
    apiserver.kubectl(
        "label", "ns", SPACE, "pod-security.kubernetes.io/enforce=restricted"
    )
    return apiserver


@pytest.fixture(scope="module")
def operator(
    server: ApiServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """An operator that looks after all namespaces."""
    kubeconfig = grant(server, "operating", "operator")
    folder = tmp_path_factory.mktemp("operator")
    process = OperatorProcess(kubeconfig, folder, "--node-image=node:0")
    try:
        process.start()
        yield process
    finally:
        process.stop(signal.SIGKILL)


Make = Callable[..., None]


@pytest.fixture
def make(server: ApiServer, operator: OperatorProcess) -> Iterator[Make]:
    """Apply a cluster ``arena`` with this spec; it is gone after the test."""

    def apply(**spec: object) -> None:
        resource = cluster("arena", **spec)
        resource["metadata"] = {"name": "arena", "namespace": SPACE}
        server.kubectl("apply", "-f", "-", stdin=json.dumps(resource))

    yield apply
    server.kubectl("delete", "nano", "arena", "-n", SPACE, "--ignore-not-found")
    server.kubectl("delete", CHILDREN, "-n", SPACE, OURS)


def condition(server: ApiServer, name: str = "Ready") -> tuple[str, str, str]:
    """Return status, reason and message, of the present generation only."""
    resource = look(server, SPACE, "nano", "arena")
    status = cast("Object", resource.get("status", {}))
    for entry in cast("list[Object]", status.get("conditions", [])):
        current = inner(resource, "metadata.generation")
        if entry["type"] == name and entry["observedGeneration"] == current:
            return (str(entry["status"]), str(entry["reason"]), str(entry["message"]))
    return ("", "", "")


def reason(server: ApiServer, expected: str) -> None:
    eventually(lambda: condition(server)[1] == expected, f"Ready says {expected}")


def names(server: ApiServer, kinds: str = CHILDREN) -> set[str]:
    """Return what the operator has made, as ``kind/name``."""
    return set(server.kubectl("get", kinds, "-n", SPACE, OURS, "-o=name").split())


def versions(server: ApiServer) -> dict[str, str]:
    """Return the resourceVersion of the cluster and everything made for it."""
    listed = json.loads(
        server.kubectl("get", f"nano,{CHILDREN}", "-n", SPACE, "-o=json")
    )
    return {
        f"{item['kind']} {item['metadata']['name']}": item["metadata"][
            "resourceVersion"
        ]
        for item in listed["items"]
    }


def let_pods_run(server: ApiServer, *which: str, space: str = SPACE) -> None:
    """Play the kubelet: say of every pod, or of those, that it runs and is ready."""
    status = {"phase": "Running", "conditions": [ready()]}
    patch = f"--patch={json.dumps({'status': status})}"
    get = ("get", "pods", "-n", space, "-o=name")
    for pod in which or server.kubectl(*get).split():
        with contextlib.suppress(RuntimeError):  # it may have gone meanwhile
            server.kubectl("patch", pod, "-n", space, "--subresource=status", patch)


def become_ready(server: ApiServer) -> None:
    def is_ready() -> bool:
        let_pods_run(server)
        return condition(server)[0] == "True"

    eventually(is_ready, "the cluster is ready")


def all_made(server: ApiServer) -> None:
    """Wait for every child; the nodes of a step wait for those before to be ready."""

    def made() -> bool:
        let_pods_run(server)
        return len(names(server)) == ALL

    eventually(made, "all children are there")


def writes_of_the_operator(server: ApiServer, since: int) -> list[tuple[str, str, str]]:
    return [
        (event.verb, event.resource, event.name)
        for event in server.audit()[since:]
        if event.user == ACCOUNT and event.verb in WRITES
    ]


# ------------------------------------------------ making


def test_the_definition_is_there_once_the_operator_runs(
    server: ApiServer, operator: OperatorProcess
) -> None:
    server.kubectl(
        "wait",
        "--for=condition=Established",
        "--timeout=20s",
        "crd/nanoclusters.nanocluster.io",
    )


def test_the_example_becomes_its_objects(
    server: ApiServer, operator: OperatorProcess
) -> None:
    resource = yaml.safe_load(EXAMPLE.read_text())
    server.kubectl("apply", "-n", SPACE, "-f", str(EXAMPLE))
    try:
        expected = {
            "configmap/echo-manifest",
            "secret/echo-control",
            "service/echo-master",
            "service/echo-gate",
            "service/echo-members",
            "networkpolicy.networking.k8s.io/echo-nodes",
            "networkpolicy.networking.k8s.io/echo-gate",
            "poddisruptionbudget.policy/echo-gate",
            "poddisruptionbudget.policy/echo-echo",
            "deployment.apps/echo-master",
            "deployment.apps/echo-gate",
            "deployment.apps/echo-echo",
        }

        def made() -> bool:
            let_pods_run(server)
            return names(server) == expected

        eventually(made, f"there are {expected}")
        gate = look(server, SPACE, "deployment", "echo-gate")
        container = "spec.template.spec.containers.0"
        assert inner(gate, f"{container}.image") == resource["spec"]["image"]
        assert inner(gate, "spec.replicas") == resource["spec"]["gates"]["replicas"]
        service = look(server, SPACE, "service", "echo-gate")
        ports = cast("list[Object]", inner(service, "spec.ports"))
        assert {entry["name"]: entry["nodePort"] for entry in ports} == {
            listener["name"]: listener["nodePort"]
            for listener in resource["spec"]["gates"]["listeners"]
        }
    finally:
        server.kubectl("delete", "nano", "echo", "-n", SPACE)
        server.kubectl("delete", CHILDREN, "-n", SPACE, OURS)


def test_pods_pass_the_restricted_standard_and_the_cluster_becomes_ready(
    server: ApiServer, make: Make
) -> None:
    make(gates={"replicas": 3})
    reason(server, "RollingOut")
    pods = ("get", "pods", "-n", SPACE, "-o=name")

    def five_pods() -> bool:
        let_pods_run(server)
        return len(server.kubectl(*pods).split()) == 5

    # made at all: the namespace refuses pods that are not restricted
    eventually(five_pods, "there are 5 pods")
    let_pods_run(server)
    server.kubectl(
        "wait", "-n", SPACE, "--for=condition=Ready", "--timeout=40s", "nano/arena"
    )
    status = cast("Object", look(server, SPACE, "nano", "arena")["status"])
    assert inner(status, "gates.replicas") == 3
    assert inner(status, "gates.readyReplicas") == 3
    assert inner(status, "backends") == [
        {"name": "room", "replicas": 1, "readyReplicas": 1}
    ]
    printed = server.kubectl("get", "nano", "arena", "-n", SPACE, "--no-headers")
    assert printed.split()[:4] == ["arena", "True", "3", "3"]


def test_kube_state_metrics_would_find_all_that_it_is_told_to_look_for(
    server: ApiServer, make: Make
) -> None:
    make()  # as little as one may write: the rest are defaults
    become_ready(server)
    found = samples(look(server, SPACE, "nano", "arena"))
    whose = {"namespace": SPACE, "nanocluster": "arena"}
    assert all(whose.items() <= labels.items() for _, labels, _ in found)
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for name, labels, value in found:
        values[name][labels.get("type", labels.get("backend", ""))] = value
    conditions = values.pop("nanocluster_condition")
    assert conditions["Ready"] == 1.0
    assert conditions["Progressing"] == 0.0
    assert set(conditions) == set(CONDITIONS)
    generation = {"": values["nanocluster_generation"][""]}
    assert values == {
        "nanocluster_generation": generation,
        "nanocluster_observed_generation": generation,
        "nanocluster_gates": {"": 2.0},
        "nanocluster_gates_ready": {"": 2.0},
        "nanocluster_backends_ready": {"room": 1.0},
    }


def test_the_operators_image_serves_clusters_that_name_none(
    server: ApiServer, make: Make
) -> None:
    make(image="")
    all_made(server)
    master = look(server, SPACE, "deployment", "arena-master")
    assert inner(master, "spec.template.spec.containers.0.image") == "node:0"


# ------------------------------------------------ keeping


def test_a_look_without_a_change_writes_nothing(
    server: ApiServer, operator: OperatorProcess, make: Make
) -> None:
    # quantities and volumes, which the API server writes in its own way
    secure = {"transport": "websocket", "tls": {"secretName": "game-tls"}}
    make(
        gates={
            "resources": {"requests": {"cpu": 0.5, "memory": "1024Mi"}},
            "listeners": [
                {"name": "wss", "port": 3250, **secure},
                {"name": "local", "transport": "unix", "socket": "/tmp/nano.sock"},
            ],
        }
    )
    become_ready(server)

    def all_counted() -> bool:
        status = inner(look(server, SPACE, "nano", "arena"), "status.gates")
        told = cast("Object", status)
        return len(cast("list[str]", told.get("silent", []))) == told["replicas"] == 2

    # nobody listens at the addresses of these pods, which is written once
    eventually(all_counted, "all gates were asked")
    before, asked = versions(server), len(server.audit())
    done = 'reconciles_total{result="done"}'
    for note in ("first", "second"):  # an event that means nothing
        looked = operator.metric(done)
        server.kubectl("annotate", "nano", "arena", "-n", SPACE, f"{note}=1")
        eventually(lambda seen=looked: operator.metric(done) > seen, "it has looked")  # type: ignore[misc]
    after = versions(server)
    del before["NanoCluster arena"], after["NanoCluster arena"]  # the annotations
    assert after == before
    assert writes_of_the_operator(server, asked) == []


def test_what_somebody_changes_is_put_back(server: ApiServer, make: Make) -> None:
    make()
    all_made(server)
    gate = ("deployment", "arena-gate")

    def image() -> object:
        path = "spec.template.spec.containers.0.image"
        return inner(look(server, SPACE, *gate), path)

    server.kubectl("set", "image", "deploy/arena-gate", "-n", SPACE, "node=evil:1")
    eventually(lambda: image() == "arena:1", "the image is back")
    server.kubectl("delete", "service", "arena-gate", "-n", SPACE)
    eventually(lambda: "service/arena-gate" in names(server), "the Service is back")
    server.kubectl("scale", "deploy/arena-room", "-n", SPACE, "--replicas=0")
    eventually(
        lambda: (
            inner(look(server, SPACE, "deployment", "arena-room"), "spec.replicas") == 1
        ),
        "the backend is back",
    )


def test_kubectl_scale_changes_the_number_of_gates(
    server: ApiServer, make: Make
) -> None:
    make()
    all_made(server)
    server.kubectl("scale", "nano", "arena", "-n", SPACE, "--replicas=4")
    eventually(
        lambda: (
            inner(look(server, SPACE, "deployment", "arena-gate"), "spec.replicas") == 4
        ),
        "there are four gates",
    )
    scale = json.loads(
        server.kubectl(
            "get",
            "--raw",
            f"/apis/nanocluster.io/v1alpha1/namespaces/{SPACE}/nanoclusters/arena/scale",
        )
    )
    labels = "nanocluster.io/cluster=arena,nanocluster.io/role=gate"
    assert scale["status"]["selector"] == labels


def test_old_gates_leave_when_all_the_new_ones_are_ready(
    server: ApiServer, make: Make
) -> None:
    gates = ("get", "pods", "-n", SPACE, "-o=name", "-l=nanocluster.io/role=gate")
    make(gates={"replicas": 2})
    become_ready(server)
    old = set(server.kubectl(*gates).split())

    def new() -> list[str]:
        return sorted(set(server.kubectl(*gates).split()) - old)

    def both_sets() -> bool:
        others = "-l=nanocluster.io/role in (master,backend)"
        found = server.kubectl(*gates[:-1], others).split()
        let_pods_run(server, *found)
        return len(new()) == 2

    def deployment() -> Object:
        return look(server, SPACE, "deployment", "arena-gate")

    make(gates={"replicas": 2}, image="node:1")
    eventually(both_sets, "there are two new gates")
    let_pods_run(server, new()[0])
    eventually(
        lambda: inner(deployment(), "status.readyReplicas") == 3, "one of them is ready"
    )
    assert old <= set(server.kubectl(*gates).split())
    let_pods_run(server, new()[1])
    eventually(
        lambda: not old & set(server.kubectl(*gates).split()), "the old ones are gone"
    )
    assert "minReadySeconds" not in cast("Object", deployment()["spec"])
    become_ready(server)


def test_a_removed_backend_is_removed(server: ApiServer, make: Make) -> None:
    room = {"name": "room", "components": ["a:B"]}
    shop = {"name": "shop", "components": ["a:B"]}
    make(backends=[room, shop])
    become_ready(server)
    assert "deployment.apps/arena-shop" in names(server)
    make(backends=[room])
    eventually(
        lambda: "deployment.apps/arena-shop" not in names(server), "the shop is gone"
    )
    assert "deployment.apps/arena-room" in names(server)


def test_the_token_is_random_and_survives_a_change(
    server: ApiServer, operator: OperatorProcess, make: Make
) -> None:
    def token() -> str:
        secret = look(server, SPACE, "secret", "arena-control")
        return str(inner(secret, "data.token")) if secret else ""

    make()
    first = eventually(token, "there is a token")
    assert len(base64.b64decode(first)) >= 40
    make(gates={"replicas": 1})
    eventually(
        lambda: (
            inner(look(server, SPACE, "nano", "arena"), "status.observedGeneration")
            == 2
        ),
        "the change was seen",
    )
    assert token() == first
    log = operator.log.read_text()
    assert first not in log
    assert base64.b64decode(first).decode() not in log


def test_the_number_of_nodes_goes_from_the_operator_to_an_autoscaler_and_back(
    server: ApiServer, make: Make
) -> None:
    gate = ("deployment", "arena-gate")
    scaler = "horizontalpodautoscaler.autoscaling/arena-gate"
    scaled = {
        "replicas": 1,
        "resources": {"requests": {"cpu": "100m"}},
        "autoscaling": {"minReplicas": 2, "maxReplicas": 6},
    }

    def replicas() -> object:
        return inner(look(server, SPACE, *gate), "spec.replicas")

    make(gates={"replicas": 4})
    become_ready(server)
    make(gates=scaled)
    eventually(lambda: scaler in names(server), "there is an autoscaler")
    become_ready(server)
    assert replicas() == 4
    server.kubectl("scale", "deploy/arena-gate", "-n", SPACE, "--replicas=5")
    make(gates={**scaled, "template": {"labels": {"rolled": "out"}}})
    become_ready(server)
    assert replicas() == 5
    make(gates={"replicas": 1})
    eventually(lambda: replicas() == 1, "the resource decides again")
    assert scaler not in names(server)


# ------------------------------------------------ explaining

SCHEMA = "/spec/versions/0/schema/openAPIV3Schema"


def loosen(server: ApiServer, path: str) -> None:
    """Remove a rule from the definition; the operator brings it back when it starts."""
    patch = json.dumps([{"op": "remove", "path": path}])
    target = "crd/nanoclusters.nanocluster.io"
    server.kubectl("patch", target, "--type=json", f"--patch={patch}")


def applied(make: Make, **spec: object) -> bool:
    try:
        make(**spec)
    except RuntimeError:
        return False
    return True


def test_an_invalid_resource_is_explained_and_what_runs_goes_on(
    server: ApiServer, make: Make
) -> None:
    make()
    become_ready(server)
    before = versions(server)
    twice = {"name": "room", "components": ["a:B", "a:B"]}
    with pytest.raises(RuntimeError, match="Duplicate value"):
        make(backends=[twice])
    # an older definition, without that rule, may have let such a resource in
    of_old = "spec/properties/backends/items/properties/components"
    rule = f"{SCHEMA}/properties/{of_old}/x-kubernetes-list-type"
    loosen(server, rule)
    eventually(
        lambda: applied(make, backends=[twice], gates={"replicas": 9}),
        "the API server accepts it",
    )
    reason(server, "InvalidSpec")
    assert condition(server)[2].startswith("spec.backends[0].components[1]: ")
    assert condition(server, "Available")[0] == "True"
    after = versions(server)
    del before["NanoCluster arena"], after["NanoCluster arena"]
    assert after == before


def test_a_child_that_the_api_server_refuses_is_explained(
    server: ApiServer, make: Make
) -> None:
    affinity = {"nodeAffinity": "tomorrow"}
    make(master={"template": {"affinity": affinity}})
    reason(server, "ChildRefused")
    message = condition(server)[2]
    assert message.startswith("Deployment arena-master: ")
    assert "nodeAffinity" in message
    assert "service/arena-master" in names(server)
    make()
    become_ready(server)


def test_components_come_from_a_config_map_and_its_changes_are_noticed(
    server: ApiServer, make: Make
) -> None:
    room = {"name": "room", "components": ["rooms:Room"]}
    make(backends=[room | {"source": {"configMap": "first"}}])
    reason(server, "SourceMissing")
    told = "spec.backends[0].source.configMap: there is no ConfigMap first"
    assert condition(server)[2] == told
    assert names(server) == set()
    text = "--from-literal=rooms.py=pass"
    server.kubectl("create", "configmap", "first", "-n", SPACE, text)
    try:
        become_ready(server)
        path = "spec.template.metadata.annotations"
        before = inner(look(server, SPACE, "deploy", "arena-room"), path)
        gates = inner(look(server, SPACE, "deploy", "arena-gate"), path)
        patch = json.dumps({"data": {"rooms.py": "..."}})
        server.kubectl("patch", "configmap", "first", "-n", SPACE, "-p", patch)
        eventually(
            lambda: inner(look(server, SPACE, "deploy", "arena-room"), path) != before,
            "the backend has another template",
        )
        assert inner(look(server, SPACE, "deploy", "arena-gate"), path) == gates
    finally:
        server.kubectl("delete", "configmap", "first", "-n", SPACE)


def test_pods_that_may_not_be_made_are_explained(server: ApiServer, make: Make) -> None:
    make(master={"template": {"serviceAccountName": "nobody"}})
    reason(server, "PodsRefused")
    assert "nobody" in condition(server)[2]


def test_an_object_of_somebody_else_is_not_taken_over(
    server: ApiServer, make: Make
) -> None:
    server.kubectl("create", "configmap", "arena-manifest", "-n", SPACE)
    before = look(server, SPACE, "configmap", "arena-manifest")
    make()
    reason(server, "NameTaken")
    assert names(server) == set()
    assert look(server, SPACE, "configmap", "arena-manifest") == before
    server.kubectl("delete", "configmap", "arena-manifest", "-n", SPACE)
    server.kubectl("annotate", "nano", "arena", "-n", SPACE, "try=again")
    become_ready(server)


def test_what_happens_is_told_by_kubectl_describe(
    server: ApiServer, make: Make
) -> None:
    make()
    become_ready(server)

    def told() -> bool:
        said = server.kubectl("describe", "nano", "arena", "-n", SPACE)
        lines = [line.split() for line in said.splitlines()]
        steps = {tuple(line[:2]) for line in lines}
        return {("Normal", "RollingOut"), ("Normal", "AllReady")} <= steps

    eventually(told, "describe shows the events")


# ------------------------------------------------ dying


def test_a_killed_operator_goes_on_where_it_was(
    server: ApiServer, operator: OperatorProcess, make: Make
) -> None:
    make()
    become_ready(server)
    operator.stop(signal.SIGKILL)
    before, asked = versions(server), len(server.audit())
    operator.start()
    done = 'reconciles_total{result="done"}'
    eventually(lambda: operator.metric(done) >= 1, "it has looked")
    assert versions(server) == before
    # but for the definition, which it brings each time it starts
    assert {entry[1] for entry in writes_of_the_operator(server, asked)} == {
        "customresourcedefinitions"
    }


def test_what_changed_while_it_was_away_is_noticed(
    server: ApiServer, operator: OperatorProcess, make: Make
) -> None:
    make()
    become_ready(server)
    assert operator.stop() == 0
    server.kubectl("delete", "deployment", "arena-room", "-n", SPACE)
    server.kubectl("scale", "nano", "arena", "-n", SPACE, "--replicas=1")
    operator.start()
    become_ready(server)
    room = look(server, SPACE, "deployment", "arena-room")
    gate = look(server, SPACE, "deployment", "arena-gate")
    assert inner(room, "spec.replicas") == 1
    assert inner(gate, "spec.replicas") == 1


def test_certificates_are_issued_and_a_rotation_survives_the_operator(
    server: ApiServer, operator: OperatorProcess, make: Make
) -> None:
    make(clusterTls={"issued": {}})
    become_ready(server)
    assert condition(server, "Encrypted")[:2] == ("True", "CertificatesIssued")

    def entries(name: str) -> dict[str, str]:
        return cast("dict[str, str]", look(server, SPACE, "secret", name)["data"])

    one = len(entries("arena-nodes-tls")["ca.crt"])
    wish = "nanocluster.io/rotate-certificates=now"
    server.kubectl("annotate", "nano", "arena", "-n", SPACE, wish)
    eventually(
        lambda: len(entries("arena-nodes-tls")["ca.crt"]) > 1.5 * one,
        "nodes are told to believe two authorities",
    )
    rotating = "RotatingAuthority"
    eventually(lambda: condition(server, "Encrypted")[1] == rotating, "it is told")
    assert condition(server)[0] == "True"
    before = entries("arena-authority")
    operator.stop(signal.SIGKILL)
    operator.start()
    assert entries("arena-authority") == before  # and not once more
    assert condition(server, "Encrypted")[1] == rotating
    told = server.kubectl("describe", "nano", "arena", "-n", SPACE)
    assert "CertificatesIssued" in told
    assert rotating in told
    log = operator.log.read_text()
    for name in ("arena-authority", "arena-nodes-tls", "arena-master-tls"):
        for text in filter(None, entries(name).values()):
            assert text not in log
            assert base64.b64decode(text).decode() not in log


def test_a_deleted_cluster_leaves_nothing(server: ApiServer, make: Make) -> None:
    make()
    all_made(server)
    server.kubectl("delete", "nano", "arena", "-n", SPACE, "--timeout=20s")
    everything = f"{CHILDREN},replicasets,pods"
    eventually(lambda: names(server, everything) == set(), "everything is gone")


def test_a_namesake_of_a_deleted_cluster_gets_children_of_its_own(
    server: ApiServer, make: Make
) -> None:
    make()
    become_ready(server)
    uid = "metadata.uid"
    first = inner(look(server, SPACE, "nano", "arena"), uid)
    server.kubectl("delete", "nano", "arena", "-n", SPACE, "--wait=false")
    make()
    become_ready(server)
    second = inner(look(server, SPACE, "nano", "arena"), uid)
    owner = "metadata.ownerReferences.0.uid"
    gate = look(server, SPACE, "deployment", "arena-gate")
    assert inner(gate, owner) == second != first


# ------------------------------------------------ what was seen all along

# Removed only where the garbage collector was slower than the operator.
PREDECESSORS = {
    (("", "configmaps"), "delete"),
    (("", "secrets"), "delete"),
    (("", "services"), "delete"),
    (("networking.k8s.io", "networkpolicies"), "delete"),
    (("policy", "poddisruptionbudgets"), "delete"),
}

# Asked for with --lease only: test_lease.py.
ELECTION = {(("coordination.k8s.io", "leases"), "get")}


def test_the_operator_asked_for_nothing_but_its_calls(
    server: ApiServer, operator: OperatorProcess
) -> None:
    asked = {
        ((event.group, event.resource), event.verb)
        for event in server.audit()
        if event.user == ACCOUNT and event.resource
    }
    beyond = {entry for entry in asked if entry[1] not in CALLS.get(entry[0], ())}
    assert beyond == set()
    # an apply that makes an object is checked as a create too, and logged as a patch;
    # the update is asked for by an admission controller that this API server has not
    elsewhere = {"create", "update"}
    idle = {
        (key, verb)
        for key, verbs in CALLS.items()
        for verb in verbs - elsewhere
        if (key, verb) not in asked
    }
    assert idle <= PREDECESSORS | ELECTION


def test_the_operator_was_never_surprised(
    server: ApiServer, operator: OperatorProcess
) -> None:
    log = operator.log.read_text()
    assert "Traceback" not in log
    assert "unexpectedly" not in log
    forbidden = [
        event
        for event in server.audit()
        if event.user == ACCOUNT and event.code in (401, 403)
    ]
    assert forbidden == []
