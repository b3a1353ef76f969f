"""What a gate still has of connections that are over, and how its memory grows."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from typing import Final

from nano.client import Client

from .gate import Gate

__all__ = ["census", "settled", "slope", "witness"]

SECONDS_TO_SETTLE: Final = 30.0
MEMORY: Final = "rss"  # which never comes back to what it was


async def census(client: Client) -> dict[str, int]:
    """Have the gate count, its memory in bytes too."""
    counts: dict[str, int] = await client.request("Yard.census", None, timeout=60)
    return counts


async def witness(gate: Gate) -> dict[str, int]:
    """Count what there is when nobody is there but who asks, by TCP.

    To be called before anybody else comes: it is what must be left at the end.
    """
    async with await gate.client() as client:
        counts = await census(client)
    assert counts["Session"] == counts["TcpTransport"] == counts["TCPTransport"] == 1
    assert counts["WebSocketTransport"] == counts["members"] == counts["Deferred"] == 0
    return counts


async def settled(gate: Gate, before: dict[str, int]) -> dict[str, int]:
    """Wait until there is no more than *before*; return what there is nevertheless."""
    async with await gate.client() as client:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SECONDS_TO_SETTLE
        while True:
            now = await census(client)
            more = {it: now[it] - before[it] for it in now if it != MEMORY}
            left = {it: number for it, number in more.items() if number}
            if not left or loop.time() > deadline:
                return left
            await asyncio.sleep(0.1)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the straight line through *points*, by least squares.

    Through fewer than two there is none; it is 0 then.
    """
    if len(points) < 2:
        return 0.0
    found = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
    return found.slope
