"""GatesAvailable: clients can connect."""

from __future__ import annotations

from nano_operator.conditions.reasons import Reason
from nano_operator.conditions.view import Verdict, View

__all__ = ["gates_available"]


def gates_available(view: View) -> Verdict:
    """True when at least one gate is ready."""
    gates = view.gates
    if gates.ready:
        message = f"{gates.ready} of {gates.desired} gates are ready"
        return Verdict(True, Reason.NODES_READY, message)
    if not gates.desired:
        return Verdict(False, Reason.SCALED_TO_ZERO, "spec.gates.replicas is 0")
    message = f"none of {gates.desired} gates is ready"
    return Verdict(False, Reason.NO_NODE_READY, message)
