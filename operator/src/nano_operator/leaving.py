"""How the number of gates is lowered so that few clients notice, step by step.

Kubernetes would choose pods by age, and its load balancers would send clients of the
first to the next that has to go.  So the operator chooses, and takes those chosen out
of the Service first.  Pods that are *closed* have a label by which the Service does
not select them, and an annotation by which Kubernetes removes them before others.

======  ==============================================================================
rest    Nothing to do.
close   Choose pods, those with the fewest clients, and close them.
wait    The endpoints of the Service still have some of them: no client shall come to
        one that is about to send its clients away.
lower   Write the lower number.  Kubernetes ends all of them at once; each drains.
going   They are being removed.
reopen  Some are closed that need not go: the number was raised again meanwhile, or
        another pod went in their place.  They are as they were before.
======  ==============================================================================

All that is known stands in the pods themselves, so it does not matter which operator
goes on.  Where pods are replaced anyway, or an autoscaler chooses their number, nobody
is closed.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Final

from nano_operator.names import CLOSED_AT, DELETION_COST, ENTRANCE, Entrance
from nano_operator.objects import Deployment, Object, Pod

__all__ = [
    "TABLE",
    "Exit",
    "Marked",
    "Need",
    "Step",
    "Way",
    "is_closed",
    "mark",
    "way_out",
]

COST: Final = "-1000"
"""Of a closed pod; Kubernetes takes others for 0, and removes the lowest first."""

PATIENCE: Final = timedelta(seconds=30)
"""How long a Service may take to forget pods before they are ended all the same."""

PHASES: Final = ("Pending", "Unknown", "Running")  # in which Kubernetes removes pods


class Step(Enum):
    """What is done now."""

    REST = "rest"
    CLOSE = "close"
    WAIT = "wait"
    LOWER = "lower"
    GOING = "going"
    REOPEN = "reopen"


class Need(Enum):
    """What has to become of the number of pods that Kubernetes was told."""

    RAISE = "raise"
    KEEP = "keep"
    LOWER = "lower"
    REPLACE = "replace"  # lower, while all of them are replaced


class Marked(Enum):
    """How many pods are closed, of those that have to go."""

    NONE = "none"
    FEW = "few"
    ENOUGH = "enough"
    MANY = "many"


TABLE: Final[Mapping[tuple[Need, Marked, bool], Step]] = MappingProxyType(
    {
        (Need.LOWER, Marked.NONE, False): Step.CLOSE,
        (Need.LOWER, Marked.NONE, True): Step.CLOSE,
        (Need.LOWER, Marked.FEW, False): Step.CLOSE,
        (Need.LOWER, Marked.FEW, True): Step.CLOSE,
        (Need.LOWER, Marked.ENOUGH, True): Step.WAIT,
        (Need.LOWER, Marked.ENOUGH, False): Step.LOWER,
        (Need.LOWER, Marked.MANY, False): Step.REOPEN,
        (Need.LOWER, Marked.MANY, True): Step.REOPEN,
        (Need.KEEP, Marked.ENOUGH, False): Step.REST,
        (Need.KEEP, Marked.ENOUGH, True): Step.REST,
        (Need.KEEP, Marked.MANY, True): Step.GOING,
        (Need.KEEP, Marked.MANY, False): Step.REOPEN,
        (Need.RAISE, Marked.ENOUGH, False): Step.REST,
        (Need.RAISE, Marked.ENOUGH, True): Step.REST,
        (Need.RAISE, Marked.MANY, False): Step.REOPEN,
        (Need.RAISE, Marked.MANY, True): Step.REOPEN,
        **{
            (Need.REPLACE, marked, busy): Step.LOWER
            for marked in Marked
            for busy in (False, True)
        },
    }
)
"""The step for: the need, how many are closed, and whether Kubernetes is still busy.

It is busy with a need to lower as long as the endpoints have a closed pod, and
otherwise as long as it has not removed those that it was told to.  Where nobody has to
go, none closed is enough.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """The gates as far as one that leaves needs them.

    Attributes:
        pods: Those that are closed; all of them where the number is to be lowered.
        endpoints: UIDs of the pods that the clients' Service knows, there too.
        clients: How many clients each pod has, by name, as far as known.
        counted: Whether that was found out just now.
    """

    pods: Sequence[Pod] = ()
    endpoints: frozenset[str] = frozenset()
    clients: Mapping[str, int] = field(default_factory=dict)
    counted: bool = False

    @property
    def staying(self) -> list[Pod]:
        """The pods that nobody has ended yet."""
        return [pod for pod in self.pods if not pod.metadata.deletion_timestamp]

    @property
    def closed(self) -> list[Pod]:
        """The closed ones of those."""
        return [pod for pod in self.staying if is_closed(pod)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What to do now.

    Attributes:
        step: Which step it is.
        replicas: The number of pods that Kubernetes should be told meanwhile.
        close: Pods to close, for the step of that name.
        reopen: Pods to open again, likewise.
    """

    step: Step
    replicas: int
    close: tuple[Pod, ...] = ()
    reopen: tuple[Pod, ...] = ()


def way_out(
    wanted: int, deployment: Deployment, replaced: bool, gates: Exit, now: datetime
) -> Way:
    """Return the next step.

    Args:
        wanted: How many gates there should be.
        deployment: The gates' own.
        replaced: Whether its pods are about to be replaced, all of them.
        gates: The pods.
        now: The time.
    """
    told, status = deployment.spec.replicas, deployment.status
    rolling = replaced or status.updated_replicas != status.replicas
    closed, staying = gates.closed, gates.staying
    if wanted < told:
        need = Need.REPLACE if rolling else Need.LOWER
        # with fewer pods than Kubernetes was told, fewer have to go
        leaving = min(told - wanted, max(0, len(staying) - wanted))
        busy = _is_known(closed, gates.endpoints) and not _is_late(closed, now)
    else:
        need, leaving = (Need.KEEP if wanted == told else Need.RAISE), 0
        seen = status.observed_generation >= deployment.metadata.generation
        busy = not seen or status.replicas > told
    step = TABLE[need, _marked(len(closed), leaving), busy]
    held = need is Need.LOWER and step is not Step.LOWER
    return Way(
        step=step,
        replicas=told if held else wanted,
        close=_chosen(gates, leaving - len(closed)) if step is Step.CLOSE else (),
        reopen=_spared(gates, leaving) if step is Step.REOPEN else (),
    )


def _marked(closed: int, leaving: int) -> Marked:
    if closed > leaving:
        return Marked.MANY
    if closed == leaving:
        return Marked.ENOUGH
    return Marked.FEW if closed else Marked.NONE


def _chosen(gates: Exit, count: int) -> tuple[Pod, ...]:
    opened = [pod for pod in gates.staying if not is_closed(pod)]
    return tuple(sorted(opened, key=lambda pod: _rank(pod, gates.clients))[:count])


def _spared(gates: Exit, leaving: int) -> tuple[Pod, ...]:
    ranked = sorted(gates.closed, key=lambda pod: _rank(pod, gates.clients))
    return tuple(ranked[leaving:])


def _rank(pod: Pod, clients: Mapping[str, int]) -> tuple[bool, int, bool, float, str]:
    """Return a key by which those come first that should go first.

    Kubernetes always begins with pods that are not ready, whatever their cost: so do
    we.  A gate that does not say how many clients it has may have many.
    """
    phase = pod.status.phase
    return (
        bool(pod.spec.node_name),
        PHASES.index(phase) if phase in PHASES else 0,
        pod.is_ready,
        clients.get(pod.metadata.name, float("inf")),
        pod.metadata.name,
    )


def _is_known(closed: Sequence[Pod], endpoints: frozenset[str]) -> bool:
    return any(pod.metadata.uid in endpoints for pod in closed)


def _is_late(closed: Sequence[Pod], now: datetime) -> bool:
    """Tell whether the last of *closed* has been so for long enough."""
    since = [_closed_at(pod) for pod in closed]
    return all(at is None or now - at > PATIENCE for at in since)


def _closed_at(pod: Pod) -> datetime | None:
    try:
        at = datetime.fromisoformat(pod.metadata.annotations.get(CLOSED_AT, ""))
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def is_closed(pod: Pod) -> bool:
    """Tell whether the clients' Service does not select *pod* any more."""
    return pod.metadata.labels.get(ENTRANCE) == Entrance.CLOSED.value


def mark(pod: Pod, closed: bool, now: datetime) -> Object:
    """Return what to apply to *pod* so that it is closed, or as it was before.

    What is left out when it is opened again is removed, because nobody else has set it.
    """
    meta = pod.metadata
    head: Object = {
        "name": meta.name,
        "namespace": meta.namespace,
        "uid": meta.uid,  # never another pod of that name
        "labels": {ENTRANCE: (Entrance.CLOSED if closed else Entrance.OPEN).value},
    }
    if closed:
        at = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        head["annotations"] = {DELETION_COST: COST, CLOSED_AT: at}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": head}
