"""Showing the figures: on a screen that is drawn anew, as tables, or as JSON."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import click
import msgspec

from nano.cli.top.figures import Answer, Figures, figures, total
from nano.cli.top.scrapes import Scrape
from nano.cli.top.words import headline, lines, ordered

__all__ = ["Source", "Wanted", "show"]

Source = Callable[[], Awaitable[Sequence[Answer]]]
"""Asks all nodes that there are now."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How it is shown.

    Attributes:
        interval: Seconds between two looks.
        sort: What the nodes are sorted by.
        once: Show figures once, and end.
        form: A table, or JSON: a line for each look.
    """

    interval: float
    sort: str
    once: bool
    form: Literal["table", "json"]


def show(name: str, source: Source, wanted: Wanted) -> None:
    """Show the figures of the cluster *name* until Ctrl-C, or once.

    A terminal gets one screen, drawn anew with each look; anything else a table for
    each, below each other.
    """
    screen = wanted.form == "table" and not wanted.once and sys.stdout.isatty()
    work = _screen if screen and sys.stdin.isatty() else _print
    try:
        asyncio.run(work(name, source, wanted))
    except KeyboardInterrupt:
        return


async def _looks(source: Source, interval: float) -> AsyncIterator[list[Figures]]:
    """Yield the figures of every look; the first ones know no rates yet."""
    before: dict[str, Scrape] = {}
    while True:
        answers = await source()
        yield [figures(before.get(it.name), it) for it in answers]
        # a node that was silent for a while is compared with what it said last
        known = {it.name for it in answers}
        before = {name: old for name, old in before.items() if name in known}
        before |= {it.name: it.scrape for it in answers if it.scrape is not None}
        await asyncio.sleep(interval)


async def _print(name: str, source: Source, wanted: Wanted) -> None:
    first = True
    async for rows in _looks(source, wanted.interval):
        if first:  # it knows no rates
            first = False
            continue
        rows = ordered(rows, wanted.sort)
        if wanted.form == "json":
            document = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "cluster": name,
                "total": total(rows).as_json(),
                "nodes": [row.as_json() for row in rows],
            }
            click.echo(msgspec.json.encode(document))
        else:
            click.echo(headline(name, total(rows)))
            for line in lines(rows):
                click.echo(line)
        if wanted.once:
            return
        if wanted.form == "table":
            click.echo()


async def _screen(name: str, source: Source, wanted: Wanted) -> None:
    from nano.cli.top.screen import Screen

    screen = Screen(name, wanted.sort, wanted.interval)

    async def look() -> None:
        async for rows in _looks(source, wanted.interval):
            screen.update(rows)

    looking = asyncio.create_task(look())
    # what fails ends the screen, and is told when the terminal is itself again
    looking.add_done_callback(lambda _: screen.close())
    try:
        await screen.run()
    finally:
        looking.cancel()
        outcome = (await asyncio.gather(looking, return_exceptions=True))[0]
    if isinstance(outcome, Exception):
        raise outcome
