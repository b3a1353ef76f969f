"""The reference of the metrics, made from their catalogue.

``docs/metrics.md`` ends with what :func:`reference` returns; a test compares the two.
To write it anew::

    python -m nano.metrics.manual docs/metrics.md
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from nano.metrics.catalogue import CATALOGUE
from nano.metrics.drops import DROPS, STATUS

__all__ = ["HEADING", "reference", "renewed"]

HEADING: Final = "## Every metric of a node\n"
DROPPED: Final = "### What is dropped, and why\n"


def reference() -> str:
    """Return the tables, as Markdown."""
    lines = [HEADING]
    for title, families in CATALOGUE.items():
        lines += [f"### {title}\n", "| metric | type | labels | what |"]
        lines.append("|---|---|---|---|")
        for family in families:
            labels = ", ".join(f"`{label}`" for label in family.labels)
            lines.append(
                f"| `{family.sample}` | {family.kind} | {labels} | {family.text} |"
            )
        lines.append("")
    lines += [DROPPED, "| stage | reason | what it was |", "|---|---|---|"]
    for (stage, reason), text in DROPS.items():
        lines.append(f"| `{stage}` | {_named(reason)} | {text} |")
    lines.append("")
    return "\n".join(lines)


def _named(reason: str) -> str:
    return reason if reason == STATUS else f"`{reason}`"


def renewed(page: str) -> str:
    """Return *page* with the tables at its end as they are now."""
    return page.partition(HEADING)[0] + reference()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(renewed(path.read_text()))
