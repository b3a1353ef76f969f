"""The conditions of a NanoCluster, one pure function each.

All of them are always present, each with the generation that it speaks of:
``kubectl wait`` ignores a condition about an older one.  The reasons are the closed
list of :mod:`.reasons`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from nano_operator.conditions.available import available
from nano_operator.conditions.backends import backends_available
from nano_operator.conditions.encrypted import encrypted
from nano_operator.conditions.gates import gates_available
from nano_operator.conditions.master import master_available
from nano_operator.conditions.progressing import progressing
from nano_operator.conditions.ready import ready
from nano_operator.conditions.reasons import Reason
from nano_operator.conditions.view import Obstacle, RoleState, Verdict, View
from nano_operator.objects import Object

__all__ = [
    "CONDITIONS",
    "Obstacle",
    "Reason",
    "RoleState",
    "Verdict",
    "View",
    "conditions",
]

CONDITIONS: Final[Mapping[str, Callable[[View], Verdict]]] = {
    "Ready": ready,
    "Available": available,
    "Progressing": progressing,
    "MasterAvailable": master_available,
    "GatesAvailable": gates_available,
    "BackendsAvailable": backends_available,
    "Encrypted": encrypted,
}

_MESSAGE_LENGTH: Final = 1024  # an admission webhook can say a lot


def conditions(
    view: View, generation: int, previous: Mapping[str, Object], now: datetime
) -> list[Object]:
    """Return all conditions for a resource at *generation*.

    The time of the last transition is *now* only where the status differs from the
    *previous* one of that type.
    """
    return [
        _written(name, judge(view), generation, previous.get(name, {}), now)
        for name, judge in CONDITIONS.items()
    ]


def _written(
    name: str, verdict: Verdict, generation: int, before: Object, now: datetime
) -> Object:
    status = "True" if verdict.holds else "False"
    since = before.get("lastTransitionTime")
    if before.get("status") != status or not since:
        since = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": name,
        "status": status,
        "reason": verdict.reason.word,
        "message": verdict.message[:_MESSAGE_LENGTH],
        "observedGeneration": generation,
        "lastTransitionTime": since,
    }
