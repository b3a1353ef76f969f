"""What the operator counts about itself, for Prometheus.

One object owns its registry, so several operators can live in one process, as they
do in tests.  The conditions are per cluster, and go with it; all other labels are
bounded.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Set
from datetime import datetime
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)


class Metrics:
    """The operator's own figures.

    Attributes:
        reconciles: Reconciles by ``result``: ``done``, ``refused`` or ``failed``.
        seconds: How long they took.
        requests: Requests to the API server by verb, resource and HTTP status; status
            0 stands for no answer.
        depth: Keys that wait or are worked on.
        oldest: For how many seconds the oldest due key has been waiting.
        watch_age: For how many seconds the watch has failed to tell of a change.
        condition: 1 where a condition of a cluster is true, by its namespace, name and
            type.
        certificate: Seconds until a certificate ends that the operator has issued, by
            namespace and name of the cluster, and whose it is.
        life: For how many seconds that certificate is valid in all.
        leader: 1 while this process does the work, 0 while it stands by.
        asked: Nodes that were asked for their status by ``result``: ``answered`` or
            ``silent``.
        resyncs: Full listings of all clusters by ``result``: ``done`` or ``failed``.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """*clock* gives seconds since 1970."""
        self._clock = clock
        self._registry = CollectorRegistry()
        prefix = "nanocluster_operator"
        self.reconciles = Counter(
            f"{prefix}_reconciles",
            "Reconciles of one cluster.",
            ["result"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            f"{prefix}_reconcile_seconds",
            "Duration of a reconcile.",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.requests = Counter(
            f"{prefix}_api_requests",
            "Requests to the API server, watches excepted.",
            ["verb", "resource", "status"],
            registry=self._registry,
        )
        self.depth = Gauge(
            f"{prefix}_queue_depth",
            "Clusters that wait for a reconcile or are in one.",
            registry=self._registry,
        )
        self.oldest = Gauge(
            f"{prefix}_queue_oldest_seconds",
            "Age of the oldest reconcile that is due or going on.",
            registry=self._registry,
        )
        self.watch_age = Gauge(
            f"{prefix}_watch_age_seconds",
            "Since when a change is known that the watch did not tell of.",
            registry=self._registry,
        )
        self.condition = Gauge(
            f"{prefix}_cluster_condition",
            "Whether a condition of a cluster is true.",
            ["namespace", "name", "condition"],
            registry=self._registry,
        )
        self.certificate = Gauge(
            f"{prefix}_certificate_seconds",
            "Seconds until a certificate ends that the operator has issued.",
            ["namespace", "name", "certificate"],
            registry=self._registry,
        )
        self.life = Gauge(
            f"{prefix}_certificate_life_seconds",
            "For how many seconds this certificate is valid in all.",
            ["namespace", "name", "certificate"],
            registry=self._registry,
        )
        self._ends: dict[tuple[str, str], dict[str, float]] = {}
        self._clusters: dict[tuple[str, str], set[str]] = {}
        self.leader = Gauge(
            f"{prefix}_leader",
            "Whether this process does the work; the others stand by.",
            registry=self._registry,
        )
        self.asked = Counter(
            f"{prefix}_nodes_asked",
            "Nodes that were asked for their clients.",
            ["result"],
            registry=self._registry,
        )
        self.resyncs = Counter(
            f"{prefix}_resyncs",
            "Listings of all clusters.",
            ["result"],
            registry=self._registry,
        )

    def note_conditions(
        self, cluster: tuple[str, str], conditions: Mapping[str, bool]
    ) -> None:
        """Show how the conditions of *cluster*, a namespace and a name, are."""
        self._clusters.setdefault(cluster, set()).update(conditions)
        for name, holds in conditions.items():
            self.condition.labels(*cluster, name).set(holds)

    def note_certificates(
        self, cluster: tuple[str, str], terms: Mapping[str, tuple[datetime, datetime]]
    ) -> None:
        """Show from when to when the certificates of *cluster* hold, by whose."""
        for gone in self._ends.pop(cluster, {}).keys() - terms.keys():
            self.life.remove(*cluster, gone)
            with contextlib.suppress(KeyError):  # not rendered yet
                self.certificate.remove(*cluster, gone)
        for whose, (begins, ends) in terms.items():
            self._ends.setdefault(cluster, {})[whose] = ends.timestamp()
            self.life.labels(*cluster, whose).set((ends - begins).total_seconds())

    def keep_clusters(self, clusters: Set[tuple[str, str]]) -> None:
        """Drop what is shown of all other clusters: they are gone."""
        for gone in self._clusters.keys() - clusters:
            self.forget_cluster(gone)

    def forget_cluster(self, cluster: tuple[str, str]) -> None:
        """Drop what is shown of one that is gone."""
        self.note_certificates(cluster, {})
        for name in self._clusters.pop(cluster, set()):
            self.condition.remove(*cluster, name)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        now = self._clock()
        for cluster, ends in self._ends.items():
            for whose, end in ends.items():
                self.certificate.labels(*cluster, whose).set(end - now)
        return generate_latest(self._registry)
