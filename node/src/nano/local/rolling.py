"""What a changed manifest, or changed code, means for the processes that run.

Pure: from what runs and what should run follows what is kept, replaced, added and
removed.  :mod:`nano.local.crew` does it, in the order of :data:`ROLES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from nano.local.plan import ProcessSpec

__all__ = ["ROLES", "Changes", "compare"]

# The master first: the others register with it.  Gates last: they send clients away,
# which then find backends that are new already.
ROLES: Final = ("master", "backend", "gate")


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be done, by the names of processes, each in the order of the plan.

    Attributes:
        replaced: Those that run, and shall run differently.
        added: Those that do not run yet.
        removed: Those that shall run no more.
        kept: Those that stay as they are.
    """

    replaced: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.replaced or self.added or self.removed)

    def __str__(self) -> str:
        parts = []
        for verb in ("replaced", "added", "removed", "kept"):
            names = getattr(self, verb)
            if names:
                parts.append(f"{verb}: {', '.join(names)}")
        return "; ".join(parts) or "nothing to do"


def compare(
    running: Iterable[str],
    wanted: Iterable[ProcessSpec],
    before: Mapping[str, str],
    after: Mapping[str, str],
    everything: bool = False,
) -> Changes:
    """Return what has to change.

    Args:
        running: The names of the processes there are.
        wanted: Those that there shall be.
        before: Fingerprints of those that run, by name.
        after: Fingerprints of those that shall run, by name.
        everything: Replace also what has not changed.
    """
    there, changes = list(running), Changes()
    names = [spec.name for spec in wanted]
    for name in names:
        if name not in there:
            changes.added.append(name)
        elif everything or before.get(name) != after[name]:
            changes.replaced.append(name)
        else:
            changes.kept.append(name)
    changes.removed.extend(name for name in there if name not in names)
    return changes
