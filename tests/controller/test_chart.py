"""The chart on a real API server: admitted, sufficient for the operator, removed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nano_operator.kube import CALLS

from .apiserver import ApiServer

pytestmark = pytest.mark.apiserver

CHART = Path(__file__).parents[2] / "charts" / "nanocluster"
ACCOUNT = "system:serviceaccount:chart-system:nanocluster-operator"
DEFINITION = "nanoclusters.nanocluster.io"
OURS = ("--selector=app.kubernetes.io/part-of=nanocluster", "--output=name")

Install = Callable[..., None]


@pytest.fixture
def helm(apiserver: ApiServer) -> Callable[..., str]:
    """Helm as administrator of the API server."""
    program = shutil.which("helm")
    if program is None:
        pytest.skip("there is no helm: make tools installs it")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [program, *arguments],
            env={**os.environ, **apiserver.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def namespaces(apiserver: ApiServer) -> None:
    """Two namespaces, gone with the API server."""
    for name in ("chart-system", "served"):
        apiserver.kubectl("create", "namespace", name)
    apiserver.kubectl(
        "label", "ns", "chart-system", "pod-security.kubernetes.io/enforce=restricted"
    )


@pytest.fixture
def install(namespaces: None, helm: Callable[..., str]) -> Iterator[Install]:
    """Install the chart with values; what is installed is gone after the test."""

    def run(*values: str) -> None:
        helm("install", "nanocluster", str(CHART), "--namespace=chart-system", *values)

    yield run
    if "nanocluster" in helm("list", "--namespace=chart-system", "--short").split():
        helm("uninstall", "nanocluster", "--namespace=chart-system")


def may(
    apiserver: ApiServer, verb: str, resource: str, namespace: str, name: str = ""
) -> bool:
    """Ask the API server whether the operator's account may do something.

    *resource* is written as in ``PLURAL.GROUP/SUBRESOURCE``.
    """
    plural, _, below = resource.partition("/")
    target = f"{plural}/{name}" if name else plural
    question = ["auth", "can-i", verb, target, f"--as={ACCOUNT}", "-n", namespace]
    if below:
        question.append(f"--subresource={below}")
    try:
        said = apiserver.kubectl(*question)
    except RuntimeError:  # a "no" is an exit code
        return False
    return said.strip() == "yes"


def qualified(group: str, resource: str) -> str:
    """Write a resource as ``PLURAL.GROUP/SUBRESOURCE``."""
    plural, slash, below = resource.partition("/")
    return f"{plural}.{group}{slash}{below}" if group else resource


def test_the_account_may_make_every_call_of_the_operator(
    apiserver: ApiServer, install: Install
) -> None:
    install()
    for (group, resource), verbs in CALLS.items():
        full = qualified(group, resource)
        names = {
            "customresourcedefinitions": DEFINITION,
            "leases": "nanocluster-operator",
        }
        name = names.get(resource, "")
        where = "chart-system" if resource == "leases" else "served"
        for verb in verbs:
            assert may(apiserver, verb, full, where, name), f"{verb} {full}"
    assert not may(apiserver, "list", "secrets", "served")
    assert not may(apiserver, "get", "pods", "served")


def test_in_a_list_of_namespaces_the_account_is_nobody_elsewhere(
    apiserver: ApiServer, install: Install
) -> None:
    install("--set", "watchNamespaces={served}")
    assert may(apiserver, "create", "deployments.apps", "served")
    assert not may(apiserver, "create", "deployments.apps", "default")


def test_pod_security_admits_the_operator(
    apiserver: ApiServer, install: Install
) -> None:
    if not apiserver.has_controllers:
        pytest.skip("KUBEBUILDER_ASSETS has no kube-controller-manager: see make tools")
    install()
    pod = ("pod", "--namespace=chart-system", OURS[0])
    apiserver.kubectl("wait", "--for=create", "--timeout=20s", *pod)


def test_an_upgrade_can_be_rolled_back(
    apiserver: ApiServer, install: Install, helm: Callable[..., str]
) -> None:
    place = "--namespace=chart-system"

    def operators() -> str:
        path = "jsonpath={.spec.replicas} {.spec.template.metadata.labels.edge}"
        name = ("deployment", "nanocluster-operator", place)
        return apiserver.kubectl("get", *name, "--output", path).strip()

    install()
    assert operators() == "2"
    changes = ("--set", "replicas=1,podLabels.edge=yes,watchNamespaces={served}")
    helm("upgrade", "nanocluster", str(CHART), place, *changes)
    assert operators() == "1 yes"
    assert not may(apiserver, "create", "deployments.apps", "default")
    helm("rollback", "nanocluster", place)
    assert operators() == "2"
    assert may(apiserver, "create", "deployments.apps", "default")
    budgets = ("get", "poddisruptionbudgets", place, "--output=name")
    assert "nanocluster-operator" in apiserver.kubectl(*budgets)


def test_after_uninstalling_only_the_definition_is_left(
    apiserver: ApiServer, install: Install, helm: Callable[..., str]
) -> None:
    install()
    kinds = (
        "deployments,serviceaccounts,clusterroles,clusterrolebindings,"
        "roles,rolebindings,poddisruptionbudgets,leases"
    )
    assert apiserver.kubectl("get", kinds, "--all-namespaces", *OURS)
    helm("uninstall", "nanocluster", "--namespace=chart-system")
    assert not apiserver.kubectl("get", kinds, "--all-namespaces", *OURS)
    assert apiserver.kubectl("get", "customresourcedefinition", DEFINITION)
