"""What the conditions judge: how far each role is, and what stands in the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nano_operator.conditions.reasons import Reason
from nano_operator.objects import Deployment

__all__ = ["PLAIN", "Obstacle", "RoleState", "Verdict", "View"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one condition says: true or not, why, and in words."""

    holds: bool
    reason: Reason
    message: str


PLAIN: Final = Verdict(
    False,
    Reason.PLAIN_CLUSTER_PORT,
    "spec.clusterTls is absent: the cluster port is plain",
)
"""The cluster port of a resource that says nothing of it."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why nothing, or not all, can be done about the present resource."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleState:
    """How far the Deployment of one role is.

    Attributes:
        title: How messages call the role, as in ``backend room``.
        desired: Nodes that are wanted.
        current: Whether the Deployment is as the resource asks, and Kubernetes has
            seen it so; while it is not, the numbers speak of the past.
        replicas: Nodes there are, of any revision.
        updated: Those of the newest revision.
        ready: Those that are ready.
        available: Those that are ready for long enough.
        failure: What Kubernetes says is wrong; nothing if all goes well.
    """

    title: str
    desired: int
    current: bool = False
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    failure: Obstacle | None = None

    @classmethod
    def of(
        cls, title: str, desired: int, deployment: Deployment | None, pending: bool
    ) -> RoleState:
        """Read it from the *deployment*, which may be missing.

        *pending* says that it is yet to be written as the resource asks.
        """
        if deployment is None:
            return cls(title=title, desired=desired)
        status = deployment.status
        seen = status.observed_generation >= deployment.metadata.generation
        return cls(
            title=title,
            desired=desired,
            current=seen and not pending,
            replicas=status.replicas,
            updated=status.updated_replicas,
            ready=status.ready_replicas,
            available=status.available_replicas,
            failure=_failure(deployment) if seen else None,
        )

    @property
    def complete(self) -> bool:
        """Whether exactly the wanted nodes are there, new and ready."""
        counts = {self.replicas, self.updated, self.ready, self.available}
        return self.current and counts == {self.desired}

    def __str__(self) -> str:
        return f"{self.title} {min(self.ready, self.updated)}/{self.desired}"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """All that the conditions know.

    Attributes:
        master: The master.
        gates: The gates.
        backends: Each kind of backend.
        obstacle: Why the resource cannot be followed, if it cannot.
        pending: Children, Deployments apart, that are yet to be written.
        encryption: How the cluster port is secured.
    """

    master: RoleState
    gates: RoleState
    backends: tuple[RoleState, ...] = ()
    obstacle: Obstacle | None = None
    pending: tuple[str, ...] = ()
    encryption: Verdict = PLAIN

    @property
    def roles(self) -> tuple[RoleState, ...]:
        """Every role, in the order of messages."""
        return (self.master, self.gates, *self.backends)

    @property
    def step(self) -> str:
        """Which nodes have their turn: master, backends or gates; empty if all is done.

        In the order in which :mod:`nano_operator.rollout` lets them be replaced.
        """
        steps = (
            ("master", (self.master,)),
            ("backends", self.backends),
            ("gates", (self.gates,)),
        )
        return next(
            (name for name, roles in steps if not all(it.complete for it in roles)), ""
        )

    @property
    def failure(self) -> Obstacle | None:
        """What stands in the way: the resource itself, or else a role's pods."""
        failures = (role.failure for role in self.roles)
        return self.obstacle or next(filter(None, failures), None)

    @property
    def complete(self) -> bool:
        """Whether all is as the resource asks."""
        return not self.pending and all(role.complete for role in self.roles)

    @property
    def lacking(self) -> str:
        """What is not complete yet, in words."""
        roles = [str(role) for role in self.roles if not role.complete]
        return ", ".join([*roles, *self.pending])


def _failure(deployment: Deployment) -> Obstacle | None:
    """Return what the Deployment's own conditions complain about."""
    name = deployment.metadata.name
    for condition in deployment.status.conditions:
        said = f"Deployment {name}: {condition.message}"
        if condition.type == "ReplicaFailure" and condition.status == "True":
            return Obstacle(Reason.PODS_REFUSED, said)
    for condition in deployment.status.conditions:
        said = f"Deployment {name}: {condition.message}"
        if condition.reason == "ProgressDeadlineExceeded":
            return Obstacle(Reason.PROGRESS_DEADLINE_EXCEEDED, said)
    return None
