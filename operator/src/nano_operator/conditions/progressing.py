"""Progressing: something is changing, and nothing stands in its way."""

from __future__ import annotations

from nano_operator.conditions.reasons import Reason
from nano_operator.conditions.view import Verdict, View

__all__ = ["progressing"]


def progressing(view: View) -> Verdict:
    """True while the cluster moves towards the resource; false when done or stuck."""
    if view.obstacle is not None:
        return Verdict(False, view.obstacle.reason, view.obstacle.message)
    if view.complete:
        return Verdict(False, Reason.COMPLETE, "nothing left to change")
    if view.failure is not None:
        return Verdict(False, view.failure.reason, view.failure.message)
    turn = f"step {view.step}: " if view.step else ""
    return Verdict(True, Reason.ROLLING_OUT, f"{turn}waiting for {view.lacking}")
