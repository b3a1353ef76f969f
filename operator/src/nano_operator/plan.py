"""What to do about a NanoCluster, given how the world looks.

:func:`make_plan` is pure: the same :class:`World` always gives the same actions, and
once they are carried out and the world has settled, the next plan has none.  It
reads no clock, no random numbers and no API server; :mod:`nano_operator.reconcile`
looks, calls it, and acts.

Rules that are decided here and nowhere else:

* What the resource cannot mean, or what the operator cannot do, stops everything
  before the first write: what runs is left as it is, and the status says why.
* An object of somebody else is never taken over.  An orphan of ours is.
* Children of a deleted cluster of the same name are removed by UID, not adopted.
* What is ours and no longer asked for is removed by UID.
* New pods come in steps, each waiting for the one before (:mod:`.rollout`).
* The number of gates is lowered in steps of its own (:mod:`.leaving`).
* A plan removes, or writes, or reports; after either of the first two, one plans
  again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final, cast

import msgspec

from nano_manifest import KIND, ManifestError, NanoCluster, from_object
from nano_manifest.sources import Sources, lacking
from nano_operator.conditions import Obstacle, Reason, Verdict
from nano_operator.drift import Applied, has_drifted, with_replicas
from nano_operator.events import Event, events_between
from nano_operator.figures import Figures
from nano_operator.leaving import Exit, Step, Way, way_out
from nano_operator.names import (
    AUTOSCALED,
    CLUSTER,
    MANAGED_BY,
    MANAGER,
    gate_name,
    secret_name,
)
from nano_operator.objects import Child, Kind, Meta, Object, Pod, Ref, ref_of
from nano_operator.resources import Context, children, missing_images
from nano_operator.resources.certificates import certificate_refs
from nano_operator.resources.pod import PodRole, autoscaling_of, deployment_name
from nano_operator.rollout import held_back, is_replaced, together, wanted_replicas
from nano_operator.securing import Certify, Secured, issued, own
from nano_operator.status import by_type, same_status, status_of

__all__ = [
    "Action",
    "Apply",
    "Certify",
    "Count",
    "Delete",
    "LetGo",
    "MakeSecret",
    "Mark",
    "Requeue",
    "Tell",
    "World",
    "WriteStatus",
    "certificate_terms",
    "expected",
    "left_over",
    "make_plan",
]

WAIT_SECONDS: Final = 2.0
"""When to look again at something that is about to vanish."""

SOURCE_SECONDS: Final = 10.0
"""When to look again at the ConfigMaps that components are taken from.

They are other people's objects without any label of ours: to be told of their changes
the operator would have to watch every ConfigMap there is.
"""


SOON_SECONDS: Final = 60.0
"""What is due later than this, the listing of all clusters comes by in time for."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Write a child as the operator wants it."""

    ref: Ref
    rendered: Object


@dataclass(frozen=True, slots=True)
class LetGo:
    """Leave the number of pods of a Deployment to others, who begin with *replicas*.

    Who stops mentioning a field that only he has set removes it, and Kubernetes would
    put its default in place: one pod.  So somebody else has to set it first.
    """

    ref: Ref
    replicas: int


@dataclass(frozen=True, slots=True)
class MakeSecret:
    """Create the Secret with a fresh token."""

    ref: Ref
    context: Context


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove exactly this object: another one of that name has another UID."""

    ref: Ref
    uid: str


@dataclass(frozen=True, slots=True)
class Count:
    """Ask the gates how many clients they have."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Close a gate's pod to new clients, because it has to leave; or open it again."""

    pod: Pod
    closed: bool


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write the resource's status."""

    status: Object


@dataclass(frozen=True, slots=True)
class Tell:
    """Add to the resource's history."""

    event: Event


@dataclass(frozen=True, slots=True)
class Requeue:
    """Look again after so many seconds."""

    seconds: float


Action = (
    Apply
    | LetGo
    | MakeSecret
    | Certify
    | Delete
    | Count
    | Mark
    | WriteStatus
    | Tell
    | Requeue
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that a plan is made from.

    Attributes:
        resource: The NanoCluster as the API server shows it.
        cluster: The same, checked; None if it is invalid.
        invalid: What is wrong with it; empty if it is valid.
        children: Every object that carries the cluster's labels, or one of the
            names in :func:`expected`.
        node_image: The operator's default image; may be empty.
        operator_namespace: Where the operator's own pods are; may be empty.
        sources: The ConfigMaps in :attr:`source_names` that are there.
        applied: What came back when children were last applied, as far as known.
        refused: What the API server said against children just now.
        let_go: Deployments whose number of pods was left to others just now.
        figures: What the nodes said last, if they were asked.
        gates: The gates that leave, or are chosen from.
        seen: What the nodes' certificates were when the operator began to count, and
            for how many seconds it has seen them so.
    """

    resource: Object
    cluster: NanoCluster | None
    invalid: str = ""
    children: Mapping[Ref, Child] = field(default_factory=dict)
    node_image: str = ""
    operator_namespace: str = ""
    sources: Sources = field(default_factory=dict)
    applied: Mapping[Ref, Applied] = field(default_factory=dict)
    refused: Mapping[Ref, str] = field(default_factory=dict)
    let_go: frozenset[Ref] = frozenset()
    figures: Figures | None = None
    gates: Exit = field(default_factory=Exit)
    seen: tuple[str, float] = ("", 0.0)

    @classmethod
    def of(
        cls,
        resource: Object,
        node_image: str = "",
        operator_namespace: str = "",
        applied: Mapping[Ref, Applied] | None = None,
    ) -> World:
        """Return a world in which nothing but *resource* has been seen yet."""
        cluster, invalid = None, ""
        try:
            cluster = from_object(resource)
        except ManifestError as error:
            invalid = "; ".join(": ".join(problem) for problem in error.problems)
        return cls(
            resource=resource,
            cluster=cluster,
            invalid=invalid,
            node_image=node_image,
            operator_namespace=operator_namespace,
            applied=applied or {},
        )

    @property
    def meta(self) -> Meta:
        """Metadata of the resource."""
        return msgspec.convert(self.resource["metadata"], Meta)

    @property
    def source_names(self) -> frozenset[str]:
        """The ConfigMaps that the resource takes components from."""
        backends = self.cluster.spec.backends if self.cluster else []
        return frozenset(it.source.config_map for it in backends if it.source)

    def context(self, cluster: NanoCluster) -> Context:
        """Return what the children of *cluster* are built from."""
        return Context(cluster, self.node_image, self.operator_namespace, self.sources)

    @property
    def status(self) -> Object:
        """The status that the resource has."""
        return cast("Object", self.resource.get("status") or {})


class _Claim(Enum):
    """Whose an object is that has the name of a child."""

    OURS = "ours"
    ORPHAN = "orphan"  # ours, and left behind without an owner
    LEAVING = "leaving"  # ours, and being deleted
    PREDECESSOR = "predecessor"  # of a deleted cluster of the same name
    FOREIGN = "foreign"


def expected(world: World) -> list[Ref]:
    """Return every child that the resource wants; nothing if it is invalid."""
    if world.cluster is None:
        return []
    context = world.context(world.cluster)
    return [
        *_secrets(context),
        *(ref_of(rendered) for rendered in children(context)),
    ]


def left_over(world: World) -> list[Ref]:
    """Return Secrets that were made for an earlier version of the resource."""
    if "certificates" not in world.status:
        return []
    return certificate_refs(world.meta.name)


def _secrets(context: Context) -> list[Ref]:
    """Return the Secrets that the resource wants."""
    return [Ref(Kind.SECRET, secret_name(context.name)), *_issues(context)]


def _issues(context: Context) -> list[Ref]:
    """Return those of them with certificates."""
    return certificate_refs(context.name) if issued(context) else []


def make_plan(world: World, now: datetime) -> tuple[Action, ...]:
    """Return what to do, in this order; nothing if all is well.

    *now* becomes the time of conditions that change.
    """
    if world.meta.deletion_timestamp:
        return ()  # the garbage collector follows the owner references
    if world.cluster is None:
        return _status(world, now, None, Obstacle(Reason.INVALID_SPEC, world.invalid))
    context = world.context(world.cluster)
    secured = _secured(world, context, now)
    obstacle = (
        _missing_image(context)
        or _missing_source(world.cluster, world.sources)
        or _taken_name(world, context)
    )
    if obstacle is not None:
        return (*_status(world, now, secured, obstacle), *_again(world))
    return _follow(world, context, secured, now)


def _again(world: World, *seconds: float) -> tuple[Requeue, ...]:
    """Return when to look again; at sources too, of whose changes nobody tells."""
    pauses = [*seconds, *([SOURCE_SECONDS] if world.source_names else [])]
    return (Requeue(min(pauses)),) if pauses else ()


def _follow(
    world: World, context: Context, secured: Secured | None, now: datetime
) -> tuple[Action, ...]:
    """Return what has to go, or else what has to be written, or else the report.

    One after the other: how a child is going is known only when the write has come
    back, and a write that changed nothing must not make a cluster look unready.
    """
    built = {ref_of(child): child for child in children(context)}
    rendered = together(context, built, world.children)
    wanted = {*rendered, *_secrets(context)}
    claims = {ref: _claim(world.meta, child) for ref, child in world.children.items()}
    leaving = {ref for ref in wanted if claims.get(ref) is _Claim.LEAVING}
    held = held_back(context, rendered, world.children, world.status)
    waits = leaving | set(world.refused) | held
    removals = _removals(world, wanted, claims)
    if removals:
        return tuple(removals)
    releases = _releases(world, context, waits)
    if releases:
        return tuple(releases)
    if secured is not None and waits.isdisjoint(certificate_refs(context.name)):
        orphans = frozenset(ref for ref in claims if claims[ref] is _Claim.ORPHAN)
        certificates = secured.writes(world.children, orphans)
        if certificates:  # first, for pods wait for them
            return tuple(certificates)
    gates = Ref(Kind.DEPLOYMENT, gate_name(context.name))
    way = None if gates in waits else _way_out(world, rendered[gates], now)
    marks = _marks(world, way)
    if marks:
        return marks
    if way is not None and "replicas" in cast("Object", rendered[gates]["spec"]):
        rendered[gates] = with_replicas(rendered[gates], way.replicas)
    writes = _writes(world, context, rendered, waits)
    if writes:
        return tuple(writes)
    pending = tuple(sorted(waits, key=str))
    # nobody tells that a Service has forgotten a pod
    soon = leaving or (way is not None and way.step in (Step.WAIT, Step.GOING))
    pauses = [WAIT_SECONDS] if soon else []
    if secured is not None and secured.decision.wake is not None:
        pauses += [secured.decision.wake] * (secured.decision.wake <= SOON_SECONDS)
    return (
        *_status(world, now, secured, _refusal(world), pending),
        *_again(world, *pauses),
    )


def _way_out(world: World, rendered: Object, now: datetime) -> Way | None:
    """Return how the number of gates is lowered, as far as there are gates."""
    observed = world.children.get(ref_of(rendered))
    if observed is None:
        return None
    deployment = observed.deployment()
    wanted = wanted_replicas(rendered, deployment)
    replaced = is_replaced(rendered, observed)
    return way_out(wanted, deployment, replaced, world.gates, now)


def _marks(world: World, way: Way | None) -> tuple[Action, ...]:
    """Return the gates to close or to open again; or that somebody has to count."""
    if way is None:
        return ()
    if way.close and not world.gates.counted:
        return (Count(),)
    return (
        *(Mark(pod, closed=True) for pod in way.close),
        *(Mark(pod, closed=False) for pod in way.reopen),
    )


def _secured(world: World, context: Context, now: datetime) -> Secured | None:
    """Return how certificates are that the operator issues; None if it does not."""
    wanted = issued(context)
    if wanted is None:
        return None
    ours = frozenset(
        ref
        for ref, child in world.children.items()
        if _claim(world.meta, child) in (_Claim.OURS, _Claim.ORPHAN)
    )
    return Secured.of(context, wanted, world.children, ours, world.seen, now)


def certificate_terms(
    world: World, now: datetime
) -> Mapping[str, tuple[datetime, datetime]]:
    """Return from when to when the certificates hold that were issued, by whose."""
    if world.cluster is None:
        return {}
    context = world.context(world.cluster)
    secured = _secured(world, context, now)
    if secured is None:
        return {}
    spans = secured.kept.expiries(secured.situation)
    return {whose: (span.begins, span.ends) for whose, span in spans.items()}


def _removals(
    world: World, wanted: set[Ref], claims: Mapping[Ref, _Claim]
) -> list[Delete]:
    """Return what has to go: leftovers of ours, and what stands in a child's place.

    Certificates go last: pods that are yet to be replaced could not start anew.
    """
    kept = set() if _was_ready(world) else set(certificate_refs(world.meta.name))
    return [
        Delete(ref, world.children[ref].meta.uid)
        for ref, claim in sorted(claims.items(), key=str)
        if (claim is _Claim.PREDECESSOR and ref in wanted)
        or (claim is _Claim.OURS and ref not in wanted | kept)
    ]


def _was_ready(world: World) -> bool:
    """Whether every node was seen to run as the present generation asks."""
    ready = by_type(world.status).get("Ready", {})
    return (
        ready.get("status") == "True"
        and ready.get("observedGeneration") == world.meta.generation
    )


def _releases(world: World, context: Context, waits: set[Ref]) -> list[LetGo]:
    """Return the numbers of pods to let go: chosen by the operator until now.

    The annotation says whether they were; it comes with the write that follows.
    """
    found: list[LetGo] = []
    for pod in PodRole.all_of(context.cluster):
        ref = Ref(Kind.DEPLOYMENT, deployment_name(context, pod))
        observed, scaling = world.children.get(ref), autoscaling_of(pod)
        if scaling is None or observed is None or ref in waits | world.let_go:
            continue
        if AUTOSCALED not in observed.meta.annotations:
            # none at all would switch the autoscaler off
            now = observed.deployment().spec.replicas
            begin = min(max(now, scaling.min_replicas), scaling.max_replicas)
            found.append(LetGo(ref, begin))
    return found


def _writes(
    world: World, context: Context, rendered: Mapping[Ref, Object], waits: set[Ref]
) -> list[Apply | MakeSecret]:
    """Return the children to write: absent, or not what they should be."""
    writes: list[Apply | MakeSecret] = []
    secret = Ref(Kind.SECRET, secret_name(context.name))
    if secret not in world.children and secret not in waits:
        writes.append(MakeSecret(secret, context))
    for ref, child in rendered.items():
        observed = world.children.get(ref)
        if ref in waits:
            continue
        if observed is None or has_drifted(child, observed, world.applied.get(ref)):
            writes.append(Apply(ref, child))
    return writes


def _claim(owner: Meta, child: Child) -> _Claim:
    controller = child.meta.controller
    labels = child.meta.labels
    if controller is None:
        labelled = labels.get(MANAGED_BY) == MANAGER
        orphan = labelled and labels.get(CLUSTER) == owner.name
        claim = _Claim.ORPHAN if orphan else _Claim.FOREIGN
    elif controller.uid == owner.uid:
        claim = _Claim.OURS
    elif controller.kind == KIND and controller.name == owner.name:
        claim = _Claim.PREDECESSOR
    else:
        claim = _Claim.FOREIGN
    if claim is not _Claim.FOREIGN and child.meta.deletion_timestamp:
        return _Claim.LEAVING
    return claim


def _missing_image(context: Context) -> Obstacle | None:
    roles = missing_images(context)
    if not roles:
        return None
    said = (
        f"no image for {', '.join(roles)}: set spec.image, or the role's image, "
        "or start the operator with --node-image"
    )
    return Obstacle(Reason.IMAGE_MISSING, said)


def _missing_source(cluster: NanoCluster, sources: Sources) -> Obstacle | None:
    """Say which ConfigMaps lack components, before a pod would look for them."""
    said = [
        f"spec.backends[{index}].source.configMap: {lack}"
        for index, kind in enumerate(cluster.spec.backends)
        if (lack := lacking(kind, sources)) is not None
    ]
    return Obstacle(Reason.SOURCE_MISSING, "; ".join(said)) if said else None


def _taken_name(world: World, context: Context) -> Obstacle | None:
    """Say which names are taken; a Secret that somebody else made is welcome."""
    taken = [
        str(ref)
        for ref in (*_issues(context), *(ref_of(child) for child in children(context)))
        if ref in world.children
        and _claim(world.meta, world.children[ref]) is _Claim.FOREIGN
    ]
    if not taken:
        return None
    said = (
        f"{', '.join(taken)} exists and does not belong to this cluster: remove it, "
        "or give the cluster another name"
    )
    return Obstacle(Reason.NAME_TAKEN, said)


def _refusal(world: World) -> Obstacle | None:
    if not world.refused:
        return None
    said = "; ".join(f"{ref}: {why}" for ref, why in world.refused.items())
    return Obstacle(Reason.CHILD_REFUSED, said)


def _encryption(world: World, secured: Secured | None) -> tuple[Verdict, Object | None]:
    """Return how the cluster port is secured, and what is told of certificates."""
    before = cast("Object | None", world.status.get("certificates"))
    if world.cluster is None:
        return Verdict(False, Reason.INVALID_SPEC, world.invalid), before
    if secured is not None:
        return secured.verdict, secured.status or before
    remain = any(ref in world.children for ref in certificate_refs(world.meta.name))
    return own(world.cluster.spec.cluster_tls), before if remain else None


def _status(
    world: World,
    now: datetime,
    secured: Secured | None,
    obstacle: Obstacle | None,
    pending: tuple[Ref, ...] = (),
) -> tuple[Action, ...]:
    encryption, certificates = _encryption(world, secured)
    wanted = status_of(
        world.meta,
        world.cluster,
        world.children,
        world.status,
        now,
        obstacle=obstacle,
        pending=pending,
        figures=world.figures,
        closed={pod.metadata.name: pod.title for pod in world.gates.closed},
        encryption=encryption,
        certificates=certificates,
    )
    if same_status(wanted, world.status):
        return ()
    events = events_between(world.status, wanted)
    return (WriteStatus(wanted), *(Tell(event) for event in events))
