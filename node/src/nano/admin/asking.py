"""Asking the HTTP servers of nodes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import aiohttp

__all__ = ["UNIX", "Answer", "ask", "way_to"]

UNIX: Final = "unix:"
"""What stands before the path of a unix socket, in an address."""

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


def way_to(address: str) -> tuple[aiohttp.BaseConnector, str]:
    """Return how a server is reached, and what its URLs begin with.

    Args:
        address: ``host:port`` or ``unix:path``.
    """
    if address.startswith(UNIX):
        return aiohttp.UnixConnector(address.removeprefix(UNIX)), "http://node"
    return aiohttp.TCPConnector(), f"http://{address}"


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
    connector, base = way_to(f"{UNIX}{path}")
    try:
        async with (
            asyncio.timeout(seconds),
            aiohttp.ClientSession(connector=connector) as client,
            client.request(method, f"{base}{target}", data=body) as answer,
        ):
            content = await answer.read()
            return Answer(answer.status, content, answer.content_type)
    except (aiohttp.ClientError, OSError):  # a time-out is an OSError, too
        return None
