"""docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

from pathlib import Path

from nano.cli import main
from nano.cli.manual import manual

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_up_to_date() -> None:
    problem = "run: python -m nano.cli.manual > docs/cli.md"
    assert PAGE.read_text(encoding="utf-8") == manual(), problem


def test_every_command_has_its_section() -> None:
    for name in main.commands:
        assert f"\n## nanoctl {name}\n" in manual()
