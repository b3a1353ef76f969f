"""What kube-state-metrics makes of a resource, by the words of its own manual.

Only what the chart's configuration needs of it: gauges, and paths of plain steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["FIELDS", "configuration", "samples"]

CONFIGURATION: Final = (
    Path(__file__).parents[2] / "charts" / "nanocluster" / "kube-state-metrics.yaml"
)

FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "resource": frozenset(
        {
            "groupVersionKind",
            "metricNamePrefix",
            "resourcePlural",
            "commonLabels",
            "labelsFromPath",
            "metrics",
            "errorLogV",
        }
    ),
    "metric": frozenset(
        {"name", "help", "each", "commonLabels", "labelsFromPath", "errorLogV"}
    ),
    "each": frozenset({"type", "gauge", "stateSet", "info"}),
    "gauge": frozenset(
        {"path", "labelFromKey", "labelsFromPath", "valueFrom", "nilIsZero"}
    ),
}
"""What it knows at each level; what it does not know it passes over in silence."""

WORDS: Final = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0, "unknown": 0.0}
"""What strings are worth, in upper or lower case."""

Sample = tuple[str, dict[str, str], float]
"""The name of a metric, its labels, its value."""


def configuration() -> dict[str, Any]:
    """Return the chart's configuration of the one resource."""
    config = yaml.safe_load(CONFIGURATION.read_text())
    assert config["kind"] == "CustomResourceStateMetrics"
    (resource,) = config["spec"]["resources"]
    return dict(resource)


def samples(resource: Mapping[str, Any]) -> list[Sample]:
    """Return all that is told of *resource*.

    Raises:
        KeyError: A path leads nowhere, of which the log would be full.
    """
    config = configuration()
    common = _labels(config, resource)
    return [
        (f"{config['metricNamePrefix']}_{metric['name']}", common | labels, value)
        for metric in config["metrics"]
        for labels, value in _gauge(metric["each"]["gauge"], resource)
    ]


def _gauge(
    gauge: Mapping[str, Any], resource: Mapping[str, Any]
) -> Iterator[tuple[dict[str, str], float]]:
    """Yield a sample, or one for each entry of a list."""
    found = _at(resource, gauge["path"])
    for entry in found if isinstance(found, list) else [found]:
        value = _at(entry, gauge.get("valueFrom", []))
        yield _labels(gauge, entry), _number(value)


def _at(level: Any, path: list[str]) -> Any:
    for step in path:
        level = level[step]
    return level


def _labels(of: Mapping[str, Any], level: Any) -> dict[str, str]:
    paths = of.get("labelsFromPath", {})
    return {label: str(_at(level, path)) for label, path in paths.items()}


def _number(value: Any) -> float:
    if isinstance(value, str) and value.lower() in WORDS:
        return WORDS[value.lower()]
    return float(value)
