"""A node's line of ``top``, and the sum of all: from two scrapes.  Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from nano.cli.top.scrapes import Buckets, Scrape, increase, increases, quantile

__all__ = ["Answer", "Figures", "Total", "figures", "total"]

TIMES: Final = ("nano_handler_seconds", "nano_answer_seconds")
P99: Final = 0.99
ENTRANCES: Final = ("gate", "all")
"""Roles that clients connect to; what others count, these have counted as well."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node has answered when asked for its metrics.

    Attributes:
        name: Of the node.
        role: As whoever started it says.
        scrape: The metrics; ``None``: it did not answer.
        problem: Why it did not.
    """

    name: str
    role: str
    scrape: Scrape | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """One node; ``None`` is what it did not tell, or not twice yet.

    Attributes:
        name: Of the node.
        role: ``gate``, ``master``, or the kind of the backend.
        state: ``ready``, ``not ready``, ``draining``, or why it does not answer.
        clients: Open connections.
        sessions: Held here: its own clients' and mirrors.
        received: Messages of clients a second.
        sent: Messages to clients a second.
        p99: Seconds that 99 of 100 requests took: in a handler here, or until the
            answer of another node came.
        lag: Seconds that the event loop was late by, at most, in 99 of 100 cases.
        dropped: Messages thrown away a second.
        moving: Sessions on their way from a member that drains to another.
        cpu: The share of a core.
        memory: Bytes that are resident.
        entrance: Whether clients connect to it.
        took: What *p99* is of.
    """

    name: str
    role: str
    state: str
    clients: float | None = None
    sessions: float | None = None
    received: float | None = None
    sent: float | None = None
    p99: float | None = None
    lag: float | None = None
    dropped: float | None = None
    moving: float | None = None
    cpu: float | None = None
    memory: float | None = None
    entrance: bool = False
    took: Buckets = field(default_factory=dict, repr=False)

    @property
    def answers(self) -> bool:
        """Whether the node has told anything."""
        return self.clients is not None

    def as_json(self) -> dict[str, Any]:
        """Return it all, JSON-able; times in seconds."""
        found = asdict(self)
        del found["took"], found["entrance"]
        return found


@dataclass(frozen=True, slots=True)
class Total:
    """The whole cluster; its messages are those that gates have counted.

    Attributes:
        nodes: How many there are.
        silent: How many of them do not answer.
        draining: How many drain.
        clients: Open connections.
        received: Messages of clients a second.
        sent: Messages to clients a second.
        p99: As of a node, of all gates together.
        lag: The largest of all nodes.
    """

    nodes: int
    silent: int
    draining: int
    clients: float
    received: float | None
    sent: float | None
    p99: float | None
    lag: float | None

    def as_json(self) -> dict[str, Any]:
        """Return it all, JSON-able; times in seconds."""
        return asdict(self)


def figures(before: Scrape | None, answer: Answer) -> Figures:
    """Return the line of a node.

    Args:
        before: What it answered the last time, if it did.
        answer: What it answers now.
    """
    now = answer.scrape
    if now is None:
        return Figures(answer.name, answer.role, answer.problem or "does not answer")
    role = now.labels("nano_node_info").get("role", answer.role)
    took: Buckets = {}
    rates: dict[str, float | None] = {}
    if before is not None and now.at > before.at:
        took = increases(before, now, TIMES)
        seconds = now.at - before.at

        def rate(name: str, **labels: str) -> float:
            return increase(before, now, name, **labels) / seconds

        rates = {
            "received": rate("nano_messages_total", direction="in"),
            "sent": rate("nano_messages_total", direction="out"),
            "dropped": rate("nano_dropped_total"),
            "cpu": rate("process_cpu_seconds_total"),
            "p99": quantile(P99, took),
            "lag": quantile(P99, increases(before, now, ["nano_loop_lag_seconds"])),
        }
    return Figures(
        answer.name,
        answer.role,
        _state(now),
        clients=sum(now.values("nano_connections")),
        sessions=sum(now.values("nano_sessions")),
        moving=sum(now.values("nano_sessions_moving")),
        memory=sum(now.values("process_resident_memory_bytes")),
        entrance=role in ENTRANCES,
        took=took,
        **rates,
    )


def _state(now: Scrape) -> str:
    """Say where a node stands; one of several processes is as its worst."""
    if any(now.values("nano_draining")):
        return "draining"
    if not all(now.values("nano_ready") or [0.0]):
        return "not ready"
    return "ready"


def total(rows: Sequence[Figures]) -> Total:
    """Return the sum of all nodes."""
    gates = [row for row in rows if row.entrance]
    took: defaultdict[float, float] = defaultdict(float)
    for row in gates:
        for bound, number in row.took.items():
            took[bound] += number
    return Total(
        nodes=len(rows),
        silent=sum(not row.answers for row in rows),
        draining=sum(row.state == "draining" for row in rows),
        clients=_sum(row.clients for row in rows) or 0.0,
        received=_sum(row.received for row in gates),
        sent=_sum(row.sent for row in gates),
        p99=quantile(P99, took),
        lag=max((row.lag for row in rows if row.lag is not None), default=None),
    )


def _sum(values: Iterable[float | None]) -> float | None:
    """Return the sum of those that are known; ``None``: none is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
