"""A client outside the cluster, that asks a gate until it answers."""

from __future__ import annotations

import asyncio
import time
from typing import cast

from nano import client
from nano.errors import NanoError

__all__ = ["Echoed", "answer", "echoed", "shouted"]


Echoed = dict[str, str]
"""What EchoService.echo answers: the ``text`` and the ``node`` that said it."""


async def echoed(url: str, text: str) -> Echoed:
    """Connect, send one request and return its answer.

    Raises:
        NanoError: The gate refused, or broke off.
        OSError: Nothing accepts there.
        TimeoutError: Neither connection nor answer came within 5 seconds.
    """
    async with asyncio.timeout(5):
        async with await client.connect(url) as connected:
            said = await connected.request("EchoService.echo", {"text": text})
            return cast(Echoed, said)


async def answer(url: str, text: str, *, seconds: float) -> Echoed:
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


async def shouted(url: str, text: str) -> object:
    """Connect, send one notify and return what is pushed in consequence."""
    heard: asyncio.Queue[object] = asyncio.Queue()
    async with asyncio.timeout(5):
        async with await client.connect(url) as connected:
            connected.on("onShout", heard.put_nowait)
            await connected.notify("EchoService.shout", {"text": text})
            return await heard.get()
