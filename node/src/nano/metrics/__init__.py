"""What a node counts, as plain integers, and the one collector that reads them.

The hot path adds to an integer of its own and knows no label: a prometheus-client
counter costs a tenth of what a whole message does.  Prometheus asks every few
seconds, and only then the integers become samples.

Labels are bounded: routes are those that somebody registered, every other route
is ``unknown``, push routes beyond a limit are ``other``, and a peer's go with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector

from nano.errors import UsageError
from nano.metrics.catalogue import CATALOGUE, FAMILIES, Family
from nano.metrics.collector import Labelled, NodeCollector
from nano.metrics.counts import LinkCounts, ListenerCounts, RouteCounts
from nano.metrics.histogram import LAG, Histogram

__all__ = [
    "CATALOGUE",
    "CONTENT_TYPE",
    "UNKNOWN",
    "Family",
    "Gauge",
    "Histogram",
    "LinkCounts",
    "ListenerCounts",
    "Metrics",
    "RouteCounts",
]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
UNKNOWN: Final = "unknown"
OTHER: Final = "other"
MOST_PUSH_ROUTES: Final = 500  # an application has dozens; more is a route per user
# Buckets of a histogram hold each other, and a sum of them would be no number of ours.
COUNTABLE: Final = {it.sample: it for it in FAMILIES.values() if it.kind != "histogram"}


class Metrics:
    """All integers of one node; owned by it, and read by one collector.

    Attributes:
        labels: What every sample has: which cluster the node belongs to.
        routes: By route; :meth:`route` makes the entry.
        listeners: By listener; :meth:`listener` makes the entry.
        peers: Traffic on links, by the peer's address; :meth:`peer` makes the entry.
        failures: Failed answers that this node made, by status.
        dropped: What was thrown away, by (where, why).
        calls: Calls between nodes, by direction and what they came to.
        cluster_certificates: New ones of the cluster port, by what became of them.
        refusals: Who was refused at the cluster port, or by us as no node, by reason.
        moves: Sessions that went from one member to another, by what came of it.
        handovers: Their states, given away or taken over here, by outcome.
        group_publishes: What this node has published to groups.
        group_deliveries: Pushes to this node's clients that came of publishes.
        loop_lag: Seconds that the event loop was late.
        gauges: Functions that yield ``(name, help, labels, value)`` when asked.
    """

    def __init__(self) -> None:
        self.labels: dict[str, str] = {}
        self.routes: dict[str, RouteCounts] = {}
        self.listeners: dict[str, ListenerCounts] = {}
        self.peers: dict[str, LinkCounts] = {}
        self.failures: Counter[int] = Counter()
        self.dropped: Counter[tuple[str, str]] = Counter()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.cluster_certificates: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.moves: Counter[str] = Counter()
        self.handovers: Counter[tuple[str, str]] = Counter()
        self.group_publishes = 0
        self.group_deliveries = 0
        self.loop_lag = Histogram(LAG)
        self.gauges: list[Callable[[], Iterable[Gauge]]] = []
        self._pushes: dict[str, int] = {}
        self._push_bytes: dict[str, int] = {}
        self._collector = NodeCollector(self)
        self._registry = CollectorRegistry(auto_describe=False)
        process = ProcessCollector(registry=None)
        self._registry.register(Labelled(self.labels, self._collector, process))

    def route(self, name: str, internal: bool = False) -> RouteCounts:
        """Return the counts of route *name*; there from now on."""
        return self.routes.setdefault(name, RouteCounts(internal))

    def listener(self, name: str) -> ListenerCounts:
        """Return the counts of listener *name*; there from now on."""
        return self.listeners.setdefault(name, ListenerCounts())

    def peer(self, address: str) -> LinkCounts:
        """Return the counts of links with the node at *address*, until it goes."""
        return self.peers.setdefault(address, LinkCounts())

    def pushed(self, route: str, size: int, number: int = 1) -> None:
        """Count *number* pushes of *size* bytes each, on their way to clients."""
        pushes = self._pushes
        if route not in pushes:
            if len(pushes) >= MOST_PUSH_ROUTES:
                route = OTHER
            if route not in pushes:
                pushes[route] = self._push_bytes[route] = 0
        pushes[route] += number
        self._push_bytes[route] += size * number

    @property
    def pushes(self) -> dict[str, int]:
        """Pushes towards clients, by route."""
        return self._pushes

    @property
    def push_bytes(self) -> dict[str, int]:
        """Bytes of their payloads, by route."""
        return self._push_bytes

    def count(self, metric: str, labels: Mapping[str, str]) -> float:
        """Return the sum of a metric's samples that have *labels*.

        Raises:
            UsageError: There is no such counter or gauge, or it has no such label.
        """
        family = COUNTABLE.get(metric)
        if family is None:
            text = f"no counter or gauge is called {metric!r}; see docs/metrics.md"
            raise UsageError(text)
        if strange := sorted(labels.keys() - set(family.labels)):
            known = ", ".join(family.labels) or "none"
            text = f"{metric} has no label {strange[0]!r}; its labels: {known}"
            raise UsageError(text)
        return sum(
            sample.value
            for sample in self._collector.samples(family)
            if labels.items() <= sample.labels.items()
        )

    def render(self) -> bytes:
        """Return everything in Prometheus' text format (:data:`CONTENT_TYPE`)."""
        return generate_latest(self._registry)


Gauge = tuple[str, str, dict[str, str], float]
"""One sample of a gauge: its name, what it means, its labels, its value."""
