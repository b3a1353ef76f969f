"""Clusters of this machine, from another terminal: status, logs, reload, down."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

import click

from nano.cli.errors import Wrong, as_sentences

__all__ = ["down", "logs", "processes", "ready_summary", "reload", "status"]

SECONDS_BETWEEN_LOOKS: Final = 0.2
MOST_LINES: Final = 1_000_000
COLUMNS: Final = ("NODE", "ROLE", "PID", "ADDRESS", "READY", "RESTARTS", "SESSIONS")
NUMBERS: Final = ("PID", "RESTARTS", "SESSIONS")
GREEN: Final = 32  # of a terminal, by its SGR number
RED: Final = 31
BOLD: Final = 1

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _manifest(*names: str) -> Callable[[_Command], _Command]:
    """Return the option that says which cluster is meant."""
    return click.option(
        *names,
        "manifest",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The manifest of the cluster that is meant; by default cluster.yaml here, "
        "or the only cluster that is up.",
    )


@click.command(
    epilog="""\b
Exit codes: 0 every process is ready; 1 the cluster is not up, or not all are.
\b
Examples:
  nanoctl status
  nanoctl status -f cluster.yaml --json
"""
)
@_manifest("-f", "--file")
@click.option("--json", "as_json", is_flag=True, help="Print it all, as JSON.")
def status(manifest: Path | None, as_json: bool) -> None:
    """Show the processes of a cluster on this machine."""
    import json

    with as_sentences():
        from nano.local import remote

        _, state = remote.needed(remote.find(manifest))
        told = remote.status(state)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        _show(told)
    if not all(node["ready"] for node in told["nodes"]):
        sys.exit(1)


def _show(told: dict[str, Any]) -> None:
    from nano.cli.tables import duration

    up = f"up for {duration(told['seconds'])}"
    click.echo(f"{told['name']}: {told['phase']}, {up}, pid {told['pid']}")
    click.echo(f"  manifest  {told['manifest']}")
    for name, url in told["clients"].items():
        click.echo(f"  clients   {name} at {url}")
    click.echo()
    for line in processes(told["nodes"], sys.stdout):
        click.echo(line)


def processes(nodes: Iterable[Mapping[str, Any]], out: TextIO) -> Iterator[str]:
    """Yield the lines of the table of *nodes*, coloured if *out* is a terminal.

    Args:
        nodes: As the supervisor's status has them.
        out: Where it will be written.
    """
    from nano.cli.tables import table
    from nano.local.console import is_colourful

    rows = [_row(node) for node in nodes]
    return table(COLUMNS, rows, NUMBERS, _paint if is_colourful(out) else None)


def _row(node: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        node["name"],
        node["role"],
        str(node["pid"] or "-"),
        node["address"],
        "yes" if node["ready"] else f"no: {node['reason']}",
        str(node["restarts"]),
        "-" if node["sessions"] is None else str(node["sessions"]),
    )


def _paint(row: int, column: str, cell: str) -> str:
    from nano.cli.tables import HEADER
    from nano.local.console import coloured

    if row == HEADER:
        return coloured(cell, BOLD)
    if column == "READY":
        return coloured(cell, GREEN if cell.rstrip() == "yes" else RED)
    return cell


def ready_summary(told: dict[str, Any]) -> None:
    """Say that a cluster is up, and what can be done with it."""
    nodes = told["nodes"]
    took = f"{told['seconds']:.1f} s"
    number = "1 process" if len(nodes) == 1 else f"{len(nodes)} processes"
    click.echo(f"{told['name']} is ready after {took}: {number}")
    for name, url in told["clients"].items():
        click.echo(f"  clients: {name} at {url}")
    click.echo("  see it: nanoctl status, nanoctl logs -f")
    click.echo("  change it: nanoctl reload; stop it: nanoctl down")


@click.command(
    epilog="""\b
Examples:
  nanoctl logs -f
  nanoctl logs -n 50 gate-1 room-1
"""
)
@_manifest("--file")
@click.option("-f", "--follow", is_flag=True, help="Wait for more, until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, MOST_LINES),
    default=200,
    show_default=True,
    help="How many of the last lines.",
)
@click.argument("nodes", metavar="[NODE]…", nargs=-1)
def logs(
    manifest: Path | None, follow: bool, lines: int, nodes: tuple[str, ...]
) -> None:
    """Show what the processes of a cluster have said, or only those named.

    The supervisor's own words are those of nanoctl. What was said stays when the
    cluster is down, until it is up again.
    """
    with as_sentences():
        from nano.local import remote
        from nano.local.console import OURS, Console
        from nano.local.record import Reader

        place, state = remote.find(manifest)
        if not place.log.exists():
            raise remote.NotUpError("this cluster has said nothing yet: it was not up")
        if state is not None and nodes:
            known = [it["name"] for it in remote.status(state)["nodes"]]
            for name in nodes:
                if name not in (OURS, *known):
                    text = f"there is no process {name}; there are: "
                    raise Wrong(text + ", ".join([*known, OURS]))
    reader = Reader(place.log, nodes)
    console = Console(sys.stdout, [])
    found = reader.last(lines)
    try:
        while True:
            console.expect(name for name, _ in found)
            for name, text in found:
                console.line(name, text)
            if not follow:
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)
            found = reader.new()
    except KeyboardInterrupt:
        click.echo()


@click.command(
    epilog="""\b
Exit codes: 0 done; 1 something could not be started, and what it would have replaced
runs on; 2 the manifest is wrong.
\b
Examples:
  nanoctl reload
  nanoctl reload -f cluster.yaml --all
"""
)
@_manifest("-f", "--file")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Replace every process: also for changes that are not seen, as in data or in "
    "installed packages.",
)
def reload(manifest: Path | None, everything: bool) -> None:
    """Take up changes of the manifest and of the components' code.

    Only processes for which something has changed are replaced: their settings,
    variables, listeners or components, or the source of those. A new one is ready
    before the old one stops.
    """
    with as_sentences():
        from nano.local import remote
        from nano_manifest import load

        _, state = remote.needed(remote.find(manifest))
        load(Path(state.manifest))  # its faults are ours to tell
        remote.reload(state, everything, click.echo)


@click.command(
    epilog="""\b
Example:
  nanoctl down -f cluster.yaml
"""
)
@_manifest("-f", "--file")
def down(manifest: Path | None) -> None:
    """Stop a cluster: gates first, then backends, the master last.

    A cluster that is not up is no error.
    """
    with as_sentences():
        from nano.local import remote

        place, state = remote.find(manifest)
        if state is None:
            click.echo("it is not up")
            return
        began = time.monotonic()
        remote.stop(place, state)
    click.echo(f"{state.name} is down after {time.monotonic() - began:.1f} s")
