"""The reference of all commands in Markdown: ``python -m nano.cli.manual``.

It is what ``--help`` says, and a test holds docs/cli.md to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from nano.cli import main

__all__ = ["manual"]

WIDTH: Final = 88

HEAD: Final = """\
# Commands

What `nanoctl --help` and `nanoctl COMMAND --help` say. This page is
generated: `python -m nano.cli.manual > docs/cli.md`.

Exit codes: 0 done, or stopped by a signal; 1 failed at run time; 2 called wrongly, or
the manifest is wrong.
"""


def manual() -> str:
    """Return the whole page."""
    return HEAD + "".join(_section(main, "nanoctl"))


def _section(command: click.Command, name: str) -> Iterator[str]:
    with click.Context(
        command, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH
    ) as context:
        context.help_option_names = ["-h", "--help"]
        said = "\n".join(it.rstrip() for it in command.get_help(context).splitlines())
    yield f"\n## {name}\n\n```text\n{said.strip()}\n```\n"
    if isinstance(command, click.Group):
        for inner in sorted(command.commands):
            yield from _section(command.commands[inner], f"{name} {inner}")


if __name__ == "__main__":
    click.echo(manual(), nl=False)
