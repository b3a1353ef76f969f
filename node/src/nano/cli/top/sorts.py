"""What nodes can be sorted by; apart, so that ``--help`` needs nothing else."""

from __future__ import annotations

from typing import Final

__all__ = ["SORTS"]

SORTS: Final = (
    "node", "state", "clients", "sessions", "in", "out", "p99", "lag", "drops",
    "moving", "cpu", "memory",
)  # fmt: skip
"""Names from the first on, figures from the largest; ``node``: as they came."""
