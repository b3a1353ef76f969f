"""Where a supervisor is talked to: HTTP at a unix socket that only its owner can open.

``GET /status``
    how everything is, as JSON.
``POST /reload``
    takes up what has changed.  The answer is a line of JSON for each thing that it
    does, ``{"say": "…"}``, and a last one: ``{"done": true}``, or ``{"error": "…"}``.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from nano.errors import NanoError, UsageError
from nano_manifest import ManifestError

__all__ = ["Desk"]

LARGEST_BODY: Final = 4096
SECONDS_TO_FINISH: Final = 2.0

Status = Callable[[], Awaitable[dict[str, Any]]]
Reload = Callable[[bool, Callable[[str], None]], Awaitable[None]]


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a POST to /reload."""

    all: bool = False


class Desk:
    """The supervisor's own server.

    Args:
        path: Of the socket, in a folder that is its owner's alone.
        status: Says how everything is.
        reload: Takes up what has changed, or also what has not; tells of each step.

    Attributes:
        path: The same.
    """

    def __init__(self, path: Path, status: Status, reload: Reload) -> None:
        self.path = path
        self._status = status
        self._reload = reload
        application = web.Application(client_max_size=LARGEST_BODY)
        application.add_routes(
            [web.get("/status", self._say_status), web.post("/reload", self._do_reload)]
        )
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=SECONDS_TO_FINISH
        )

    async def start(self) -> None:
        """Listen.

        Raises:
            UsageError: The path cannot be used.
        """
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(os.fspath(self.path))
        except OSError as error:
            listening.close()
            text = f"{self.path} cannot be used: {error}; set TMPDIR to a short path"
            raise UsageError(text) from error
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()

    async def stop(self) -> None:
        """Listen no more."""
        await self._runner.cleanup()
        self.path.unlink(missing_ok=True)

    async def _say_status(self, _: web.Request) -> web.Response:
        body = msgspec.json.encode(await self._status())
        return web.Response(body=body, content_type="application/json")

    async def _do_reload(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = msgspec.json.decode(await request.read() or b"{}", type=_Asked)
        except msgspec.DecodeError as broken:
            return web.Response(text=f"{broken}\n", status=400)
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await answer.prepare(request)
        lines: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        task = asyncio.create_task(self._reloaded(asked.all, lines))
        try:
            while True:
                line = await lines.get()
                await answer.write(msgspec.json.encode(line) + b"\n")
                if "say" not in line:
                    break
        except ConnectionError:
            await task  # nobody listens any more; what was begun is done
        return answer

    async def _reloaded(
        self, everything: bool, lines: asyncio.Queue[dict[str, object]]
    ) -> None:
        try:
            await self._reload(everything, lambda it: lines.put_nowait({"say": it}))
        except (NanoError, ManifestError) as error:
            lines.put_nowait({"error": str(error)})
        except BaseException:
            lines.put_nowait({"error": "the supervisor failed; its log says why"})
            raise
        else:
            lines.put_nowait({"done": True})
