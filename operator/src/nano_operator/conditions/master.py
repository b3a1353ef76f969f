"""MasterAvailable: nodes can join."""

from __future__ import annotations

from nano_operator.conditions.reasons import Reason
from nano_operator.conditions.view import Verdict, View

__all__ = ["master_available"]


def master_available(view: View) -> Verdict:
    """True when the master is ready."""
    if view.master.ready:
        return Verdict(True, Reason.NODES_READY, "the master is ready")
    return Verdict(False, Reason.NO_NODE_READY, "the master is not ready")
