"""What ``helm test`` brings, and that its cluster is one that works."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest
import yaml

from nano_manifest import from_object

from .conftest import Helm
from .rendered import Chart, Object, at, rights

FILES = Path(__file__).parents[2] / "charts" / "nanocluster" / "files"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FILES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hooks(helm: Helm, *values: str) -> Chart:
    """Render what belongs to the test alone."""
    place = ("--namespace=system", "--kube-version=1.34.0")
    path = "templates/test.yaml"
    done = helm.run(
        "template", "arena", str(helm.chart), *place, "--show-only", path, *values
    )
    assert done.returncode == 0, done.stderr
    return Chart([each for each in yaml.safe_load_all(done.stdout) if each])


def test_everything_is_a_hook_that_goes_after_it_succeeded(helm: Helm) -> None:
    made = hooks(helm, "--set", "annotations.owner=me,labels.team=game")
    assert made.kinds() == [
        "ConfigMap",
        "Pod",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    ]
    for each in made:
        annotations = cast(Object, at(each, "metadata.annotations"))
        assert annotations["helm.sh/hook"] == "test"
        assert "hook-succeeded" in str(annotations["helm.sh/hook-delete-policy"])
        assert annotations["owner"] == "me"
        assert at(each, "metadata.labels.team") == "game"
        assert at(each, "metadata.labels.app.kubernetes") is None


def test_the_account_may_make_and_remove_clusters_and_nothing_else(helm: Helm) -> None:
    made = hooks(helm)
    needed = frozenset({"create", "get", "delete"})
    assert rights(made.one("Role")) == {("nanocluster.io", "nanoclusters"): needed}
    assert at(made.one("RoleBinding"), "subjects.0.name") == "arena-operator-test"
    pod = made.one("Pod")
    assert at(pod, "spec.serviceAccountName") == "arena-operator-test"
    assert at(pod, "spec.securityContext.runAsNonRoot") is True


@pytest.mark.parametrize(
    ("values", "namespace"),
    [((), "system"), (("--set", "watchNamespaces={blue,green}"), "blue")],
)
def test_it_runs_where_clusters_are_served(
    helm: Helm, values: tuple[str, ...], namespace: str
) -> None:
    made = hooks(helm, *values)
    assert {at(each, "metadata.namespace") for each in made} == {namespace}
    command = cast(list[str], at(made.one("Pod"), "spec.containers.0.command"))
    assert command[:2] == ["python", "/test/smoke.py"]
    assert command[3:] == [namespace, "arena-operator-test"]


def test_the_files_arrive_whole(helm: Helm) -> None:
    data = cast(dict[str, str], hooks(helm).one("ConfigMap")["data"])
    assert sorted(data) == ["smoke.py", "smoke_echo.py"]
    for name, text in data.items():
        assert text.strip() == (FILES / name).read_text().strip()


def test_the_cluster_is_a_good_one_with_the_component_that_is_there() -> None:
    smoke, code = loaded("smoke"), loaded("smoke_echo")
    made = from_object(smoke.manifest("smoke-x1", "system", "arena-operator-test"))
    assert made.spec.gates.replicas == 1
    (component,) = made.spec.gates.components
    module, _, name = component.partition(":")
    assert module == "smoke_echo"
    assert getattr(code, name)().echo(None, {"text": "hello"}) == {"text": "hello"}


def test_a_cluster_that_is_not_ready_says_why() -> None:
    smoke = loaded("smoke")
    assert smoke.ready({}) == (False, "the operator has not looked at it")
    entry = {"type": "Ready", "status": "False", "reason": "A", "message": "b"}
    assert smoke.ready({"status": {"conditions": [entry]}}) == (False, "A: b")
