"""Ready: the one to wait for."""

from __future__ import annotations

from nano_operator.conditions.reasons import Reason
from nano_operator.conditions.view import Verdict, View

__all__ = ["ready"]


def ready(view: View) -> Verdict:
    """True when every node runs as the resource says, and is ready."""
    if view.obstacle is not None:
        return Verdict(False, view.obstacle.reason, view.obstacle.message)
    if view.complete:
        counts = ", ".join(str(role) for role in view.roles)
        return Verdict(True, Reason.ALL_READY, f"ready: {counts}")
    if view.failure is not None:
        return Verdict(False, view.failure.reason, view.failure.message)
    return Verdict(False, Reason.ROLLING_OUT, f"waiting for {view.lacking}")
