"""docs/metrics.md lists every metric of the operator."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from nano_operator.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
ROW = re.compile(
    r"^\| `(nanocluster_operator_\w+?)(?:_total)?` \| (\w+) \| (.*?) \| (.*) \|$", re.M
)


def test_the_page_lists_every_metric_of_the_operator() -> None:
    metrics = Metrics()
    metrics.reconciles.labels("done").inc()
    metrics.requests.labels("get", "pods", "200").inc()
    metrics.resyncs.labels("done").inc()
    metrics.asked.labels("silent").inc()
    metrics.condition.labels("arena", "chat", "Ready").set(1)
    metrics.note_certificates(("arena", "chat"), {"nodes": (datetime.now(UTC),) * 2})
    told = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        if family.name.endswith("_created"):
            continue  # of the client library
        labels = {name for it in family.samples for name in it.labels} - {"le"}
        told[family.name] = (family.type, labels, family.documentation)
    assert told == {
        name: (kind, set(re.findall(r"`(\w+)`", labels)), text)
        for name, kind, labels, text in ROW.findall(PAGE)
    }
