"""The words in which a cluster talks about who belongs to it.

Two machines follow the membership: :class:`~nano.cluster.registrar.Registrar`
keeps the list on the master, :class:`~nano.cluster.roster.Roster` follows it on
every other node.  Both are fed *events* with the time and give *actions* back;
neither knows sockets, tasks or clocks, so a story of a cluster is a list of lines
(``tests/cluster/stories``).  :mod:`nano.cluster.server` turns calls into events
and actions into calls.

Why it cannot wedge, as nano can: each receiver is told on its own, nobody waits for
anybody, and the list is numbered.  A life of the master is an *epoch*; each change
adds one to the *version*.  A roster is always exactly the list of one version: it
takes the announcement of the next one, forgets older ones and asks, with a
heartbeat, when one is missing.  Go nodes know no versions; the registrar remembers
what each of them was told and goes on until that equals the list.

The machines may change their mind about times, never about these rules; the
constants are here because both sides and the documentation use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from nano.cluster.members import Member

__all__ = [
    "CARRY",
    "GO_INTERVAL",
    "SILENCE",
    "Action",
    "Announce",
    "DelMember",
    "Delivered",
    "Heartbeat",
    "HeartbeatAnswered",
    "HeartbeatFailed",
    "Leaving",
    "Listing",
    "MasterCut",
    "MemberAdded",
    "MemberChanged",
    "MemberRemoved",
    "NewMember",
    "Refused",
    "Register",
    "RegisterFailed",
    "Registered",
    "Registering",
    "RegistrarEvent",
    "RosterEvent",
    "SelfChanged",
    "SendHeartbeat",
    "Undelivered",
    "Unregister",
    "Unregistering",
]

SILENCE: Final = 4.0
"""Intervals without a heartbeat after which a member is dead, as in nano."""

CARRY: Final = 2.0
"""Intervals that a member gets to show itself to a master that came back."""

GO_INTERVAL: Final = 30.0
"""Seconds between heartbeats of a member that does not say: nano's default."""


@dataclass(frozen=True, slots=True)
class NewMember:
    """*member* belongs to the list of this version, in place of its namesake.

    Sent by the registrar and fed to rosters.  Epoch and version are 0 from a Go
    master.
    """

    member: Member
    epoch: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class DelMember:
    """Nobody at *address* belongs to the list of this version."""

    address: str
    epoch: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Registering:
    """To the registrar: a node asks to be a member."""

    member: Member


@dataclass(frozen=True, slots=True)
class Unregistering:
    """To the registrar: a member leaves; incarnation 0: a Go node."""

    address: str
    incarnation: int = 0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """To the registrar: a member lives, and holds this list."""

    member: Member
    epoch: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Delivered:
    """To the registrar: the announcement to this receiver arrived."""

    to: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Undelivered:
    """To the registrar: it did not, or nobody knows; refused: nobody listens."""

    to: str
    incarnation: int
    refused: bool = False


@dataclass(frozen=True, slots=True)
class SelfChanged:
    """To either machine: this node has something new to say about itself."""

    member: Member


@dataclass(frozen=True, slots=True)
class Registered:
    """To a roster: the master took us in; its list may leave us out."""

    members: tuple[Member, ...]
    epoch: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class RegisterFailed:
    """To a roster: the master could not be reached, or refused."""


@dataclass(frozen=True, slots=True)
class HeartbeatAnswered:
    """To a roster: the master lives; the list only if ours is another one."""

    epoch: int = 0
    version: int = 0
    members: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class HeartbeatFailed:
    """To a roster: the master did not answer; refused: nobody listens there."""

    refused: bool = False


@dataclass(frozen=True, slots=True)
class MasterCut:
    """To a roster: the connection to the master has ended, whoever ended it."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """To a roster: this node stops."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The registrar's answer to who registers or beats; empty: you hold it."""

    epoch: int
    version: int
    members: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The registrar's other answer, in nano's words."""

    reason: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell a member of a change, and feed back how that went."""

    to: str
    incarnation: int
    change: NewMember | DelMember


@dataclass(frozen=True, slots=True)
class Register:
    """Ask the master to take us in, and feed back how that went."""


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    """Tell the master that we live and what we hold; feed back how that went."""

    epoch: int
    version: int


@dataclass(frozen=True, slots=True)
class Unregister:
    """Tell the master that we leave; nothing depends on its answer."""


@dataclass(frozen=True, slots=True)
class MemberAdded:
    """For the node: there is somebody new."""

    member: Member


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    """For the node: this life is over, whatever comes at the same address."""

    member: Member


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """For the node: the same life says something else about itself."""

    before: Member
    after: Member


RegistrarEvent: TypeAlias = (
    Registering | Unregistering | Heartbeat | Delivered | Undelivered | SelfChanged
)

RosterEvent: TypeAlias = (
    Registered
    | RegisterFailed
    | HeartbeatAnswered
    | HeartbeatFailed
    | MasterCut
    | NewMember
    | DelMember
    | SelfChanged
    | Leaving
)

Action: TypeAlias = (
    Listing
    | Refused
    | Announce
    | Register
    | SendHeartbeat
    | Unregister
    | MemberAdded
    | MemberRemoved
    | MemberChanged
)
