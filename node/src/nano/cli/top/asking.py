"""Asking a node of this machine for its metrics."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from nano.admin.asking import way_to
from nano.cli.top.scrapes import Scrape

__all__ = ["scrape"]

SECONDS: Final = 5.0  # who takes longer does not answer


async def scrape(observe: str) -> Scrape | None:
    """Return the metrics of the node at *observe*; ``None``: it does not answer.

    Args:
        observe: ``host:port`` or ``unix:path``.
    """
    connector, base = way_to(observe)
    try:
        async with (
            asyncio.timeout(SECONDS),
            aiohttp.ClientSession(connector=connector) as client,
            client.get(f"{base}/metrics", raise_for_status=True) as answer,
        ):
            return Scrape(await answer.text(), asyncio.get_running_loop().time())
    except (aiohttp.ClientError, OSError, ValueError):  # a time-out is an OSError
        return None
