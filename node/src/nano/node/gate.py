"""A gate's listeners, made as the manifest describes them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from nano.errors import UsageError
from nano.metrics import Metrics
from nano.node.certificates import secret_folder, tell_term
from nano.node.options import NodeOptions, Role
from nano.protocol.dictionary import RouteDictionary
from nano.runtime.pipeline import Pipelines
from nano.transports.addresses import Proxies
from nano.transports.certificate import Certificate
from nano.transports.context import Arriving, Front, Limits, Terms
from nano.transports.listener import Listener
from nano_manifest import Listener as ListenerSpec
from nano_manifest import Settings

__all__ = [
    "Entrance",
    "client_addresses",
    "limits",
    "make_listeners",
    "real_listener",
    "start_listener",
]


def limits(settings: Settings) -> Limits:
    """Return what clients may do."""
    return Limits(
        packet=settings.max_packet_bytes,
        backlog=settings.backlog_bytes,
        heartbeat=settings.client_heartbeat_seconds,
        handshake=settings.handshake_timeout_seconds,
        connections=settings.max_connections,
        per_address=settings.max_connections_per_address,
        messages=settings.messages_per_second,
        handshakes=settings.handshakes_per_second,
        resume=settings.resume_seconds,
        rate=settings.connections_per_second,
        rate_per_address=settings.connections_per_second_per_address,
    )


class Entrance(Protocol):
    """Where clients come in."""

    @property
    def address(self) -> str:
        """Where clients find it, ``host:port``; empty before it was started."""

    async def start(
        self, host: str, port: int, inherited: socket.socket | None = None
    ) -> None:
        """Let them in at an address."""

    async def start_file(
        self, path: Path, inherited: socket.socket | None = None
    ) -> None:
        """Let them in at a file of this machine."""

    def tick(self, now: float) -> None:
        """Look at what has a time."""

    @property
    def clients(self) -> list[Arriving]:
        """The connections that there are."""

    def shut(self) -> None:
        """Let nobody in any more; who is connected stays."""

    async def stop(self) -> None:
        """Let nobody in any more, and wait until everybody has gone."""


Maker = Callable[[ListenerSpec, Front, Terms, NodeOptions], Entrance]


def make_listeners(
    options: NodeOptions, front: Front, pipelines: Pipelines, make: Maker
) -> list[tuple[ListenerSpec, Entrance]]:
    """Return the listeners of a node, made by *make*; only gates have any.

    Raises:
        UsageError: A certificate cannot be used.
    """
    if options.role is not Role.GATE:
        return []
    return [
        (item, make(item, front, _terms(item, pipelines), options))
        for item in options.manifest.spec.gates.listeners
    ]


def real_listener(
    item: ListenerSpec, front: Front, terms: Terms, options: NodeOptions
) -> Entrance:
    """Return the listener of a node on a machine.

    Raises:
        UsageError: Its certificate cannot be used.
    """
    certificate = _certificate(item, options, front.metrics)
    return Listener(item.name, item.transport, front, terms, certificate)


def client_addresses(options: NodeOptions) -> tuple[str, ...]:
    """Return where clients connect from elsewhere, as URLs."""
    if options.role is not Role.GATE:
        return ()
    return tuple(
        item.url(options.host)
        for item in options.manifest.spec.gates.listeners
        if item.port is not None
    )


async def start_listener(
    item: ListenerSpec, listener: Entrance, options: NodeOptions
) -> None:
    """Let clients in.

    Raises:
        UsageError: The address cannot be used.
    """
    inherited = _inherited(item.name, options)
    if item.port is None:
        await listener.start_file(Path(options.app_dir, item.socket), inherited)
    else:
        await listener.start(options.host, item.port, inherited)


def _inherited(listener: str, options: NodeOptions) -> socket.socket | None:
    descriptor = options.listen_fds.get(listener)
    if descriptor is None:
        return None
    try:
        return socket.socket(fileno=descriptor)
    except OSError as error:
        message = (
            f"listener {listener}: file descriptor {descriptor} of --listen-fds "
            f"is no socket ({error.strerror})"
        )
        raise UsageError(message) from error


def _terms(item: ListenerSpec, pipelines: Pipelines) -> Terms:
    return Terms(
        path=item.path,
        origins=frozenset(origin.lower() for origin in item.origins),
        dictionary=RouteDictionary(item.dictionary),
        name=item.name,
        pipeline=pipelines.of(item.name),
        proxies=Proxies(item.trusted_proxies),
        proxy_protocol=item.proxy_protocol,
    )


def _certificate(
    item: ListenerSpec, options: NodeOptions, metrics: Metrics
) -> Certificate | None:
    tls = item.tls
    if tls is None:
        return None
    if not tls.secret_name:
        cert, key = Path(tls.cert_file), Path(tls.key_file)
    else:
        folder = secret_folder(options, tls.secret_name, f"listener {item.name}")
        cert, key = folder / "tls.crt", folder / "tls.key"
    counts = metrics.listener(item.name).certificates
    here = Path(options.app_dir)
    made = Certificate(item.name, here / cert, here / key, counts)
    tell_term(metrics, item.name, lambda: made.term)
    return made
