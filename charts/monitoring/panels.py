"""What the dashboards show: every panel with its queries, as data.

Metrics are those of ``docs/metrics.md``.  Each panel says what moves it, and
``tests/monitoring`` makes that happen in a real cluster beside a real Prometheus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["BOARDS", "Board", "Moves", "Panel", "Query"]

Moves = Literal["load", "trouble", "members"]
"""What changes a panel: traffic, something going wrong, or nodes that come and go."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Attributes:
        expr: PromQL, with Grafana's variables.
        legend: How a series is called.
    """

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: What stands above it.
        text: What it tells, for who has never seen it.
        queries: What it shows.
        unit: Grafana's name of the unit.
        moves: What changes it; those of ``trouble`` are empty or flat on good days.
        stat: One large number instead of lines.
    """

    title: str
    text: str
    queries: tuple[Query, ...]
    unit: str = "short"
    moves: Moves = "load"
    stat: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard.

    Attributes:
        name: Of its file, and of its uid behind ``nanocluster-``.
        title: What people see.
        info: The metric whose labels its variables offer.
        panels: In their order.
    """

    name: str
    title: str
    info: str
    panels: tuple[Panel, ...]


S: Final = 'namespace=~"$namespace", nanocluster=~"$cluster", instance=~"$pod"'
R: Final = "[$__rate_interval]"
ON: Final = "on (namespace, nanocluster, instance, process)"
"""How the figures of one node find each other; a gate may have several processes."""


def _role(role: str) -> str:
    """Keep of a vector what is of nodes of one role."""
    return f'* {ON} group_left () nano_node_info{{{S}, role="{role}"}}'


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{S}{more}}}{R}))"


def _at_gates(metric: str, by: str, more: str = "") -> str:
    rate = f"rate({metric}{{{S}{more}}}{R})"
    return f"sum by ({by}) ({rate} {_role('gate')})"


def _at_backends(metric: str, by: str, more: str = "") -> str:
    rate = f"rate({metric}{{{S}{more}}}{R})"
    return f"sum by ({by}) ({rate} {_role('backend')})"


def _quantile(share: float, metric: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    rate = _rate(f"{metric}_bucket", labels)
    return f"histogram_quantile({share}, {rate})"


def _quantiles(metric: str, by: str) -> tuple[Query, ...]:
    return tuple(
        Query(_quantile(share, metric, by), f"{{{{{by}}}}} {name}")
        for share, name in ((0.5, "p50"), (0.99, "p99"))
    )


_FAILURES: Final = Panel(
    "Failed answers a second",
    "By status: 404 nobody serves the route, 500 a handler failed, 503 no node is "
    "there or it is overloaded, 504 no answer in time.",
    (Query(_rate("nano_failures_total", "status"), "{{status}}"),),
    moves="trouble",
)

_LAG: Final = Panel(
    "Lateness of the event loop (p99)",
    "A handler that computes or blocks for long keeps everything of its node waiting.",
    (Query(_quantile(0.99, "nano_loop_lag_seconds", "instance"), "{{instance}}"),),
    "s",
    "trouble",
)

_CPU: Final = Panel(
    "CPU",
    "A node uses one core at most; near one it is full.",
    (Query(_rate("process_cpu_seconds_total", "instance"), "{{instance}}"),),
    "percentunit",
)

CLUSTER: Final = Board(
    "cluster",
    "NanoCluster / Cluster",
    "nano_node_info",
    (
        Panel(
            "Clients",
            "Open connections of all gates.",
            (Query(f"sum(nano_connections{{{S}}})", "clients"),),
            stat=True,
        ),
        Panel(
            "Nodes",
            "By role.",
            (Query(f"count by (role) (nano_node_info{{{S}}})", "{{role}}"),),
            moves="members",
            stat=True,
        ),
        Panel(
            "Nodes that are not ready",
            "They start, wait for the master, or leave.",
            (Query(f"count(nano_ready{{{S}}} == 0)", "not ready"),),
            moves="trouble",
            stat=True,
        ),
        Panel(
            "Nodes that drain",
            "They send clients and sessions elsewhere; docs/drain.md.",
            (Query(f"count(nano_draining{{{S}}} == 1)", "draining"),),
            moves="members",
            stat=True,
        ),
        Panel(
            "Messages a second",
            "Of clients, counted at the gates; out are answers and pushes.",
            (
                Query(
                    _at_gates("nano_messages_total", "direction, type"),
                    "{{direction}} {{type}}",
                ),
            ),
            "mps",
        ),
        Panel(
            "Bytes a second",
            "Payloads of these messages.",
            (
                Query(
                    _at_gates("nano_message_bytes_total", "direction"), "{{direction}}"
                ),
            ),
            "Bps",
        ),
        Panel(
            "Answers of backends",
            "From forwarding a request at a gate to its answer.",
            tuple(
                Query(_quantile(share, "nano_answer_seconds"), name)
                for share, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))
            ),
            "s",
        ),
        _FAILURES,
        Panel(
            "Messages dropped a second",
            "By the stage that they had reached and the reason; docs/metrics.md.",
            (
                Query(
                    _rate("nano_dropped_total", "stage, reason"),
                    "{{stage}}: {{reason}}",
                ),
            ),
            moves="trouble",
        ),
        Panel(
            "Sessions",
            "At home where their clients are; mirrors at the backends they talk to.",
            (Query(f"sum by (place) (nano_sessions{{{S}}})", "{{place}}"),),
        ),
        _CPU,
        Panel(
            "Memory",
            "Resident.",
            (
                Query(
                    f"sum by (instance) (process_resident_memory_bytes{{{S}}})",
                    "{{instance}}",
                ),
            ),
            "bytes",
            "members",
        ),
        _LAG,
    ),
)

GATES: Final = Board(
    "gates",
    "NanoCluster / Gates",
    "nano_node_info",
    (
        Panel(
            "Connections",
            "By gate and listener.",
            (
                Query(
                    f"sum by (instance, listener) (nano_connections{{{S}}})",
                    "{{instance}} {{listener}}",
                ),
            ),
        ),
        Panel(
            "Connections opened a second",
            "By listener.",
            (
                Query(
                    _rate("nano_connections_opened_total", "listener"), "{{listener}}"
                ),
            ),
        ),
        Panel(
            "Connections closed a second",
            "By reason; client-closed and connection-lost are the clients' own doing.",
            (Query(_rate("nano_connections_closed_total", "reason"), "{{reason}}"),),
        ),
        Panel(
            "Handshakes a second",
            "By outcome.",
            (Query(_rate("nano_handshakes_total", "outcome"), "{{outcome}}"),),
        ),
        Panel(
            "Messages in a second",
            "Requests and notifies by route, the ten busiest.",
            (
                Query(
                    "topk(10, "
                    + _at_gates("nano_messages_total", "route", ', direction="in"')
                    + ")",
                    "{{route}}",
                ),
            ),
            "mps",
        ),
        Panel(
            "Pushes a second",
            "By route, the ten busiest.",
            (
                Query(
                    "topk(10, "
                    + _at_gates("nano_messages_total", "route", ', type="push"')
                    + ")",
                    "{{route}}",
                ),
            ),
            "mps",
        ),
        Panel(
            "Publishes to groups and what becomes of them",
            "Publishes a second, and pushes to clients that came of them.",
            (
                Query(f"sum(rate(nano_group_publishes_total{{{S}}}{R}))", "publishes"),
                Query(
                    f"sum(rate(nano_group_deliveries_total{{{S}}}{R}))", "deliveries"
                ),
            ),
        ),
        Panel(
            "Members of groups",
            "Once for each of their groups.",
            (Query(f"sum(nano_group_members{{{S}}})", "members"),),
        ),
        Panel(
            "Slow clients",
            "They read more slowly than they are sent to, at this moment.",
            (Query(f"sum by (instance) (nano_slow_clients{{{S}}})", "{{instance}}"),),
            moves="trouble",
        ),
        Panel(
            "Backlog of slow clients",
            "Bytes that wait; the setting backlogBytes bounds them for each client.",
            (Query(f"sum by (instance) (nano_backlog_bytes{{{S}}})", "{{instance}}"),),
            "bytes",
            "trouble",
        ),
    ),
)

BACKENDS: Final = Board(
    "backends",
    "NanoCluster / Backends and routes",
    "nano_node_info",
    (
        Panel(
            "Messages a second",
            "By route, where they are handled.",
            (
                Query(
                    _at_backends("nano_messages_total", "route", ', direction="in"'),
                    "{{route}}",
                ),
            ),
            "mps",
        ),
        Panel(
            "Bytes a second",
            "Payloads by route and direction, where they are handled.",
            (
                Query(
                    _at_backends("nano_message_bytes_total", "route, direction"),
                    "{{route}} {{direction}}",
                ),
            ),
            "Bps",
        ),
        Panel(
            "Time in the handler",
            "By route, of a sample; calls of other nodes are among them.",
            _quantiles("nano_handler_seconds", "route"),
            "s",
        ),
        Panel(
            "Wait before the handler (p99)",
            "A session's messages are handled one after the other.",
            (Query(_quantile(0.99, "nano_queue_seconds", "route"), "{{route}}"),),
            "s",
        ),
        Panel(
            "Answers as gates see them",
            "By route, with both ways over the link.",
            _quantiles("nano_answer_seconds", "route"),
            "s",
        ),
        _FAILURES,
        Panel(
            "Handlers that fail by mistake",
            "Exceptions a second that are no RequestError; the log has the tracebacks.",
            (Query(_rate("nano_handler_exceptions_total", "route"), "{{route}}"),),
            moves="trouble",
        ),
        Panel(
            "Calls between nodes a second",
            "By direction and outcome.",
            (
                Query(
                    _rate("nano_calls_total", "direction, outcome"),
                    "{{direction}} {{outcome}}",
                ),
            ),
        ),
        Panel(
            "Sessions moved a second",
            "From one backend to another, counted at the gates: handed-over and "
            "no-state are as it should be, the others begin afresh; docs/drain.md.",
            (Query(_rate("nano_session_moves_total", "outcome"), "{{outcome}}"),),
            moves="members",
        ),
        Panel(
            "States handed over a second",
            "Given away by the old backend, taken over by the new one, by outcome.",
            (
                Query(
                    _rate("nano_handovers_total", "direction, outcome"),
                    "{{direction}} {{outcome}}",
                ),
            ),
            moves="members",
        ),
        Panel(
            "Requests under way",
            "Forwarded and not yet answered, at the gates.",
            (
                Query(
                    f"sum by (instance) (nano_pending_requests{{{S}}})", "{{instance}}"
                ),
            ),
        ),
        _CPU,
        _LAG,
    ),
)

LINKS: Final = Board(
    "links",
    "NanoCluster / Links and membership",
    "nano_node_info",
    (
        Panel(
            "Members",
            "As each node sees them; all lines should lie on each other.",
            (
                Query(
                    # each process of a gate has a list of its own
                    "max by (instance) "
                    f"(sum by (instance, process) (nano_members{{{S}}}))",
                    "{{instance}}",
                ),
            ),
            moves="members",
        ),
        Panel(
            "Version of the list of members",
            "As each node has it.",
            (
                Query(
                    f"max by (instance) (nano_member_list_version{{{S}}})",
                    "{{instance}}",
                ),
            ),
            moves="members",
        ),
        Panel(
            "Nodes that do not reach the master",
            "All goes on without it, but nobody can join.",
            (Query(f"count(nano_master_reachable{{{S}}} == 0)", "nodes"),),
            moves="trouble",
            stat=True,
        ),
        Panel(
            "Links",
            "Open, by node.",
            (Query(f"sum by (instance) (nano_links{{{S}}})", "{{instance}}"),),
            moves="members",
        ),
        Panel(
            "Peers",
            "By where they stand: suspect ones have been silent for two seconds.",
            (Query(f"sum by (state) (nano_peers{{{S}}})", "{{state}}"),),
            moves="members",
        ),
        Panel(
            "Envelopes a second",
            "By direction.",
            (Query(_rate("nano_link_envelopes_total", "direction"), "{{direction}}"),),
        ),
        Panel(
            "Batches a second",
            "By direction; a batch is what one turn of the loop had to say.",
            (Query(_rate("nano_link_batches_total", "direction"), "{{direction}}"),),
        ),
        Panel(
            "Bytes sent a second",
            "By node and peer.",
            (
                Query(
                    _rate("nano_link_bytes_total", "instance, peer"),
                    "{{instance}} to {{peer}}",
                ),
            ),
            "Bps",
        ),
        Panel(
            "Round trip of pings",
            "By node and peer; one goes out each second.",
            (
                Query(
                    f"max by (instance, peer) (nano_link_round_trip_seconds{{{S}}})",
                    "{{instance}} to {{peer}}",
                ),
            ),
            "s",
        ),
        Panel(
            "Messages that links dropped",
            "By reason; docs/metrics.md.",
            (
                Query(
                    _rate(
                        "nano_dropped_total",
                        "stage, reason",
                        ', stage=~"link|forward|answer|notify|call"',
                    ),
                    "{{stage}}: {{reason}}",
                ),
            ),
            moves="trouble",
        ),
    ),
)

SELF: Final = 'namespace=~"$namespace", instance=~"$pod"'

OPERATOR: Final = Board(
    "operator",
    "NanoCluster / Operator",
    "nanocluster_operator_queue_depth",
    (
        Panel(
            "Reconciles a second",
            "By result.",
            (
                Query(
                    "sum by (result) (rate(nanocluster_operator_reconciles_total"
                    f"{{{SELF}}}{R}))",
                    "{{result}}",
                ),
            ),
        ),
        Panel(
            "Duration of a reconcile",
            "Two requests for each kind of child, and the writes.",
            tuple(
                Query(
                    f"histogram_quantile({share}, sum by (le) (rate("
                    f"nanocluster_operator_reconcile_seconds_bucket{{{SELF}}}{R})))",
                    name,
                )
                for share, name in ((0.5, "p50"), (0.99, "p99"))
            ),
            "s",
        ),
        Panel(
            "Requests to the API server a second",
            "By verb and status; 0 stands for no answer.",
            (
                Query(
                    "sum by (verb, status) (rate(nanocluster_operator_api_requests_"
                    f"total{{{SELF}}}{R}))",
                    "{{verb}} {{status}}",
                ),
            ),
        ),
        Panel(
            "Clusters that wait",
            "For a reconcile, or in one.",
            (Query(f"sum(nanocluster_operator_queue_depth{{{SELF}}})", "clusters"),),
        ),
        Panel(
            "Age of the oldest reconcile",
            "Due or going on; above a minute something is stuck.",
            (
                Query(
                    f"max(nanocluster_operator_queue_oldest_seconds{{{SELF}}})",
                    "oldest",
                ),
            ),
            "s",
            "trouble",
        ),
        Panel(
            "Listings of all clusters",
            "Since the start, by result; they repair what watches have missed.",
            (
                Query(
                    f"sum by (result) (nanocluster_operator_resyncs_total{{{SELF}}})",
                    "{{result}}",
                ),
            ),
        ),
    ),
)

BOARDS: Final = (CLUSTER, GATES, BACKENDS, LINKS, OPERATOR)
