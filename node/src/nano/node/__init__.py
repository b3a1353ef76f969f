"""One node: the parts put together, started in order and stopped in order.

Master, gate and backend are the same program.  What a node does follows from its
role and the manifest: a gate opens the manifest's listeners, gates and backends run
the components that are named for them, a master keeps the list of members.

This package is the only one that knows transports and cluster at once; it is told what
to be in :mod:`nano.node.options`, and tells how it fares in :mod:`nano.node.report`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from nano.admin import AdminServer
from nano.cluster.bindings import Bindings
from nano.cluster.calls import CallLinks
from nano.cluster.claims import ClaimLinks
from nano.cluster.drains import Drains
from nano.cluster.gonodes import GoNodes
from nano.cluster.groups import GroupLinks
from nano.cluster.link import make_hello
from nano.cluster.links import Links
from nano.cluster.members import Member, MemberState
from nano.cluster.membership import MemberAdded, MemberChanged, MemberRemoved
from nano.cluster.mirrors import Mirrors
from nano.cluster.mover import Mover
from nano.cluster.refusals import NoMessages
from nano.cluster.routes import Forwarder
from nano.cluster.takeovers import Takeovers
from nano.cluster.unmet import Unmet
from nano.cluster.users import UserLinks
from nano.errors import UsageError
from nano.metrics import Metrics
from nano.node.departure import Departure
from nano.node.gate import (
    client_addresses,
    limits,
    make_listeners,
    start_listener,
)
from nano.node.options import NodeOptions, Role, backend_of
from nano.node.reach import ByLinks
from nano.node.report import Report
from nano.node.routing import make_policies
from nano.node.world import World
from nano.runtime.calls import Calls
from nano.runtime.claims import Claims
from nano.runtime.component import collect_handlers
from nano.runtime.dispatch import Dispatcher
from nano.runtime.filters import Filters
from nano.runtime.greeting import Greeter
from nano.runtime.groups import Groups
from nano.runtime.handovers import Handovers
from nano.runtime.inbox import Inbox
from nano.runtime.info import NodeInfo
from nano.runtime.pipeline import Pipelines
from nano.runtime.sampling import Sampler
from nano.runtime.session import Delivery, Session
from nano.runtime.sessions import Sessions, tell_components
from nano.runtime.tasks import FAILURES
from nano.runtime.threads import Threads
from nano.runtime.ticker import Ticker
from nano.runtime.timers import Timers
from nano.runtime.users import Users
from nano.serializers import by_name
from nano.transports.broadcast import broadcast
from nano.transports.context import Front
from nano.version import __version__

__all__ = ["Node", "NodeOptions", "Role", "run"]

logger = logging.getLogger(__name__)

MACHINE: Final = World()
STOP_GRACE: Final = 2.0  # seconds that calls of other nodes get to end


class Node:
    """One member of a cluster, from start to stop.

    Args:
        options: What it is to be.
        world: Where it runs; on this machine unless it is a test.

    Raises:
        UsageError: The options contradict each other, or a component is wrong.
    """

    def __init__(self, options: NodeOptions, world: World = MACHINE) -> None:
        self._options = options
        self._world = world
        manifest = options.manifest
        spec, settings = manifest.spec, manifest.spec.settings
        backend = backend_of(options)
        if options.role is not Role.MASTER and not options.master:
            raise UsageError("a gate or backend needs to know its master: --master")
        self._cluster_name = f"{manifest.metadata.namespace}/{manifest.metadata.name}"
        self._kind = backend.name if backend else ""
        self._app_version = backend.version if backend else ""
        names = {
            Role.MASTER: (),
            Role.GATE: spec.gates.components,
            Role.BACKEND: backend.components if backend else (),
        }[options.role]
        self._metrics = Metrics()
        self._metrics.labels.update(options.labels)
        self._sessions = Sessions(self._metrics)
        serializer = by_name(settings.serializer)
        self._groups = Groups(
            self._sessions,
            serializer,
            self._metrics,
            deliver=self._deliver,
            largest=settings.max_send_bytes,
        )
        self._users = Users(
            self._sessions,
            serializer,
            self._metrics,
            deliver=partial(broadcast, self._metrics),
            largest=settings.max_send_bytes,
        )
        self._timers = Timers()
        self._threads = Threads()
        listeners = spec.gates.listeners if options.role is Role.GATE else []
        self._pipelines = Pipelines(item.name for item in listeners)
        self._inbox = Inbox(self._metrics)
        timeout = settings.request_timeout_seconds
        self._dispatcher = Dispatcher(
            serializer, self._metrics, timeout, settings.max_send_bytes
        )
        if options.role is not Role.MASTER:
            self._dispatcher.unmet.update(
                it.name for it in spec.backends if it.replicas and it is not backend
            )
        self._calls = Calls(self._dispatcher)
        self._policies = make_policies(options, self._metrics)
        info = NodeInfo(
            options.address,
            options.role.value,
            self._kind,
            self._cluster_name,
            pipelines=self._pipelines,
            groups=self._groups,
            timers=self._timers,
            threads=self._threads,
            inbox=self._inbox,
            calls=self._calls,
            users=self._users,
            policies=self._policies,
            metrics=self._metrics,
        )
        self._components = world.components(names, info, options.app_dir)
        self._handlers = collect_handlers(self._components)
        self._dispatcher.add(self._handlers, Filters(self._components))
        self._calls.add(self._handlers)
        self._ticker = Ticker(late=self._metrics.loop_lag.observe)
        self._ticker.add(Sampler(self._dispatcher, self._calls, world.time).tick)
        self._ticker.add(self._dispatcher.tick)
        self._ticker.add(self._calls.tick)
        self._settings = settings
        self._stop_wanted = asyncio.Event()
        self._hurry = asyncio.Event()
        self._draining: asyncio.Task[None] | None = None
        self._undo = AsyncExitStack()
        self._build_cluster()
        self._build_front()
        tell_components(self._components, self._sessions)
        self._report = Report(
            {
                "cluster": self._cluster_name,
                "role": options.role.value,
                "backend": self._kind,
            },
            cluster=self._cluster,
            links=self._links,
            dispatcher=self._dispatcher,
            sessions=self._sessions,
            listeners={item.name: listener for item, listener in self._listeners},
            drain=self.drain,
        )
        self._departure = self._report.departure = Departure(
            options.role,
            settings,
            time=world.time,
            drains=self._drains,
            dispatcher=self._dispatcher,
            listeners=[listener for _, listener in self._listeners],
            forwarder=self._forwarder,
        )
        self._admin = AdminServer(
            self._report,
            observe=options.observe,
            control=options.control,
            token=options.token,
            reach=None
            if options.role is Role.MASTER  # it has no links
            else ByLinks(self._users, self._groups, settings.serializer),
        )

    def _build_cluster(self) -> None:
        options = self._options
        settings = options.manifest.spec.settings
        self._go: GoNodes | None = None
        if options.role is not Role.MASTER:
            self._go = GoNodes(
                self._dispatcher,
                self._calls,
                self._sessions,
                way=lambda address: self._cluster.peer(address),
                address=lambda: self._cluster.address,
                links=lambda: self._links,
                lenient=self._has_go_master,
                time=self._world.time,
                trusted=settings.go_nodes == "trusted",
            )
        public = [item for item in self._handlers if not item.internal]
        security = self._world.security(options, self._cluster_name, self._metrics)
        self._cluster = self._world.cluster(
            Member(
                address=options.address,
                label=self._kind or options.role.value,
                services=tuple(sorted({it.service for it in public})),
                role=options.role.value,
                kind=self._kind,
                link=options.role is not Role.MASTER,
                version=__version__,
                client_addresses=client_addresses(options),
                app_version=self._app_version,
            ),
            master=options.master,
            heartbeat=settings.member_heartbeat_seconds,
            on_change=self._member_changed,
            serve=lambda stream: self._links.serve(stream),
            security=security,
            calls=self._go or NoMessages(),
        )
        self._hello = make_hello(
            self._cluster_name,
            self._cluster.me,
            [item.route for item in public],
            [item.route for item in self._handlers if item.internal],
        )
        dial = self._world.dialler(options.address, security)
        self._links = Links(
            self._hello,
            dial,
            self._metrics,
            self._world.time,
            settings.peer_grace_seconds,
        )
        Unmet(self._dispatcher.unmet, self._links)
        self._drains = Drains(self._links)
        self._forwarder: Forwarder | None = None
        Mirrors(self._dispatcher, self._sessions, self._links)
        GroupLinks(self._groups, self._sessions, self._links, self._metrics)
        takeovers = Takeovers(
            Handovers(self._components, self._dispatcher),
            self._dispatcher,
            self._sessions,
            self._links,
        )
        self._ticker.add(takeovers.tick)
        calls = CallLinks(self._calls, self._dispatcher, self._sessions, self._links)
        calls.takeovers = takeovers
        cluster = self._cluster
        UserLinks(self._users, self._links, lambda: cluster.members, self._metrics)
        if options.role is Role.GATE and settings.one_session_per_uid:
            self._claim_uids()
        if self._go is None:
            Bindings(self._sessions, self._links, self._metrics)
        else:
            others = self._go.backends.serving
            policies = self._policies
            bindings = Bindings(
                self._sessions, self._links, self._metrics, others, policies
            )
            self._ticker.add(bindings.tick)
            # Clients of Go gates are at home at backends, as far as ours can tell.
            timeout = settings.request_timeout_seconds
            self._forwarder = forwarder = Forwarder(
                self._dispatcher, self._sessions, self._links, timeout
            )
            forwarder.go = self._go.backends
            mover = Mover(self._dispatcher, self._sessions, self._links, forwarder)
            calls.mover = bindings.mover = mover
            self._ticker.add(forwarder.tick)
            self._ticker.add(mover.tick)
            self._ticker.add(self._go.tick)
        self._ticker.add(self._links.tick)

    def _claim_uids(self) -> None:
        is_at_home = self._users.elsewhere.is_at_home
        wall = self._world.wall
        claims = Claims(self._sessions, is_at_home, self._metrics, wall)
        ClaimLinks(claims, self._links)

    def _build_front(self) -> None:
        options = self._options
        self._front = front = Front(
            self._dispatcher,
            self._sessions,
            self._metrics,
            limits(options.manifest.spec.settings),
            time=self._world.time,
            wall=self._world.wall,
            greeter=Greeter(self._components),
        )
        self._ticker.add(front.tick)
        self._listeners = make_listeners(
            options, front, self._pipelines, self._world.listener
        )
        for _, listener in self._listeners:
            self._ticker.add(listener.tick)

    # -------------------------------------------------------------- start, stop

    async def start(self) -> None:
        """Come up, join the cluster and let clients in.

        Waits for the master as long as it takes.

        Raises:
            UsageError: An address cannot be used.
        """
        undo = self._undo.push_async_callback  # each step says how it is undone
        undo(self._admin.stop)
        await self._admin.start()
        undo(self._threads.stop)  # last: a component may need it to stop
        undo(self._inbox.stop)
        self._inbox.start()
        undo(self._timers.stop)  # should one of them not start
        for component in self._components:
            await component.start()
            undo(_ended, component.stop)
        undo(self._timers.stop)
        self._report.reason = "waiting for the master"
        undo(self._cluster.stop, STOP_GRACE)
        await self._cluster.start()
        self._set_address(self._cluster.address)
        self._undo.callback(self._ticker.stop)
        self._ticker.start()
        undo(self._stop_messages)
        await self._cluster.join()
        await self._links.settle()
        undo(self._stop_listeners)
        for item, listener in self._listeners:
            await start_listener(item, listener, self._options)
            logger.info(
                "clients: %s %s at %s", item.name, item.transport, listener.address
            )
        for component in self._components:
            undo(_ended, component.stopping)
            await component.started()
        self._report.reason = None
        logger.info("%s %s is ready", self._options.role.value, self._cluster.address)

    def _set_address(self, address: str) -> None:
        """Take the true port in, where any was asked for."""
        self._hello.address = address
        for component in self._components:
            component.node = dataclasses.replace(component.node, name=address)

    def drain(self) -> str | None:
        """Begin to leave: send clients and sessions elsewhere, finish what is in hand.

        The node is not ready from now on, goes on serving whoever is left, and does not
        stop: see :meth:`drained`.  Takes no longer than the setting ``drainSeconds``.
        Again is harmless.

        Returns:
            Why it cannot; ``None`` if it does.
        """
        if self._draining is None:
            if self._options.role is Role.MASTER:
                return "a master has nothing to hand on; stop it"
            if not self._settings.drain_seconds:
                return "drainSeconds is 0, so this node does not drain; stop it"
            if self._report.reason is not None:
                return f"the node is not ready ({self._report.reason}); stop it instead"
            self._report.reason = "draining"
            me = dataclasses.replace(self._cluster.me, state=MemberState.DRAINING)
            self._cluster.update(me)
            self._draining = asyncio.create_task(self._departure.run(), name="drain")
        return None

    async def drained(self) -> None:
        """Wait until the drain has ended, if there is one."""
        if self._draining is not None:
            await asyncio.shield(self._draining)

    async def stop(self) -> None:
        """Leave in order: clients first, then the cluster, then the components.

        What was not started is not stopped, and nothing that fails keeps the rest
        from being stopped.  A second time is harmless.
        """
        self._report.reason = "stopping"
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.gather(self._draining, return_exceptions=True)
        await self._undo.aclose()

    async def _stop_listeners(self) -> None:
        await asyncio.gather(*(listener.stop() for _, listener in self._listeners))
        self._front.stop()

    async def _stop_messages(self) -> None:
        await self._links.stop()  # first, or new messages would start new handlers
        await self._dispatcher.stop()
        if self._go is not None:
            await self._go.stop()

    async def run(self) -> None:
        """Start, serve until SIGTERM or SIGINT, and stop.

        By SIGTERM the node drains first; a second signal, or SIGINT, ends that.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop, number)
        stopping = asyncio.create_task(self._stop_wanted.wait(), name="stop wanted")
        starting = asyncio.create_task(self.start(), name="start")
        try:
            await asyncio.wait(
                {stopping, starting}, return_when=asyncio.FIRST_COMPLETED
            )
            if starting.done():
                await starting
                _settle_memory()
                await stopping
                await self._drain_unless_hurried()
        finally:
            starting.cancel()
            stopping.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await self.stop()

    def _told_to_stop(self, number: signal.Signals) -> None:
        if number == signal.SIGINT or self._stop_wanted.is_set():
            self._hurry.set()
        self._stop_wanted.set()

    async def _drain_unless_hurried(self) -> None:
        if self._hurry.is_set() or not self._settings.drain_seconds:
            return
        self.drain()
        hurry = asyncio.create_task(self._hurry.wait(), name="hurry")
        drained = asyncio.create_task(self.drained(), name="drained")
        both = {hurry, drained}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    # ------------------------------------------------------------------ members

    def _member_changed(
        self, change: MemberAdded | MemberRemoved | MemberChanged
    ) -> None:
        member = change.after if isinstance(change, MemberChanged) else change.member
        if self._options.role is Role.MASTER or member.address == self.address:
            return
        if isinstance(change, MemberRemoved):
            self._links.remove(member)
            if self._go is not None:
                self._go.remove(member.address)
        else:
            self._links.add(member)
            if self._go is not None:
                self._go.add(member)

    def _deliver(
        self, sessions: Sequence[Session], route: str, payload: bytes, how: Delivery
    ) -> int:
        """Push to clients of this node and of Go gates; return how many took it."""
        delivered = broadcast(self._metrics, sessions, route, payload, how)
        if self._go is not None:
            delivered += self._go.deliver(sessions, route, payload, how)
        return delivered

    def _has_go_master(self) -> bool:
        return any(it.is_master and it.is_go for it in self._cluster.members.values())

    @property
    def address(self) -> str:
        """The cluster address, with its true port once started."""
        return self._cluster.address

    @property
    def observe_address(self) -> str:
        """Where health and metrics are, ``host:port``; empty if they are nowhere."""
        return self._admin.observe_address

    @property
    def client_addresses(self) -> dict[str, str]:
        """Where clients are let in, ``host:port`` by listener."""
        return self._report.listeners()

    @property
    def linked(self) -> frozenset[str]:
        """The addresses of the members that messages are exchanged with now."""
        return frozenset(link.address for link in self._links.open)

    # -------------------------------------------------- what the admin side asks

    def not_ready(self) -> str | None:
        """Return why this node takes no clients or messages; ``None`` if it does."""
        return self._report.reason

    def metrics(self) -> bytes:
        """Return all counts in Prometheus' text format."""
        return self._report.metrics()

    def status(self) -> dict[str, object]:
        """Return what an operator wants to know at a glance, JSON-able."""
        return self._report.status()

    def sessions(self, limit: int) -> list[dict[str, object]]:
        """Return up to *limit* sessions, ids as strings for JavaScript's sake."""
        return self._report.sessions(limit)

    def kick(self, session_id: int, reason: str) -> bool:
        """Send a client away; false if it is not known here."""
        return self._report.kick(session_id, reason)


async def _ended(hook: Callable[[], Awaitable[None]]) -> None:
    """Run a component's *hook* on the way down; its failure stops nothing."""
    try:
        await hook()
    except FAILURES as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
            raise  # not what the hook waits for was cancelled, but who stops the node
        logger.exception("%s failed", hook.__qualname__)


def _settle_memory() -> None:
    """Keep the collector away from what was made at the start and lives on.

    Measured on 10,000 sessions: without it, one full collection walks them all.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def run(options: NodeOptions) -> None:
    """Run one node until it is told to stop; the whole of ``nanoctl node``.

    Raises:
        UsageError: Something in the options cannot be done.
    """
    import uvloop

    async def main() -> None:
        await Node(options).run()

    uvloop.run(main())
