"""What a node needs of the world around it: clocks, ports, and ways to other nodes.

A node on a machine has :class:`World` itself, a node in memory one of
:mod:`nano.testing`.  Nothing is decided here: it makes the parts that touch sockets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from time import time as wall_time
from typing import Protocol

from nano.cluster.credentials import Credentials
from nano.cluster.drivers import Change
from nano.cluster.gopeers import MessagePeer
from nano.cluster.link import Stream
from nano.cluster.links import Dial
from nano.cluster.members import Member
from nano.cluster.server import ClusterServer
from nano.cluster.services import MemberCalls
from nano.cluster.strangers import Strangers
from nano.cluster.streams import DialledLink, LinkService
from nano.metrics import Metrics
from nano.node.certificates import cluster_credentials
from nano.node.gate import Entrance, real_listener
from nano.node.options import NodeOptions
from nano.runtime.component import Component
from nano.runtime.info import NodeInfo
from nano.runtime.loading import load_components
from nano.transports.context import Front, Terms
from nano_manifest import Listener as ListenerSpec

__all__ = ["Cluster", "Security", "World"]


@dataclass(frozen=True, slots=True)
class Security:
    """What a node thinks of those that it meets on its cluster port.

    Attributes:
        credentials: What it shows and believes; ``None``: the port is plain.
        strangers: Where those who are refused are counted.
    """

    credentials: Credentials | None
    strangers: Strangers


class Cluster(Protocol):
    """A node's place among the others."""

    @property
    def address(self) -> str:
        """Where this node is reached; the true port once it has started."""

    @property
    def me(self) -> Member:
        """What this node says about itself."""

    @property
    def members(self) -> Mapping[str, Member]:
        """Everybody known, by address, this node included."""

    @property
    def list_version(self) -> int:
        """Which list of the master's this node has; 0: none yet, or a Go master's."""

    @property
    def is_master_reachable(self) -> bool:
        """The master has answered last time; of the master itself, always."""

    def peer(self, address: str) -> MessagePeer:
        """Return what messages to the Go node at *address* are sent by."""

    async def start(self) -> None:
        """Be reachable."""

    async def join(self) -> None:
        """Become a member."""

    def update(self, me: Member) -> None:
        """Say something new about this node: that it drains."""

    async def stop(self, grace: float) -> None:
        """Leave; calls of others get *grace* seconds to end."""


class World:
    """The machine that a node runs on."""

    @property
    def time(self) -> Callable[[], float]:
        """Gives seconds from any origin: the event loop's time."""
        return monotonic

    @property
    def wall(self) -> Callable[[], float]:
        """Gives seconds since 1970."""
        return wall_time

    def components(
        self, names: Iterable[str], node: NodeInfo, app_dir: str
    ) -> list[Component]:
        """Make the components called *names*; see :func:`load_components`."""
        return load_components(names, node, app_dir)

    def security(
        self, options: NodeOptions, cluster: str, metrics: Metrics
    ) -> Security:
        """Read what a node of *cluster*, ``namespace/name``, shows the others.

        Raises:
            UsageError: Its certificate cannot be used.
        """
        strangers = Strangers(metrics.refusals)
        credentials = cluster_credentials(options, cluster, metrics, strangers)
        return Security(credentials, strangers)

    def cluster(
        self,
        me: Member,
        *,
        master: str | None,
        heartbeat: float,
        on_change: Callable[[Change], None],
        serve: Callable[[Stream], Awaitable[object]],
        security: Security,
        calls: MemberCalls,
    ) -> Cluster:
        """Make the place of *me* in the cluster.

        *serve* takes links of others, *calls* what Go nodes send.
        """
        return ClusterServer(
            me,
            master=master,
            heartbeat=heartbeat,
            on_change=on_change,
            calls=calls,
            credentials=security.credentials,
            strangers=security.strangers,
            extra=[LinkService(serve, security.strangers).attach],
        )

    def dialler(self, source: str, security: Security) -> Dial:
        """Return what opens streams from the node at *source* to others."""
        del source  # the kernel knows
        return partial(DialledLink, credentials=security.credentials)

    def listener(
        self, item: ListenerSpec, front: Front, terms: Terms, options: NodeOptions
    ) -> Entrance:
        """Make the way in that *item* describes."""
        return real_listener(item, front, terms, options)
