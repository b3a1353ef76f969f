"""What a node counts, as plain integers, and the one collector that reads them.

The hot path adds to an integer of its own and knows no label: a prometheus-client
counter costs a tenth of what a whole message does.  Prometheus asks every few
seconds, and only then the integers become samples.

Labels are bounded: routes are those that somebody registered, every other route
is ``unknown``, and push routes beyond a limit are ``other``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from nano.version import __version__

__all__ = [
    "CONTENT_TYPE",
    "UNKNOWN",
    "Gauge",
    "ListenerCounts",
    "Metrics",
    "RouteCounts",
]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
UNKNOWN: Final = "unknown"
OTHER: Final = "other"
MOST_PUSH_ROUTES: Final = 500  # an application has dozens; more is a route per user


class RouteCounts:
    """What one route has seen on this node."""

    __slots__ = ("notifies", "requests", "responses")

    def __init__(self) -> None:
        self.requests = 0
        self.notifies = 0
        self.responses = 0

    def received(self, number: int) -> None:
        """Count a message: request *number*, or a notify, which has none."""
        if number:
            self.requests += 1
        else:
            self.notifies += 1

    def deferred(self, number: int) -> None:
        """Take a message back that waits: it is counted when it goes on."""
        if number:
            self.requests -= 1
        else:
            self.notifies -= 1


class ListenerCounts:
    """What one listener has seen."""

    __slots__ = ("certificates", "closed", "handshakes", "opened")

    def __init__(self) -> None:
        self.opened = 0
        self.certificates: Counter[str] = Counter()  # new ones, by what became of them
        self.closed: Counter[str] = Counter()  # by reason
        self.handshakes: Counter[str] = Counter()  # by outcome

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return self.opened - self.closed.total()


class Metrics:
    """All integers of one node; owned by it, and read by one collector.

    Attributes:
        routes: By route; :meth:`route` makes the entry.
        listeners: By listener; :meth:`listener` makes the entry.
        failures: Failed answers that this node made, by status.
        dropped: What was thrown away, by (where, why).
        calls: Calls between nodes, by direction and what they came to.
        link: Traffic on links, by (unit, direction).
        cluster_certificates: New ones of the cluster port, by what became of them.
        refusals: Who was refused at the cluster port, or by us as no node, by reason.
        moves: Sessions that went from one member to another, by what came of it.
        handovers: Their states, given away or taken over here, by outcome.
        group_publishes: What this node has published to groups.
        group_deliveries: Pushes to this node's clients that came of publishes.
        gauges: Functions that yield ``(name, help, labels, value)`` when asked.
    """

    def __init__(self) -> None:
        self.routes: dict[str, RouteCounts] = {}
        self.listeners: dict[str, ListenerCounts] = {}
        self.failures: Counter[int] = Counter()
        self.dropped: Counter[tuple[str, str]] = Counter()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.link: Counter[tuple[str, str]] = Counter()
        self.cluster_certificates: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.moves: Counter[str] = Counter()
        self.handovers: Counter[tuple[str, str]] = Counter()
        self.group_publishes = 0
        self.group_deliveries = 0
        self.gauges: list[Callable[[], Iterable[Gauge]]] = []
        self._pushes: dict[str, int] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_NodeCollector(self))
        ProcessCollector(registry=self._registry)

    def route(self, name: str) -> RouteCounts:
        """Return the counts of route *name*; there from now on."""
        return self.routes.setdefault(name, RouteCounts())

    def listener(self, name: str) -> ListenerCounts:
        """Return the counts of listener *name*; there from now on."""
        return self.listeners.setdefault(name, ListenerCounts())

    def pushed(self, route: str, number: int = 1) -> None:
        """Count *number* pushes that are on their way to clients."""
        pushes = self._pushes
        if route in pushes:
            pushes[route] += number
        elif len(pushes) < MOST_PUSH_ROUTES:
            pushes[route] = number
        else:
            pushes[OTHER] = pushes.get(OTHER, 0) + number

    @property
    def pushes(self) -> dict[str, int]:
        """Pushes towards clients, by route."""
        return self._pushes

    def render(self) -> bytes:
        """Return everything in Prometheus' text format (:data:`CONTENT_TYPE`)."""
        return generate_latest(self._registry)


Gauge = tuple[str, str, dict[str, str], float]
"""One sample of a gauge: its name, what it means, its labels, its value."""


class _NodeCollector(Collector):
    """Turns the integers of a :class:`Metrics` into samples."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called by Prometheus' client library."""
        build = GaugeMetricFamily(
            "nano_build_info", "The version that runs.", labels=["version"]
        )
        build.add_metric([__version__], 1)
        yield build
        yield self._messages()
        yield from self._listeners()
        yield self._failures()
        yield self._dropped()
        yield self._calls()
        yield from self._link()
        yield self._refusals()
        yield from self._moves()
        yield from self._groups()
        yield from self._gauges()

    def _messages(self) -> Metric:
        family = CounterMetricFamily(
            "nano_messages",
            "Messages of clients, by direction, type and route.",
            labels=["direction", "type", "route"],
        )
        for route, counts in self._metrics.routes.items():
            family.add_metric(["in", "request", route], counts.requests)
            family.add_metric(["in", "notify", route], counts.notifies)
            family.add_metric(["out", "response", route], counts.responses)
        for route, pushes in self._metrics.pushes.items():
            family.add_metric(["out", "push", route], pushes)
        return family

    def _listeners(self) -> Iterator[Metric]:
        now = GaugeMetricFamily(
            "nano_connections", "Open connections, by listener.", labels=["listener"]
        )
        opened = CounterMetricFamily(
            "nano_connections_opened",
            "Connections that came, by listener.",
            labels=["listener"],
        )
        closed = CounterMetricFamily(
            "nano_connections_closed",
            "Connections that went, by listener and reason.",
            labels=["listener", "reason"],
        )
        handshakes = CounterMetricFamily(
            "nano_handshakes",
            "Handshakes, by listener and outcome.",
            labels=["listener", "outcome"],
        )
        certificates = CounterMetricFamily(
            "nano_certificates",
            "New certificates found by listeners, and by the cluster port under "
            "that name: taken, or refused as unusable.",
            labels=["listener", "outcome"],
        )
        for outcome, number in self._metrics.cluster_certificates.items():
            certificates.add_metric(["cluster", outcome], number)
        for name, counts in self._metrics.listeners.items():
            for outcome, number in counts.certificates.items():
                certificates.add_metric([name, outcome], number)
            now.add_metric([name], counts.open)
            opened.add_metric([name], counts.opened)
            for reason, number in counts.closed.items():
                closed.add_metric([name, reason], number)
            for outcome, number in counts.handshakes.items():
                handshakes.add_metric([name, outcome], number)
        yield from (now, opened, closed, handshakes, certificates)

    def _failures(self) -> Metric:
        family = CounterMetricFamily(
            "nano_failures", "Failed answers made here, by status.", labels=["status"]
        )
        for status, number in self._metrics.failures.items():
            family.add_metric([str(status)], number)
        return family

    def _dropped(self) -> Metric:
        family = CounterMetricFamily(
            "nano_dropped",
            "Messages thrown away, by the stage they reached and the reason.",
            labels=["stage", "reason"],
        )
        for (stage, reason), number in self._metrics.dropped.items():
            family.add_metric([stage, reason], number)
        return family

    def _calls(self) -> Metric:
        family = CounterMetricFamily(
            "nano_calls",
            "Calls between nodes, by direction and outcome: ok, a status, or notify.",
            labels=["direction", "outcome"],
        )
        for (direction, outcome), number in self._metrics.calls.items():
            family.add_metric([direction, outcome], number)
        return family

    def _link(self) -> Iterator[Metric]:
        for unit in ("batches", "envelopes"):
            family = CounterMetricFamily(
                f"nano_link_{unit}",
                f"What links have carried, in {unit}.",
                labels=["direction"],
            )
            for direction in ("in", "out"):
                number = self._metrics.link[unit, direction]
                family.add_metric([direction], number)
            yield family

    def _refusals(self) -> Metric:
        family = CounterMetricFamily(
            "nano_cluster_refusals",
            "Strangers at the cluster port, and nodes that were not believed.",
            labels=["reason"],
        )
        for reason, number in self._metrics.refusals.items():
            family.add_metric([reason], number)
        return family

    def _moves(self) -> Iterator[Metric]:
        moves = CounterMetricFamily(
            "nano_session_moves",
            "Sessions of this gate that moved to another member, by what came of it.",
            labels=["outcome"],
        )
        for outcome, number in self._metrics.moves.items():
            moves.add_metric([outcome], number)
        handovers = CounterMetricFamily(
            "nano_handovers",
            "States of sessions that components gave away or took over, by outcome.",
            labels=["direction", "outcome"],
        )
        for (direction, outcome), number in self._metrics.handovers.items():
            handovers.add_metric([direction, outcome], number)
        yield from (moves, handovers)

    def _groups(self) -> Iterator[Metric]:
        metrics = self._metrics
        text = "Publishes to groups that began at this node."
        yield CounterMetricFamily("nano_group_publishes", text, metrics.group_publishes)
        text = "Pushes to this node's own clients that came of publishes to groups."
        yield CounterMetricFamily(
            "nano_group_deliveries", text, metrics.group_deliveries
        )

    def _gauges(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for source in self._metrics.gauges:
            for name, text, labels, value in source():
                family = families.get(name)
                if family is None:
                    family = GaugeMetricFamily(name, text, labels=list(labels))
                    families[name] = family
                family.add_metric(list(labels.values()), value)
        yield from families.values()
