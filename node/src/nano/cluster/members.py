"""What a node says about itself, and how that travels.

A :class:`Member` is a value: the same for the node that it describes, for the
master that lists it and for everyone who is told of it.  This module turns it into
nano's ``MemberInfo`` and back and knows nothing of lists, time or calls.

Go nano nodes say only their address, label and services.  Every other field then
has the default given here, and what a Go node sent is passed on as it came.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from nano.cluster.pb import cluster_pb2 as pb

__all__ = [
    "MASTER",
    "Member",
    "MemberState",
    "from_info",
    "from_list",
    "new_incarnation",
    "to_info",
]

MASTER: Final = "master"
"""The role of the node that keeps the list."""


class MemberState(Enum):
    """Whether a member takes new work; the values are those of the wire."""

    ACTIVE = 0
    DRAINING = 1  # finishes what it has; is given nothing new


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One life of one node, as the others see it.

    Attributes:
        address: ``host:port`` of its cluster port; bound, advertised, its name.
        label: A name for people; Go nodes set it with ``WithLabel``.
        services: The services that its components offer.
        role: ``master``, ``gate`` or ``backend``; empty: a Go node, which is silent
            about it.
        kind: The entry of ``spec.backends`` that it runs, for backends.
        incarnation: Tells this process from others at the same address.  0: a Go
            node of which nobody knows when it started.
        state: Whether it takes new work.
        link: It serves the link stream.
        revision: What is rolled out there.
        version: The version of nanocluster that it runs.
        client_addresses: Where clients reach its listeners, as URLs.
        heartbeat: Seconds between its heartbeats; 0: it did not say.
        app_version: The version of the application that it runs, if it says so.
    """

    address: str
    label: str = ""
    services: tuple[str, ...] = ()
    role: str = ""
    kind: str = ""
    incarnation: int = 0
    state: MemberState = MemberState.ACTIVE
    link: bool = False
    revision: str = ""
    version: str = ""
    client_addresses: tuple[str, ...] = ()
    heartbeat: float = 0.0
    app_version: str = ""

    @property
    def is_master(self) -> bool:
        """It keeps the member list."""
        return self.role == MASTER

    @property
    def is_go(self) -> bool:
        """It is a Go nano node; of a Go master, which is known as such, only that."""
        return not self.role or (self.is_master and not self.incarnation)


def new_incarnation() -> int:
    """A number for one life of a process: random, never 0, and fit for the wire."""
    return secrets.randbits(63) + 1


def to_info(member: Member) -> pb.MemberInfo:
    """Say *member* in nano's words, ours beside them."""
    return pb.MemberInfo(
        label=member.label,
        serviceAddr=member.address,
        services=member.services,
        incarnation=member.incarnation,
        state=pb.MemberInfo.State.Value(member.state.name),
        link=member.link,
        revision=member.revision,
        clientAddrs=member.client_addresses,
        role=member.role,
        kind=member.kind,
        version=member.version,
        heartbeatMillis=round(member.heartbeat * 1000),
        appVersion=member.app_version,
    )


def from_info(info: pb.MemberInfo) -> Member:
    """Read what a node, perhaps a newer one or a Go node, says about a member."""
    return Member(
        address=info.serviceAddr,
        label=info.label,
        services=tuple(info.services),
        role=info.role,
        kind=info.kind,
        incarnation=info.incarnation,
        state=_state(info.state),
        link=info.link,
        revision=info.revision,
        version=info.version,
        client_addresses=tuple(info.clientAddrs),
        heartbeat=info.heartbeatMillis / 1000,
        app_version=info.appVersion,
    )


def from_list(infos: Iterable[pb.MemberInfo]) -> tuple[Member, ...]:
    """Read a master's list, in which a Go master is the first and does not say so."""
    members = tuple(from_info(info) for info in infos)
    if members and not any(member.is_master for member in members):
        members = (dataclasses.replace(members[0], role=MASTER), *members[1:])
    return members


def _state(value: int) -> MemberState:
    """A state that we do not know yet says nothing against sending it work."""
    try:
        return MemberState(value)
    except ValueError:
        return MemberState.ACTIVE
