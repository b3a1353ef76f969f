"""The control server: see what a node holds, end a session, have the node drain.

Over TCP each request needs the token; over a unix socket the file's mode is the
lock.  Who has no token learns nothing, not even which paths there are.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec
from aiohttp import web

from nano.admin.answers import LARGEST_BODY, careful, error, json
from nano.admin.levels import LEVELS, level, set_level
from nano.admin.subject import Subject

__all__ = ["DEFAULT_LIMIT", "TOKEN_HEADER", "control_application", "locked"]

TOKEN_HEADER: Final = "X-Nano-Token"
DEFAULT_LIMIT: Final = 100
LARGEST_LIMIT: Final = 10_000
LONGEST_REASON: Final = 200  # it travels to the client in one small packet
LARGEST_ID: Final = 2**63 - 1

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Kick(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a DELETE: why the session ends."""

    reason: str = "kicked"


def control_application(subject: Subject, token: str | None) -> web.Application:
    """Return the application that acts on *subject*.

    Args:
        subject: The node.
        token: What each request must carry; ``None`` lets everybody in, so it is
            for sockets that not everybody can reach.
    """
    control = _Control(subject)
    application = web.Application(
        middlewares=[careful, locked(token)], client_max_size=LARGEST_BODY
    )
    application.add_routes(
        [
            web.get("/status", control.status),
            web.get("/sessions", control.sessions),
            web.delete("/sessions/{id}", control.kick),
            web.get("/log-level", control.log_level),
            web.put("/log-level", control.set_log_level),
            web.post("/drain", control.drain),
        ]
    )
    return application


class _Level(msgspec.Struct, forbid_unknown_fields=True):
    """The body of PUT /log-level."""

    level: Literal["debug", "info", "warning", "error"]


class _Control:
    """The handlers of one application."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    async def status(self, _: web.Request) -> web.Response:
        return json(self._subject.status())

    async def sessions(self, request: web.Request) -> web.Response:
        given = request.query.get("limit", str(DEFAULT_LIMIT))
        limit = _number(given, LARGEST_LIMIT)
        if not limit:
            return error(400, f"limit must be 1 to {LARGEST_LIMIT}, is {given!r}")
        return json({"sessions": self._subject.sessions(limit)})

    async def log_level(self, _: web.Request) -> web.Response:
        return json({"level": level()})

    async def set_log_level(self, request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(await request.read(), type=_Level)
        except msgspec.DecodeError as broken:
            words = ", ".join(LEVELS)
            problem = f'the body must be like {{"level": "debug"}}, one of {words}'
            return error(400, f"{problem}: {broken}")
        set_level(asked.level)
        return json({"level": level()})

    async def drain(self, _: web.Request) -> web.Response:
        problem = self._subject.drain()
        if problem is not None:
            return error(409, problem)
        return json(self._subject.status())

    async def kick(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            asked = msgspec.json.decode(body, type=_Kick) if body else _Kick()
        except msgspec.DecodeError as broken:
            return error(400, f'the body must be like {{"reason": "…"}}: {broken}')
        if len(asked.reason) > LONGEST_REASON:
            return error(400, f"the reason has more than {LONGEST_REASON} characters")
        given = request.match_info["id"]
        number = _number(given, LARGEST_ID)
        if number is None or not self._subject.kick(number, asked.reason):
            problem = f"there is no session {given} here; GET /sessions lists them"
            return error(404, problem)
        return json({"kicked": given})


def _number(text: str, most: int) -> int | None:
    """Read *text* as a natural number up to *most*."""
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(most)):
        return None
    number = int(text)
    return number if number <= most else None


def locked(token: str | None) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Return the middleware that lets in only requests with *token*."""
    key = token.encode() if token is not None else None

    @web.middleware
    async def lock(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if key is not None:
            shown = request.headers.get(TOKEN_HEADER, "")
            # surrogateescape: aiohttp's way to hold bytes that are no text
            if not hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), key):
                problem = "wrong token" if shown else "no token"
                return error(401, f"{problem}; send it in the header {TOKEN_HEADER}")
        return await handler(request)

    return lock
