"""What each value of the chart does, and which values it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
import yaml

from nano.version import __version__
from nano_manifest import crd

from .conftest import Helm
from .rendered import Chart, Object, at

POD = "spec.template.spec"
ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "nanocluster"


def test_lint_has_nothing_to_say(helm: Helm) -> None:
    done = helm.run("lint", "--strict", str(helm.chart))
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


def test_the_chart_has_the_version_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


def test_the_definition_is_what_the_manifest_makes() -> None:
    held = yaml.safe_load((CHART / "crds" / "nanocluster.yaml").read_text())
    assert held == crd(), "run make crd"


def test_every_value_is_described_and_has_a_default() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert set(values) == set(schema) - {"global"}
    for name in ("image", "nodeImage", "serviceAccount", "rbac"):
        assert set(values[name]) == set(schema[name]["properties"]), name


def test_the_default_is_two_operators_with_their_rights(default: Chart) -> None:
    assert default.kinds() == [
        "ClusterRole",
        "ClusterRole",
        "ClusterRole",
        "ClusterRoleBinding",
        "Deployment",
        "Lease",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "ServiceAccount",
    ]
    deployment = default.one("Deployment")
    assert at(deployment, "metadata.name") == "arena-operator"
    assert at(deployment, "spec.replicas") == 2
    assert at(deployment, f"{POD}.serviceAccountName") == "arena-operator"
    assert default.container()["image"] == f"nanocluster-operator:{__version__}"
    assert default.env() == {
        "NANO_NODE_IMAGE": f"nanocluster-node:{__version__}",
        "NANO_OPERATOR_CENSUS_SECONDS": "30",
        "NANO_OPERATOR_HEALTH": "0.0.0.0:8080",
        "NANO_OPERATOR_LEASE": "arena-operator",
        "NANO_OPERATOR_LOG_LEVEL": "info",
        "NANO_OPERATOR_POD_NAMESPACE": "system",
    }


def test_the_pod_is_as_restricted_as_pod_security_asks(default: Chart) -> None:
    pod = at(default.one("Deployment"), f"{POD}.securityContext")
    assert pod == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert default.container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def test_one_operator_alone_has_no_budget(helm: Helm) -> None:
    chart = helm.template("--set", "replicas=1")
    assert at(chart.one("Deployment"), "spec.replicas") == 1
    assert chart.all("PodDisruptionBudget") == []


def test_the_selector_matches_the_pod(default: Chart) -> None:
    deployment = default.one("Deployment")
    selector = cast(Object, at(deployment, "spec.selector.matchLabels"))
    labels = cast(Object, at(deployment, "spec.template.metadata.labels"))
    assert selector.items() <= labels.items()


def test_every_probe_asks_a_port_that_is_there(default: Chart) -> None:
    container = default.container()
    assert at(container, "ports.0") == {"name": "health", "containerPort": 8080}
    for probe, path in (
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ):
        assert at(container, f"{probe}.httpGet") == {"path": path, "port": "health"}


@pytest.mark.parametrize(
    ("value", "path", "expected"),
    [
        ('imagePullSecrets=[{"name": "pull"}]', "imagePullSecrets.0.name", "pull"),
        ('nodeSelector={"disk": "ssd"}', "nodeSelector.disk", "ssd"),
        ('tolerations=[{"operator": "Exists"}]', "tolerations.0.operator", "Exists"),
        ('affinity={"nodeAffinity": {}}', "affinity", {"nodeAffinity": {}}),
        ('priorityClassName="high"', "priorityClassName", "high"),
        ('resources={"limits": {"cpu": 1}}', "containers.0.resources.limits.cpu", 1),
        ("resources=null", "containers.0.resources", None),
        ('image.pullPolicy="Never"', "containers.0.imagePullPolicy", "Never"),
    ],
)
def test_a_value_reaches_the_pod(
    helm: Helm, value: str, path: str, expected: object
) -> None:
    chart = helm.template("--set-json", value)
    assert at(chart.one("Deployment"), f"{POD}.{path}") == expected


@pytest.mark.parametrize(
    ("value", "variable", "expected"),
    [
        ('nodeImage.tag="edge"', "NANO_NODE_IMAGE", "nanocluster-node:edge"),
        ('logLevel="debug"', "NANO_OPERATOR_LOG_LEVEL", "debug"),
        ('watchNamespaces=["a", "b"]', "NANO_OPERATOR_NAMESPACE", "a b"),
    ],
)
def test_a_value_reaches_the_operator(
    helm: Helm, value: str, variable: str, expected: str
) -> None:
    assert helm.template("--set-json", value).env()[variable] == expected


def test_an_image_is_named_by_repository_and_tag(helm: Helm) -> None:
    chart = helm.template("--set", "image.repository=r/op,image.tag=edge")
    assert chart.container()["image"] == "r/op:edge"


def test_common_labels_and_annotations_are_on_everything(helm: Helm) -> None:
    chart = helm.template("--set", "labels.team=game,annotations.owner=me")
    places = [at(each, "metadata") for each in chart]
    places.append(at(chart.one("Deployment"), "spec.template.metadata"))
    for metadata in places:
        assert at(metadata, "labels.team") == "game"
        assert at(metadata, "annotations.owner") == "me"


def test_the_pods_own_labels_and_annotations_are_on_the_pod_alone(helm: Helm) -> None:
    chart = helm.template("--set", "podLabels.a=b,podAnnotations.c=d")
    deployment = chart.one("Deployment")
    assert at(deployment, "spec.template.metadata.labels.a") == "b"
    assert at(deployment, "spec.template.metadata.annotations.c") == "d"
    assert at(deployment, "metadata.labels.a") is None


def test_an_account_can_be_brought_along(helm: Helm) -> None:
    chart = helm.template("--set", "serviceAccount.create=false,serviceAccount.name=me")
    assert chart.all("ServiceAccount") == []
    assert at(chart.one("Deployment"), f"{POD}.serviceAccountName") == "me"
    (subject,) = cast(list[Object], chart.one("ClusterRoleBinding")["subjects"])
    assert subject["name"] == "me"


def test_an_account_can_be_named_and_annotated(helm: Helm) -> None:
    settings = "serviceAccount.name=me,serviceAccount.annotations.iam=role"
    account = helm.template("--set", settings).one("ServiceAccount")
    assert at(account, "metadata.name") == "me"
    assert at(account, "metadata.annotations.iam") == "role"


@pytest.mark.parametrize(
    "value",
    [
        "unknown=1",
        "image.registry=r",
        "serviceAccount.labels.a=b",
        "rbac.pspEnabled=true",
        "resources.request.cpu=1",
        "logLevel=loud",
        "replicas=-1",
        "image.pullPolicy=Sometimes",
        "watchNamespaces={Upper}",
        "watchNamespaces=all",
        r"labels.app\.kubernetes\.io/name=mine",
        "podLabels.number=1",
    ],
)
def test_a_value_that_means_nothing_is_refused(helm: Helm, value: str) -> None:
    assert "values don't meet the specifications" in helm.refusal("--set", value)


def test_a_cluster_without_stable_rules_is_refused(helm: Helm) -> None:
    assert "kubeVersion" in helm.refusal("--kube-version=1.28.0")
