"""What docs/operations.md says is what the operator does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from nano_manifest import IssuedTls, from_object
from nano_operator.conditions import Reason
from nano_operator.metrics import Metrics
from nano_operator.names import RESTART, ROTATE
from nano_operator.objects import Object
from nano_operator.resources import Context, children
from nano_operator.resources.certificates import certificate_refs

from .worlds import inner

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
FILES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
MANIFESTS: list[Object] = [
    document
    for text in FILES
    for document in yaml.safe_load_all(text)
    if document["kind"] == "NanoCluster"
]


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    """Return what stands in backquotes in the first column of the table."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return [word for cell in rows for word in re.findall(r"`([^`]+)`", cell)]


def test_every_reason_says_what_to_do() -> None:
    assert first_cells(section("Troubleshooting")) == [each.word for each in Reason]


def test_every_metric_is_there_and_every_one_is_told() -> None:
    told = set(first_cells(section("Watch the operator")))
    metrics = Metrics()
    found = set(re.findall(r"^# HELP (\S+)", metrics.render().decode(), re.MULTILINE))
    assert told == {name for name in found if not name.endswith("_created")}


def test_there_are_manifests_to_try() -> None:
    assert len(MANIFESTS) >= 4


@pytest.mark.parametrize("resource", MANIFESTS)
def test_every_manifest_is_accepted_and_built(resource: Object) -> None:
    assert children(Context(from_object(resource), "node:0", "system"))


def test_every_object_of_a_cluster_is_told() -> None:
    resource: Object = {
        "apiVersion": "nanocluster.io/v1alpha1",
        "kind": "NanoCluster",
        "metadata": {"name": "arena"},
        "spec": {
            "gates": {
                "resources": {"requests": {"cpu": 1}},
                "autoscaling": {"minReplicas": 2, "maxReplicas": 3},
            }
        },
    }
    told = section("What the operator makes of a cluster")
    for child in children(Context(from_object(resource), "node:0")):
        assert str(child["kind"]) in told
        if child["kind"] in ("Service", "ConfigMap", "NetworkPolicy", "Deployment"):
            assert f"`{inner(child, 'metadata.name')}`" in told


def test_every_value_of_the_chart_is_one() -> None:
    schema = json.loads((ROOT / "charts/nanocluster/values.schema.json").read_text())
    for value in first_cells(section("Install")):
        properties = schema["properties"]
        for step in value.split("."):
            assert step in properties, value
            properties = properties[step].get("properties", {})


def test_every_ability_is_shown_by_a_test_that_is_there() -> None:
    rows = section("What the operator is able to do")
    shown = re.findall(r"`(\S+\.py)::(\w+)` \|$", rows, re.MULTILINE)
    assert len(shown) == len(re.findall(r"^\| (?!level|-)", rows, re.MULTILINE)) > 10
    for file, name in shown:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(), (file, name)


def test_certificates_are_told_as_they_are() -> None:
    told = section("Certificates")
    terms = IssuedTls()
    for ref in certificate_refs("arena"):
        assert f"| `{ref.name}` |" in told
    assert f"{ROTATE}=" in told
    assert f"`certificateDays` ({terms.certificate_days})" in told
    assert f"`authorityDays` ({terms.authority_days})" in told
    assert f"`settleSeconds` ({terms.settle_seconds})" in told


def test_the_annotation_is_the_one_that_restarts() -> None:
    assert f"{RESTART}=" in section("Change")
