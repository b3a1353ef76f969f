"""Asks nodes for their status, on the control port of their pods.

The only module that talks to nodes.  It is told addresses and a token, asks all of
them at the same time, and waits for nobody longer than :data:`SECONDS`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from yarl import URL

from nano_manifest import CONTROL_PORT
from nano_operator.figures import Said

__all__ = ["Nodes"]

SECONDS: Final = 2.0  # for one answer, connecting included
ALL_SECONDS: Final = 5.0  # for all answers of one cluster
AT_ONCE: Final = 32
LARGEST: Final = 1 << 20  # bytes of an answer: some thousand members
TOKEN_HEADER: Final = "X-Nano-Token"

logger = logging.getLogger("nano_operator")

_decoder = msgspec.json.Decoder(Said)


class Nodes:
    """A way to the nodes; an asynchronous context manager.

    Args:
        port: Of their control servers.
    """

    def __init__(self, port: int = CONTROL_PORT) -> None:
        self._port = port
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=AT_ONCE, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=SECONDS),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, addresses: Mapping[str, str], token: str) -> dict[str, Said]:
        """Return what the nodes at *addresses* say, by the names given to them.

        Who does not answer in time, or not with a status, is left out.
        """
        found: dict[str, Said] = {}

        async def one(name: str, address: str) -> None:
            said = await self._said(address, token)
            if said is not None:
                found[name] = said

        asking = [asyncio.ensure_future(one(*pair)) for pair in addresses.items()]
        try:
            if asking:
                await asyncio.wait(asking, timeout=ALL_SECONDS)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        return found

    async def _said(self, address: str, token: str) -> Said | None:
        assert self._session is not None, "it is used inside of async with"
        try:
            url = URL.build(
                scheme="http", host=address, port=self._port, path="/status"
            )
            async with (
                asyncio.timeout(SECONDS),
                self._session.get(
                    url, headers={TOKEN_HEADER: token}, allow_redirects=False
                ) as answer,
            ):
                if answer.status != 200:
                    logger.debug("%s answers %d", address, answer.status)
                    return None
                body = bytearray()
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > LARGEST:
                        logger.warning("%s says more than %d bytes", address, LARGEST)
                        return None
                return _decoder.decode(body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            logger.debug("%s does not answer: %s", address, error)
            return None
