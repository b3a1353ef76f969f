"""``python -m nano.cli``: as the supervisor starts its nodes."""

from __future__ import annotations

from nano.cli import main

__all__: list[str] = []

main(prog_name="nanoctl")
