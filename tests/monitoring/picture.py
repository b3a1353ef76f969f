"""Draw the dashboard of a cluster that runs here, from what a Prometheus has of it.

``make picture``, some three minutes; a machine that does something else shows in it.
``examples/chat`` runs as ``make run`` starts it, in processes.  Guests come and talk,
some of them faster than they may; one asks for a route that nobody serves; a room
backend is killed and comes back by itself; half of the guests leave.  The README shows
the picture.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import nano.client
from charts.monitoring.drawing import Line, Mark, draw, save
from charts.monitoring.panels import BOARDS, Board, Query
from nano import RequestError
from nano.errors import ConnectionClosed
from nano.local.ports import free_ports
from tests.examples.running import Running, running
from tests.monitoring.prometheus import PATIENCE, Prometheus, Series, prometheus
from tests.monitoring.town import until

__all__ = ["in_words", "main"]

GUESTS: Final = 48
HASTY: Final = 4  # of them, who say more than they may
ROOMS: Final = ("lobby", "kitchen", "garden", "workshop")
SECONDS: Final = 180.0  # that the picture shows
COMING: Final = 40.0  # of them, in which guests come
KILL_AT: Final = 80.0
LEAVE_AT: Final = 135.0
PAUSE: Final = 1.2  # between two messages of a guest; one a second is allowed
SCRAPE: Final = 2.0  # seconds between two scrapes, and for each: the machine is full
INTERVAL: Final = "8s"  # for $__rate_interval: four scrapes, as Grafana makes it
VICTIM: Final = "room-1"
SUMMARY: Final = re.compile(r"(\S+): pid \d+, node (\S+), http://(\S+)/metrics")


async def guest(url: str, number: int) -> None:
    """Come, and talk until the task is cancelled."""
    name, hasty = f"guest {number}", number < HASTY
    async with await nano.client.connect(url) as client:
        for push in ("onMessage", "onTraffic", "onNewUser", "onLeave", "onBalance"):
            client.on(push, lambda _: None)
        room = ROOMS[number % len(ROOMS)]
        await client.request("BindService.Login", {"nickname": name, "room": room})
        for said in range(sys.maxsize):
            with contextlib.suppress(RequestError, ConnectionClosed):
                words = {"content": f"this is number {said} of {name}"}
                await client.request("RoomService.SyncMessage", words)
                if number == HASTY and said % 4 == 0:  # of an older version, it seems
                    await client.request("RoomService.Typing", None)
            await asyncio.sleep(PAUSE / (2 if hasty else 1))


async def live(url: str, cluster: Running, begun: float) -> None:
    """Do what the picture shows; *begun* is when it begins."""

    async def at(second: float) -> None:
        await asyncio.sleep(max(0.0, begun + second - time.time()))

    tasks: list[asyncio.Task[None]] = []
    try:
        for number in range(GUESTS):
            await at(8 + number * COMING / GUESTS)
            tasks.append(asyncio.create_task(guest(url, number)))
        await at(KILL_AT)
        nodes = {name: node for name, node, _ in SUMMARY.findall(cluster.said)}
        cluster.kill(nodes[VICTIM])
        await at(LEAVE_AT)
        await end(tasks[::2])
        await at(SECONDS)
    finally:
        await end(tasks)


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel all, and wait; whoever has failed before is no guest but a mistake."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


def in_words(query: Query, series: Iterable[Series], begun: float) -> list[Line]:
    """Return what was answered as lines, with Grafana's legends, in their order."""
    lines = [
        Line(
            _filled(query.legend, labels),
            [(at - begun, value) for at, value in points],
        )
        for labels, points in series
    ]
    return sorted(lines, key=lambda it: it.name)


def _filled(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda it: labels.get(it[1], ""), legend)


async def ask(prom: Prometheus, board: Board, begun: float) -> dict[str, list[Line]]:
    """Ask what *board* asks, of the time since *begun*."""
    found: dict[str, list[Line]] = {}
    for panel in board.panels:
        lines = found[panel.title] = []
        for query in panel.queries:
            until = begun + SECONDS
            series = await prom.series(query.expr, begun, until, INTERVAL)
            lines += in_words(query, series, begun)
    return found


async def watch(folder: Path, cluster: Running, url: str) -> dict[str, list[Line]]:
    """Let the cluster live, and return what the board shows of it."""
    names = {observe: name for name, _, observe in SUMMARY.findall(cluster.said)}
    async with prometheus(folder, every=SCRAPE) as prom:
        prom.scrape_named(names)

        async def all_up() -> bool:
            return await prom.up() == len(names)

        await until(all_up, PATIENCE)
        begun = time.time()
        await live(url, cluster, begun)
        return await ask(prom, BOARDS[0], begun)


def main() -> None:
    """Run all of it, and write the picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.monitoring.picture")
    parser.add_argument("picture", type=Path, help="the file to write, .png")
    target: Path = parser.parse_args().picture
    gates, page = free_ports(2)
    env = {"CHAT_PAGE_PORT": str(page), "CHAT_SECRET": ""}  # it makes one
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running("chat", folder, {3250: gates}, env) as cluster:
            url = f"ws://127.0.0.1:{gates}/nano"
            lines = asyncio.run(watch(folder, cluster, url))
    marks = [
        Mark(KILL_AT, f"{VICTIM} is killed, and starts again"),
        Mark(LEAVE_AT, "half of the guests leave"),
    ]
    caption = f"examples/chat on one machine: up to {GUESTS} guests who talk in 4 rooms"
    save(draw(BOARDS[0], lines, SECONDS, marks, caption), target)


if __name__ == "__main__":
    main()
