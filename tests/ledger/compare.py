"""What the journal of the backends and the logs of the clients say together.

Pure: lines and logs go in, counts come out, and sentences about what must not be.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from .ledger.records import ClientLog, Kind, Record

__all__ = ["Counts", "compare"]


@dataclass(slots=True)
class Counts:
    """What a run has come to.

    A client is *steadfast* if its connection has lasted from the first to the last
    request.

    Attributes:
        clients: Those with a log.
        steadfast: How many of them were.
        reconnects: How many clients came back how often.
        losses: Why connections have ended.
        sent: Requests.
        answered: Those that were answered 200.
        ran: Executions.
        failed: Requests of steadfast clients without an answer, by what came instead.
        lost: The same of the other clients.
        most_failed: The most that one steadfast client has missed.
        most_lost: The same of the other clients.
        pushed: Pushes to single clients that have come.
        published: Pushes to all clients that have come.
        faults: What must not be in any run.
        gaps: Pushes that were made and have not come, of steadfast clients: to which
            client, and which.
        unheard: Publishes of which the same is true, by the request (client and
            number) and the node that made them: how many clients have missed each.
    """

    clients: int = 0
    steadfast: int = 0
    reconnects: Counter[int] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    answered: int = 0
    ran: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    most_failed: int = 0
    most_lost: int = 0
    pushed: int = 0
    published: int = 0
    faults: list[str] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    unheard: Counter[tuple[int, int, str]] = field(default_factory=Counter)

    def __str__(self) -> str:
        came_back = ", ".join(
            f"{clients} {times} times"
            for times, clients in sorted(self.reconnects.items())
        )
        rows = {
            "clients": f"{self.clients}, {self.steadfast} connected throughout",
            "reconnected": f"{came_back}; {_told(self.losses)}",
            "requests": f"{self.sent} sent, {self.answered} answered, {self.ran} ran",
            "unanswered": f"{_told(self.failed)}; at most {self.most_failed} of one",
            "of others": f"{_told(self.lost)}; at most {self.most_lost} of one",
            "pushes": f"{self.pushed} to single clients, {self.published} to all",
            "missed": f"{len(self.gaps)} and {self.unheard.total()} of them",
            "faults": f"{len(self.faults)} {self.faults[:10] or ''}",
        }
        return "\n".join(f"{name:12} {text}" for name, text in rows.items())


def _told(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {name!r}" for name, number in counter.items()) or "none"


def compare(lines: Iterable[str], logs: Sequence[ClientLog]) -> Counts:
    """Compare the journal of a run with the logs of its clients.

    Whatever happens to nodes, these are faults: a request that was answered and has
    not run exactly once, or that has run twice; a push that comes twice, out of order,
    or from nowhere; an answer without the push that was made before it; a client or a
    request of which nothing is known.
    """
    journal = _Journal(Record.of(line) for line in lines)
    counts = Counts(clients=len(logs), ran=sum(journal.ran.values()))
    twice = Counter(log.client for log in logs)
    counts.faults += [f"{it} logs of client {c}" for c, it in twice.items() if it > 1]
    unknown = {client for client, _ in journal.ran} - set(twice)
    counts.faults += [f"no log of client {client}" for client in sorted(unknown)]
    for log in logs:
        _requests(counts, journal, log)
        _pushes(counts, journal, log)
        _news(counts, journal, log)
    return counts


class _Journal:
    """Executions, and what was sent, by client and number."""

    def __init__(self, records: Iterable[Record]) -> None:
        kinds: defaultdict[Kind, list[Record]] = defaultdict(list)
        for record in records:
            kinds[record.kind].append(record)
        self.ran = Counter((it.client, it.number) for it in kinds["ran"])
        self.pushed: defaultdict[int, set[int]] = defaultdict(set)
        for it in kinds["pushed"]:
            self.pushed[it.client].add(it.number)
        self.published = {(it.client, it.number, it.node) for it in kinds["published"]}


def _requests(counts: Counts, journal: _Journal, log: ClientLog) -> None:
    who = f"client {log.client}"
    known = Counter([*log.answered, *log.failed])
    if known != Counter(range(log.sent)):
        counts.faults.append(f"{who}: of {log.sent} requests {len(known)} are known")
    for number in log.answered:
        if not journal.ran[log.client, number]:
            counts.faults.append(f"{who}: request {number} was answered and never ran")
    for number in range(log.sent):
        if (times := journal.ran[log.client, number]) > 1:
            counts.faults.append(f"{who}: request {number} ran {times} times")
    counts.sent += log.sent
    counts.answered += len(log.answered)
    counts.reconnects[log.reconnects] += 1
    reasons = [loss.split(": ", 1)[-1] for loss in log.losses]
    counts.losses.update(reasons)
    failed = [it.split(";", 1)[0] for it in log.failed.values()]
    if _is_steadfast(log):
        counts.steadfast += 1
        counts.failed.update(failed)
        counts.most_failed = max(counts.most_failed, len(failed))
    else:
        counts.lost.update(failed)
        counts.most_lost = max(counts.most_lost, len(failed))


def _pushes(counts: Counts, journal: _Journal, log: ClientLog) -> None:
    """Judge what was pushed to one client: the number of each of its requests."""
    who, came = f"client {log.client}", set(log.pushed)
    counts.pushed += len(log.pushed)
    counts.faults += _disorder(f"{who}: pushes", log.pushed)
    made = journal.pushed[log.client]
    for number in sorted(came - made):
        # a handler that is killed may have pushed before its line was kept
        if number not in log.failed:
            counts.faults.append(f"{who}: push {number} comes from nowhere")
    for number in sorted(set(log.answered) - came):
        counts.faults.append(f"{who}: answer {number} came without its push")
    if _is_steadfast(log):
        counts.gaps += [(log.client, it) for it in sorted(made - came)]


def _news(counts: Counts, journal: _Journal, log: ClientLog) -> None:
    """Judge what was published to all: in order as each node has published it.

    A client that comes to another gate may hear there again what it has heard, and has
    missed what was published in between.
    """
    counts.published += len(log.news)
    if not _is_steadfast(log):
        return
    sources: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    for it in log.news:
        sources[it.client, it.node].append(it.number)
    for (client, node), numbers in sources.items():
        what = f"client {log.client}: news of {client} at {node}"
        counts.faults += _disorder(what, numbers)
    came = {(it.client, it.number, it.node) for it in log.news}
    counts.unheard.update(journal.published - came)


def _disorder(what: str, numbers: Sequence[int]) -> list[str]:
    """Say what comes twice, and where the order breaks."""
    twice = [number for number, times in Counter(numbers).items() if times > 1]
    found = [f"{what}: {number} came more than once" for number in twice]
    back = [
        f"{what}: {later} came behind {former}"
        for former, later in pairwise(numbers)
        if later < former
    ]
    return found + back


def _is_steadfast(log: ClientLog) -> bool:
    return not log.losses and not log.reconnects
