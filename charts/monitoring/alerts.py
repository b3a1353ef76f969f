"""When somebody should be told, as data: the rules of Prometheus.

Each has a section in ``docs/alerts.md`` that says what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import yaml

from .panels import ON

__all__ = ["ALERTS", "Alert", "as_yaml"]

RUNBOOKS: Final = "docs/alerts.md"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert.

    Attributes:
        name: Its name, and that of its section in the runbooks.
        expr: PromQL; what it returns is in trouble.
        lasts: For how long it has to, before somebody is told.
        severity: ``critical``: clients notice now; ``warning``: they soon will.
        summary: What somebody is told, with the labels of the series.
    """

    name: str
    expr: str
    lasts: str
    severity: Literal["critical", "warning"]
    summary: str


BY: Final = "namespace, nanocluster"
LATE: Final = "0.2"
"""What is left of a certificate's life when its successor is long overdue: the
operator and cert-manager renew with a third of it to go."""

CLUSTER: Final = "{{ $labels.namespace }}/{{ $labels.nanocluster }}"
NODE: Final = "{{ $labels.instance }} of " + CLUSTER

ALERTS: Final = (
    Alert(
        "NanoNoGateReady",
        # gates that are no more say nothing, so that the others have to; there are
        # clusters without gates of ours, and Go nodes in front
        f"(count by ({BY}) (nano_node_info) "
        f'and count by ({BY}) (last_over_time(nano_node_info{{role="gate"}}[1d]))) '
        f"unless sum by ({BY}) (nano_ready * {ON} group_left () "
        'nano_node_info{role="gate"}) > 0',
        "1m",
        "critical",
        f"No gate of {CLUSTER} lets clients in.",
    ),
    Alert(
        "NanoNodeNotReady",
        "nano_ready == 0 unless nano_draining == 1",
        "5m",
        "warning",
        f"{NODE} has not become ready.",
    ),
    Alert(
        "NanoMasterUnreachable",
        f"count by ({BY}) (nano_master_reachable == 0) > 0",
        "2m",
        "warning",
        "{{ $value }} nodes of " + CLUSTER + " do not reach the master; nobody can "
        "join.",
    ),
    Alert(
        "NanoPeerUnreachable",
        # suspect and unlinked take seconds, gone lasts
        f'sum by ({BY}, instance) (nano_peers{{state=~"suspect|unlinked|gone"}}) > 0',
        "2m",
        "warning",
        f"{NODE} does not hear from {{{{ $value }}}} of its peers.",
    ),
    Alert(
        "NanoMembersDisagree",
        f"max by ({BY}) (sum by ({BY}, instance, process) (nano_members)) "
        f"!= min by ({BY}) (sum by ({BY}, instance, process) (nano_members))",
        "2m",
        "warning",
        f"Nodes of {CLUSTER} do not agree on who belongs to it.",
    ),
    Alert(
        "NanoRequestsFail",
        f'sum by ({BY}) (rate(nano_failures_total{{status=~"5.."}}[5m])) '
        f'/ sum by ({BY}) (rate(nano_messages_total{{type="request"}}[5m])) > 0.05',
        "5m",
        "critical",
        "{{ $value | humanizePercentage }} of the requests to " + CLUSTER + " fail.",
    ),
    Alert(
        "NanoHandlerExceptions",
        f"sum by ({BY}, route) (rate(nano_handler_exceptions_total[5m])) > 0",
        "5m",
        "warning",
        "The handler {{ $labels.route }} of " + CLUSTER + " raises exceptions.",
    ),
    Alert(
        "NanoAnswersSlow",
        f"histogram_quantile(0.99, sum by ({BY}, route, le) "
        "(rate(nano_answer_seconds_bucket[5m]))) > 1",
        "10m",
        "warning",
        "One of a hundred answers of {{ $labels.route }} takes longer than "
        "{{ $value | humanizeDuration }} in " + CLUSTER + ".",
    ),
    Alert(
        "NanoEventLoopLate",
        f"histogram_quantile(0.99, sum by ({BY}, instance, le) "
        "(rate(nano_loop_lag_seconds_bucket[5m]))) > 0.1",
        "5m",
        "warning",
        f"The event loop of {NODE} is late by {{{{ $value | humanizeDuration }}}}.",
    ),
    Alert(
        "NanoNodeBusy",
        f"rate(process_cpu_seconds_total[5m]) * {ON} group_left (role) "
        "nano_node_info > 0.9",
        "10m",
        "warning",
        "The {{ $labels.role }} " + NODE + " uses nearly all of its core.",
    ),
    Alert(
        "NanoMessagesDropped",
        f"sum by ({BY}, stage, reason) (rate(nano_dropped_total{{reason=~"
        '"overloaded|no-member|queue-full|link-full|too-many"}[5m])) > 0.1',
        "5m",
        "warning",
        CLUSTER + " drops messages at {{ $labels.stage }}: {{ $labels.reason }}.",
    ),
    Alert(
        "NanoClientsSlow",
        f"sum by ({BY}) (nano_slow_clients) / sum by ({BY}) (nano_connections) > 0.05",
        "5m",
        "warning",
        "{{ $value | humanizePercentage }} of the clients of "
        + CLUSTER
        + " read more slowly than they are sent to.",
    ),
    Alert(
        "NanoStrangers",
        f"sum by ({BY}, reason) (rate(nano_cluster_refusals_total[5m])) > 0.1",
        "5m",
        "warning",
        "Somebody is refused at the cluster port of "
        + CLUSTER
        + ": {{ $labels.reason }}.",
    ),
    Alert(
        "NanoCertificateExpires",
        # some live for less than a week, and are renewed in time
        "nano_certificate_expiry_seconds - time() < 7 * 86400 "
        "and nano_certificate_expiry_seconds - time() "
        f"< {LATE} * nano_certificate_life_seconds",
        "1h",
        "warning",
        f"The certificate of listener {{{{ $labels.listener }}}} at {NODE} ends in "
        "{{ $value | humanizeDuration }}.",
    ),
    Alert(
        "NanoIssuedCertificateExpires",
        "nanocluster_operator_certificate_seconds "
        f"/ nanocluster_operator_certificate_life_seconds < {LATE}",
        "1h",
        "warning",
        "The operator has not renewed the certificate of {{ $labels.certificate }} of "
        "{{ $labels.namespace }}/{{ $labels.name }}.",
    ),
    Alert(
        "NanoOperatorStuck",
        # more than a look may take, and less than what has the operator restarted,
        # which begins the figure anew
        "max_over_time(nanocluster_operator_queue_oldest_seconds[10m]) > 180",
        "5m",
        "warning",
        "The operator has not come to a cluster for {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "NanoOperatorFails",
        "sum by (result) (rate(nanocluster_operator_reconciles_total"
        '{result=~"failed|refused"}[15m])) > 0',
        "15m",
        "warning",
        "Reconciles of the operator end as {{ $labels.result }}.",
    ),
)


def as_yaml() -> str:
    """Return the rules as Prometheus reads them."""
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.lasts,
            "labels": {"severity": alert.severity},
            "annotations": {
                "summary": alert.summary,
                "runbook": f"{RUNBOOKS}#{alert.name.lower()}",
            },
        }
        for alert in ALERTS
    ]
    head = "# Made by python -m charts.monitoring; docs/alerts.md says what to do.\n"
    document = {"groups": [{"name": "nanocluster", "rules": rules}]}
    return head + yaml.safe_dump(document, sort_keys=False, width=100)
