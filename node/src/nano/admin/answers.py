"""Every answer as JSON, every error as one that says what to do, in bounded time.

Both servers run all requests through :func:`careful`.  A client that sends its
request too slowly is cut off; so is one that sends too much.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

__all__ = [
    "LARGEST_BODY",
    "LONGEST_REASON",
    "SECONDS_PER_REQUEST",
    "audit",
    "careful",
    "error",
    "json",
]

logger = logging.getLogger(__name__)

LARGEST_BODY: Final = 64 * 1024
LONGEST_REASON: Final = 200  # it travels to the client in one small packet
SECONDS_PER_REQUEST: Final = 10.0  # reading its body included; answers need none

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def json(value: object, status: int = 200) -> web.Response:
    """Answer with *value* as JSON."""
    return web.Response(
        body=msgspec.json.encode(value) + b"\n",
        status=status,
        content_type="application/json",
    )


def error(status: int, problem: str) -> web.Response:
    """Answer with an error; *problem* says what is wrong and what to do."""
    return json({"error": problem}, status)


def audit(request: web.Request, text: str, *values: object) -> None:
    """Log who has had what done; never what was said, which is the users' own."""
    who = request.remote or "unix socket"
    logger.info("control, %s: %s", who, text % values)


@web.middleware
async def careful(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Run *handler* in bounded time and turn every failure into a JSON answer."""
    try:
        async with asyncio.timeout(SECONDS_PER_REQUEST):
            return await handler(request)
    except TimeoutError:
        return error(408, f"the request took longer than {SECONDS_PER_REQUEST:g} s")
    except web.HTTPRequestEntityTooLarge:
        return error(413, f"the body is too large; {LARGEST_BODY} bytes is the most")
    except web.HTTPMethodNotAllowed as refused:
        allowed = ", ".join(sorted(refused.allowed_methods))
        problem = f"{request.method} is not allowed here; use {allowed}"
        answer = error(405, problem)
        answer.headers["Allow"] = allowed
        return answer
    except web.HTTPNotFound:
        return error(404, f"there is no {request.path}; there is {_known(request)}")
    except web.HTTPException as refused:
        return error(refused.status, refused.reason)
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        return error(500, "this request failed; the node's log says why")


def _known(request: web.Request) -> str:
    paths = {resource.canonical for resource in request.app.router.resources()}
    return ", ".join(sorted(paths))
