"""The alerts about the operator fire for real; ``tests/monitoring`` has the others.

The rules are those that are shipped, with nothing changed but how long the trouble has
to last.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from nano_manifest import crd
from nano_operator import controller as module
from nano_operator.controller import Controller, Key
from nano_operator.health import serving
from nano_operator.kube import Kube
from nano_operator.metrics import Metrics
from nano_operator.objects import CLUSTERS
from nano_operator.reconcile import Reconciler
from tests.monitoring.prometheus import PATIENCE, prometheus, shipped, sooner
from tests.monitoring.town import until

from .apiserver import ApiServer
from .operating import OperatorProcess, configured, grant, look
from .worlds import cluster

SPACE: Final = "overdue"
KEY: Final = Key(SPACE, "arena")
SECRETS: Final = ("arena-authority", "arena-nodes-tls", "arena-master-tls")
AGE: Final = timedelta(days=27)  # of certificates that are made for thirty

# ------------------------------------------------------- refused, and so overdue


@asynccontextmanager
async def administrator(server: ApiServer) -> AsyncIterator[Kube]:
    configuration = await configured(server.kubeconfig)
    async with Kube(configuration) as kube:
        yield kube


async def issue(server: ApiServer, age: timedelta) -> None:
    """Have certificates of a cluster issued, by an operator whose clock is late."""
    server.kubectl("create", "namespace", SPACE)
    server.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(crd()))
    name = "crd/nanoclusters.nanocluster.io"
    server.kubectl("wait", name, "--for=condition=Established", "--timeout=30s")
    resource = cluster("arena", clusterTls={"issued": {}})
    resource["metadata"] = {"name": "arena", "namespace": SPACE}
    server.kubectl("apply", "-f", "-", stdin=json.dumps(resource))
    async with administrator(server) as kube:
        reconciler = Reconciler(kube, "node:0", clock=lambda: datetime.now(UTC) - age)
        await reconciler(KEY)
    for secret in SECRETS:
        assert look(server, SPACE, "secret", secret)


def forbid_secrets(server: ApiServer) -> None:
    """Let the operator read Secrets, and no more."""
    role = json.loads(
        server.kubectl("get", "clusterrole", f"{SPACE}-operator", "-o=json")
    )
    for rule in role["rules"]:
        if rule["resources"] == ["secrets"]:
            rule["verbs"] = ["get"]
    server.kubectl("replace", "-f", "-", stdin=json.dumps(role))


@contextmanager
def running(kubeconfig: Path, folder: Path) -> Iterator[OperatorProcess]:
    process = OperatorProcess(
        kubeconfig, folder, "--node-image=node:0", f"--namespace={SPACE}"
    )
    try:
        process.start()
        yield process
    finally:
        process.stop(signal.SIGKILL)


@pytest.mark.apiserver
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_an_operator_that_may_not_write_secrets_fails_and_renews_nothing(
    apiserver: ApiServer, tmp_path: Path
) -> None:
    if not apiserver.has_controllers:
        pytest.skip("KUBEBUILDER_ASSETS has no kube-controller-manager: see make tools")
    await issue(apiserver, AGE)
    kubeconfig = grant(apiserver, SPACE, "operator")
    forbid_secrets(apiserver)
    with running(kubeconfig, tmp_path) as operator:
        async with prometheus(tmp_path, sooner(shipped())) as prom:
            prom.scrape([operator.health])
            overdue = "NanoIssuedCertificateExpires"
            await prom.until_fired({"NanoOperatorFails", overdue})
            grant(apiserver, SPACE, "operator")
            apiserver.kubectl("annotate", "nano", "arena", "-n", SPACE, "look=now")

            async def is_renewed() -> bool:
                return overdue not in await prom.firing()

            await until(is_renewed, 2 * PATIENCE)
    apiserver.kubectl("delete", "namespace", SPACE, "--wait=false")


# ------------------------------------------------------- not heard, and so stuck

SPEED: Final = 30
"""How fast the time of an operator goes that has to wait for minutes."""

MANY: Final = 3 * module.WORKERS
"""Clusters, of which the last have to wait for all the others.

Each look at them is given up after two minutes, and then another has its turn.
"""


class Hasty(asyncio.SelectorEventLoop):
    """A loop for which a second of the machine is :data:`SPEED` seconds."""

    def __init__(self) -> None:
        super().__init__(_Impatient())

    def time(self) -> float:
        return super().time() * SPEED


class _Impatient(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> Any:
        return super().select(None if timeout is None else timeout / SPEED)


class Silence:
    """An API server that stops to answer."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.over.set()

    async def answer(self, _: web.Request) -> web.Response:
        await self.over.wait()
        return web.json_response({"metadata": {}, "items": []})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.answer)
        async with TestServer(application) as server:
            try:
                yield str(server.make_url("")).rstrip("/")
            finally:
                self.over.set()  # else the end waits for the answers


async def operate(url: str, tell: Callable[[str, Callable[[], None]], None]) -> None:
    """Look after many clusters until told to stop; tell where the metrics are."""
    loop, metrics, over = asyncio.get_running_loop(), Metrics(), asyncio.Event()

    def stop() -> None:
        loop.call_soon_threadsafe(over.set)

    async def keys() -> list[Key]:
        return [Key("demo", f"arena-{number}") for number in range(MANY)]

    async with Kube(Configuration(host=url), metrics) as kube:

        async def reconcile(key: Key) -> float:
            await kube.list(CLUSTERS, key.namespace, name=key.name)
            return 60.0

        controller = Controller(reconcile, keys, metrics, clock=loop.time)
        async with serving(("127.0.0.1", 0), controller, metrics) as (host, port):
            working = asyncio.create_task(controller.run(), name="controller")
            tell(f"{host}:{port}", stop)
            await over.wait()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


@asynccontextmanager
async def hasty(url: str) -> AsyncIterator[str]:
    """Run an operator in a thread, whose time flies; yields where its metrics are."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[tuple[str, Callable[[], None]]] = loop.create_future()

    def tell(address: str, stop: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(told.set_result, (address, stop))

    def run() -> None:
        with asyncio.Runner(loop_factory=Hasty) as runner:
            runner.run(operate(url, tell))

    thread = threading.Thread(target=run, name="operator")
    thread.start()
    async with asyncio.timeout(PATIENCE):
        address, stop = await told
    try:
        yield address
    finally:
        stop()
        await asyncio.to_thread(thread.join)


def test_the_threshold_is_between_a_look_and_a_restart() -> None:
    (rule,) = [rule for rule in shipped() if rule["alert"] == "NanoOperatorStuck"]
    threshold = float(rule["expr"].rpartition("> ")[2])
    assert module.RECONCILE_SECONDS < threshold < module.STUCK_SECONDS


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_an_operator_that_is_not_answered_is_stuck(tmp_path: Path) -> None:
    silence = Silence()
    async with (
        silence.serving() as url,
        hasty(url) as address,
        prometheus(tmp_path, sooner(shipped())) as prom,
    ):
        prom.scrape([address])

        async def has_looked() -> bool:
            done = 'nanocluster_operator_reconciles_total{result="done"}'
            return sum((await prom.query(done)).values()) > 2 * MANY

        await until(has_looked, PATIENCE)
        assert "NanoOperatorStuck" not in await prom.firing()
        silence.over.clear()
        await prom.until_fired({"NanoOperatorStuck"})
