"""``python -m nano_operator``: the command line, and how the parts are joined.

Here is decided in which order things start and stop, and what the process says when
it cannot.  Everything else is elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass

import click
import msgspec

from nano_manifest import crd
from nano_operator.census import SECONDS, Census
from nano_operator.controller import Controller, Key
from nano_operator.crd import install
from nano_operator.errors import OperatorError
from nano_operator.handlers import watch
from nano_operator.health import endpoint, serving
from nano_operator.hearing import Hearing
from nano_operator.kube import Kube, load_configuration
from nano_operator.lease import Lease
from nano_operator.metrics import Metrics
from nano_operator.nodes import Nodes
from nano_operator.objects import CLUSTERS, Meta
from nano_operator.reconcile import Reconciler

__all__ = ["main"]

logger = logging.getLogger("nano_operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line said."""

    namespaces: tuple[str, ...]
    node_image: str
    pod_namespace: str
    lease: str
    health: tuple[str, int]
    census_seconds: float


class _Endpoint(click.ParamType[tuple[str, int]]):
    """A command line value of the form HOST:PORT."""

    name = "HOST:PORT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        try:
            return endpoint(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="Exit codes: 0 stopped by a signal, 1 failed, 2 bad usage.",
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    envvar="NANO_OPERATOR_NAMESPACE",
    metavar="NAME",
    help="Look after this namespace; may be repeated (in the variable: separated by "
    "spaces). Without it, after all namespaces.",
)
@click.option(
    "--node-image",
    default="",
    envvar="NANO_NODE_IMAGE",
    metavar="IMAGE",
    help="Image of nodes whose resource names none.",
)
@click.option(
    "--pod-namespace",
    default="",
    envvar="NANO_OPERATOR_POD_NAMESPACE",
    metavar="NAME",
    help="Namespace of the operator's own pods, which NetworkPolicies let in.",
)
@click.option(
    "--lease",
    default="",
    envvar="NANO_OPERATOR_LEASE",
    metavar="NAME",
    help="Lease in --pod-namespace: of all operators that name it, one works and the "
    "others stand by. Without it, this one works.",
)
@click.option(
    "--health",
    type=_Endpoint(),
    default="127.0.0.1:8080",
    envvar="NANO_OPERATOR_HEALTH",
    help="Where to answer /healthz, /readyz and /metrics.",
)
@click.option(
    "--census-seconds",
    type=click.FloatRange(min=1.0),
    default=SECONDS,
    envvar="NANO_OPERATOR_CENSUS_SECONDS",
    metavar="SECONDS",
    help="How often the nodes of each cluster are asked for their clients.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    envvar="NANO_OPERATOR_LOG_LEVEL",
    help="The least important messages that are logged, on standard error.",
)
def main(
    namespaces: tuple[str, ...],
    node_image: str,
    pod_namespace: str,
    lease: str,
    health: tuple[str, int],
    census_seconds: float,
    log_level: str,
) -> None:
    """Keep NanoCluster resources running in Kubernetes.

    Each resource `kind: NanoCluster` becomes a master, gates and backends, and is
    kept so. In a pod the operator uses its service account; elsewhere the kubeconfig
    that KUBECONFIG names, so that it can be tried from a laptop:

    \b
        python -m nano_operator --namespace demo --node-image nanocluster-node
        kubectl -n demo apply -f examples/echo/cluster.yaml
        kubectl -n demo wait --for=condition=Ready nanocluster/echo
    """  # noqa: D301 - \b is click's mark for text not to be wrapped
    if lease and not pod_namespace:
        message = "--lease needs --pod-namespace: where the Lease is"
        raise click.UsageError(message)
    _log(log_level)
    options = Options(
        namespaces=namespaces,
        node_image=node_image,
        pod_namespace=pod_namespace,
        lease=lease,
        health=health,
        census_seconds=census_seconds,
    )
    failures: list[Exception] = []
    try:
        # cancelled: a signal came while standing by
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(_serve(options))
    except* OperatorError as group:
        failures.extend(group.exceptions)
    for failure in failures:
        click.echo(f"Error: {failure}", err=True)
    sys.exit(1 if failures else 0)


async def _serve(options: Options) -> None:
    metrics = Metrics()
    async with Kube(await load_configuration(), metrics) as kube, Nodes() as nodes:
        hearing = Hearing[Key]()

        async def list_keys() -> list[Key]:
            versions = await _versions(kube, options.namespaces)
            hearing.listed(versions, time.monotonic())
            return list(versions)

        census = Census(kube, nodes.ask, metrics, options.census_seconds)
        reconciler = Reconciler(
            kube,
            options.node_image,
            options.pod_namespace,
            metrics=metrics,
            census=census,
        )
        controller = Controller(
            reconciler,
            list_keys,
            metrics,
            watch_age=lambda: hearing.age(time.monotonic()),
        )
        controller.standby = bool(options.lease)
        async with (
            serving(options.health, controller, metrics) as (host, port),
            _elected(kube, options, f"{host}:{port}") as renew,
        ):
            metrics.leader.set(1)
            await install(kube, crd())
            where = f"{host}:{port}"
            await _work(controller, census, hearing, options, where, renew)
    logger.info("stopped")


async def _work(
    controller: Controller,
    census: Census,
    hearing: Hearing[Key],
    options: Options,
    health: str,
    renew: Callable[[], Coroutine[None, None, None]],
) -> None:
    """Look after clusters until a signal comes, or the Lease is lost."""
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(controller.run(), name="controller")
        counting = tasks.create_task(census.run(controller.add), name="census")
        leading = tasks.create_task(renew(), name="lease")
        # on its way out, kopf cancels every task that is younger than itself
        await controller.started.wait()
        where = ", ".join(options.namespaces) or "all namespaces"
        logger.info("looking after %s; health on %s", where, health)
        await watch(controller.add, options.namespaces, hearing.heard)
        working.cancel()
        counting.cancel()
        leading.cancel()


@asynccontextmanager
async def _elected(
    kube: Kube, options: Options, health: str
) -> AsyncIterator[Callable[[], Coroutine[None, None, None]]]:
    """Wait until this operator is the one that works; yield what keeps it so."""
    if not options.lease:
        yield _for_ever
        return
    # a name alone would be that of an earlier life, too
    identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"
    lease = Lease(kube, options.pod_namespace, options.lease, identity)
    logger.info("standing by for the Lease %s; health on %s", options.lease, health)
    await _unless_stopped(lease.acquire())
    logger.info("%s holds the Lease %s", identity, options.lease)
    try:
        yield lease.keep
    finally:
        await lease.release()


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _unless_stopped(waiting: Coroutine[None, None, None]) -> None:
    """Wait, and stop like kopf does when a signal says so.

    Raises:
        asyncio.CancelledError: SIGTERM or SIGINT came.
    """
    loop, task = asyncio.get_running_loop(), asyncio.create_task(waiting)
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _versions(kube: Kube, namespaces: tuple[str, ...]) -> dict[Key, str]:
    """List all clusters, each with the version that it has now."""
    found: dict[Key, str] = {}
    for namespace in namespaces or ("",):
        for raw in await kube.list(CLUSTERS, namespace):
            meta = msgspec.convert(raw["metadata"], Meta)
            found[Key(meta.namespace, meta.name)] = meta.resource_version
    return found


def _log(level: str) -> None:
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    if level != "debug":  # kopf tells a lot about itself
        logging.getLogger("kopf").setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
