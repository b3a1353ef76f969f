"""Kubernetes chooses the number of backends by their use of the CPU.

This module comes before ``test_echo``, whose story ends with everything gone.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any, Final, cast

import pytest

from .cluster import Cluster, CommandError, run, until
from .conftest import ECHO, EXISTING, NODE, echo_inside

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

log = logging.getLogger("e2e")

SPACE: Final = "scaled"
IN: Final = ("--namespace", SPACE)
BACKENDS: Final = "nanocluster.io/role=backend"
MOST: Final = 3
SCALING: Final = {"minReplicas": 1, "maxReplicas": MOST, "cpuPercent": 50}
REQUESTS: Final = {"cpu": "50m", "memory": "64Mi"}
SERVER: Final = Path(__file__).with_name("metrics-server.yaml")
METERED: Final = ("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes")
# replaces every backend
CHANGE: Final = [
    {
        "op": "add",
        "path": "/spec/backends/0/env",
        "value": [{"name": "EDITION", "value": "two"}],
    }
]
LOAD: Final = (
    *("nanoctl", "load", "--server=ws://echo-gate:3250/", "--clients=40"),
    *("--rate=1500", "--duration=120", "--json"),
    *("EchoService.echo", '{"text": "$n"}'),
)


def manifest() -> str:
    """Return examples/echo with backends that are scaled, reached from inside."""
    resource = echo_inside()
    (backend,) = resource["spec"]["backends"]
    del backend["replicas"]
    backend |= {"autoscaling": SCALING, "resources": {"requests": REQUESTS}}
    return json.dumps(resource)


def job() -> str:
    """Return the Job that asks, without a second attempt."""
    container = {
        "name": "load",
        "image": ECHO,
        "command": LOAD,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    resource = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "load"},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }
    return json.dumps(resource)


@pytest.fixture(scope="module")
def metered(operator: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The cluster with metrics-server; a kind cluster has none of its own."""
    if EXISTING:
        try:
            operator.kubectl(*METERED)
        except CommandError:
            pytest.skip("the cluster of KUBECONFIG has no metrics-server")
        return operator
    program = shutil.which("metrics-server")
    if program is None:
        pytest.skip("there is no metrics-server: see make tools")
    folder = tmp_path_factory.mktemp("metrics-server")
    shutil.copy(program, folder)
    (folder / "Dockerfile").write_text(
        'FROM scratch\nCOPY metrics-server /\nENTRYPOINT ["/metrics-server"]\n'
    )
    image = "metrics-server:tested"
    run("docker", "build", "--tag", image, folder, seconds=120)
    operator.load([image])
    resources = Template(SERVER.read_text()).substitute(image=image)
    operator.kubectl("apply", "--filename=-", stdin=resources)
    rollout = ("rollout", "status", "deployment/metrics-server", "--timeout=120s")
    operator.kubectl("--namespace=kube-system", *rollout, seconds=130)
    return operator


@pytest.fixture
def scaled(metered: Cluster) -> Iterator[Cluster]:
    """The echo whose backends are scaled, ready with one."""
    metered.load([NODE, ECHO])
    with metered.space(SPACE):
        metered.kubectl(*IN, "apply", "--filename=-", stdin=manifest())
        ready = ("wait", "--for=condition=Ready", "nanocluster/echo", "--timeout=120s")
        metered.kubectl(*IN, *ready, seconds=130)
        yield metered


def number(cluster: Cluster, path: str, kind: str = "deployment") -> int:
    """Return a number that stands in an object of the backends; 0: not yet."""
    asked = ("get", f"{kind}/echo-echo", f"--output=jsonpath={{{path}}}")
    return int(cluster.kubectl(*IN, *asked) or 0)


def used(cluster: Cluster) -> int:
    """Return the use of CPU that the autoscaler has seen, in percent."""
    path = ".status.currentMetrics[0].resource.current.averageUtilization"
    return number(cluster, path, "horizontalpodautoscaler")


def test_the_number_follows_the_load_and_nobody_else(
    scaled: Cluster,
) -> None:
    until(lambda: used(scaled), "the autoscaler sees the use of CPU", seconds=120)
    assert number(scaled, ".spec.replicas") == 1
    scaled.kubectl(*IN, "apply", "--filename=-", stdin=job())
    until(
        lambda: number(scaled, ".status.readyReplicas") == MOST,
        f"{MOST} backends",
        seconds=150,
    )
    log.info("%d backends, each uses %d %%", MOST, used(scaled))
    before = scaled.pods(BACKENDS, *IN)
    patch = ("patch", "nanocluster", "echo", "--type=json", "--patch")
    scaled.kubectl(*IN, *patch, json.dumps(CHANGE))
    until(lambda: not before & scaled.pods(BACKENDS, *IN), "new backends", seconds=120)
    complete = ("wait", "--for=condition=Complete", "job/load", "--timeout=180s")
    scaled.kubectl(*IN, *complete, seconds=190)
    assert number(scaled, ".spec.replicas") == MOST
    said = cast(dict[str, Any], json.loads(scaled.kubectl(*IN, "logs", "job/load")))
    log.info("load: %s", said)
    assert len(scaled.pods(BACKENDS, *IN)) == MOST
    assert scaled.denials(SPACE) == []
