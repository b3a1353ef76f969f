"""What the chart makes for Prometheus and Grafana, and only when it is asked to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from nano_manifest import crd
from nano_operator.names import role_labels

from .conftest import Helm
from .rendered import Chart, Object, at
from .statemetrics import FIELDS, configuration

CHART = Path(__file__).parents[2] / "charts" / "nanocluster"
ANNOTATIONS = "spec.template.metadata.annotations"
SCRAPED = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": "8080",
    "prometheus.io/path": "/metrics",
}


def on(*parts: str) -> str:
    return ",".join(f"monitoring.{part}.enabled=true" for part in parts)


def test_by_default_there_are_annotations_and_nothing_else(default: Chart) -> None:
    deployment = default.one("Deployment")
    assert at(deployment, ANNOTATIONS) == SCRAPED
    for kind in ("PodMonitor", "ServiceMonitor", "PrometheusRule", "ConfigMap"):
        assert default.all(kind) == []


def test_annotations_can_be_left_out_and_go_when_a_monitor_is_there(helm: Helm) -> None:
    for given in ("monitoring.annotations=false", on("serviceMonitor")):
        chart = helm.template("--set", given)
        assert at(chart.one("Deployment"), ANNOTATIONS) is None


def test_a_pod_monitor_finds_the_nodes_and_names_them_by_their_pods(
    helm: Helm,
) -> None:
    labels = "monitoring.podMonitor.labels.release=prom"
    chart = helm.template("--set", f"{on('podMonitor')},{labels}")
    monitor = chart.one("PodMonitor")
    assert at(monitor, "metadata.labels.release") == "prom"
    assert at(monitor, "spec.namespaceSelector") == {"any": True}
    pod = role_labels("chat", "gate")
    wanted = cast(dict[str, str], at(monitor, "spec.selector.matchLabels"))
    assert wanted.items() <= pod.items()
    assert at(monitor, "spec.selector.matchExpressions.0") == {
        "key": "nanocluster.io/cluster",
        "operator": "Exists",
    }
    endpoint = cast(Object, at(monitor, "spec.podMetricsEndpoints.0"))
    assert (endpoint["port"], endpoint["interval"]) == ("observe", "15s")
    assert at(endpoint, "relabelings.0.targetLabel") == "instance"


def test_a_pod_monitor_looks_where_the_operator_serves(helm: Helm) -> None:
    chart = helm.template("--set", f"{on('podMonitor')},watchNamespaces={{blue,green}}")
    selector = at(chart.one("PodMonitor"), "spec.namespaceSelector")
    assert selector == {"matchNames": ["blue", "green"]}


def test_a_service_monitor_finds_the_operator_by_its_service(helm: Helm) -> None:
    chart = helm.template("--set", on("serviceMonitor"))
    service, monitor = chart.one("Service"), chart.one("ServiceMonitor")
    wanted = cast(dict[str, str], at(monitor, "spec.selector.matchLabels"))
    labels = cast(dict[str, str], at(service, "metadata.labels"))
    assert wanted.items() <= labels.items()
    assert at(monitor, "spec.endpoints.0.port") == at(service, "spec.ports.0.name")
    assert at(monitor, "spec.endpoints.0.honorLabels") is True
    port = at(chart.container(), "ports.0.name")
    assert at(service, "spec.ports.0.targetPort") == port
    pod = at(chart.one("Deployment"), "spec.template.metadata.labels")
    selected = cast(dict[str, str], at(service, "spec.selector"))
    assert selected.items() <= cast(dict[str, str], pod).items()


def test_the_rules_are_those_of_the_plain_file(helm: Helm) -> None:
    chart = helm.template("--set", on("alerts"))
    plain = yaml.safe_load((CHART / "alerts" / "nanocluster.yaml").read_text())
    assert at(chart.one("PrometheusRule"), "spec") == plain


def test_the_dashboards_are_those_of_the_files(helm: Helm) -> None:
    chart = helm.template("--set", on("dashboards"))
    made = chart.one("ConfigMap")
    assert at(made, "metadata.labels.grafana_dashboard") == "1"
    data = cast(dict[str, str], made["data"])
    files = sorted((CHART / "dashboards").glob("*.json"))
    assert sorted(data) == [f"nanocluster-{path.name}" for path in files]
    for path in files:
        shown = json.loads(data[f"nanocluster-{path.name}"])
        assert shown == json.loads(path.read_text())
    assert sum(len(text) for text in data.values()) < 900_000  # a ConfigMap's most


def test_all_together_are_objects_of_the_chart(helm: Helm) -> None:
    everything = on("podMonitor", "serviceMonitor", "alerts", "dashboards")
    chart = helm.template("--set", f"{everything},labels.team=game,annotations.a=b")
    for made in chart:
        assert at(made, "metadata.labels.team") == "game"
        assert at(made, "metadata.annotations.a") == "b"


@pytest.mark.parametrize(
    "value",
    [
        "monitoring.podMonitor.enabled=1",
        "monitoring.podMonitor.interval=often",
        "monitoring.unknown=true",
    ],
)
def test_what_makes_no_sense_is_refused(helm: Helm, value: str) -> None:
    assert "monitoring" in helm.refusal("--set", value)


# ---------------------------------------------------------------- kube-state-metrics


def paths(metric: dict[str, Any]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield (where a list or value is, where in an entry of it) of one metric."""
    gauge = metric["each"]["gauge"]
    yield gauge["path"], []
    for inner in (*gauge.get("labelsFromPath", {}).values(), gauge.get("valueFrom")):
        if inner is not None:
            yield gauge["path"], inner


def test_kube_state_metrics_is_told_nothing_that_it_does_not_know() -> None:
    resource = configuration()
    assert resource.keys() <= FIELDS["resource"]
    for metric in resource["metrics"]:
        assert metric.keys() <= FIELDS["metric"]
        assert metric["each"].keys() <= FIELDS["each"]
        assert metric["each"]["gauge"].keys() <= FIELDS["gauge"]


def test_kube_state_metrics_asks_for_fields_that_the_resource_has() -> None:
    resource = configuration()
    definition = cast(Any, crd()["spec"])
    (version,) = definition["versions"]
    assert resource["groupVersionKind"] == {
        "group": definition["group"],
        "version": version["name"],
        "kind": definition["names"]["kind"],
    }
    root = version["schema"]["openAPIV3Schema"]
    names = [metric["name"] for metric in resource["metrics"]]
    assert len(names) == len(set(names))
    assert "condition" in names
    for metric in resource["metrics"]:
        assert metric["help"].endswith(".")
        assert metric["each"]["type"] == "Gauge"
        for outer, inner in paths(metric):
            if outer[0] == "metadata":
                continue  # Kubernetes' own
            level = root
            for step in outer:
                level = level["properties"][step]
            for step in inner:
                level = level["items"]["properties"][step]
