"""Which files of the chart are generated, and whether they are up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .alerts import as_yaml
from .grafana import as_json
from .panels import BOARDS

__all__ = ["CHART", "RULES", "contents", "stale", "write"]

CHART: Final = Path(__file__).parents[1] / "nanocluster"
RULES: Final = CHART / "alerts" / "nanocluster.yaml"


def contents() -> dict[Path, str]:
    """Return every generated file with its text."""
    boards = {CHART / "dashboards" / f"{it.name}.json": as_json(it) for it in BOARDS}
    return boards | {RULES: as_yaml()}


def write() -> None:
    """Write all of them."""
    for path, text in contents().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def stale() -> list[Path]:
    """Return those that are missing, differ, or belong to nothing any more."""
    wanted = contents()
    folders = {path.parent for path in wanted}
    there = {path for folder in folders for path in folder.glob("*.*")}
    return sorted(
        path
        for path in wanted.keys() | there
        if path not in wanted or not path.exists() or path.read_text() != wanted[path]
    )
