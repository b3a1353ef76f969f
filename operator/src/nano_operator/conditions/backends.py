"""BackendsAvailable: each kind of backend has somebody who answers."""

from __future__ import annotations

from nano_operator.conditions.reasons import Reason
from nano_operator.conditions.view import Verdict, View

__all__ = ["backends_available"]


def backends_available(view: View) -> Verdict:
    """True when every kind that wants a node has at least one ready."""
    if not view.backends:
        return Verdict(True, Reason.NO_BACKENDS, "no backends are declared")
    wanted = [kind for kind in view.backends if kind.desired]
    if not wanted:
        message = "replicas of every backend is 0"
        return Verdict(False, Reason.SCALED_TO_ZERO, message)
    down = [kind.title for kind in wanted if not kind.ready]
    if down:
        message = f"no node is ready of {', '.join(down)}"
        return Verdict(False, Reason.NO_NODE_READY, message)
    counts = ", ".join(str(kind) for kind in view.backends)
    return Verdict(True, Reason.NODES_READY, counts)
