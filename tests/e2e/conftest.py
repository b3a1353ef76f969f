"""One cluster for the whole tier, with the operator and examples/echo on it.

``E2E_CLUSTER=existing`` tests on the cluster of ``KUBECONFIG``, which must be able to
get the images and have its node ports at ``E2E_HOST``.  Otherwise a kind cluster is
made from ``kind-config.yaml`` and deleted at the end, also after a failure, unless
``E2E_KEEP=1`` asks to keep it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from nano.version import __version__

from .cluster import ROOT, SYSTEM, Cluster, CommandError, run
from .gate import answer

NAMESPACE = "arena"
HOST = os.environ.get("E2E_HOST", "127.0.0.1")
NODE, OPERATOR, ECHO = (
    f"nanocluster-{name}:{__version__}" for name in ("node", "operator", "echo")
)
EXISTING = os.environ.get("E2E_CLUSTER") == "existing"

held = pytest.StashKey[Cluster]()


@dataclass(frozen=True, slots=True)
class Echo:
    """examples/echo as it runs in the cluster.

    Attributes:
        namespace: Where it is; kubectl's default namespace too.
        websocket: The address of its WebSocket listener, from outside.
        tcp: The address of its TCP listener, from outside.
    """

    namespace: str
    websocket: str
    tcp: str


@pytest.fixture(scope="session")
def cluster(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A cluster; the images are on this machine."""
    needed = ["kubectl", "helm"] if EXISTING else ["kubectl", "helm", "kind", "docker"]
    absent = [name for name in needed if not shutil.which(name)]
    if absent:
        pytest.skip(f"there is no {', '.join(absent)}: see make tools")
    folder = tmp_path_factory.mktemp("cluster")
    cluster = Cluster.existing(folder) if EXISTING else Cluster.create(folder)
    pytestconfig.stash[held] = cluster
    try:
        if not EXISTING:
            start = time.monotonic()
            run("make", "images", seconds=600)
            cluster.measured["make images"] = time.monotonic() - start
        yield cluster
    finally:
        if not os.environ.get("E2E_KEEP"):
            cluster.delete()


@pytest.fixture(scope="session")
def operator(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with the operator in it, under the strictest pod security."""
    cluster.load([OPERATOR])
    with cluster.space(SYSTEM):
        start = time.monotonic()
        cluster.helm(
            *("install", "nanocluster", str(ROOT / "charts" / "nanocluster")),
            *("--namespace", SYSTEM, "--wait", "--timeout=120s"),
        )
        cluster.measured["helm install --wait"] = time.monotonic() - start
        yield cluster


def echo_inside() -> Any:
    """Return the resource of examples/echo, reached from inside the cluster only."""
    text = (ROOT / "examples" / "echo" / "cluster.yaml").read_text()
    resource = yaml.safe_load(text)
    gates = resource["spec"]["gates"]
    gates["service"] = {"type": "ClusterIP"}
    for listener in gates["listeners"]:
        listener.pop("nodePort", None)
    return resource


@pytest.fixture(scope="session")
def echo(operator: Cluster) -> Iterator[Echo]:
    """examples/echo, applied and answering."""
    operator.load([NODE, ECHO])
    with operator.space(NAMESPACE):
        operator.kubectl(
            "config", "set-context", "--current", f"--namespace={NAMESPACE}"
        )
        echo = Echo(NAMESPACE, f"ws://{HOST}:30250/", f"tcp://{HOST}:30251")
        start = time.monotonic()
        operator.kubectl("apply", "--filename", "examples/echo/cluster.yaml")
        asyncio.run(answer(echo.tcp, "first", seconds=120))
        operator.measured["kubectl apply to first answer"] = time.monotonic() - start
        ready = ("wait", "--for=condition=Ready", "nanocluster/echo")
        operator.kubectl(*ready, "--timeout=120s", seconds=130)
        operator.measured["kubectl apply to Ready"] = time.monotonic() - start
        yield echo


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what the cluster looks like at that moment."""
    report = yield
    cluster = item.config.stash.get(held, None)
    if report.failed and cluster:
        try:
            report.sections.append(("cluster", cluster.diagnosis()))
        except CommandError as failed:
            report.sections.append(("cluster", f"cannot be asked: {failed}"))
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Tell the times that were taken on the way."""
    cluster = config.stash.get(held, None)
    if cluster:
        terminalreporter.section("seconds in the cluster")
        for name, seconds in cluster.measured.items():
            terminalreporter.write_line(f"{seconds:7.1f}  {name}")
