"""The observe server: is the node alive, is it ready, what has it counted.

For probes and Prometheus, which want plain text and a status.  *Alive* means that
the event loop answers, and nothing else: a node that waits for its master must not
be restarted for it.
"""

from __future__ import annotations

from aiohttp import web

from nano.admin.answers import LARGEST_BODY, careful
from nano.admin.subject import Subject
from nano.metrics import CONTENT_TYPE

__all__ = ["observe_application"]


def observe_application(subject: Subject) -> web.Application:
    """Return the application that tells how *subject* is."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        reason = subject.not_ready()
        if reason is None:
            return web.Response(text="ok\n")
        return web.Response(text=f"{reason}\n", status=503)

    async def metrics(_: web.Request) -> web.Response:
        body = subject.metrics()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    application = web.Application(middlewares=[careful], client_max_size=LARGEST_BODY)
    application.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
        ]
    )
    return application
