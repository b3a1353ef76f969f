"""The observe server: is the node alive, is it ready, what has it counted.

For probes and Prometheus, which want plain text and a status.  *Alive* means that
the event loop answers, and nothing else: a node that waits for its master must not
be restarted for it, and of several processes one that hangs is their supervisor's
business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable

from aiohttp import web

from nano.admin.answers import LARGEST_BODY, careful
from nano.metrics import CONTENT_TYPE

__all__ = ["observe_application"]


def observe_application(
    not_ready: Callable[[], str | Awaitable[str | None] | None],
    metrics: Callable[[], bytes | Awaitable[bytes]],
) -> web.Application:
    """Return the application that tells how a node is, or several that are one.

    Args:
        not_ready: Returns why it is not ready; ``None`` if it is.
        metrics: Returns all counts in Prometheus' text format.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        said = not_ready()
        reason = await said if isawaitable(said) else said
        if reason is None:
            return web.Response(text="ok\n")
        return web.Response(text=f"{reason}\n", status=503)

    async def all_metrics(_: web.Request) -> web.Response:
        said = metrics()
        body = await said if isawaitable(said) else said
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    application = web.Application(middlewares=[careful], client_max_size=LARGEST_BODY)
    application.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", all_metrics),
        ]
    )
    return application
