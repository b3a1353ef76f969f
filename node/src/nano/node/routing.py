"""How a node chooses members, as its manifest says."""

from __future__ import annotations

from typing import Final

from nano.metrics import Metrics
from nano.node.options import NodeOptions, Role
from nano.runtime.loading import load_function
from nano.runtime.policies import Policies
from nano.runtime.strategies import Hash, LeastLoaded, Random, RoundRobin, Strategy
from nano_manifest import Routing

__all__ = ["make_policies"]

FUNCTION: Final = "function"


def make_policies(options: NodeOptions, metrics: Metrics) -> Policies:
    """Return how the node of *options* chooses members.

    Only gates load functions, which may be in their image alone; other nodes choose
    for calls without a session, and for clients of Go gates, at random then.

    Raises:
        UsageError: A function cannot be loaded, or cannot be called as one.
    """
    policies = Policies(metrics.dropped)
    for item in options.manifest.spec.routing:
        if item.strategy != FUNCTION:
            policies.add(item.service, _strategy(item))
        elif options.role is Role.GATE:
            function = load_function(item.function, options.app_dir)
            policies.route(item.service, function)
    return policies


def _strategy(item: Routing) -> Strategy:
    match item.strategy:
        case "roundRobin":
            return RoundRobin()
        case "leastLoaded":
            return LeastLoaded()
        case "hash":
            return Hash(item.data_key)
        case _:
            return Random()
