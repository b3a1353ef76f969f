"""Asking the HTTP server of a node of this machine, at its unix socket."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import aiohttp

__all__ = ["Answer", "ask"]

SECONDS: Final = 5.0  # who takes longer is treated as one who does not answer


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node has answered.

    Attributes:
        status: Of HTTP.
        body: As it came.
        content_type: What the body is.
    """

    status: int
    body: bytes
    content_type: str = "application/json"


async def ask(
    path: str,
    target: str,
    method: str = "GET",
    body: bytes | None = None,
    seconds: float = SECONDS,
) -> Answer | None:
    """Send one request; return the answer, or ``None`` if there is none in time.

    Args:
        path: The unix socket.
        target: Path and query, as ``/sessions?limit=5``.
        method: Of HTTP.
        body: What is sent with it.
        seconds: How long to wait.
    """
    connector = aiohttp.UnixConnector(path)
    try:
        async with (
            asyncio.timeout(seconds),
            aiohttp.ClientSession(connector=connector) as client,
            client.request(method, f"http://node{target}", data=body) as answer,
        ):
            content = await answer.read()
            return Answer(answer.status, content, answer.content_type)
    except (aiohttp.ClientError, OSError):  # a time-out is an OSError, too
        return None
