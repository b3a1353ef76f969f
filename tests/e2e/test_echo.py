"""From ``helm install`` to the last trace gone, as a user would see it.

The tests tell one story and run in the order of the file: each finds the cluster as
the one before left it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import cast

import pytest
import yaml

from nano.client import connect

from .cluster import OPERATOR, ROOT, SYSTEM, Cluster, CommandError, Object, until
from .conftest import NAMESPACE, Echo
from .gate import answer, echoed, shouted

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROLE = "nanocluster.io/role"
OURS = "app.kubernetes.io/part-of=nanocluster"
KINDS = (
    "networkpolicies,poddisruptionbudgets,horizontalpodautoscalers,leases,"
    "deployments,replicasets,pods,services,configmaps,secrets,serviceaccounts,"
    "clusterroles,clusterrolebindings,roles,rolebindings"
)


def roles(pods: list[Object]) -> dict[str, int]:
    """Count pods by the role that they are labelled with."""
    found: dict[str, int] = {}
    for pod in pods:
        labels = field(pod, "metadata", "labels")
        role = str(labels[ROLE])
        found[role] = found.get(role, 0) + 1
    return found


def field(holder: Object, *path: str) -> Object:
    """Follow *path* through nested objects."""
    for name in path:
        holder = cast(Object, holder[name])
    return holder


def restarts(cluster: Cluster) -> dict[str, object]:
    """Return the containers that did not run through, by their pod."""
    found: dict[str, object] = {}
    for pod in cluster.objects("pods", "--all-namespaces", f"--selector={OURS}"):
        statuses = field(pod, "status").get("containerStatuses", [])
        for status in cast(list[Object], statuses):
            if status["restartCount"]:
                found[str(field(pod, "metadata")["name"])] = status
    return found


async def test_a_client_outside_is_answered_on_every_listener(
    cluster: Cluster, echo: Echo
) -> None:
    backends = {
        f"{field(pod, 'status')['podIP']}:7650"
        for pod in cluster.objects("pods", f"--selector={ROLE}=backend")
    }
    for url in (echo.websocket, echo.tcp):
        said = await echoed(url, "hello")
        assert said["text"] == "hello"
        assert said["node"] in backends


async def test_a_client_outside_is_pushed_to(echo: Echo) -> None:
    for url in (echo.websocket, echo.tcp):
        assert await shouted(url, "hello") == {"text": "HELLO"}


def test_the_pods_are_those_of_the_manifest(cluster: Cluster, echo: Echo) -> None:
    manifest = yaml.safe_load((ROOT / "examples/echo/cluster.yaml").read_text())
    spec = manifest["spec"]
    assert roles(cluster.objects("pods")) == {
        "master": 1,
        "gate": spec.get("gates", {}).get("replicas", 2),
        "backend": sum(each.get("replicas", 1) for each in spec["backends"]),
    }


def test_people_see_how_it_stands(cluster: Cluster, echo: Echo) -> None:
    heading, line = cluster.kubectl("get", "nanocluster", "echo").splitlines()
    columns = [(it.group(), it.start()) for it in re.finditer(r"\S+", heading)]
    row = {name: line[start:].partition(" ")[0] for name, start in columns}
    assert row["NAME"] == "echo"
    assert row["READY"] == "True"
    assert row["GATES"] == row["DESIRED"]
    assert "FIELDS" in cluster.kubectl("explain", "nanocluster.spec.gates")


@pytest.mark.parametrize(
    ("namespace", "deployment"),
    [(NAMESPACE, "echo-gate"), (SYSTEM, "nanocluster-operator")],
)
def test_a_pod_is_nobody_and_can_write_nowhere(
    cluster: Cluster, echo: Echo, namespace: str, deployment: str
) -> None:
    inside = ("--namespace", namespace, "exec", f"deployment/{deployment}", "--")
    assert cluster.kubectl(*inside, "id", "-u").strip() == "10001"
    with pytest.raises(CommandError, match="Read-only file system"):
        cluster.kubectl(*inside, "touch", "/app/anything")


def test_what_every_message_passes_through_is_compiled(
    cluster: Cluster, echo: Echo
) -> None:
    gate = ("--namespace", NAMESPACE, "exec", "deployment/echo-gate", "--")
    status = json.loads(cluster.kubectl(*gate, "nanoctl", "control", "/status"))
    assert status["compiled"] is True


KNOCK = (
    "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"
)


@pytest.mark.parametrize(
    ("namespace", "deployment", "port", "let_in"),
    [
        (NAMESPACE, "echo-gate", 7650, True),
        (NAMESPACE, "echo-gate", 7652, False),
        (SYSTEM, "nanocluster-operator", 7650, False),
        (SYSTEM, "nanocluster-operator", 7651, True),
        (SYSTEM, "nanocluster-operator", 7652, True),
    ],
)
def test_a_nodes_own_ports_are_open_to_those_who_need_them(
    cluster: Cluster,
    echo: Echo,
    namespace: str,
    deployment: str,
    port: int,
    let_in: bool,
) -> None:
    label = f"--selector={ROLE}=backend"
    pod = cluster.objects("pods", label, "--field-selector=status.phase=Running")[0]
    address = str(field(pod, "status")["podIP"])
    inside = ("--namespace", namespace, "exec", f"deployment/{deployment}", "--")
    knock = (*inside, "python", "-c", KNOCK, address, str(port))
    if let_in:
        cluster.kubectl(*knock)
    else:  # dropped, or refused by whoever enforces the policy
        with pytest.raises(CommandError, match=r"TimeoutError|ConnectionRefusedError"):
            cluster.kubectl(*knock)


async def test_more_gates_come_by_kubectl_scale(cluster: Cluster, echo: Echo) -> None:
    cluster.kubectl("scale", "nanocluster/echo", "--replicas=3")
    until(
        lambda: roles(cluster.objects("pods")).get("gate") == 3,
        "three gates",
        seconds=60,
    )
    cluster.kubectl(
        *("wait", "--for=condition=Ready", "nanocluster/echo", "--timeout=90s"),
        seconds=100,
    )
    for number in range(6):  # each connection may meet another gate
        text = f"number {number}"
        said = await answer(echo.websocket, text, seconds=10)
        assert said["text"] == text


async def test_kubectl_nano_shows_nodes_members_sessions_and_routes(
    cluster: Cluster, echo: Echo
) -> None:
    pods = cluster.objects("pods")
    said = cluster.nano("status")
    assert said.startswith("NanoCluster echo\n  ")
    assert "  Ready: True (AllReady)" in said
    head, *rows = [line.split() for line in said.split("\n\n")[1].splitlines()]
    assert head[:5] == ["POD", "ROLE", "READY", "SESSIONS", "LINKS"]
    assert {row[0] for row in rows} == {
        str(field(it, "metadata")["name"]) for it in pods
    }
    assert all(row[2] == "yes" for row in rows)
    members = cluster.nano("members", "echo")
    assert all(str(field(pod, "status")["podIP"]) in members for pod in pods)
    assert "EchoService.echo" in cluster.nano("routes")
    async with await connect(echo.tcp) as client:
        await client.request("EchoService.echo", {"text": "here"})
        shown = [line.split() for line in cluster.nano("sessions").splitlines()]
    assert shown[0] == ["SESSION", "UID", "ADDRESS", "GATE"]
    assert len(shown) == 2
    logs = cluster.nano("logs", "--role", "gate", "--tail", "5")
    assert "[pod/echo-gate-" in logs
    assert "echo-master" not in logs


async def test_clients_do_not_notice_when_the_operator_goes(
    cluster: Cluster, echo: Echo
) -> None:
    deployment = "deployment/nanocluster-operator"
    cluster.kubectl("--namespace", SYSTEM, "delete", "pods", "--all", "--wait=true")
    said = await echoed(echo.tcp, "alone")
    assert said["text"] == "alone"
    cluster.kubectl(
        *("--namespace", SYSTEM, "rollout", "status", deployment, "--timeout=90s"),
        seconds=100,
    )
    condition = "--for=condition=Ready"
    cluster.kubectl("wait", condition, "nanocluster/echo", "--timeout=60s")


async def test_an_upgrade_of_the_operator_and_its_rollback_touch_no_node(
    cluster: Cluster, echo: Echo
) -> None:
    there, wait = ("--namespace", SYSTEM), ("--wait", "--timeout=120s")
    chart = str(ROOT / "charts" / "nanocluster")
    changed = ("--reuse-values", "--set=logLevel=debug,replicas=1")
    history = json.loads(
        cluster.helm(*there, "history", "nanocluster", "--output=json")
    )
    revision = str(history[-1]["revision"])
    before = cluster.pods(ROLE)
    async with await connect(echo.tcp) as client:
        cluster.helm(*there, "upgrade", "nanocluster", chart, *changed, *wait)
        until(lambda: len(cluster.pods(OPERATOR, *there)) == 1, "one operator")
        cluster.helm(*there, "rollback", "nanocluster", revision, *wait)
        until(lambda: len(cluster.pods(OPERATOR, *there)) == 2, "two operators again")
        said = await client.request("EchoService.echo", {"text": "still connected"})
    assert said["text"] == "still connected"
    condition = "--for=condition=Ready"
    cluster.kubectl("wait", condition, "nanocluster/echo", "--timeout=60s")
    assert cluster.pods(ROLE) == before


def test_nothing_restarted_and_nothing_was_refused(
    cluster: Cluster, echo: Echo
) -> None:
    assert restarts(cluster) == {}
    assert cluster.denials(echo.namespace) == []


def test_the_commands_of_the_notes_work_when_pasted(
    operator: Cluster, tmp_path: Path
) -> None:
    notes = operator.helm("--namespace", SYSTEM, "get", "notes", "nanocluster")
    commands = re.findall(r"^    (\S.*)$", notes, flags=re.MULTILINE)
    assert len(commands) > 4
    script = tmp_path / "pasted"
    script.write_text("set -ex\n" + "\n".join(commands))
    done = subprocess.run(
        ["bash", script],
        cwd=tmp_path,
        env={**os.environ, **operator.environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_deleted_cluster_leaves_nothing(cluster: Cluster, echo: Echo) -> None:
    mine = f"{OURS},app.kubernetes.io/instance=echo"
    names = ("get", KINDS, f"--selector={mine}", "--output=name")
    assert "deployment.apps/echo-master" in cluster.kubectl(*names)
    cluster.kubectl("delete", "nanocluster", "echo", "--timeout=60s", seconds=70)
    until(lambda: not cluster.kubectl(*names), "no object of echo left", seconds=90)


def test_an_uninstalled_operator_leaves_only_the_definition(operator: Cluster) -> None:
    names = ("get", KINDS, "--all-namespaces", f"--selector={OURS}", "--output=name")
    operator.helm("--namespace", SYSTEM, "uninstall", "nanocluster", "--wait")
    until(lambda: not operator.kubectl(*names), "no object left", seconds=60)
    definitions = operator.kubectl("get", "customresourcedefinitions", "--output=name")
    crd = "customresourcedefinition.apiextensions.k8s.io/nanoclusters.nanocluster.io"
    assert crd in definitions.split()
