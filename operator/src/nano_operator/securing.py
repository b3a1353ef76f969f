"""How the cluster port of a cluster is secured, and what is to be done about it.

Pure.  Joins the table of :mod:`nano_operator.certificates` with the Secrets that the
API server shows; :mod:`nano_operator.plan` asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from nano_manifest import ClusterTls, IssuedTls
from nano_operator.certificates.keeping import Kept
from nano_operator.certificates.machine import (
    Decision,
    Owner,
    Phase,
    Situation,
    Step,
    Terms,
    decide,
)
from nano_operator.conditions import Reason, Verdict
from nano_operator.conditions.view import PLAIN
from nano_operator.names import ROTATE
from nano_operator.objects import Child, Object, Ref
from nano_operator.resources import Context
from nano_operator.resources.certificates import (
    certificate_refs,
    certificate_secret,
    certificates_status,
    kept,
    secret_ref,
)

__all__ = [
    "Certify",
    "Secured",
    "certified",
    "issued",
    "own",
    "ref_of_step",
    "terms_of",
]

SAID: Final = {
    Phase.STEADY: (Reason.CERTIFICATES_ISSUED, "certificates"),
    Phase.SPREADING: (
        Reason.ROTATING_AUTHORITY,
        "nodes learn to believe a new authority; certificates",
    ),
    Phase.SIGNING: (
        Reason.ROTATING_AUTHORITY,
        "nodes take up certificates of the new authority;",
    ),
}


@dataclass(frozen=True, slots=True)
class Certify:
    """Write a Secret with certificates.

    Attributes:
        ref: Which one.
        step: What to do about it; ``None``: write it as it is, with its owner.
        context: Of the cluster.
        kept: What the Secrets hold.
        version: The one that was read; empty where there is none. Whoever wrote
            meanwhile is not overwritten.
    """

    ref: Ref
    step: Step | None
    context: Context
    kept: Kept
    version: str


def issued(context: Context) -> IssuedTls | None:
    """Return how the operator issues certificates; ``None`` if it does not."""
    tls = context.cluster.spec.cluster_tls
    return tls.issued if tls is not None else None


def terms_of(wanted: IssuedTls) -> Terms:
    """Return for how long things last."""
    return Terms(
        certificate=timedelta(days=wanted.certificate_days),
        authority=timedelta(days=wanted.authority_days),
        settle=float(wanted.settle_seconds),
    )


def ref_of_step(cluster: str, step: Step) -> Ref:
    """Return the Secret that *step* is about."""
    return secret_ref(cluster, step.owner)


@dataclass(frozen=True, slots=True)
class Secured:
    """The certificates of a cluster whose operator issues them.

    Attributes:
        context: Of the cluster.
        kept: What the Secrets hold.
        situation: The same, read.
        decision: What to do now.
    """

    context: Context
    kept: Kept
    situation: Situation
    decision: Decision

    @classmethod
    def of(
        cls,
        context: Context,
        wanted: IssuedTls,
        children: Mapping[Ref, Child],
        ours: frozenset[Ref],
        seen: tuple[str, float],
        now: datetime,
    ) -> Secured:
        """Look at the Secrets.

        Args:
            context: Of the cluster.
            wanted: What the manifest says.
            children: As the API server shows them.
            ours: Which of them are the operator's.
            seen: What the nodes' Secrets held when the operator began to count, and
                for how many seconds they have done so.
            now: The time.
        """
        held = kept(context.namespace, context.name, children, ours)
        settled = seen[1] if held.seen and held.seen == seen[0] else 0.0
        wish = context.cluster.metadata.annotations.get(ROTATE, "")
        situation = held.situation(terms_of(wanted), now, settled, wish)
        return cls(context, held, situation, decide(situation))

    def writes(
        self, children: Mapping[Ref, Child], orphans: frozenset[Ref]
    ) -> list[Certify]:
        """Return the Secrets to write now.

        Args:
            children: As the API server shows them.
            orphans: Those that have lost their owner.
        """
        steps: dict[Ref, Step | None] = {
            ref: None for ref in certificate_refs(self.context.name) if ref in orphans
        }
        for step in self.decision.steps:
            steps[ref_of_step(self.context.name, step)] = step
        return [
            Certify(
                ref,
                step,
                self.context,
                self.kept,
                children[ref].meta.resource_version if ref in children else "",
            )
            for ref, step in steps.items()
        ]

    @property
    def status(self) -> Object | None:
        """What the status says of them; ``None`` while some are missing."""
        return certificates_status(self.situation)

    @property
    def verdict(self) -> Verdict:
        """Whether the cluster port is encrypted."""
        told = self.status
        if told is None:
            lacking = [it.value for it in Owner if self.situation.lacks(it)]
            message = f"no valid certificate for {' and '.join(lacking) or 'nodes'}"
            return Verdict(False, Reason.CERTIFICATES_MISSING, message)
        reason, words = SAID[self.situation.store.phase]
        until = f"until {told['expires']}, authority until {told['authorityExpires']}"
        return Verdict(True, reason, f"{words} {until}")


def certified(action: Certify, now: datetime) -> Object:
    """Return the Secret that *action* asks for; makes keys where it needs them."""
    context, step = action.context, action.step
    wanted = issued(context)
    assert wanted is not None
    if step is None:
        owner = next(
            owner
            for owner in (None, *Owner)
            if secret_ref(context.name, owner) == action.ref
        )
        data = action.kept.leaves[owner] if owner else action.kept.authority
        return certificate_secret(context, owner, data, action.kept.answered)
    wish = context.cluster.metadata.annotations.get(ROTATE, "")
    data = action.kept.after(step, terms_of(wanted), now)
    answered = action.kept.answers(step, wish)
    return certificate_secret(context, step.owner, data, answered)


def own(tls: ClusterTls | None) -> Verdict:
    """Say how the cluster port is secured where the operator issues nothing."""
    if tls is None:
        return PLAIN
    where = f"the Secret {tls.secret_name}" if tls.secret_name else tls.cert_file
    message = f"certificates of {where}, which the operator does not touch"
    return Verdict(True, Reason.OWN_CERTIFICATES, message)
