"""The operator's command line: what it says, how it ends, where it looks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nano_manifest import crd

from .apiserver import ApiServer
from .operating import OperatorProcess, eventually, grant, look
from .worlds import cluster

OURS = "-lapp.kubernetes.io/managed-by=nanocluster-operator"


def run(*arguments: str, kubeconfig: str = "/nonexistent") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "nano_operator", *arguments],
        env={"KUBECONFIG": kubeconfig, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_an_api_server_that_is_not_there_is_named(
    unused_tcp_port: int, tmp_path: Path
) -> None:
    address = f"http://127.0.0.1:{unused_tcp_port}"
    kubeconfig = {
        "clusters": [{"name": "gone", "cluster": {"server": address}}],
        "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "me"}}],
        "current-context": "gone",
        "users": [{"name": "me", "user": {}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig))
    code, text = run("--health=127.0.0.1:0", kubeconfig=str(path))
    assert code == 1
    assert f"127.0.0.1:{unused_tcp_port}" in text
    assert "Traceback" not in text


def test_help_shows_how_to_begin() -> None:
    code, text = run("--help")
    assert code == 0
    assert "kubectl -n demo apply -f examples/echo/cluster.yaml" in text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--health=8080"], 2, "is not HOST:PORT"),
        (["--log-level=loud"], 2, "is not one of"),
        ([], 1, "set KUBECONFIG"),
    ],
)
def test_what_cannot_start_says_why(arguments: list[str], code: int, said: str) -> None:
    got, text = run(*arguments)
    assert got == code
    assert said in text
    assert "Traceback" not in text


@pytest.mark.apiserver
def test_in_namespaced_mode_other_namespaces_are_left_alone(
    apiserver: ApiServer, tmp_path: Path
) -> None:
    for name in ("small", "other"):
        apiserver.kubectl("create", "namespace", name)
    apiserver.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(crd()))
    kubeconfig = grant(apiserver, "small", "operator", only_here=True)
    narrow = OperatorProcess(kubeconfig, tmp_path, "--namespace=small")
    try:
        eventually(lambda: made(apiserver, "small"), "the resource is served")
        assert made(apiserver, "other")
        narrow.start()
        assert "going on with the CRD that is there" in narrow.told()
        eventually(
            lambda: look(apiserver, "small", "deployment", "arena-master"),
            "a master is made",
        )
        assert narrow.stop() == 0
        children = apiserver.kubectl("get", "deploy,svc,cm,secret", "-n=other", OURS)
        assert children == ""
        assert "Traceback" not in narrow.told()
    finally:
        narrow.stop(signal.SIGKILL)
        apiserver.kubectl("delete", "nano", "--all", "--all-namespaces")


def made(server: ApiServer, namespace: str) -> bool:
    """Apply a cluster; say whether the API server took it."""
    resource = cluster("arena")
    resource["metadata"] = {"name": "arena", "namespace": namespace}
    try:
        server.kubectl("apply", "-f", "-", stdin=json.dumps(resource))
    except RuntimeError:
        return False
    return True
