"""The Secrets with one cluster's certificates, and what comes of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from nano_operator.certificates.machine import (
    Leaf,
    Move,
    Owner,
    Situation,
    Span,
    Step,
    Terms,
)
from nano_operator.certificates.making import make_authority, make_leaf
from nano_operator.certificates.reading import (
    Data,
    Identity,
    read_leaf,
    read_store,
    seen_digest,
)

__all__ = ["Kept"]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of the certificates of one cluster; entries are never shown.

    Attributes:
        identity: Who its nodes are.
        authority: Entries of the authority's Secret; none if it is not there.
        answered: The last wish for a rotation that was followed.
        leaves: Entries of the other Secrets; none of one that is not there.
    """

    identity: Identity
    authority: Data = field(default_factory=dict, repr=False)
    answered: str = ""
    leaves: Mapping[Owner, Data] = field(default_factory=dict, repr=False)

    @property
    def seen(self) -> str:
        """What changes when nodes get something new; empty if one has nothing."""
        return seen_digest(self.leaves.get(owner, {}) for owner in Owner)

    def situation(
        self, terms: Terms, now: datetime, settled: float, wish: str
    ) -> Situation:
        """Return what is decided from.

        Args:
            terms: What the manifest says.
            now: The time.
            settled: For how many seconds :attr:`seen` has been the same.
            wish: Another value than :attr:`answered` asks for a rotation.
        """
        leaves: dict[Owner, Leaf] = {}
        for owner, data in self.leaves.items():
            read = read_leaf(data, self.identity, owner, self.authority)
            if read is not None:
                leaves[owner] = read[0]
        return Situation(
            now=now,
            terms=terms,
            store=read_store(self.authority, self.answered),
            leaves=leaves,
            settled=settled,
            wish=wish,
        )

    def after(self, step: Step, terms: Terms, now: datetime) -> dict[str, bytes]:
        """Return the entries of the Secret that *step* is about, when it is done."""
        if step.owner is None:
            return make_authority(
                step.move, self.authority, self.leaves, self.identity, terms, now
            )
        return make_leaf(
            step.move,
            step.owner,
            self.leaves.get(step.owner, {}),
            self.authority,
            self.identity,
            terms,
            now,
        )

    def answers(self, step: Step, wish: str) -> str:
        """Return which wish is followed when *step* is done."""
        follows = step.move in (Move.FOUND, Move.RECOVER, Move.PREPARE)
        return wish if follows else self.answered

    @staticmethod
    def expiries(situation: Situation) -> dict[str, Span]:
        """Return when what is valid: of the authority and of each certificate."""
        found = {owner.value: leaf.span for owner, leaf in situation.leaves.items()}
        if situation.store.current is not None:
            found["authority"] = situation.store.current.span
        return found
