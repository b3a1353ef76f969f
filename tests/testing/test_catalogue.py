"""The catalogue of metrics, and so docs/metrics.md, is what nodes really tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nano import Component, Group, RequestError, Session, handler
from nano.metrics import CATALOGUE, manual
from nano.metrics.catalogue import FAMILIES
from nano.node import Node
from nano.testing import MemoryCluster
from nano_manifest import Backend, Gates, Listener, Metadata, NanoCluster, Spec

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
EVERYWHERE = {"namespace": "default", "nanocluster": "demo"}
FOREIGN = ("process_",)  # of Prometheus' client library


class Club(Component):
    async def start(self) -> None:
        self.room: Group = self.node.group("room")

    @handler
    def join(self, session: Session, _: None) -> int:
        self.room.add(session)
        self.room.publish("onJoin", {})
        return 1

    @handler
    def refuse(self, session: Session, _: None) -> int:
        raise RequestError(403, "no")

    @handler
    def fail(self, session: Session, _: None) -> int:
        raise RuntimeError("on purpose")


def manifest() -> NanoCluster:
    return NanoCluster(
        metadata=Metadata(name="demo"),
        spec=Spec(
            gates=Gates(
                replicas=2,
                listeners=[Listener(name="tcp", transport="tcp", port=3251)],
            ),
            backends=[Backend(name="club", replicas=1, components=["club:Club"])],
        ),
    )


async def test_all_that_nodes_tell_stands_in_the_catalogue() -> None:
    made = MemoryCluster(manifest(), components={"club": [Club]})
    async with made as cluster, await cluster.connect() as client:
        assert await client.request("Club.join", None) == 1
        for route in ("Club.refuse", "Club.fail", "Club.nothing"):
            with pytest.raises(RequestError):
                await client.request(route, None)
        told: set[str] = set()
        nodes: list[Node] = [*cluster.gates, *cluster.backends["club"]]
        for node in nodes:
            for family in text_string_to_metric_families(node.metrics().decode()):
                if family.name.startswith(FOREIGN):
                    continue
                told.add(family.name)
                assert family.name in FAMILIES, (
                    f"add {family.name} to nano/metrics/catalogue.py, and then "
                    "python -m nano.metrics.manual docs/metrics.md"
                )
                known = FAMILIES[family.name]
                assert (family.type, family.documentation) == (known.kind, known.text)
                for sample in family.samples:
                    labels = dict(sample.labels)
                    for label, value in EVERYWHERE.items():
                        assert labels.pop(label) == value
                    labels.pop("le", None)
                    assert tuple(sorted(labels)) == tuple(sorted(known.labels))
    # of these a cluster needs Go nodes, certificates or clients that come back
    assert set(FAMILIES) - told <= {
        "nano_certificate_expiry_seconds",
        "nano_certificate_life_seconds",
        "nano_sessions_waiting",
    }


def test_the_page_is_made_from_the_catalogue() -> None:
    page = PAGE.read_text()
    assert page == manual.renewed(page), (
        "run python -m nano.metrics.manual docs/metrics.md"
    )
    assert manual.reference() in page


def test_names_are_such_as_prometheus_advises() -> None:
    for family in (each for group in CATALOGUE.values() for each in group):
        assert family.name.startswith("nano_")
        assert family.text.endswith(".")
        assert not family.name.endswith("_total")
        assert "le" not in family.labels
        if family.kind == "histogram":
            assert family.name.endswith("_seconds")
