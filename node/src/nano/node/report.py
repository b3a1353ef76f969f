"""What a node tells of itself: status, sessions, counts and gauges.

This is the :class:`nano.admin.Subject` that the node's HTTP servers ask.  It reads the
node's parts and changes none of them, but for a session that it sends away, and a
drain that it has begin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from nano.cluster.gonodes import at_home
from nano.cluster.links import Links
from nano.metrics import Gauge, Metrics
from nano.node.departure import Departure
from nano.node.gate import Entrance
from nano.node.world import Cluster
from nano.runtime.dispatch import Dispatcher
from nano.runtime.sessions import Sessions
from nano.version import __version__, compiled

__all__ = ["Report"]


class Report:
    """A node, as its administrators see it.

    Args:
        identity: The first entries of :meth:`status`: cluster, role and backend.
        cluster: The member list, and the node's own address.
        links: Which members messages are exchanged with.
        dispatcher: The routes, and through it the counts.
        sessions: Those that the node holds.
        listeners: Where clients are let in, by name.
        drain: Has the node drain, or says why it cannot.

    Attributes:
        reason: Why the node takes no clients or messages; ``None`` if it does.
        departure: The node's drain.
    """

    def __init__(
        self,
        identity: Mapping[str, object],
        *,
        cluster: Cluster,
        links: Links,
        dispatcher: Dispatcher,
        sessions: Sessions,
        listeners: Mapping[str, Entrance],
        drain: Callable[[], str | None],
    ) -> None:
        self.reason: str | None = "starting"
        self.departure: Departure | None = None
        self._identity = identity
        self._cluster = cluster
        self._links = links
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._listeners = listeners
        self._drain = drain
        self._metrics: Metrics = dispatcher.metrics
        self._metrics.gauges.append(self._gauges)

    def not_ready(self) -> str | None:
        """Return why this node takes no clients or messages; ``None`` if it does."""
        return self.reason

    def metrics(self) -> bytes:
        """Return all counts in Prometheus' text format."""
        return self._metrics.render()

    def status(self) -> dict[str, object]:
        """Return what an operator wants to know at a glance, JSON-able."""
        return {
            **self._identity,
            "address": self._cluster.address,
            "version": __version__,
            "compiled": compiled(),
            "notReady": self.reason,
            "draining": self._stage(),
            "listeners": self.listeners(),
            "members": [
                {
                    "address": member.address,
                    "role": member.role,
                    "label": member.label,
                    "services": list(member.services),
                    "state": member.state.name.lower(),
                    "link": self._links.get(member.address) is not None,
                }
                for member in self._cluster.members.values()
            ],
            "peers": {at: it.value for at, it in self._links.states.items()},
            "routes": sorted(self._dispatcher.routes),
            "sessions": len(self._sessions),
            "connections": sum(len(it.clients) for it in self._listeners.values()),
        }

    def _stage(self) -> str | None:
        """Return where the node's drain stands; ``None``: it does not drain."""
        stage = self.departure.stage if self.departure is not None else None
        return stage.value if stage is not None else None

    def listeners(self) -> dict[str, str]:
        """Return where clients are let in, ``host:port`` by listener."""
        return {name: listener.address for name, listener in self._listeners.items()}

    def sessions(self, limit: int) -> list[dict[str, object]]:
        """Return up to *limit* sessions, ids as strings for JavaScript's sake."""
        return [
            {
                "id": str(session.id),
                "uid": session.uid,
                "address": session.remote_address,
                "home": at_home(session),
            }
            for session, _ in zip(self._sessions, range(limit), strict=False)
        ]

    def drain(self) -> str | None:
        """Begin to drain, unless it does already; say why not if it cannot."""
        return self._drain()

    def kick(self, session_id: int, reason: str) -> bool:
        """Send a client away; false if it is not known here."""
        session = self._sessions.get(session_id)
        if session is None:
            return False
        session.kick(reason)
        return True

    def _gauges(self) -> list[Gauge]:
        roles = Counter(m.role or "other" for m in self._cluster.members.values())
        homes = sum(at_home(session) for session in self._sessions)
        mirrors = len(self._sessions) - homes
        members = "Members of the cluster as this node sees them, by role."
        held = "Sessions that this node holds: its own clients', or mirrors."
        draining = "1 when this node drains, or has."
        ready = "1 when clients and messages are taken."
        info = "What this node is; its address is its name among nodes."
        version = (
            "Which list of members this node has; after a moment all have the same."
        )
        master = "1 while the master answers; without it all goes on but joining."
        cluster = self._cluster
        me = {
            "role": str(self._identity["role"]),
            "backend": str(self._identity["backend"]),
            "address": cluster.address,
        }
        return [
            ("nano_node_info", info, me, 1),
            ("nano_member_list_version", version, {}, cluster.list_version),
            ("nano_master_reachable", master, {}, float(cluster.is_master_reachable)),
            *(("nano_members", members, {"role": r}, n) for r, n in roles.items()),
            ("nano_sessions", held, {"place": "home"}, homes),
            ("nano_sessions", held, {"place": "mirror"}, mirrors),
            ("nano_ready", ready, {}, float(self.reason is None)),
            ("nano_draining", draining, {}, float(self._stage() is not None)),
        ]
