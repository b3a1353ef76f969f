"""Every metric of a node: its name, its type, its labels, and what it means.

The collector takes names and texts from here, ``docs/metrics.md`` is written from
here, and a test holds a running cluster to it.  Counters have no ``_total`` here;
Prometheus' format adds it.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

__all__ = ["CATALOGUE", "FAMILIES", "Family", "Kind"]

Kind = Literal["counter", "gauge", "histogram"]


class Family(NamedTuple):
    """One metric.

    Attributes:
        name: Without suffix.
        kind: Its type.
        text: One sentence.
        labels: Beside those that every metric has.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()

    @property
    def sample(self) -> str:
        """Its name in queries; a histogram's without ``_bucket`` and the like."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(name, "counter", text, labels)


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(name, "gauge", text, labels)


def _histogram(name: str, text: str, *labels: str) -> Family:
    return Family(name, "histogram", text, labels)


CATALOGUE: Final = {
    "The node": (
        _gauge("nano_build_info", "The version that runs.", "version"),
        _gauge(
            "nano_node_info",
            "What this node is; its address is its name among nodes.",
            "role",
            "backend",
            "address",
        ),
        _gauge("nano_ready", "1 when clients and messages are taken."),
        _gauge("nano_draining", "1 when this node drains, or has."),
        _histogram(
            "nano_loop_lag_seconds",
            "How late the event loop came to its timer, ten times a second.",
        ),
        _gauge(
            "nano_certificate_expiry_seconds",
            "When the certificate ends, in seconds since 1970, by listener; that of "
            "the cluster port under that name.",
            "listener",
        ),
        _gauge(
            "nano_certificate_life_seconds",
            "For how many seconds this certificate is valid in all.",
            "listener",
        ),
        _counter(
            "nano_certificates",
            "New certificates found by listeners, and by the cluster port under "
            "that name: taken, or refused as unusable.",
            "listener",
            "outcome",
        ),
    ),
    "Clients": (
        _gauge("nano_connections", "Open connections, by listener.", "listener"),
        _counter(
            "nano_connections_opened", "Connections that came, by listener.", "listener"
        ),
        _counter(
            "nano_connections_closed",
            "Connections that went, by listener and reason.",
            "listener",
            "reason",
        ),
        _counter(
            "nano_handshakes",
            "Handshakes, by listener and outcome.",
            "listener",
            "outcome",
        ),
        _gauge(
            "nano_sessions",
            "Sessions that this node holds: its own clients', or mirrors.",
            "place",
        ),
        _gauge(
            "nano_sessions_waiting",
            "Sessions whose clients are away and may come back.",
        ),
        _gauge(
            "nano_slow_clients",
            "Clients that read more slowly than they are sent to, at this moment.",
            "listener",
        ),
        _gauge("nano_backlog_bytes", "Bytes that wait for slow clients.", "listener"),
    ),
    "Messages": (
        _counter(
            "nano_messages",
            "Messages of clients, by direction, type and route.",
            "direction",
            "type",
            "route",
        ),
        _counter(
            "nano_message_bytes",
            "Bytes of the payloads of these messages.",
            "direction",
            "type",
            "route",
        ),
        _histogram(
            "nano_handler_seconds",
            "Time in a handler of this node, of at most ten messages and ten calls of "
            "nodes for each route a second.",
            "route",
        ),
        _histogram(
            "nano_queue_seconds",
            "How long these messages, and notifies of nodes for a session, waited "
            "because their session was busy; calls do not wait.",
            "route",
        ),
        _histogram(
            "nano_answer_seconds",
            "Time from forwarding a request to another node to its answer, of at most "
            "ten requests of each route a second.",
            "route",
        ),
        _counter(
            "nano_failures",
            "Failed answers made here, by status; what succeeded is "
            'nano_messages_total{type="response"}.',
            "status",
        ),
        _counter(
            "nano_handler_exceptions",
            "Handlers that failed by an exception that is no RequestError; the log has "
            "its traceback.",
            "route",
        ),
        _counter(
            "nano_dropped",
            "Messages thrown away, by the stage they reached and the reason.",
            "stage",
            "reason",
        ),
        _gauge(
            "nano_pending_requests", "Forwarded requests that wait for their answer."
        ),
        _gauge(
            "nano_deferred_requests",
            "Requests to which an answer was promised by defer().",
        ),
    ),
    "Groups and users": (
        _counter(
            "nano_group_publishes", "Publishes to groups that began at this node."
        ),
        _counter(
            "nano_group_deliveries",
            "Pushes to this node's own clients that came of publishes to groups.",
        ),
        _gauge("nano_groups", "Groups that have members at this node."),
        _gauge(
            "nano_group_members",
            "Members of groups at this node, once for each of their groups.",
        ),
        _gauge(
            "nano_open_questions",
            "Questions about users that wait for the answer of a gate.",
        ),
    ),
    "Other nodes": (
        _gauge(
            "nano_members",
            "Members of the cluster as this node sees them, by role.",
            "role",
        ),
        _gauge(
            "nano_member_list_version",
            "Which list of members this node has; after a moment all have the same.",
        ),
        _gauge(
            "nano_master_reachable",
            "1 while the master answers; without it all goes on but joining.",
        ),
        _gauge("nano_links", "Links to other nodes that are open."),
        _gauge(
            "nano_peers",
            "Peers that this node keeps something for, by where it stands; gone are "
            "members that it has had no link with for longer than that, or never.",
            "state",
        ),
        _gauge(
            "nano_members_draining",
            "Members that drain, and from which this gate moves its sessions.",
        ),
        _gauge(
            "nano_sessions_moving",
            "Sessions on their way to another member, each for one service.",
        ),
        _counter(
            "nano_session_moves",
            "Sessions of this gate that moved to another member, by what came of it.",
            "outcome",
        ),
        _counter(
            "nano_handovers",
            "States of sessions that components gave away or took over, by outcome.",
            "direction",
            "outcome",
        ),
        _counter(
            "nano_link_batches",
            "What links have carried, in batches.",
            "peer",
            "direction",
        ),
        _counter(
            "nano_link_envelopes",
            "What links have carried, in envelopes.",
            "peer",
            "direction",
        ),
        _counter("nano_link_bytes", "Bytes sent on links, by peer.", "peer"),
        _gauge(
            "nano_link_waiting_bytes", "Bytes that wait to be sent on a link.", "peer"
        ),
        _gauge(
            "nano_link_round_trip_seconds", "What the last ping on a link took.", "peer"
        ),
        _counter(
            "nano_calls",
            "Calls between nodes, by direction and outcome: ok, a status, or notify.",
            "direction",
            "outcome",
        ),
        _gauge(
            "nano_open_calls",
            "Calls to handlers of nodes that wait for their outcome.",
        ),
        _counter(
            "nano_cluster_refusals",
            "Strangers at the cluster port, and nodes that were not believed.",
            "reason",
        ),
        _gauge("nano_go_pending_requests", "Requests that Go nodes have in hand."),
        _gauge("nano_go_waiting_bytes", "Bytes that wait to be sent to Go nodes."),
    ),
}
"""All metrics by the heading that they stand under in the reference."""

FAMILIES: Final = {
    family.name: family for group in CATALOGUE.values() for family in group
}
