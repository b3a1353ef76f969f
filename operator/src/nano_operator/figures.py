"""What the nodes of a cluster say of themselves: clients, routes, drains.

Pure.  :mod:`.census` asks the nodes; :mod:`.status` shows what they said.  Figures
move all the time, and a status must not: :func:`shown` keeps the number that is
written until the true one has moved away from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

import msgspec

from nano_operator.leaving import is_closed
from nano_operator.names import GATE, MASTER
from nano_operator.objects import Object, Pod

__all__ = [
    "SHOWN",
    "TOLERANCE",
    "Figures",
    "Said",
    "SaidMember",
    "drains_shown",
    "figures_of",
    "routes_shown",
    "shown",
]

TOLERANCE: Final = 0.05
"""The written number of connections is at most so far from the one last counted."""

SHOWN: Final = 64
"""Silent gates, routes, drains that a status names; the schema lets in no more."""

LONGEST_SERVICE: Final = 512  # what the schema lets in
MOST: Final = 2**31 - 1

DRAINING: Final = "draining"  # a member's state


class SaidMember(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a node's list of members."""

    address: str
    services: list[Annotated[str, msgspec.Meta(max_length=LONGEST_SERVICE)]] = []
    state: str = ""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What decides something in a node's answer to ``GET /status``.

    Attributes:
        connections: Clients that are connected to it; None: an older node.
        draining: The stage of its drain; None: it does not drain.
        members: Its list of members.
    """

    connections: Annotated[int, msgspec.Meta(ge=0, le=MOST)] | None = None
    draining: str | None = None
    members: list[SaidMember] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A cluster as its nodes tell of it.

    Attributes:
        gates: Clients of each gate that answered, by the name of its pod.
        silent: Pods of running gates that did not answer.
        routes: How many members serve each service; None if nobody has said.
        drains: Role of each pod that leaves or drains.
    """

    gates: Mapping[str, int]
    silent: tuple[str, ...] = ()
    routes: Mapping[str, int] | None = None
    drains: Mapping[str, str]

    @property
    def connections(self) -> int | None:
        """All clients of the gates that answered; None if none of several did."""
        return None if self.silent and not self.gates else sum(self.gates.values())

    def coarse(self, before: Figures | None) -> Figures:
        """Return what of this is worth telling to who knows *before*."""
        seen = before.connections if before is not None else None
        total = shown(self.connections, seen)
        return replace(self, gates={} if total is None else {"": total})


def shown(count: int | None, written: object) -> int | None:
    """Return the number to show: the *written* one, unless *count* has left it.

    Up to twenty each client counts; nobody at all is always said.
    """
    if count is None or not isinstance(written, int):
        return count
    near = abs(count - written) <= TOLERANCE * written
    return written if near and count else count


def figures_of(pods: Sequence[Pod], answers: Mapping[str, Said]) -> Figures:
    """Put together what the nodes said.

    Args:
        pods: All pods of the cluster.
        answers: What those said that answered, by the names of their pods.
    """
    running = [pod for pod in pods if pod.role == GATE and pod.is_running]
    gates: dict[str, int] = {}
    for pod in running:
        said = answers.get(pod.metadata.name)
        if said is not None and said.connections is not None:
            gates[pod.metadata.name] = said.connections
    silent = sorted(
        pod.metadata.name for pod in running if pod.metadata.name not in gates
    )
    members = _members(pods, answers)
    hosts = {
        member.address.rpartition(":")[0].strip("[]")
        for member in members or ()
        if member.state == DRAINING
    }
    return Figures(
        gates=gates,
        silent=tuple(silent),
        routes=_routes(members) if members is not None else None,
        drains={
            pod.metadata.name: pod.title
            for pod in sorted(pods, key=lambda pod: pod.metadata.name)
            if pod.metadata.deletion_timestamp
            or is_closed(pod)
            or pod.status.pod_ip in hosts
            or _drains(answers.get(pod.metadata.name))
        },
    )


def _drains(said: Said | None) -> bool:
    return said is not None and said.draining is not None


def _members(
    pods: Sequence[Pod], answers: Mapping[str, Said]
) -> list[SaidMember] | None:
    """Return the master's list, or that of any node that has one."""
    for pod in sorted(pods, key=lambda pod: (pod.role != MASTER, pod.metadata.name)):
        said = answers.get(pod.metadata.name)
        if said is not None and said.members:
            return said.members
    return None


def _routes(members: Sequence[SaidMember]) -> dict[str, int]:
    """Count who serves each service; who drains takes nothing new."""
    counts = Counter(
        service
        for member in members
        if member.state != DRAINING
        for service in member.services
    )
    return dict(sorted(counts.items()))


def routes_shown(figures: Figures) -> list[Object]:
    """Return the services as the status lists them."""
    entries = list((figures.routes or {}).items())[:SHOWN]
    return [{"service": service, "members": count} for service, count in entries]


def drains_shown(drains: Mapping[str, str]) -> list[Object]:
    """Return who leaves, as the status lists them."""
    entries = sorted(drains.items())[:SHOWN]
    return [{"pod": pod, "role": role} for pod, role in entries]
