"""``kubectl nano top``: the nodes of a cluster, by the metrics of their pods."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import click

from nano.cli.errors import Failed
from nano.cli.plugin.kubectl import AT_ONCE, Kubectl, Pod
from nano.cli.top.options import options

if TYPE_CHECKING:
    from nano.cli.top.figures import Answer

__all__ = ["top"]


@click.command(
    epilog="""\b
Examples:
  kubectl nano top
  kubectl nano -n games top chat --sort clients
  kubectl nano top chat --once -o json
"""
)
@click.argument("name", required=False)
@options
@click.pass_obj
def top(
    kubectl: Kubectl,
    name: str | None,
    interval: float,
    sort: str,
    once: bool,
    form: Literal["table", "json"],
) -> None:
    """Show how the nodes of a cluster fare, again and again.

    Their metrics come through the API server, pod by pod, so no Prometheus is needed.
    The columns are those of `nanoctl top`.
    """
    from nano.cli.top.live import Wanted, show

    found: str = kubectl.cluster(name)["metadata"]["name"]

    def look() -> list[Answer]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda pod: _ask(kubectl, pod), kubectl.pods(found)))

    async def source() -> list[Answer]:
        return await asyncio.to_thread(look)

    show(found, source, Wanted(interval, sort, once, form))


def _ask(kubectl: Kubectl, pod: Pod) -> Answer:
    from nano.cli.top.figures import Answer
    from nano.cli.top.scrapes import Scrape

    try:
        text = kubectl.metrics(pod)
        return Answer(pod.name, pod.role, Scrape(text, time.monotonic()))
    except (Failed, ValueError) as error:
        lines = str(error).splitlines() or ["no answer"]
        return Answer(pod.name, pod.role, None, lines[0])
