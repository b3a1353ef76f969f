"""The certificates of one cluster, kept by the operator's machine on a table.

Time is what a test says; an operator is only what it remembers: since when it has seen
the Secrets as they are.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Final

from nano_operator.certificates.keeping import Kept
from nano_operator.certificates.machine import (
    Decision,
    Owner,
    Phase,
    Situation,
    Terms,
    decide,
)
from nano_operator.certificates.reading import Identity

__all__ = ["DAY", "START", "TERMS", "Desk"]

START: Final = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
DAY: Final = timedelta(days=1)
TERMS: Final = Terms(certificate=30 * DAY, authority=300 * DAY, settle=300.0)


class Desk:
    """Secrets, a wall clock, a clock that nobody sets, and one operator.

    Attributes:
        kept: What the Secrets hold.
        now: The wall clock.
        wish: The annotation of the manifest.
        told: Every step that was taken, as ``move owner``.
    """

    def __init__(
        self,
        cluster: str = "arena",
        namespace: str = "demo",
        terms: Terms = TERMS,
        now: datetime = START,
    ) -> None:
        self.kept = Kept(Identity.of(namespace, cluster))
        self.now = now
        self.wish = ""
        self.told: list[str] = []
        self._terms = terms
        self._elapsed = 0.0
        self._seen = ("", 0.0)

    def restart(self) -> None:
        """Let another operator take over, which remembers nothing."""
        self._seen = ("", 0.0)

    def wait(self, seconds: float) -> None:
        """Let both clocks go on."""
        self.now += timedelta(seconds=seconds)
        self._elapsed += seconds

    @property
    def situation(self) -> Situation:
        """What is decided from, as this operator sees it."""
        seen = self.kept.seen
        if seen != self._seen[0]:
            self._seen = (seen, self._elapsed)
        settled = self._elapsed - self._seen[1] if seen else 0.0
        return self.kept.situation(self._terms, self.now, settled, self.wish)

    def phase(self) -> Phase:
        return self.situation.store.phase

    def look(self) -> Decision:
        """Decide once, and do what was decided; return it."""
        decision = decide(self.situation)
        for step in decision.steps:
            self.told.append(
                step.move.name.lower() + (f" {step.owner.value}" if step.owner else "")
            )
            data = self.kept.after(step, self._terms, self.now)
            if step.owner is None:
                answered = self.kept.answers(step, self.wish)
                self.kept = dataclasses.replace(
                    self.kept, authority=data, answered=answered
                )
            else:
                leaves = {**self.kept.leaves, step.owner: data}
                self.kept = dataclasses.replace(self.kept, leaves=leaves)
        return decision

    def rest(self, restarting: bool = False) -> list[str]:
        """Look until there is nothing to do now; return the steps.

        Args:
            restarting: Whether another operator takes over before every step.
        """
        begun = len(self.told)
        for _ in range(12):
            if restarting:
                self.restart()
            if not self.look().steps:
                return self.told[begun:]
        raise AssertionError(f"it never rests: {self.told[begun:]}")

    def lose(self, owner: Owner | None = None) -> None:
        """Delete a Secret: of *owner*, or that of the authority."""
        if owner is None:
            self.kept = dataclasses.replace(self.kept, authority={}, answered="")
            return
        left = {who: data for who, data in self.kept.leaves.items() if who != owner}
        self.kept = dataclasses.replace(self.kept, leaves=left)

    def put(self, owner: Owner | None, key: str, value: bytes) -> None:
        """Damage an entry of a Secret."""
        if owner is None:
            authority = {**self.kept.authority, key: value}
            self.kept = dataclasses.replace(self.kept, authority=authority)
            return
        leaves = {**self.kept.leaves}
        leaves[owner] = {**leaves[owner], key: value}
        self.kept = dataclasses.replace(self.kept, leaves=leaves)
