"""``nanoctl top``: the nodes of a cluster of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from nano.cli.errors import as_sentences
from nano.cli.top.options import options

if TYPE_CHECKING:
    from nano.cli.top.live import Source
    from nano.local.places import State

__all__ = ["top"]


@click.command(
    epilog="""\b
Examples:
  nanoctl top
  nanoctl top --sort p99 --interval 5
  nanoctl top --once -o json
"""
)
@click.option(
    "-f",
    "--file",
    "manifest",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The manifest of the cluster that is meant; by default cluster.yaml here, "
    "or the only cluster that is up.",
)
@options
def top(
    manifest: Path | None,
    interval: float,
    sort: str,
    once: bool,
    form: Literal["table", "json"],
) -> None:
    """Show how the nodes of a cluster on this machine fare, again and again.

    IN/S and OUT/S are messages from and to clients; a backend counts again what came
    to it through a gate. P99: what 99 of 100 requests took at most, in a handler here
    or until another node answered. LAG: how late the event loop was, in 99 of 100
    cases. MOVING: sessions on their way from a member that drains. DROPS/S:
    messages thrown away.

    On a terminal, q ends it, < and > sort by another column.
    """
    with as_sentences():
        from nano.cli.top.live import Wanted, show
        from nano.local import remote

        _, state = remote.needed(remote.find(manifest))
        show(state.name, _source(state), Wanted(interval, sort, once, form))


def _source(state: State) -> Source:
    """Return what asks the supervisor for its nodes, and then all of them."""
    import asyncio

    from nano.cli.top.asking import scrape
    from nano.cli.top.figures import Answer
    from nano.local import remote

    async def one(node: dict[str, Any]) -> Answer:
        scraped = await scrape(node["observe"])
        problem = "" if scraped else node["reason"] or "does not answer"
        return Answer(node["name"], node["role"], scraped, problem)

    async def source() -> list[Answer]:
        told = await remote.asked(state)
        return list(await asyncio.gather(*map(one, told["nodes"])))

    return source
