"""``nanoctl``: every command that a person, a Makefile or a pod runs.

Here words become values and errors become sentences; the work is done elsewhere.
What a command needs is imported when it runs, so that ``--help`` costs nothing.

Exit codes: 0 done, or stopped by a signal; 1 failed at run time; 2 called wrongly,
or the manifest is wrong.
"""

from __future__ import annotations

import click

from nano.cli.commands import check, crd, request, up
from nano.cli.control import control
from nano.cli.dev import dev
from nano.cli.load import load
from nano.cli.local import down, logs, reload, status
from nano.cli.new import new
from nano.cli.node import node
from nano.cli.repl import notify, repl
from nano.cli.top.command import top
from nano.version import __version__

__all__ = ["main"]


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  nanoctl new guestbook
  nanoctl dev -f guestbook/cluster.yaml
  nanoctl check cluster.yaml
  nanoctl up -f cluster.yaml
  nanoctl request -s ws://127.0.0.1:3250 EchoService.echo '{"text": "hello"}'
""",
)
@click.version_option(__version__, package_name="nanocluster", prog_name="nanoctl")
def main() -> None:
    """Run a realtime message cluster, on this machine or as a node of one."""


_LOCAL = (node, up, dev, status, top, logs, reload, down)
_CLIENT = (request, notify, repl, load)

for command in (*_LOCAL, *_CLIENT, new, control, check, crd):
    main.add_command(command)
