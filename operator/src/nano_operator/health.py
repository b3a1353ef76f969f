"""The operator's HTTP: is it alive, is it ready, what has it counted.

``/healthz`` fails when only a restart helps, ``/readyz`` until all clusters have
been looked at once, but not while another operator has the work; ``/metrics`` is for
Prometheus.  It knows the controller and the figures, nothing of Kubernetes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from nano_operator.controller import Controller
from nano_operator.errors import SetupError
from nano_operator.metrics import CONTENT_TYPE, Metrics

__all__ = ["endpoint", "serving"]


def endpoint(text: str) -> tuple[str, int]:
    """Split ``HOST:PORT``; an IPv6 address stands in brackets.

    Raises:
        ValueError: It is not of that form.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65_535:
        message = f"{text!r} is not HOST:PORT, as in 0.0.0.0:8080"
        raise ValueError(message)
    return host, int(port)


@asynccontextmanager
async def serving(
    address: tuple[str, int], controller: Controller, metrics: Metrics
) -> AsyncIterator[tuple[str, int]]:
    """Serve while the context lasts; yields where, as port 0 is the system's choice.

    Raises:
        SetupError: The address cannot be used.
    """
    runner = web.AppRunner(_application(controller, metrics), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, *address)
        try:
            await site.start()
        except OSError as error:
            message = (
                f"cannot listen on {address[0]}:{address[1]}: {error.strerror}; "
                "choose another --health"
            )
            raise SetupError(message) from None
        host, port = runner.addresses[0][:2]
        yield host, port
    finally:
        await runner.cleanup()


def _application(controller: Controller, metrics: Metrics) -> web.Application:
    async def healthz(request: web.Request) -> web.Response:
        trouble = controller.trouble()
        return _answer(503 if trouble else 200, trouble or "ok")

    async def readyz(request: web.Request) -> web.Response:
        if controller.standby:
            return _answer(200, "standing by")
        if controller.listed:
            return _answer(200, "ok")
        return _answer(503, "the clusters have not been listed yet")

    async def figures(request: web.Request) -> web.Response:
        controller.observe()
        answer = web.Response(
            body=metrics.render(), headers={"Content-Type": CONTENT_TYPE}
        )
        answer.force_close()
        return answer

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", figures)
    return application


def _answer(status: int, text: str) -> web.Response:
    answer = web.Response(status=status, text=text + "\n")
    answer.force_close()  # an idle connection would delay the operator's stop
    return answer
