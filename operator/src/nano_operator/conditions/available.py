"""Available: clients can connect and nodes can join, whatever else is changing."""

from __future__ import annotations

from nano_operator.conditions.reasons import Reason
from nano_operator.conditions.view import Verdict, View

__all__ = ["available"]


def available(view: View) -> Verdict:
    """True when the master and at least one gate are ready."""
    if not view.master.ready:
        message = "the master is not ready: no node can join"
        return Verdict(False, Reason.MASTER_UNAVAILABLE, message)
    if not view.gates.ready:
        if not view.gates.desired:
            message = "spec.gates.replicas is 0: no client can connect"
            return Verdict(False, Reason.SCALED_TO_ZERO, message)
        message = "no gate is ready: no client can connect"
        return Verdict(False, Reason.GATES_UNAVAILABLE, message)
    message = f"the master and {view.gates.ready} gates are ready"
    return Verdict(True, Reason.SERVING, message)
