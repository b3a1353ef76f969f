"""What a cluster's history says, for ``kubectl describe``.

An event tells that a status has become another one.  It is made only where a status
is written, so a cluster to which nothing happens has no events, however often it is
looked at and by how many operators in turn.  Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from nano_operator.conditions import Reason
from nano_operator.names import MANAGER
from nano_operator.objects import Meta, Object, Resource
from nano_operator.status import by_type

__all__ = ["EVENTS", "Event", "event_object", "events_between"]

EVENTS: Final = Resource("", "v1", "events")

ISSUING: Final = tuple(
    reason.word
    for reason in (
        Reason.CERTIFICATES_ISSUED,
        Reason.ROTATING_AUTHORITY,
        Reason.CERTIFICATES_MISSING,
    )
)

MESSAGE_LENGTH: Final = 1024  # Kubernetes refuses a longer one


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a cluster.

    Attributes:
        kind: ``Normal`` or ``Warning``.
        reason: One of the reasons of the conditions.
        message: What happened, in a sentence.
    """

    kind: str
    reason: str
    message: str


def events_between(previous: Object, status: Object) -> list[Event]:
    """Return what happened when *previous* became *status*; often nothing."""
    before, now = by_type(previous), by_type(status)
    found = [*_availability(before.get("Available"), now["Available"])]
    if status["step"] and status["step"] != previous.get("step"):
        found += _progress(now["Progressing"])
    found += _readiness(before.get("Ready", {}), now["Ready"])
    found += _encryption(before.get("Encrypted", {}), now["Encrypted"])
    return found


def event_object(
    event: Event, cluster: Meta, resource: Object, unique: str, now: datetime
) -> Object:
    """Return *event* as Kubernetes keeps it.

    Args:
        event: What happened.
        cluster: To whom.
        resource: The same, as the API server shows it.
        unique: What no other event's name ends with.
        now: When.
    """
    time = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{cluster.name}.{unique}",
            "namespace": cluster.namespace,
        },
        "involvedObject": {
            "apiVersion": resource["apiVersion"],
            "kind": resource["kind"],
            "name": cluster.name,
            "namespace": cluster.namespace,
            "uid": cluster.uid,
        },
        "type": event.kind,
        "reason": event.reason,
        "message": event.message[:MESSAGE_LENGTH],
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": "",
    }


def _availability(before: Object | None, now: Object) -> list[Event]:
    if before is None or before["status"] == now["status"]:
        return []
    kind = "Normal" if now["status"] == "True" else "Warning"
    return [_event(kind, now)]


def _progress(now: Object) -> list[Event]:
    return [_event("Normal", now)] if now["status"] == "True" else []


def _readiness(before: Object, now: Object) -> list[Event]:
    if now["status"] == "True":
        return [] if before.get("status") == "True" else [_event("Normal", now)]
    if now["reason"] == Reason.ROLLING_OUT.word:
        return []  # the steps tell
    told = ("reason", "message")
    if all(before.get(key) == now[key] for key in told):
        return []
    return [_event("Warning", now)]


def _encryption(before: Object, now: Object) -> list[Event]:
    """Tell of certificates that the operator has issued, and of those it could not."""
    told = ("reason", "message")
    if now["reason"] not in ISSUING or all(before.get(key) == now[key] for key in told):
        return []
    return [_event("Normal" if now["status"] == "True" else "Warning", now)]


def _event(kind: str, condition: Object) -> Event:
    return Event(kind, str(condition["reason"]), str(condition["message"]))
