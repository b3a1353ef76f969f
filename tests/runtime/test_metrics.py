"""Counts as Prometheus reads them: right, and with a bounded number of labels."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nano import Component, NodeInfo, RequestError, Session, handler
from nano.errors import UsageError
from nano.metrics import CONTENT_TYPE, Metrics
from nano.version import __version__

from .clients import World

Sample = tuple[str, tuple[tuple[str, str], ...]]


def samples(metrics: Metrics) -> dict[Sample, float]:
    """Render and parse: ``{(name, labels): value}``; no sample comes twice."""
    found: dict[Sample, float] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        assert family.documentation.endswith("."), family.name
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def read(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


class Shop(Component):
    @handler
    def buy(self, session: Session, payload: Any) -> int:
        return 1

    @handler
    def refuse(self, session: Session, payload: Any) -> int:
        raise RequestError(403, "no")


async def test_counts_equal_what_was_sent() -> None:
    world = World(Shop())
    client = world.client()
    for _ in range(5):
        await client.request("Shop.buy")
    for _ in range(3):
        client.notify("Shop.buy")
    for _ in range(2):
        await client.request("Shop.refuse")
    await client.request("Shop.unknown")
    found = samples(world.metrics)

    def messages(direction: str, kind: str, route: str) -> float:
        labels = (("direction", direction), ("route", route), ("type", kind))
        return found["nano_messages_total", labels]

    assert messages("in", "request", "Shop.buy") == 5
    assert messages("in", "notify", "Shop.buy") == 3
    assert messages("out", "response", "Shop.buy") == 5
    assert messages("in", "request", "Shop.refuse") == 2
    assert messages("out", "response", "Shop.refuse") == 0
    assert messages("in", "request", "unknown") == 1
    assert found["nano_failures_total", (("status", "403"),)] == 2
    assert found["nano_failures_total", (("status", "404"),)] == 1


async def test_clients_cannot_add_labels() -> None:
    world = World(Shop())
    before = set(samples(world.metrics))
    client = world.client()
    for number in range(1000):
        client.send(f"Shop.made_up_{number}")
        client.notify(f"made up {number}")
    added = set(samples(world.metrics)) - before
    assert added == {("nano_failures_total", (("status", "404"),))}


def test_push_routes_beyond_500_are_counted_as_other() -> None:
    metrics = Metrics()
    for number in range(700):
        metrics.pushed(f"onNews{number}", 10)
    metrics.pushed("onNews0", 7)
    assert len(metrics.pushes) == 501
    assert metrics.pushes["onNews0"] == 2
    labels = {"direction": "out", "type": "push", "route": "other"}
    assert read(metrics, "nano_messages_total", **labels) == 200
    assert read(metrics, "nano_message_bytes_total", **labels) == 2000
    assert metrics.push_bytes["onNews0"] == 17


def test_listeners_are_counted_by_reason_and_outcome() -> None:
    metrics = Metrics()
    counts = metrics.listener("ws")
    assert metrics.listener("ws") is counts
    counts.opened += 3
    counts.closed["kicked"] += 1
    counts.handshakes["accepted"] += 2
    assert read(metrics, "nano_connections", listener="ws") == 2
    assert read(metrics, "nano_connections_opened_total", listener="ws") == 3
    labels = {"listener": "ws", "reason": "kicked"}
    assert read(metrics, "nano_connections_closed_total", **labels) == 1
    labels = {"listener": "ws", "outcome": "accepted"}
    assert read(metrics, "nano_handshakes_total", **labels) == 2


def test_links_drops_and_gauges_become_samples() -> None:
    metrics = Metrics()
    metrics.peer("10.0.0.7:7650").received(envelopes=9)
    metrics.peer("10.0.0.7:7650").sent(envelopes=1, size=80)
    metrics.dropped["push", "link-full"] += 1
    metrics.gauges.append(lambda: [("nano_x", "An x.", {"kind": "a"}, 4)])
    metrics.gauges.append(lambda: [("nano_x", "An x.", {"kind": "b"}, 5)])
    peer = "10.0.0.7:7650"
    assert read(metrics, "nano_link_batches_total", peer=peer, direction="in") == 1
    assert read(metrics, "nano_link_envelopes_total", peer=peer, direction="in") == 9
    assert read(metrics, "nano_link_bytes_total", peer=peer) == 80
    assert read(metrics, "nano_dropped_total", stage="push", reason="link-full") == 1
    assert read(metrics, "nano_x", kind="a") == 4
    assert read(metrics, "nano_x", kind="b") == 5


def test_build_and_process_are_described() -> None:
    metrics = Metrics()
    assert read(metrics, "nano_build_info", version=__version__) == 1
    assert read(metrics, "process_open_fds")
    assert CONTENT_TYPE.startswith("text/plain")


def test_labels_with_odd_characters_survive() -> None:
    metrics = Metrics()
    route = 'a"b\\c\nd'
    metrics.pushed(route, 1)
    labels = {"direction": "out", "type": "push", "route": route}
    assert read(metrics, "nano_messages_total", **labels) == 1


def test_two_nodes_of_one_process_count_apart() -> None:
    one, two = Metrics(), Metrics()
    one.pushed("onNews", 1)
    labels = {"direction": "out", "type": "push", "route": "onNews"}
    assert read(two, "nano_messages_total", **labels) is None


# --------------------------------------------------------------- in a component


async def test_a_component_reads_what_its_node_has_counted() -> None:
    world = World(Shop())
    node = NodeInfo("a:1", "gate", "", "default/demo", metrics=world.metrics)
    assert node.count("nano_messages_total") == 0
    client = world.client()
    for _ in range(3):
        await client.request("Shop.buy")
    client.notify("Shop.buy")
    world.metrics.pushed("onNews", 1)
    world.metrics.gauges.append(
        lambda: [("nano_sessions", "Held.", {"place": at}, 7) for at in ("home", "x")]
    )
    assert node.count("nano_messages_total") == 8  # three answers and a push with them
    assert node.count("nano_messages_total", direction="in") == 4
    assert node.count("nano_messages_total", direction="in", type="notify") == 1
    assert node.count("nano_messages_total", route="Shop.none") == 0
    assert node.count("nano_sessions") == 14
    assert node.count("nano_sessions", place="home") == 7
    assert node.count("nano_pending_requests") == 0  # this one tells none


@pytest.mark.parametrize(
    ("metric", "labels", "said"),
    [
        ("nano_messages", {}, "no counter or gauge is called 'nano_messages'"),
        ("nano_handler_seconds", {}, "see docs/metrics.md"),
        ("nano_sessions", {"rooms": "a"}, "no label 'rooms'; its labels: place"),
        ("nano_links", {"peer": "a"}, "nano_links has no label 'peer'; .* none"),
    ],
)
def test_what_is_no_metric_is_no_zero(
    metric: str, labels: dict[str, str], said: str
) -> None:
    node = NodeInfo("a:1", "gate", "", "default/demo", metrics=Metrics())
    with pytest.raises(UsageError, match=said):
        node.count(metric, **labels)


def test_without_a_node_there_is_nothing_to_count() -> None:
    with pytest.raises(UsageError, match="on no node"):
        NodeInfo("a:1", "gate", "", "default/demo").count("nano_sessions")
