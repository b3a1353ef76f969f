"""When certificates of a cluster are made, renewed and replaced: a table.

Pure: it is told what the Secrets hold, what time it is and for how long the nodes have
had what they have; it returns what to do next.  There is no state but that of the
Secrets, so an operator that ends between two steps, or is followed by another, goes on
from what it reads.

An authority follows another in two phases, so that no node ever meets a certificate
that it cannot verify yet:

* *Spreading*: nodes believe the old authority and the new one; the old one signs.
* *Signing*: the new authority has signed; the old one is believed still.
* *Steady*: there is one authority.

Between two phases the nodes get time to take up what the Secrets say.  It is measured
by a clock that nobody sets, from the moment at which this operator saw the Secrets as
they are: a wall clock that jumps cannot cut it short, and a restart begins it anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

__all__ = [
    "Authority",
    "Decision",
    "Leaf",
    "Move",
    "Owner",
    "Phase",
    "Situation",
    "Span",
    "Step",
    "Store",
    "Terms",
    "decide",
]

DUE_AFTER: Final = 2 / 3  # of its life; the last third is for what goes wrong


class Owner(Enum):
    """Whose certificate it is."""

    NODES = "nodes"
    MASTER = "master"


class Phase(Enum):
    """How far the authority that signs is from the one that is believed."""

    ABSENT = "Absent"
    SPREADING = "Spreading"
    SIGNING = "Signing"
    STEADY = "Steady"


class Move(Enum):
    """What can be done about the Secrets; each is one write."""

    FOUND = "make the first authority"
    RECOVER = "make a new authority beside the one whose key is lost"
    PREPARE = "make the authority that comes next"
    PROMOTE = "let the next authority sign"
    FORGET = "no longer believe those of before"
    ISSUE = "make a new certificate"
    BELIEVE = "write the authorities that are believed"


@dataclass(frozen=True, slots=True)
class Span:
    """When a certificate is valid."""

    begins: datetime
    ends: datetime

    @property
    def due(self) -> datetime:
        """When it is time for its successor."""
        return self.begins + (self.ends - self.begins) * DUE_AFTER

    def holds(self, now: datetime) -> bool:
        """Whether it is valid."""
        return self.begins <= now < self.ends


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs.

    Attributes:
        mark: Fingerprint of its certificate.
        span: When it is valid.
        signs: Whether its key is there, and fits.
    """

    mark: str
    span: Span
    signs: bool = True

    def usable(self, now: datetime) -> bool:
        """Whether it can make certificates that are believed."""
        return self.signs and self.span.holds(now)


@dataclass(frozen=True, slots=True)
class Store:
    """What the Secret of the authority says.

    Attributes:
        current: Who signs.
        coming: Who will.
        previous: Fingerprints of those who did and are believed still.
        answered: The last wish for a rotation that was followed.
    """

    current: Authority | None = None
    coming: Authority | None = None
    previous: tuple[str, ...] = ()
    answered: str = ""

    @property
    def phase(self) -> Phase:
        """How far a rotation is."""
        if self.current is None:
            return Phase.ABSENT
        if self.coming is not None:
            return Phase.SPREADING
        return Phase.SIGNING if self.previous else Phase.STEADY

    @property
    def bundle(self) -> tuple[str, ...]:
        """Whom the nodes shall believe."""
        makers = [it.mark for it in (self.current, self.coming) if it is not None]
        return (*makers, *self.previous)


@dataclass(frozen=True, slots=True)
class Leaf:
    """What the Secret of some nodes says; only if certificate, key and names fit.

    Attributes:
        span: When the certificate is valid.
        signer: Fingerprint of the authority that signed it; empty: nobody we know.
        bundle: Fingerprints of those who are believed.
    """

    span: Span
    signer: str
    bundle: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things last.

    Attributes:
        certificate: Life of a certificate.
        authority: Life of an authority.
        settle: For how many seconds nodes get time to take up what is new.
    """

    certificate: timedelta
    authority: timedelta
    settle: float


@dataclass(frozen=True, slots=True)
class Situation:
    """All that is decided from.

    Attributes:
        now: The time.
        terms: What the manifest says.
        store: Of the authority.
        leaves: Of the nodes and the master; one that is absent or damaged is missing.
        settled: For how many seconds the leaves have been seen as they are.
        wish: What the manifest's annotation says; another value asks for a rotation.
    """

    now: datetime
    terms: Terms
    store: Store = Store()
    leaves: Mapping[Owner, Leaf] = field(default_factory=dict)
    settled: float = 0.0
    wish: str = ""

    @property
    def current(self) -> Authority:
        """Who signs; asked only where there is one."""
        assert self.store.current is not None
        return self.store.current

    @property
    def spread(self) -> bool:
        """Whether every node has had time to take up the present authorities."""
        believed = all(
            owner in self.leaves and self.leaves[owner].bundle == self.store.bundle
            for owner in Owner
        )
        return believed and self.settled >= self.terms.settle

    @property
    def signed(self) -> bool:
        """Whether every node has had time to take up the present authority's work."""
        return self.spread and all(
            leaf.signer == self.current.mark for leaf in self.leaves.values()
        )

    def serves(self, owner: Owner) -> bool:
        """Whether *owner* has a certificate that others verify now."""
        leaf = self.leaves.get(owner)
        known = leaf is not None and leaf.signer in self.store.bundle
        return leaf is not None and known and leaf.span.holds(self.now)

    def lacks(self, owner: Owner) -> bool:
        """Whether *owner* has none that others could verify.

        One that begins later is no such case: the nodes have it, and it is rather this
        clock that is slow.
        """
        leaf = self.leaves.get(owner)
        if leaf is None or leaf.signer not in self.store.bundle:
            return True
        return self.now >= leaf.span.ends


@dataclass(frozen=True, slots=True)
class Step:
    """One write: *owner* says whose Secret, ``None`` that of the authority."""

    move: Move
    owner: Owner | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now; and if that is nothing, when to ask again.

    Attributes:
        steps: The writes; one asks again when they are done.
        wake: Seconds until something is due; ``None`` while there is something to do.
    """

    steps: tuple[Step, ...]
    wake: float | None = None


def _orphaned(it: Situation) -> bool:
    """Certificates are in use whose authority's Secret is lost."""
    return it.store.current is None and any(
        leaf.signer and leaf.span.holds(it.now) for leaf in it.leaves.values()
    )


def _spoilt(it: Situation) -> bool:
    """The coming authority is of no use: made by a clock that was wrong."""
    return it.store.coming is not None and not it.store.coming.usable(it.now)


def _urgent(it: Situation) -> bool:
    """Who signs can do no more, and somebody is without a certificate: lose no time."""
    return (
        it.store.coming is not None
        and not it.current.usable(it.now)
        and any(it.lacks(owner) for owner in Owner)
    )


def _due(it: Situation) -> bool:
    """The authority has had its time, or cannot sign, or somebody wishes for another.

    A wish waits until the rotation before it is finished.
    """
    if it.store.coming is not None:
        return False
    if not it.current.usable(it.now):
        return True
    steady = it.store.phase is Phase.STEADY
    wished = it.wish not in ("", it.store.answered)
    return steady and (it.now >= it.current.span.due or wished)


AUTHORITY: Final[tuple[tuple[Callable[[Situation], bool], Move], ...]] = (
    (_orphaned, Move.RECOVER),
    (lambda it: it.store.phase is Phase.ABSENT, Move.FOUND),
    (_spoilt, Move.PREPARE),
    (_urgent, Move.PROMOTE),
    (lambda it: it.store.phase is Phase.SPREADING and it.spread, Move.PROMOTE),
    (_due, Move.PREPARE),
    (lambda it: it.store.phase is Phase.SIGNING and it.signed, Move.FORGET),
)
"""What happens to the authority: the first row that is true."""


def _unserved(it: Situation, owner: Owner) -> bool:
    """There is none, or none that is verified now."""
    return it.current.usable(it.now) and not it.serves(owner)


def _aged(it: Situation, owner: Owner) -> bool:
    return it.current.usable(it.now) and it.now >= it.leaves[owner].span.due


def _of_before(it: Situation, owner: Owner) -> bool:
    """Another authority signed it, and the nodes believe the present one by now."""
    return it.current.usable(it.now) and it.leaves[owner].signer != it.current.mark


def _unsaid(it: Situation, owner: Owner) -> bool:
    leaf = it.leaves.get(owner)
    return leaf is not None and leaf.bundle != it.store.bundle


LEAF: Final[tuple[tuple[Callable[[Situation, Owner], bool], Move], ...]] = (
    (_unserved, Move.ISSUE),
    (
        lambda it, owner: owner in it.leaves and _of_before(it, owner),
        Move.ISSUE,
    ),
    (lambda it, owner: owner in it.leaves and _aged(it, owner), Move.ISSUE),
    (_unsaid, Move.BELIEVE),
)
"""What happens to a certificate, when nothing happens to the authority."""


def decide(it: Situation) -> Decision:
    """Return what to do about the certificates of a cluster."""
    for asks, move in AUTHORITY:
        if asks(it):
            return Decision((Step(move),))
    steps: list[Step] = []
    for owner in Owner:
        moves = (move for asks, move in LEAF if asks(it, owner))
        steps += [Step(move, owner) for move in itertools.islice(moves, 1)]
    return Decision(tuple(steps)) if steps else Decision((), _wake(it))


def _wake(it: Situation) -> float:
    """Return in how many seconds something is due."""
    due = [it.current.span.due, *(leaf.span.due for leaf in it.leaves.values())]
    pauses = [(moment - it.now).total_seconds() for moment in due]
    if it.store.phase is not Phase.STEADY:
        pauses.append(it.terms.settle - it.settled)
    return max(1.0, min((pause for pause in pauses if pause > 0), default=1.0))
