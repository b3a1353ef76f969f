"""docs/kubectl.md names every command, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from nano.cli.plugin import main

PAGE = (Path(__file__).parents[2] / "docs" / "kubectl.md").read_text()


def test_every_command_is_explained_with_its_arguments() -> None:
    rows = dict(re.findall(r"^\| `kubectl nano (\w+) ([^`]+)` \|", PAGE, re.MULTILINE))
    assert set(rows) == set(main.commands)
    for name, arguments in rows.items():
        usage = CliRunner().invoke(main, [name, "--help"]).output.splitlines()[0]
        assert usage.endswith(f"[OPTIONS] {arguments}")


def test_every_option_that_it_names_exists() -> None:
    for line in re.findall(r"^\| `kubectl nano (.+?) \|$", PAGE, re.MULTILINE):
        name = line.split()[0]
        shown = CliRunner().invoke(main, [name, "--help"]).output
        for option in re.findall(r"`(--?[a-z]+)", line):
            assert option in shown
