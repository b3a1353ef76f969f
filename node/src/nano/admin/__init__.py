"""The node's HTTP: *observe* for machines that look, *control* for those that act.

Two servers, because they are for different people: everybody in the cluster may
ask whether a node is ready and scrape its metrics; only the operator, or who owns
the unix socket on a laptop, may see sessions and end them.

The package knows a :class:`Subject` and nothing of nodes, members or sessions.
:mod:`nano.node` gives it one, starts it first and stops it last.
"""

from __future__ import annotations

from nano.admin.server import AdminServer
from nano.admin.subject import Subject

__all__ = ["AdminServer", "Subject"]
