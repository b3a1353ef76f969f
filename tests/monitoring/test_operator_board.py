"""The operator's dashboard shows what its queue and its client do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from charts.monitoring.panels import OPERATOR
from nano_operator.controller import Controller, Key
from nano_operator.health import serving
from nano_operator.kube import Kube
from nano_operator.metrics import Metrics
from nano_operator.objects import CLUSTERS

from .prometheus import PATIENCE, prometheus
from .test_dashboards import all_panels, look, moved
from .town import until

ARENA = Key("demo", "arena")


class Operator:
    """The operator's loop, with a reconcile of one request."""

    def __init__(self, kube: Kube, metrics: Metrics) -> None:
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._kube = kube
        self.controller = Controller(self._reconcile, self._keys, metrics)

    async def _reconcile(self, key: Key) -> float | None:
        await self.go_on.wait()
        await self._kube.list(CLUSTERS, key.namespace, name=key.name)
        return 0.3  # look again

    async def _keys(self) -> list[Key]:
        return [ARENA]


async def nothing(_: web.Request) -> web.Response:
    return web.json_response({"metadata": {}, "items": []})


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Operator, str]]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", nothing)
    metrics = Metrics()
    async with TestServer(application) as server:
        url = str(server.make_url("")).rstrip("/")
        async with Kube(Configuration(host=url), metrics) as kube:
            operator = Operator(kube, metrics)
            here = ("127.0.0.1", 0)
            async with serving(here, operator.controller, metrics) as (host, port):
                yield operator, f"{host}:{port}"


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(200)
async def test_every_panel_tells_rest_from_work_and_shows_what_is_stuck(
    tmp_path: Path,
) -> None:
    panels = all_panels([OPERATOR])
    queries = [(name, expr) for name, _, expr in panels]
    async with running() as (operator, address), prometheus(tmp_path) as prom:
        prom.scrape([address])

        async def is_up() -> bool:
            return await prom.up() == 1

        await until(is_up, PATIENCE)
        rest = await look(prom, queries)
        task = asyncio.create_task(operator.controller.run(), name="controller")
        try:
            for vector in (await moved(prom, panels, rest, "load")).values():
                assert vector
            operator.go_on.clear()
            for vector in (await moved(prom, panels, rest, "trouble")).values():
                assert vector
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
