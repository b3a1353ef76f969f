"""The page: a web server in a backend of its own."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from nano import Component
from nano.errors import UsageError

__all__ = ["PageService"]

logger = logging.getLogger(__name__)

EXAMPLE: Final = Path(__file__).parents[1]
# in the image beside the page, and in a checkout where it lives
CLIENTS: Final = (EXAMPLE / "client", EXAMPLE.parent.parent / "clients" / "js" / "src")
PORT: Final = 8082


class PageService(Component):
    """Serves the page on the port ``GAME_PAGE_PORT``.

    Browsers find the gates at the host that the page came from, on the port
    ``GAME_GATE_PORT``; by default that of their first WebSocket listener.
    """

    async def start(self) -> None:
        """Bind the port.

        Raises:
            UsageError: It is in use.
        """
        app = web.Application()
        app.router.add_get("/", _index)
        app.router.add_get("/gate", self._gate)
        app.router.add_static("/client", next(filter(Path.is_dir, CLIENTS)))
        app.router.add_static("/", EXAMPLE / "page")
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        host = "127.0.0.1" if self.node.name.startswith("127.") else "0.0.0.0"
        port = int(os.environ.get("GAME_PAGE_PORT") or PORT)
        site = web.TCPSite(self._runner, host, port, reuse_port=True)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            message = f"{host}:{port} is in use; choose another GAME_PAGE_PORT: {error}"
            raise UsageError(message) from error
        logger.info("the game is at http://127.0.0.1:%d/", port)

    async def stop(self) -> None:
        """Let the port go."""
        await self._runner.cleanup()

    async def _gate(self, _: web.Request) -> web.Response:
        """Tell where the gates are."""
        port = os.environ.get("GAME_GATE_PORT")
        urls = [urlsplit(url) for gate in self.node.gates() for url in gate.urls]
        ports = [it.port for it in urls if it.scheme in ("ws", "wss")]
        if not port and not ports:
            raise web.HTTPServiceUnavailable(text="no gate is there yet; try again")
        return web.json_response({"port": int(port or ports[0] or 0)})


async def _index(_: web.Request) -> web.FileResponse:
    return web.FileResponse(EXAMPLE / "page" / "index.html")
