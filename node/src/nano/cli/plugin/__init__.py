"""``kubectl nano``: look at a NanoCluster's nodes, and act upon them.

Everything goes through the ``kubectl`` that calls this, so every way to log in works,
and what somebody may do is what their cluster lets them: reading resources and pods,
``pods/exec`` for what only a node knows, ``pods/proxy`` for its metrics, ``patch`` for
a restart.

A node is asked by ``nanoctl control`` in its own pod: its token never leaves it.
"""

from __future__ import annotations

import click

from nano.cli.plugin.commands import (
    drain,
    logs,
    members,
    restart,
    routes,
    sessions,
    status,
)
from nano.cli.plugin.kubectl import Kubectl
from nano.cli.plugin.top import top
from nano.version import __version__

__all__ = ["main"]


@click.group(
    "kubectl nano",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  kubectl nano status
  kubectl nano -n games sessions chat
  kubectl nano logs chat --role gate -f
""",
)
@click.option("-n", "--namespace", help="As of kubectl; by default the context's.")
@click.option("--context", "context", help="As of kubectl.")
@click.option("--kubeconfig", help="As of kubectl.")
@click.version_option(__version__, package_name="nanocluster", prog_name="kubectl nano")
@click.pass_context
def main(called: click.Context, /, **given: str | None) -> None:
    """Look at the nodes of a NanoCluster, and act upon them.

    NAME is the cluster's; where a namespace has only one, it need not be said.
    """
    flags = [f"--{name}={value}" for name, value in given.items() if value]
    called.obj = Kubectl(tuple(flags))


for command in (status, top, members, sessions, routes, drain, restart, logs):
    main.add_command(command)
