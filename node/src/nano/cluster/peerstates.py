"""Where a node stands with each of its peers: linked, suspect, apart, gone.

One :class:`Life` is one life of a peer, known by its address and its incarnation: the
next process at the same address is somebody else, whoever told us first.  A life
begins with its first link and is over when it is *gone*; what was kept for it (mirrors,
bindings, memberships) is freed then, once, and not before.

Pure: no clocks, no tasks, no logging.  :mod:`nano.cluster.links` feeds it, and tells
who keeps something for a peer when that is gone.

=========  ===========================================================================
linked     Messages flow.
suspect    Linked, but silent for :data:`SUSPICION`: nobody new is bound to it.
unlisted   Linked and healthy, but the master does not list it any more.  The master
           may be wrong, so the link stays; nothing is kept once that ends.
unlinked   The link has ended; what was kept waits for the next one, for the grace.
gone       It has left, was replaced by another life, was dropped by the master while
           it was silent or apart, or its grace is over.
=========  ===========================================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

__all__ = [
    "GRACE",
    "SUSPICION",
    "TRANSITIONS",
    "Life",
    "Lives",
    "PeerEvent",
    "PeerState",
]

SUSPICION: Final = 2.0
"""Seconds without a word after which a peer is suspect."""

GRACE: Final = 10.0
"""Seconds that what belongs to a peer waits for its next link, unless set."""


class PeerState(Enum):
    """Where we stand with one life of a peer."""

    LINKED = "linked"
    SUSPECT = "suspect"
    UNLISTED = "unlisted"
    UNLINKED = "unlinked"
    GONE = "gone"


class PeerEvent(Enum):
    """What happens to a life."""

    LINK_UP = "link up"
    LINK_DOWN = "link down"
    SILENT = "silent"
    HEARD = "heard"
    LISTED = "listed"  # the master names this very life
    DROPPED = "dropped"  # ... or says that it is no member any more
    LEFT = "left"  # it said that it is leaving
    REPLACED = "replaced"  # another life has appeared at its address
    EXPIRED = "expired"  # its grace is over


TRANSITIONS: Final[Mapping[tuple[PeerState, PeerEvent], PeerState]] = MappingProxyType(
    {
        (PeerState.LINKED, PeerEvent.LINK_DOWN): PeerState.UNLINKED,
        (PeerState.LINKED, PeerEvent.SILENT): PeerState.SUSPECT,
        (PeerState.LINKED, PeerEvent.DROPPED): PeerState.UNLISTED,
        (PeerState.LINKED, PeerEvent.LEFT): PeerState.GONE,
        (PeerState.LINKED, PeerEvent.REPLACED): PeerState.GONE,
        (PeerState.SUSPECT, PeerEvent.LINK_DOWN): PeerState.UNLINKED,
        (PeerState.SUSPECT, PeerEvent.HEARD): PeerState.LINKED,
        (PeerState.SUSPECT, PeerEvent.DROPPED): PeerState.GONE,
        (PeerState.SUSPECT, PeerEvent.LEFT): PeerState.GONE,
        (PeerState.SUSPECT, PeerEvent.REPLACED): PeerState.GONE,
        (PeerState.UNLISTED, PeerEvent.LINK_DOWN): PeerState.GONE,
        (PeerState.UNLISTED, PeerEvent.SILENT): PeerState.GONE,
        (PeerState.UNLISTED, PeerEvent.LISTED): PeerState.LINKED,
        (PeerState.UNLISTED, PeerEvent.LEFT): PeerState.GONE,
        (PeerState.UNLISTED, PeerEvent.REPLACED): PeerState.GONE,
        (PeerState.UNLINKED, PeerEvent.LINK_UP): PeerState.LINKED,
        (PeerState.UNLINKED, PeerEvent.DROPPED): PeerState.GONE,
        (PeerState.UNLINKED, PeerEvent.LEFT): PeerState.GONE,
        (PeerState.UNLINKED, PeerEvent.REPLACED): PeerState.GONE,
        (PeerState.UNLINKED, PeerEvent.EXPIRED): PeerState.GONE,
    }
)
"""What has no cell has no place in that state, and changes nothing."""


class Life:
    """One life of a peer.

    Attributes:
        address: Where it is reached.
        incarnation: Which life at that address.
        state: Where we stand with it.
        taken: The number of its last change that we have taken.
    """

    __slots__ = ("_until", "address", "incarnation", "state", "taken")

    def __init__(self, address: str, incarnation: int) -> None:
        self.address = address
        self.incarnation = incarnation
        self.state = PeerState.LINKED
        self.taken = 0
        self._until = float("inf")

    def step(self, event: PeerEvent, until: float) -> bool:
        """Take one step; *until* is when a grace that begins now is over.

        Returns:
            Whether the life has just gone.
        """
        before = self.state
        self.state = TRANSITIONS.get((before, event), before)
        if self.state is not before:
            apart = self.state is PeerState.UNLINKED
            self._until = until if apart else float("inf")
        return self.state is PeerState.GONE and before is not PeerState.GONE

    def is_over(self, now: float) -> bool:
        """Whether its grace has passed."""
        return now >= self._until


class Lives:
    """The lives of a node's peers, at most one at an address.

    Args:
        grace: Seconds that a life may be without a link.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        self._lives: dict[str, Life] = {}

    def get(self, address: str) -> Life | None:
        """Return the life at *address* that is not gone."""
        return self._lives.get(address)

    def feed(
        self, event: PeerEvent, address: str, incarnation: int, now: float
    ) -> list[Life]:
        """Take in what has happened to a life at *now*; return whoever is gone by it.

        A link, or a place in the list, of another life replaces the one there is;
        everything else about another life is old news.
        """
        life = self._lives.get(address)
        gone: list[Life] = []
        if life is not None and life.incarnation != incarnation:
            if event not in (PeerEvent.LINK_UP, PeerEvent.LISTED):
                return gone
            gone += self._step(life, PeerEvent.REPLACED, now)
            life = None
        if life is not None:
            gone += self._step(life, event, now)
        elif event is PeerEvent.LINK_UP:
            self._lives[address] = Life(address, incarnation)
        return gone

    def tick(self, now: float) -> list[Life]:
        """Return those whose grace is over; they are gone."""
        over = [life for life in self._lives.values() if life.is_over(now)]
        return [it for life in over for it in self._step(life, PeerEvent.EXPIRED, now)]

    def end(self) -> list[Life]:
        """Return all there are: this node itself stops, and keeps nothing."""
        lives = list(self._lives.values())
        return [it for life in lives for it in self._step(life, PeerEvent.LEFT, 0.0)]

    def _step(self, life: Life, event: PeerEvent, now: float) -> list[Life]:
        if not life.step(event, now + self._grace):
            return []
        del self._lives[life.address]
        return [life]

    @property
    def states(self) -> dict[str, PeerState]:
        """Where each life stands, by address."""
        return {address: life.state for address, life in self._lives.items()}

    @property
    def numbers(self) -> Counter[PeerState]:
        """How many lives there are in each state."""
        return Counter(life.state for life in self._lives.values())
