"""A folder of a page as a web server of this machine, for who writes the page.

``/server.json``
    where clients connect, ``{"url": "ws://127.0.0.1:3250/"}``.  It is made here, and
    stands for the file of that name that the page has where it is served in earnest.
``/_dev/saved``
    a stream of events (``text/event-stream``): one when the page has changed.  Each
    page of HTML is given a line of script that listens to it and loads the page again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from nano.errors import UsageError

__all__ = ["Pages"]

SECONDS_TO_FINISH: Final = 1.0
FRESH: Final = {"Cache-Control": "no-store"}
SCRIPT: Final = (
    b'\n<script>new EventSource("/_dev/saved").onmessage = () => location.reload();'
    b"</script>\n"
)


class Pages:
    """The server.

    Args:
        folder: What is served; ``/`` is its ``index.html``.
        host: Where it binds.
        ports: The same, the first of these that is not in use; 0: one that is free.
        urls: Where clients connect, by listener.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        ports: Sequence[int],
        urls: Callable[[], Mapping[str, str]],
    ) -> None:
        self._folder = folder.resolve()
        self._host = host
        self._ports = ports
        self._urls = urls
        self._saved = asyncio.Event()  # another one after each time
        self._closing = False
        app = web.Application()
        app.router.add_get("/server.json", self._server)
        app.router.add_get("/_dev/saved", self._wait)
        app.router.add_get("/{path:.*}", self._file)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=SECONDS_TO_FINISH
        )

    async def start(self) -> str:
        """Listen; return the address for a browser.

        Raises:
            UsageError: All ports are in use, or the host is none of this machine.
        """
        bound = self._bound()
        await self._runner.setup()
        await web.SockSite(self._runner, bound).start()
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{bound.getsockname()[1]}/"

    def _bound(self) -> socket.socket:
        *others, last = self._ports
        for port in others:
            with contextlib.suppress(UsageError):
                return self._bind(port)
        return self._bind(last)

    def _bind(self, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self._host, port))
        except OSError as error:
            bound.close()
            text = f"the page cannot have port {port} of {self._host}: "
            text += f"{error.strerror}; choose another by --page-port, or 0 for any"
            raise UsageError(text) from error
        return bound

    async def stop(self) -> None:
        """Listen no more."""
        self._closing = True
        self.saved()
        await self._runner.cleanup()

    def saved(self) -> None:
        """Let the browsers load the page again."""
        self._saved.set()
        self._saved = asyncio.Event()

    async def _server(self, request: web.Request) -> web.Response:
        """Tell where clients connect, at the host that the page is asked of."""
        for url in self._urls().values():
            parts = urlsplit(url)
            if parts.scheme in ("ws", "wss") and parts.port:
                host = request.url.host or "127.0.0.1"
                shown = f"[{host}]" if ":" in host else host
                place = parts._replace(netloc=f"{shown}:{parts.port}").geturl()
                return web.json_response({"url": place}, headers=FRESH)
        text = "the manifest has no listener with `transport: websocket` and a port"
        raise web.HTTPNotFound(text=text)

    async def _wait(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", **FRESH}
        )
        await answer.prepare(request)
        while not self._closing:
            await self._saved.wait()
            if not self._closing:
                await answer.write(b"data: saved\n\n")
        return answer

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = (self._folder / request.match_info["path"]).resolve()
        if path.is_dir():
            path /= "index.html"
        if not path.is_relative_to(self._folder) or not path.is_file():
            raise web.HTTPNotFound(text=f"there is no {request.path} in the page")
        if path.suffix == ".html":
            body = path.read_bytes() + SCRIPT
            return web.Response(
                body=body, content_type="text/html", charset="utf-8", headers=FRESH
            )
        return web.FileResponse(path, headers=FRESH)
