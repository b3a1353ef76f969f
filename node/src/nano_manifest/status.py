"""The status of a NanoCluster, as its schema: what the operator may say of it.

Nothing here is read or built by the node.  The operator writes plain objects;
these types only give the CRD its schema, in the same way as the spec.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from nano_manifest._base import MAX_ITEMS, Object
from nano_manifest.model import MAX_BACKENDS

__all__ = [
    "BackendStatus",
    "CertificatesStatus",
    "Condition",
    "Drain",
    "Endpoint",
    "GatesStatus",
    "Route",
    "Status",
]


class Condition(Object, frozen=True, kw_only=True):
    """One thing that is so, is not so, or is not known."""

    type: Annotated[
        str, Meta(max_length=316, description="What it is about, as Ready.")
    ]
    status: Annotated[
        Literal["True", "False", "Unknown"], Meta(description="Whether it is so.")
    ]
    observed_generation: Annotated[
        int, Meta(ge=0, description="The generation of the spec that was looked at.")
    ] = 0
    last_transition_time: Annotated[
        str,
        Meta(
            max_length=64,
            description="When status changed last.",
            extra_json_schema={"format": "date-time"},
        ),
    ]
    reason: Annotated[
        str,
        Meta(min_length=1, max_length=1024, description="Why, in one word."),
    ]
    message: Annotated[
        str, Meta(max_length=32_768, description="Why, in a sentence.")
    ] = ""


class GatesStatus(Object, frozen=True, kw_only=True):
    """The gates as they are."""

    replicas: Annotated[int, Meta(ge=0, description="Pods that there are.")] = 0
    ready_replicas: Annotated[int, Meta(ge=0, description="Pods that are ready.")] = 0
    selector: Annotated[
        str, Meta(max_length=512, description="Label selector of the gates' pods.")
    ] = ""
    connections: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(
            description="Clients of the gates that answered, within a twentieth; "
            "absent as long as none has.",
        ),
    ] = None
    silent: Annotated[
        list[Annotated[str, Meta(max_length=253)]],
        Meta(
            max_length=MAX_ITEMS,
            description="Pods of running gates that did not answer: their clients are "
            "not counted.",
        ),
    ] = field(default_factory=list)


class BackendStatus(Object, frozen=True, kw_only=True):
    """One kind of backend as it is."""

    name: Annotated[str, Meta(max_length=63, description="Name of the backend.")]
    replicas: Annotated[int, Meta(ge=0, description="Pods that there are.")] = 0
    ready_replicas: Annotated[int, Meta(ge=0, description="Pods that are ready.")] = 0


class Route(Object, frozen=True, kw_only=True):
    """A service that clients and nodes reach."""

    service: Annotated[str, Meta(max_length=512, description="Name of the service.")]
    members: Annotated[
        int, Meta(ge=0, description="Members that serve it and do not drain.")
    ] = 0


class Drain(Object, frozen=True, kw_only=True):
    """A node that is about to leave."""

    pod: Annotated[str, Meta(max_length=253, description="Name of its pod.")]
    role: Annotated[
        str, Meta(max_length=63, description="master, gate, or the backend's name.")
    ] = ""


class Endpoint(Object, frozen=True, kw_only=True):
    """Where clients reach one listener."""

    name: Annotated[str, Meta(max_length=63, description="Name of the listener.")]
    url: Annotated[str, Meta(max_length=512, description="Address for clients.")]


class CertificatesStatus(Object, frozen=True, kw_only=True):
    """The certificates that the operator has issued."""

    phase: Annotated[
        str,
        Meta(
            max_length=63,
            description="Steady; or how far a new authority is: Spreading while nodes "
            "learn to believe it, Signing while certificates are replaced by its own.",
        ),
    ] = ""
    expires: Annotated[
        str,
        Meta(
            max_length=64,
            description="When the first of the nodes' certificates ends.",
            extra_json_schema={"format": "date-time"},
        ),
    ]
    authority_expires: Annotated[
        str,
        Meta(
            max_length=64,
            description="When the authority ends.",
            extra_json_schema={"format": "date-time"},
        ),
    ]


class Status(Object, frozen=True, kw_only=True):
    """The cluster as it is; written by the operator."""

    observed_generation: Annotated[
        int, Meta(ge=0, description="The generation of the spec that was acted upon.")
    ] = 0
    conditions: Annotated[
        list[Condition],
        Meta(
            max_length=16,
            description="What is so; wait for Ready.",
            extra={"key": "type"},
        ),
    ] = field(default_factory=list)
    step: Annotated[
        str,
        Meta(
            max_length=63,
            description="Which nodes have their turn in a rollout: master, backends or "
            "gates; empty when all are done.",
        ),
    ] = ""
    gates: Annotated[GatesStatus, Meta(description="The gates as they are.")] = (
        GatesStatus()
    )
    backends: Annotated[
        list[BackendStatus],
        Meta(
            max_length=MAX_BACKENDS,
            description="The backends as they are.",
            extra={"key": "name"},
        ),
    ] = field(default_factory=list)
    routes: Annotated[
        list[Route],
        Meta(
            max_length=MAX_ITEMS,
            description="The services that there are, by name.",
            extra={"key": "service"},
        ),
    ] = field(default_factory=list)
    drains: Annotated[
        list[Drain],
        Meta(
            max_length=MAX_ITEMS,
            description="The nodes that drain, or are about to.",
            extra={"key": "pod"},
        ),
    ] = field(default_factory=list)
    endpoints: Annotated[
        list[Endpoint],
        Meta(
            max_length=MAX_ITEMS,
            description="Where clients connect.",
            extra={"key": "name"},
        ),
    ] = field(default_factory=list)
    certificates: Annotated[
        CertificatesStatus | None,
        Meta(description="The certificates that the operator has issued, if any."),
    ] = None
