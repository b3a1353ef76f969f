"""Writes the dashboards and alerts of the chart: ``python -m charts.monitoring``."""

from __future__ import annotations

import argparse
import sys

from . import files


def main() -> int:
    """Write, or check; the exit status says whether all is well."""
    parser = argparse.ArgumentParser(
        prog="python -m charts.monitoring",
        description="Write the chart's dashboards and alerts.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    if not parser.parse_args().check:
        files.write()
        return 0
    for path in (old := files.stale()):
        sys.stderr.write(f"{path} is stale: run python -m charts.monitoring\n")
    return 1 if old else 0


if __name__ == "__main__":
    raise SystemExit(main())
