"""What a gate still has of connections that are over, and how its memory grows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from nano.client import Client

from .gate import Gate

__all__ = ["WITNESS", "census", "settled", "slope"]

SECONDS_TO_SETTLE: Final = 30.0

# what one connection by TCP consists of: the one that asks
WITNESS: Final = {
    "Session": 1,
    "TcpTransport": 1,
    "WebSocketTransport": 0,
    "Connection": 1,
    "FrameReader": 0,
    "ServerProtocol": 0,
    "Meter": 0,
    "Deferred": 0,
    "members": 0,
}


async def census(client: Client) -> dict[str, int]:
    """Have the gate count, its memory in bytes too."""
    counts: dict[str, int] = await client.request("Yard.census", None, timeout=60)
    return counts


def _left(counts: dict[str, int]) -> dict[str, int]:
    return {
        name: counts[name] - number
        for name, number in WITNESS.items()
        if counts[name] != number
    }


async def settled(gate: Gate) -> dict[str, int]:
    """Wait until nothing is left but the witness; return what is nevertheless."""
    async with await gate.client() as client:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SECONDS_TO_SETTLE
        while left := _left(await census(client)):
            if loop.time() > deadline:
                return left
            await asyncio.sleep(0.1)
    return {}


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the slope of the straight line through *points*, by least squares."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    across = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return across / sum((x - mean_x) ** 2 for x, _ in points)
