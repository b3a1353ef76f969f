"""Asking a node of this machine how it is."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from nano.admin.asking import ask

__all__ = ["not_ready", "status_of"]

SECONDS: Final = 2.0  # a node that takes longer to answer is not ready
LARGEST_ANSWER: Final = 4096


async def not_ready(observe: str) -> str | None:
    """Return why the node at *observe* is not ready; ``None`` if it is.

    Args:
        observe: ``host:port`` or ``unix:path``.
    """
    try:
        async with asyncio.timeout(SECONDS):
            answer = await _get(observe)
    except TimeoutError:
        return "it does not answer"
    except OSError:
        return "it is starting"
    head, _, body = answer.partition("\r\n\r\n")
    if head.split(" ")[1:2] == ["200"]:
        return None
    return body.strip() or "it is starting"


async def status_of(control: str) -> dict[str, Any] | None:
    """Return what the node at the socket *control* says of itself.

    ``None`` if it says nothing in time, or that something is wrong.
    """
    answer = await ask(control, "/status", seconds=SECONDS)
    if answer is None or answer.status != 200:
        return None
    told: dict[str, Any] = msgspec.json.decode(answer.body)
    return told


async def _get(observe: str) -> str:
    host, _, place = observe.rpartition(":")
    if host == "unix":
        reader, writer = await asyncio.open_unix_connection(place)
    else:
        reader, writer = await asyncio.open_connection(host, int(place))
    try:
        writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
        return (await reader.read(LARGEST_ANSWER)).decode("utf-8", "replace")
    finally:
        writer.close()
