"""200 clients in the cluster miss nothing, whatever happens to the nodes.

What the backends have done stands in a journal that outlives them, what the clients
have seen in their logs, and tests/ledger compares the two.  The cases run in the order
of the table: each finds the cluster as the one before left it.

This module comes before ``test_echo``, whose story ends with everything gone.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from string import Template
from typing import Final

import msgspec
import pytest

from tests.ledger.compare import Counts, compare
from tests.ledger.ledger.clients import BURST
from tests.ledger.ledger.records import ClientLog

from .cluster import ROOT, SYSTEM, Cluster, run, until
from .conftest import EXISTING

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

log = logging.getLogger("e2e")

FOLDER: Final = ROOT / "tests" / "ledger"
NAMESPACE: Final = "ledger"
CLIENTS: Final = 200
HERALDS: Final = 4  # clients whose requests are published to all, one in a pod
ROUND: Final = 2 * BURST * CLIENTS  # lines of the journal for a burst of each client
NODES: Final = "nanocluster.io/cluster=ledger"
ROLE: Final = "nanocluster.io/role"
EDITIONS: Final = ("one", "two")  # tags of one image


class Ledger:
    """The NanoCluster that the clients use, its collector, and the Jobs."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def kubectl(
        self, *words: str, stdin: str | None = None, seconds: float = 60
    ) -> str:
        return self.cluster.kubectl(
            *("--namespace", NAMESPACE), *words, stdin=stdin, seconds=seconds
        )

    def pods(self, *roles: str) -> set[str]:
        """Return the names of the nodes' pods, those that leave among them."""
        selector = f"{NODES},{ROLE} in ({','.join(roles)})"
        return self.cluster.pods(selector, "--namespace", NAMESPACE)

    def patch(self, path: str, value: object) -> None:
        """Change one field of the NanoCluster."""
        change = json.dumps([{"op": "add", "path": path, "value": value}])
        self.kubectl("patch", "nanocluster", "ledger", "--type=json", "--patch", change)

    def kill(self, pods: set[str]) -> None:
        """Remove *pods* at once; Kubernetes tells them by SIGTERM all the same."""
        self.kubectl("delete", "pods", *pods, "--grace-period=0", "--force")

    def kill_operator(self) -> None:
        """Remove all pods of the operator at once."""
        force = ("--grace-period=0", "--force")
        self.cluster.kubectl("--namespace", SYSTEM, "delete", "pods", "--all", *force)

    def signal(self, pod: str, signal: str) -> None:
        """Send a signal to the first process of *pod*."""
        self.kubectl("exec", pod, "--", "sh", "-c", f"kill -{signal} 1")

    def restarts(self, pod: str) -> int:
        """Return how often the container of *pod* was started again."""
        path = "jsonpath={.status.containerStatuses[0].restartCount}"
        return int(self.kubectl("get", "pod", pod, f"--output={path}"))

    def ready(self) -> None:
        """Wait until the NanoCluster is as its specification says."""
        condition = ("--for=condition=Ready", "nanocluster/ledger", "--timeout=240s")
        self.kubectl("wait", *condition, seconds=250)

    # ---------------------------------------------------------------- the clients

    def begin(self, name: str) -> None:
        """Start the Job of case *name*; returns when all clients ask."""
        job = Template((FOLDER / "clients.yaml").read_text()).substitute(run=name)
        self.kubectl("apply", "--filename=-", stdin=job)
        selector = f"--selector=job-name=clients-{name}"
        until(lambda: len(self._writers(name)) == HERALDS, "pods of the clients")
        wait = ("wait", "--for=condition=Ready", "pods", selector, "--timeout=120s")
        self.kubectl(*wait, seconds=130)
        for pod in self._writers(name):
            self.signal(pod, "USR1")
        self.more(name)

    def more(self, name: str) -> None:
        """Wait until each client was served a few times more."""
        wanted = self._written(name) + 3 * ROUND
        until(lambda: self._written(name) >= wanted, "more requests", seconds=180)

    def end(self, name: str) -> Counts:
        """Let the clients finish, and compare."""
        for pod in self._writers(name):
            self.signal(pod, "TERM")
        job = f"job/clients-{name}"
        wait = ("wait", "--for=condition=Complete", job, "--timeout=120s")
        self.kubectl(*wait, seconds=130)
        said = self.kubectl("logs", f"--selector=job-name=clients-{name}", "--tail=-1")
        lines = said.splitlines()
        for line in lines:
            if not line.startswith("{"):
                log.info("clients: %s", line)
        logs = [
            msgspec.json.decode(line, type=ClientLog)
            for line in lines
            if line.startswith("{")
        ]
        for it in logs:
            if it.failed and not it.losses:
                log.info("client %d: %s", it.client, it.failed)
        written = self._collector("cat", f"/journal/{name}").splitlines()
        return compare(written, logs)

    def _writers(self, name: str) -> set[str]:
        job = f"job-name=clients-{name}"
        return self.cluster.pods(job, "--namespace", NAMESPACE)

    def _written(self, name: str) -> int:
        return int(self._collector("sh", "-c", f"cat /journal/{name} | wc -l"))

    def _collector(self, *words: str) -> str:
        return self.kubectl("exec", "deployment/collector", "--", *words)


@pytest.fixture(scope="module")
def ledger(operator: Cluster) -> Iterator[Ledger]:
    """The NanoCluster, ready, with its images in the cluster."""
    images = [f"nanocluster-ledger:{edition}" for edition in EDITIONS]
    if not EXISTING:
        run("docker", "build", "--tag", images[0], FOLDER, seconds=300)
        run("docker", "tag", *images)
    operator.load(images)
    with operator.space(NAMESPACE):
        ledger = Ledger(operator)
        ledger.kubectl("apply", "--filename", str(FOLDER / "collector.yaml"))
        rollout = ("rollout", "status", "deployment/collector", "--timeout=90s")
        ledger.kubectl(*rollout, seconds=100)
        start = time.monotonic()
        ledger.kubectl("apply", "--filename", str(FOLDER / "cluster.yaml"))
        ledger.ready()
        operator.measured["ledger Ready"] = time.monotonic() - start
        yield ledger


def images(ledger: Ledger, edition: str = EDITIONS[1]) -> Callable[[], bool]:
    before = ledger.pods("master", "gate", "backend")
    ledger.patch("/spec/image", f"nanocluster-ledger:{edition}")
    return lambda: not before & ledger.pods("master", "gate", "backend")


def images_and_the_operator_killed(ledger: Ledger) -> Callable[[], bool]:
    before = ledger.pods("backend")
    over = images(ledger, EDITIONS[0])
    until(lambda: ledger.pods("backend") - before, "a backend of the other image", 180)
    ledger.kill_operator()
    return over


def master_killed(ledger: Ledger) -> Callable[[], bool]:
    before = ledger.pods("master")
    ledger.kill(before)
    return lambda: len(ledger.pods("master") - before) == 1


def backends_killed(ledger: Ledger) -> Callable[[], bool]:
    victims = sorted(ledger.pods("backend"))[:2]
    with ThreadPoolExecutor() as pool:  # in the same moment, or nearly so
        list(pool.map(lambda pod: ledger.signal(pod, "USR2"), victims))
    return lambda: all(ledger.restarts(pod) for pod in victims)


def fewer_gates(ledger: Ledger) -> Callable[[], bool]:
    ledger.patch("/spec/gates/replicas", 1)
    return lambda: len(ledger.pods("gate")) == 1


def fewer_backends(ledger: Ledger) -> Callable[[], bool]:
    ledger.patch("/spec/backends/0/replicas", 1)
    return lambda: len(ledger.pods("backend")) == 1


@dataclass(frozen=True, slots=True)
class Case:
    """Something that happens to the nodes.

    Attributes:
        name: The letter that the issue, Job and journal have for it.
        happens: Makes it happen, and returns what tells when it is over.
        moved: Clients may have to go to another gate, once each.
        killed: How many backends die with what they have in hand.  Not quite in the
            same moment: a client may go from one to the next, and lose a burst at each.
    """

    name: str
    happens: Callable[[Ledger], Callable[[], bool]]
    moved: bool = False
    killed: int = 0


CASES = (
    Case("a", images, moved=True),
    Case("f", images_and_the_operator_killed, moved=True),
    Case("d", master_killed),
    Case("e", backends_killed, killed=2),
    Case("b", fewer_gates, moved=True),
    Case("c", fewer_backends),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.happens.__name__)
def test_clients_get_all_answers_and_pushes(ledger: Ledger, case: Case) -> None:
    ledger.ready()
    ledger.begin(case.name)
    over = case.happens(ledger)
    until(over, case.happens.__name__, 420)
    ledger.ready()
    ledger.more(case.name)
    counts = ledger.end(case.name)
    log.info("(%s) %s\n%s", case.name, case.happens.__name__, counts)
    assert counts.faults == []
    assert counts.clients == CLIENTS
    assert counts.most_failed <= BURST * case.killed
    assert len(counts.gaps) <= counts.failed.total()
    assert len(counts.unheard) <= (HERALDS if case.killed else 0)
    # whoever was sent elsewhere may lose what crossed the kick, and nothing else
    assert max(counts.reconnects) <= case.moved
    assert set(counts.lost) <= {"lost"}
    assert counts.most_lost <= BURST * case.moved


def test_nothing_was_denied(ledger: Ledger) -> None:
    assert ledger.cluster.denials(NAMESPACE) == []
