"""The page, and the tickets that it needs: a web server in a backend of its own."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from msgspec import Struct

from nano import Component, RequestError, Session, handler
from nano.errors import UsageError

from . import tickets
from .gate import SECRET_FILE
from .rates import Buckets
from .terms import GUEST, LONGEST_NAME, LONGEST_TEXT, check_name

__all__ = ["PageService"]

logger = logging.getLogger(__name__)

EXAMPLE: Final = Path(__file__).parents[1]
# in the image beside the page, and in a checkout where it lives
CLIENTS: Final = (EXAMPLE / "client", EXAMPLE.parent.parent / "clients" / "js" / "src")
PORT: Final = 8080
LARGEST_BODY: Final = 4096  # bytes
AT_ONCE: Final = 20  # logins from one address
INTERVAL: Final = 1.0  # seconds between further ones
MOST_ADDRESSES: Final = 10_000
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Login(Struct):
    """What the page asks a ticket with.

    Attributes:
        nickname: Who the user wants to be.
        ticket: An earlier one for the same name, which nobody else can take then.
    """

    nickname: str
    ticket: str = ""


class PageService(Component):
    """Serves the page, and gives tickets.

    Environment:
        CHAT_PAGE_PORT: Where the page is; 8080.
        CHAT_PAGE_HOST: The address to bind; this machine's own on a laptop, else all.
        CHAT_GATE_PORT: Where browsers find the gates, at the host that the page came
            from; by default the port of their first WebSocket listener.
    """

    async def start(self) -> None:
        """Bind the port.

        Raises:
            UsageError: It is in use, or the page has no client to load.
        """
        client = next(filter(Path.is_dir, CLIENTS), None)
        if client is None:
            message = "the page's client is missing: copy clients/js/src of a checkout "
            raise UsageError(f"{message}to {CLIENTS[0]}")
        self.secret = tickets.find_secret(self.node.name, SECRET_FILE)
        self._logins = Buckets(AT_ONCE, INTERVAL, MOST_ADDRESSES)
        self._runner = web.AppRunner(self._app(client), access_log=None)
        await self._runner.setup()
        local = self.node.name.startswith(tickets.LOOPBACK)
        host = os.environ.get("CHAT_PAGE_HOST") or ("127.0.0.1" if local else "0.0.0.0")
        port = int(os.environ.get("CHAT_PAGE_PORT") or PORT)
        # shared, so that in a rollout the next one is there before this one goes
        site = web.TCPSite(self._runner, host, port, reuse_port=True)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            reason = os.strerror(error.errno) if error.errno else str(error)
            message = (
                f"the page cannot have {host}:{port}: {reason}; set another port, "
            )
            message += f"as by CHAT_PAGE_PORT={port + 1}"
            raise UsageError(message) from error
        self.url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}/"

    async def started(self) -> None:
        """Say where the page is."""
        logger.info("the chat is at %s", self.url)

    async def stop(self) -> None:
        """Let the port go."""
        await self._runner.cleanup()

    @handler("Where")
    def where(self, session: Session, _: None) -> dict[str, str]:
        """Tell where the page is."""
        return {"page": self.url}

    def _app(self, client: Path) -> web.Application:
        app = web.Application(
            client_max_size=LARGEST_BODY, middlewares=[_guarded, _explained]
        )
        app.router.add_post("/login", self._login)
        app.router.add_get("/", _index)
        app.router.add_static("/client", client)
        app.router.add_static("/", EXAMPLE / "page")
        return app

    async def _login(self, request: web.Request) -> web.Response:
        """Give a ticket to whoever asks for a name that nobody has just now."""
        now = request.loop.time()
        if wait := self._logins.take(request.remote or "", now):
            message = f"too many logins from your address; wait {wait:.0f} s"
            raise RequestError(429, message)
        asked = msgspec.json.decode(await request.read(), type=Login)
        name = check_name(asked.nickname)
        if name.startswith(GUEST):
            message = f"nickname: one that begins with {GUEST} needs no ticket"
            raise RequestError(400, message)
        if not self._is_own(asked.ticket, name) and await self.node.online(name):
            raise RequestError(409, f"nickname: {name} is here already; choose another")
        port, path = self._gate()
        answer = {
            "name": name,
            "ticket": tickets.sign(name, self.secret, time.time()),
            "port": port,
            "path": path,
            "longest": {"name": LONGEST_NAME, "text": LONGEST_TEXT},
        }
        return web.json_response(answer)

    def _is_own(self, ticket: str, name: str) -> bool:
        try:
            return tickets.read(ticket, self.secret, time.time()) == name
        except tickets.TicketError:
            return False

    def _gate(self) -> tuple[int, str]:
        """Return port and path of the gates, as browsers see them."""
        for gate in self.node.gates():
            for url in map(urlsplit, gate.urls):
                if url.scheme in ("ws", "wss"):
                    port = int(os.environ.get("CHAT_GATE_PORT") or url.port or 0)
                    return port, url.path or "/"
        raise RequestError(503, "no gate is there yet; try again in a moment")


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def _index(_: web.Request) -> web.FileResponse:
    return web.FileResponse(EXAMPLE / "page" / "index.html")


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell the browser what the page may do."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.headers.update(HEADERS)
        raise
    response.headers.update(HEADERS)
    return response


@web.middleware
async def _explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what is wrong into an answer that says so."""
    try:
        return await handler(request)
    except RequestError as error:
        status, message = error.status, error.message
    except msgspec.DecodeError as error:
        status, message = 400, f"the body is a JSON object with a nickname: {error}"
    except TimeoutError:
        status, message = 504, "the gates do not answer; try again in a moment"
    return web.json_response({"msg": message}, status=status)
