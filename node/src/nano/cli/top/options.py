"""The options that ``nanoctl top`` and ``kubectl nano top`` have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from nano.cli.top.sorts import SORTS

__all__ = ["options"]

SHORTEST: Final = 0.5
LONGEST: Final = 3600.0

_Command = TypeVar("_Command", bound=Callable[..., Any])


def options(command: _Command) -> _Command:
    """Add the options to *command*, which is given what ``Wanted`` consists of."""
    for option in (
        click.option(
            "-o",
            "--output",
            "form",
            type=click.Choice(["table", "json"]),
            default="table",
            show_default=True,
            help="JSON is a line for each look, with times in seconds.",
        ),
        click.option(
            "--once", is_flag=True, help="Look twice, show what came between, and end."
        ),
        click.option(
            "--sort",
            type=click.Choice(SORTS),
            default="node",
            show_default=True,
            help="What nodes are sorted by: names first, or the largest figure first.",
        ),
        click.option(
            "--interval",
            type=click.FloatRange(SHORTEST, LONGEST),
            default=2.0,
            show_default=True,
            metavar="SECONDS",
            help="How long between two looks.",
        ),
    ):
        command = option(command)
    return command
