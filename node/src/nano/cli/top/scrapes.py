"""What a node's metrics have said at one moment, and what has come since.  Pure.

Prometheus does the same with ``rate`` and ``histogram_quantile``, and where they have a
rule, it is the rule here: a counter that went down began anew at 0, and a quantile lies
in its bucket as if the values were spread evenly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, pairwise
from math import inf
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Buckets", "Scrape", "increase", "increases", "quantile"]

Labels = tuple[tuple[str, str], ...]
Buckets = Mapping[float, float]
"""How many values were not above a bound, by the bound."""

BUCKET: Final = "le"  # the label of a bucket's bound, in Prometheus' format


class Scrape:
    """The samples of one answer.

    Args:
        text: In Prometheus' text format.
        at: When it came, in seconds of a clock that never goes back.

    Attributes:
        at: The same.

    Raises:
        ValueError: *text* is of no such format.
    """

    def __init__(self, text: str, at: float) -> None:
        self.at = at
        self._samples: dict[str, dict[Labels, float]] = defaultdict(dict)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = tuple(sorted(sample.labels.items()))
                self._samples[sample.name][labels] = sample.value

    def series(self, name: str, **labels: str) -> Iterator[tuple[Labels, float]]:
        """Yield the samples called *name* that have these *labels*."""
        wanted = set(labels.items())
        for found, value in self._samples.get(name, {}).items():
            if wanted.issubset(found):
                yield found, value

    def values(self, name: str, **labels: str) -> list[float]:
        """Return their values."""
        return [value for _, value in self.series(name, **labels)]

    def labels(self, name: str) -> dict[str, str]:
        """Return the labels of the first sample called *name*; empty: there is none."""
        for found, _ in self.series(name):
            return dict(found)
        return {}


def _grown(
    before: Scrape, after: Scrape, name: str, **labels: str
) -> Iterator[tuple[Labels, float]]:
    """Yield by how much each counter grew; one that is new began at 0."""
    earlier = dict(before.series(name, **labels))
    for found, value in after.series(name, **labels):
        base = earlier.get(found, 0.0)
        yield found, value - base if value >= base else value


def increase(before: Scrape, after: Scrape, name: str, **labels: str) -> float:
    """Return by how much all counters of this *name* and these *labels* grew."""
    return sum(grown for _, grown in _grown(before, after, name, **labels))


def increases(before: Scrape, after: Scrape, names: Iterable[str]) -> Buckets:
    """Return by how much the buckets of the histograms *names* grew, as of one."""
    found: defaultdict[float, float] = defaultdict(float)
    for name in names:
        for labels, grown in _grown(before, after, f"{name}_bucket"):
            found[float(dict(labels)[BUCKET])] += grown
    return dict(found)


def quantile(share: float, buckets: Buckets) -> float | None:
    """Return below what a *share* of the values lies; ``None``: there are none.

    What lies above the last bound is said to be that bound.
    """
    bounds = sorted(buckets)
    # a node that began anew in the middle may have left a larger bucket with less
    counts = list(accumulate((buckets[bound] for bound in bounds), max))
    if not counts or not counts[-1]:
        return None
    rank = share * counts[-1]
    steps = pairwise([(0.0, 0.0), *zip(bounds, counts, strict=True)])
    for (low, below), (high, upto) in steps:
        if upto >= rank and upto > below:
            if high == inf:
                return low
            return low + (high - low) * (rank - below) / (upto - below)
    return bounds[-1]
