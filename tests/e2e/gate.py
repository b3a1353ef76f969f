"""A client outside the cluster, that asks a gate until it answers."""

from __future__ import annotations

import asyncio
import time

from nano import client
from nano.errors import NanoError

__all__ = ["answer", "echoed"]


async def echoed(url: str, text: str) -> object:
    """Connect, send one request and return its answer.

    Raises:
        NanoError: The gate refused, or broke off.
        OSError: Nothing accepts there.
        TimeoutError: Neither connection nor answer came within 5 seconds.
    """
    async with asyncio.timeout(5):
        async with await client.connect(url) as connected:
            return await connected.request("EchoService.echo", {"text": text})


async def answer(url: str, text: str, *, seconds: float) -> object:
    """Ask anew, with a new connection each time, until there is an answer.

    Raises:
        AssertionError: There was none within *seconds*; with the last failure.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await echoed(url, text)
        except (NanoError, OSError, TimeoutError) as failed:
            last = failed
        assert time.monotonic() < deadline, f"no answer from {url}: {last!r}"
        await asyncio.sleep(0.1)
