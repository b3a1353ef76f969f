"""The node's HTTP: *observe* for machines that look, *control* for those that act.

Two servers, because they are for different people: everybody in the cluster may
ask whether a node is ready and scrape its metrics; only the operator, or who owns
the unix socket on a laptop, may see sessions, end them and speak to users.

The package knows a :class:`Subject` and a :class:`Reach`, and nothing of nodes, members
or sessions.  :mod:`nano.node` gives it both, starts it first and stops it last.
"""

from __future__ import annotations

from nano.admin.server import AdminServer
from nano.admin.subject import Reach, Subject

__all__ = ["AdminServer", "Reach", "Subject"]
