"""What the operator asks of an API server, by the API server's own audit log.

It runs with the account, the Role and the Lease that the chart installs, RBAC on, so
the log can be held against the Role in both directions.  There is no kubelet: pods are
said to run and to be ready, and their addresses are loopback's.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

import msgspec
import pytest
from click.testing import CliRunner

from nano.admin import AdminServer
from nano.cli.plugin import main as plugin
from nano.client import connect
from nano.testing import LocalCluster
from nano_manifest import CONTROL_PORT, from_object
from nano_operator.leaving import mark
from nano_operator.names import (
    CLOSED_AT,
    DELETION_COST,
    ENTRANCE,
    ROTATE,
    authority_name,
)
from nano_operator.objects import Object, Pod

from .apiserver import ApiServer, AuditEvent, missing
from .operating import OperatorProcess, eventually, look, ready
from .worlds import cluster, inner

pytestmark = [pytest.mark.apiserver, pytest.mark.slow, pytest.mark.timeout(400)]

CHART: Final = Path(__file__).parents[2] / "charts" / "nanocluster"
SYSTEM, SPACE = "audit-system", "audited"
OPERATOR: Final = "nanocluster-operator"
ACCOUNT: Final = f"system:serviceaccount:{SYSTEM}:{OPERATOR}"
WRITES: Final = {"create", "update", "patch", "delete", "deletecollection"}
CLUSTERS: Final = ("one", "two", "three", "four", "five")

IDLE_SECONDS: Final = float(os.environ.get("NANO_AUDIT_SECONDS", "20"))
"""How long nothing may happen; the issue's figure is 120."""

Right = tuple[str, str, str]  # API group, resource, verb

# Asked of the authorizer by an admission plugin, and so no request of its own:
# test_owning_is_a_right_of_its_own shows that it is needed.
UNLOGGED: Final[frozenset[Right]] = frozenset(
    {("nanocluster.io", "nanoclusters/finalizers", "update")}
)


@dataclass(frozen=True)
class Scene:
    """An API server with the chart, and the operator that it would run."""

    server: ApiServer
    operator: OperatorProcess

    def apply(self, name: str, **spec: object) -> None:
        """Make or change a cluster."""
        resource = cluster(name, **spec)
        resource["metadata"] = {"name": name, "namespace": SPACE}
        self.server.kubectl("apply", "-f", "-", stdin=json.dumps(resource))

    def let_pods_run(self) -> None:
        """Play the kubelet for every pod that has no address yet."""
        listed = json.loads(self.server.kubectl("get", "pods", "-n", SPACE, "-o=json"))
        for number, pod in enumerate(listed["items"], 1):
            if pod.get("status", {}).get("podIP"):
                continue
            ip = f"127.77.{number // 250}.{number % 250 + 1}"
            status = {
                "phase": "Running",
                "podIP": ip,
                "podIPs": [{"ip": ip}],
                "conditions": [ready()],
            }
            patch = f"--patch={json.dumps({'status': status})}"
            name = pod["metadata"]["name"]
            with contextlib.suppress(RuntimeError):  # it may have gone meanwhile
                self.server.kubectl(
                    "patch", "pod", name, "-n", SPACE, "--subresource=status", patch
                )

    def ready(self, name: str) -> None:
        """Wait until a cluster is ready, in its present generation."""

        def is_ready() -> bool:
            self.let_pods_run()
            return self.condition(name) == "True"

        eventually(is_ready, f"{name} is ready")

    def condition(self, name: str) -> object:
        resource = look(self.server, SPACE, "nano", name)
        status = cast("Object", resource.get("status", {}))
        for entry in cast("list[Object]", status.get("conditions", [])):
            current = inner(resource, "metadata.generation")
            if entry["type"] == "Ready" and entry["observedGeneration"] == current:
                return entry["status"]
        return None

    def status(self, name: str) -> Object:
        """Return the status of a cluster."""
        return cast("Object", look(self.server, SPACE, "nano", name).get("status", {}))

    def names(self, kinds: str, cluster: str) -> set[str]:
        """Return the children of a cluster, as ``kind/name``."""
        selector = f"-lnanocluster.io/cluster={cluster}"
        said = self.server.kubectl("get", kinds, "-n", SPACE, selector, "-o=name")
        return set(said.split())

    def asked(self, since: int = 0) -> list[AuditEvent]:
        """Return what the operator has asked."""
        return [it for it in self.server.audit()[since:] if it.user == ACCOUNT]

    def nano(self, *words: str) -> str:
        """Run ``kubectl nano`` with a real kubectl, and return what it prints."""
        binaries = Path(os.environ["KUBEBUILDER_ASSETS"])
        env = {**self.server.environment, "KUBECTL": str(binaries / "kubectl")}
        done = CliRunner().invoke(plugin, ["-n", SPACE, *words], env=env)
        assert done.exit_code == 0, done.output
        return done.output


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An API server of its own, on which the chart has just been installed."""
    lacking, helm = missing(), shutil.which("helm")
    if lacking or helm is None:
        pytest.skip(lacking or "there is no helm: make tools installs it")
    folder = tmp_path_factory.mktemp("audit")
    binaries = Path(os.environ["KUBEBUILDER_ASSETS"])
    plugins = "OwnerReferencesPermissionEnforcement"
    (folder / "server").mkdir()
    server = ApiServer(binaries, folder / "server", admission=plugins)
    if not server.has_controllers:
        pytest.skip("KUBEBUILDER_ASSETS has no kube-controller-manager: see make tools")
    process: OperatorProcess | None = None
    try:
        server.start()
        for name in (SYSTEM, SPACE):
            server.kubectl("create", "namespace", name)
        server.kubectl(
            "label", "ns", SPACE, "pod-security.kubernetes.io/enforce=restricted"
        )
        subprocess.run(
            [
                *(helm, "install", "nanocluster", str(CHART), f"--namespace={SYSTEM}"),
                *("--skip-crds", "--set", f"watchNamespaces={{{SPACE}}}"),
                *("--set", "rbac.aggregate=false"),
            ],
            env={**os.environ, **server.environment},
            check=True,
            capture_output=True,
            timeout=60,
        )
        process = OperatorProcess(
            server.service_account(SYSTEM, OPERATOR),
            folder,
            "--node-image=node:0",
            f"--namespace={SPACE}",
            f"--pod-namespace={SYSTEM}",
            f"--lease={OPERATOR}",
            "--census-seconds=1",
        )
        process.start()
        # it holds the Lease then, and has brought the definition
        eventually(lambda: "looking after" in process.told(), "it works")
        yield Scene(server, process)
    finally:
        if process is not None:
            process.stop(signal.SIGKILL)
        server.stop()


def granted(server: ApiServer) -> set[Right]:
    """Return what the chart's Roles let the operator do, everywhere together."""
    chart = "-lapp.kubernetes.io/part-of=nanocluster"
    said = server.kubectl("get", "roles,clusterroles", "-A", chart, "-o=json")
    return {
        (group, resource, verb)
        for role in json.loads(said)["items"]
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(events: list[AuditEvent]) -> set[Right]:
    """Return the rights that these requests needed.

    An apply that makes an object needs the right to create it, too, and is logged as a
    patch that was answered by 201.
    """
    found = set()
    for event in events:
        if event.resource:
            found.add((event.group, event.resource, event.verb))
            if event.verb == "patch" and event.code == 201:
                found.add((event.group, event.resource, "create"))
    return found


# ------------------------------------------------ idle


def test_five_clusters_at_rest_are_not_written(scene: Scene) -> None:
    for name in CLUSTERS:
        scene.apply(name)
        scene.ready(name)

    def all_counted() -> bool:
        told = [cast("Object", scene.status(name)["gates"]) for name in CLUSTERS]
        return all(len(cast("list[str]", it.get("silent", []))) == 2 for it in told)

    # nobody listens at the addresses of these pods, and the operator knows
    eventually(all_counted, "all gates were asked")
    counted = scene.operator.metric('nodes_asked_total{result="silent"}')
    asked = len(scene.server.audit())
    time.sleep(IDLE_SECONDS)  # the subject of the test, not a wait
    events = scene.asked(asked)
    writes = {(it.verb, it.resource, it.name) for it in events if it.verb in WRITES}
    assert writes == {("update", "leases", OPERATOR)}
    # and all the while it did look
    assert scene.operator.metric('nodes_asked_total{result="silent"}') > counted
    assert ("list", "pods") in {(it.verb, it.resource) for it in events}


# ------------------------------------------------ counting


async def test_clients_of_a_real_gate_are_shown(scene: Scene) -> None:
    await asyncio.to_thread(scene.apply, "live", gates={"replicas": 1})
    await asyncio.to_thread(scene.ready, "live")
    secret = look(scene.server, SPACE, "secret", "live-control")
    token = base64.b64decode(str(inner(secret, "data.token"))).decode()
    selector = "-lnanocluster.io/cluster=live,nanocluster.io/role=gate"
    pods = ("get", "pods", "-n", SPACE, selector, "-o=json")
    (pod,) = json.loads(scene.server.kubectl(*pods))["items"]
    manifest = cluster("demo", gates={"replicas": 1}, backends=[])
    async with LocalCluster(from_object(manifest)) as nodes:
        where = f"{inner(pod, 'status.podIP')}:{CONTROL_PORT}"
        server = AdminServer(nodes.gates[0], control=where, token=token)
        await server.start()
        try:
            url = nodes.url(next(iter(nodes.gates[0].client_addresses)))
            async with await connect(url), await connect(url):
                await asyncio.to_thread(shows, scene, 2)
                printed = scene.server.kubectl(
                    "get", "nano", "live", "-n", SPACE, "--no-headers"
                )
                assert printed.split()[:5] == ["live", "True", "1", "1", "2"]
                assert "\n  clients: about 2\n" in scene.nano("status", "live")
            await asyncio.to_thread(shows, scene, 0)
        finally:
            await server.stop()
    await asyncio.to_thread(shows, scene, None)
    scene.server.kubectl("delete", "nano", "live", "-n", SPACE)


def shows(scene: Scene, connections: int | None) -> None:
    def told() -> bool:
        gates = cast("Object", scene.status("live").get("gates", {}))
        return gates.get("connections") == connections

    eventually(told, f"the status says {connections} connections")


# ------------------------------------------------ rights


def scale_down(scene: Scene) -> None:
    """The gate that goes is closed first, and others are as they were."""
    scene.apply("one", gates={"replicas": 3})
    scene.ready("one")
    asked = len(scene.server.audit())
    scene.server.kubectl("scale", "nano", "one", "-n", SPACE, "--replicas=1")
    scene.ready("one")
    closed = [it for it in scene.asked(asked) if it.resource == "pods"]
    patched = {it.name for it in closed if it.verb == "patch"}
    assert len(patched) == 2

    def gone() -> bool:
        return not patched & {
            name.partition("/")[2] for name in scene.names("pods", "one")
        }

    eventually(gone, f"{patched} are gone")
    (left,) = [name for name in scene.names("pods", "one") if "-gate-" in name]
    gate = look(scene.server, SPACE, "pod", left.partition("/")[2])
    assert inner(gate, "metadata.labels")["nanocluster.io/entrance"] == "open"  # type: ignore[index]
    assert "deletion-cost" not in json.dumps(inner(gate, "metadata.annotations"))


def drain(scene: Scene) -> None:
    """``kubectl nano drain`` deletes a pod, and Kubernetes makes another."""
    gates = [name for name in scene.names("pods", "two") if "-gate-" in name]
    gone = sorted(gates)[0].partition("/")[2]
    assert gone in scene.nano("drain", gone)
    eventually(
        lambda: f"pod/{gone}" not in scene.names("pods", "two"), "the pod is gone"
    )
    scene.ready("two")
    assert len([it for it in scene.names("pods", "two") if "-gate-" in it]) == 2


def restart(scene: Scene) -> None:
    """``kubectl nano restart`` replaces all pods."""
    before = scene.names("pods", "two")
    assert "two" in scene.nano("restart", "two")

    def replaced() -> bool:
        scene.let_pods_run()
        now = scene.names("pods", "two")
        return not now & before and len(now) == len(before)

    eventually(replaced, "all pods are others")
    scene.ready("two")


def upgrade(scene: Scene) -> None:
    """Another image, for all; and another operator, which brings its definition."""
    scene.apply("three", image="arena:2")
    scene.ready("three")
    assert scene.operator.stop() == 0
    scene.operator.start()
    eventually(lambda: "looking after" in scene.operator.told(), "it works")
    scene.ready("three")


def undo(scene: Scene) -> None:
    """What an operator left that died while gates were leaving is taken back."""
    assert scene.operator.stop(signal.SIGKILL) == -signal.SIGKILL
    gates = [name for name in scene.names("pods", "three") if "-gate-" in name]
    name = sorted(gates)[0].partition("/")[2]
    raw = look(scene.server, SPACE, "pod", name)
    closed = mark(msgspec.convert(raw, Pod), closed=True, now=datetime.now(UTC))
    scene.server.kubectl(
        *("apply", "--server-side", "--force-conflicts", "-f", "-"),
        f"--field-manager={OPERATOR}",
        stdin=json.dumps(closed),
    )
    scene.operator.start()

    def as_before() -> bool:
        pod = look(scene.server, SPACE, "pod", name)
        given = cast("Object", inner(pod, "metadata")).get("annotations", {})
        marks = {DELETION_COST, CLOSED_AT} & cast("Object", given).keys()
        labels = cast("Object", inner(pod, "metadata.labels"))
        return not marks and labels[ENTRANCE] == "open"

    eventually(as_before, "the gate is open again")


def without(scene: Scene) -> None:
    """What is no longer asked for is removed: budgets, policies, a backend."""
    backends = [{"name": name, "components": ["a:B"]} for name in ("room", "shop")]
    scene.apply("four", backends=backends)
    scene.ready("four")
    scene.apply(
        "four",
        gates={"replicas": 1},
        backends=backends[:1],
        networkPolicy={"enabled": False},
    )
    scene.ready("four")
    kinds = "poddisruptionbudgets,networkpolicies,deployments"
    eventually(
        lambda: (
            scene.names(kinds, "four")
            == {f"deployment.apps/four-{it}" for it in ("master", "gate", "room")}
        ),
        "nothing else is left",
    )


def autoscale(scene: Scene) -> None:
    """An autoscaler comes, changes and goes."""
    gates: Object = {"resources": {"requests": {"cpu": "100m"}}}
    for most in (4, 5):
        scaling = {"minReplicas": 2, "maxReplicas": most}
        scene.apply("five", gates={**gates, "autoscaling": scaling})
        scene.ready("five")
    scene.apply("five", gates=gates)
    scene.ready("five")
    assert not scene.names("horizontalpodautoscalers", "five")


def predecessors(scene: Scene) -> None:
    """What a deleted namesake left behind is removed, and made anew."""
    owner = {
        # a version that nobody serves: the garbage collector leaves it alone
        "apiVersion": "nanocluster.io/v0",
        "kind": "NanoCluster",
        "name": "six",
        "uid": "00000000-0000-0000-0000-000000000000",
        "controller": True,
    }
    port = {"port": 1, "protocol": "TCP"}
    left: list[Object] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "six-manifest"},
        {"apiVersion": "v1", "kind": "Secret", "name": "six-control"},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "name": "six-master",
            "spec": {"ports": [port]},
        },
    ]
    for item in left:
        metadata = {"name": item.pop("name"), "namespace": SPACE}
        item["metadata"] = {**metadata, "ownerReferences": [owner]}
        scene.server.kubectl("create", "-f", "-", stdin=json.dumps(item))
    scene.apply("six")
    scene.ready("six")


def repair(scene: Scene) -> None:
    """What somebody changes is put back."""
    name = "service/two-gate"
    scene.server.kubectl(
        "label", name, "-n", SPACE, "--overwrite", "app.kubernetes.io/component=x"
    )
    path = "-o=jsonpath={.metadata.labels.app\\.kubernetes\\.io/component}"
    eventually(
        lambda: scene.server.kubectl("get", name, "-n", SPACE, path) == "gate",
        "the label is back",
    )


def certify(scene: Scene) -> None:
    """Certificates of nodes are issued, and changed when another authority is due."""
    scene.apply("seven", clusterTls={"issued": {}})
    scene.ready("seven")
    get = ("get", "secret", authority_name("seven"), "-n", SPACE)
    version = "-o=jsonpath={.metadata.resourceVersion}"
    before = scene.server.kubectl(*get, version)
    scene.server.kubectl("annotate", "nano", "seven", "-n", SPACE, f"{ROTATE}=now")
    eventually(
        lambda: scene.server.kubectl(*get, version) != before, "another authority"
    )


def delete(scene: Scene) -> None:
    """A deleted cluster takes everything along."""
    scene.server.kubectl("delete", "nano", "--all", "-n", SPACE, "--timeout=30s")
    kinds = "deployments,services,configmaps,secrets,networkpolicies,pods"
    for name in (*CLUSTERS, "six", "seven"):
        eventually(
            lambda name=name: not scene.names(kinds, name),  # type: ignore[misc]
            f"nothing of {name} is left",
        )


FEATURES: Final[tuple[Callable[[Scene], None], ...]] = (
    scale_down,
    drain,
    restart,
    upgrade,
    undo,
    without,
    autoscale,
    predecessors,
    repair,
    certify,
    delete,
)
"""What the operator is for, in an order that works; each needs rights."""


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.__name__)
def test_the_rights_suffice(scene: Scene, feature: Callable[[Scene], None]) -> None:
    asked = len(scene.server.audit())
    feature(scene)
    refused = [it for it in scene.asked(asked) if it.code in (401, 403)]
    assert refused == []
    assert "Traceback" not in scene.operator.told()


def test_no_right_is_there_that_nobody_uses(scene: Scene) -> None:
    events, rights = scene.asked(), granted(scene.server)
    assert used(events) - rights == set()
    idle = rights - used(events) - UNLOGGED
    assert idle == set(), (
        "take them out of the chart, or add to FEATURES what uses them"
    )
    assert rights >= UNLOGGED


def test_owning_is_a_right_of_its_own(scene: Scene) -> None:
    scene.apply("owner")
    uid = inner(look(scene.server, SPACE, "nano", "owner"), "metadata.uid")
    kubectl = scene.server.kubectl
    kubectl("create", "serviceaccount", "stranger", "-n", SPACE)
    kubectl(
        *("create", "role", "stranger", "-n", SPACE),
        *("--verb=create,patch,get", "--resource=configmaps"),
    )
    account = f"--serviceaccount={SPACE}:stranger"
    kubectl(
        "create", "rolebinding", "stranger", "-n", SPACE, "--role=stranger", account
    )
    owner = {
        "apiVersion": "nanocluster.io/v1alpha1",
        "kind": "NanoCluster",
        "name": "owner",
        "uid": uid,
        "blockOwnerDeletion": True,
    }
    item = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "owned", "namespace": SPACE, "ownerReferences": [owner]},
    }
    create = ("create", "-f", "-")
    stranger = f"--as=system:serviceaccount:{SPACE}:stranger"
    with pytest.raises(RuntimeError, match="blockOwnerDeletion"):
        kubectl(*create, stranger, stdin=json.dumps(item))
    kubectl(*create, f"--as={ACCOUNT}", stdin=json.dumps(item))
