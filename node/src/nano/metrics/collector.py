"""From integers to what Prometheus reads, when it asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from nano.metrics.catalogue import FAMILIES, Family
from nano.metrics.histogram import Histogram
from nano.version import __version__

if TYPE_CHECKING:
    from nano.metrics import Metrics

__all__ = ["Labelled", "NodeCollector"]


class Labelled(Collector):
    """Adds to every sample of some collectors the same labels.

    Args:
        labels: As of the node; read at each collection.
        collectors: Whose samples are meant.
    """

    def __init__(self, labels: Mapping[str, str], *collectors: Collector) -> None:
        self._labels = labels
        self._collectors = collectors

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called by Prometheus' client library."""
        for collector in self._collectors:
            for family in collector.collect():
                if self._labels:
                    family.samples = [
                        sample._replace(labels={**self._labels, **sample.labels})
                        for sample in family.samples
                    ]
                yield family


class NodeCollector(Collector):
    """Turns the integers of a :class:`~nano.metrics.Metrics` into samples."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called by Prometheus' client library."""
        build = _gauge("nano_build_info")
        build.add_metric([__version__], 1)
        yield build
        yield from self._messages()
        yield from self._times()
        yield from self._listeners()
        yield from self._words()
        yield from self._peers()
        yield from self._groups()
        yield from self._gauges()

    def samples(self, wanted: Family) -> list[Sample]:
        """Return the samples of one family, now; none if it has none."""
        for family in self.collect():
            if family.name == wanted.name:
                return family.samples
        return []

    def _messages(self) -> Iterator[Metric]:
        numbers, sizes = _counter("nano_messages"), _counter("nano_message_bytes")
        for route, counts in self._metrics.routes.items():
            if counts.internal:
                continue
            labels = ["in", "request", route]
            numbers.add_metric(labels, counts.requests)
            sizes.add_metric(labels, counts.request_bytes)
            labels = ["in", "notify", route]
            numbers.add_metric(labels, counts.notifies)
            sizes.add_metric(labels, counts.notify_bytes)
            labels = ["out", "response", route]
            numbers.add_metric(labels, counts.responses)
            sizes.add_metric(labels, counts.response_bytes)
        for route, pushes in self._metrics.pushes.items():
            numbers.add_metric(["out", "push", route], pushes)
        for route, size in self._metrics.push_bytes.items():
            sizes.add_metric(["out", "push", route], size)
        exceptions = _counter("nano_handler_exceptions")
        for route, counts in self._metrics.routes.items():
            if counts.exceptions:
                exceptions.add_metric([route], counts.exceptions)
        yield from (numbers, sizes, exceptions)

    def _times(self) -> Iterator[Metric]:
        lag = _histogram("nano_loop_lag_seconds")
        _fill(lag, [], self._metrics.loop_lag)
        yield lag
        handling = _histogram("nano_handler_seconds")
        queueing = _histogram("nano_queue_seconds")
        answering = _histogram("nano_answer_seconds")
        for route, counts in self._metrics.routes.items():
            _fill(handling, [route], counts.handling)
            _fill(queueing, [route], counts.queueing)
            _fill(answering, [route], counts.answering)
        yield from (handling, queueing, answering)

    def _listeners(self) -> Iterator[Metric]:
        now = _gauge("nano_connections")
        opened = _counter("nano_connections_opened")
        closed = _counter("nano_connections_closed")
        handshakes = _counter("nano_handshakes")
        certificates = _counter("nano_certificates")
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

    def _words(self) -> Iterator[Metric]:
        """Yield what is counted by one word or two: a status, a reason."""
        metrics = self._metrics
        failures = _counter("nano_failures")
        for status, number in metrics.failures.items():
            failures.add_metric([str(status)], number)
        dropped = _counter("nano_dropped")
        for words, number in metrics.dropped.items():
            dropped.add_metric(words, number)
        calls = _counter("nano_calls")
        for words, number in metrics.calls.items():
            calls.add_metric(words, number)
        refusals = _counter("nano_cluster_refusals")
        for reason, number in metrics.refusals.items():
            refusals.add_metric([reason], number)
        moves = _counter("nano_session_moves")
        for outcome, number in metrics.moves.items():
            moves.add_metric([outcome], number)
        handovers = _counter("nano_handovers")
        for words, number in metrics.handovers.items():
            handovers.add_metric(words, number)
        yield from (failures, dropped, calls, refusals, moves, handovers)

    def _peers(self) -> Iterator[Metric]:
        batches, envelopes = (
            _counter("nano_link_batches"),
            _counter("nano_link_envelopes"),
        )
        sizes = _counter("nano_link_bytes")
        for peer, counts in self._metrics.peers.items():
            batches.add_metric([peer, "in"], counts.batches_in)
            batches.add_metric([peer, "out"], counts.batches_out)
            envelopes.add_metric([peer, "in"], counts.envelopes_in)
            envelopes.add_metric([peer, "out"], counts.envelopes_out)
            sizes.add_metric([peer], counts.bytes_out)
        yield from (batches, envelopes, sizes)

    def _groups(self) -> Iterator[Metric]:
        publishes = _counter("nano_group_publishes")
        publishes.add_metric([], self._metrics.group_publishes)
        deliveries = _counter("nano_group_deliveries")
        deliveries.add_metric([], self._metrics.group_deliveries)
        yield from (publishes, deliveries)

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


def _counter(name: str) -> CounterMetricFamily:
    family = FAMILIES[name]
    return CounterMetricFamily(name, family.text, labels=family.labels)


def _gauge(name: str) -> GaugeMetricFamily:
    family = FAMILIES[name]
    return GaugeMetricFamily(name, family.text, labels=family.labels)


def _histogram(name: str) -> HistogramMetricFamily:
    family = FAMILIES[name]
    return HistogramMetricFamily(name, family.text, labels=family.labels)


def _fill(
    family: HistogramMetricFamily, labels: Iterable[str], values: Histogram
) -> None:
    """Add *values*; without any there is no series, as most routes are elsewhere."""
    buckets = values.buckets()
    if buckets[-1][1] or not labels:
        family.add_metric(list(labels), buckets, values.total)
