"""Ports: the manifest's listeners, bound once, and free ones for ourselves.

All gates accept from the same listening sockets, so a gate that dies leaves no
client knocking at a closed door, and two gates need no two ports.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from nano.errors import UsageError
from nano_manifest import NanoCluster

__all__ = ["bind_listeners", "free_ports"]

BACKLOG: Final = 1024
# Below the range from which the kernel takes ports for outgoing connections, so
# that a node that is started again still finds its port free.
FIRST_PORT: Final = 20_000
LAST_PORT: Final = 29_999


def bind_listeners(
    cluster: NanoCluster, host: str, stack: ExitStack
) -> dict[str, socket.socket]:
    """Bind and listen on the port of every listener; closed by *stack*.

    Raises:
        UsageError: A port is in use, or *host* is no address of this machine.
    """
    bound: dict[str, socket.socket] = {}
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for listener in cluster.spec.gates.listeners:
        try:
            listening = socket.create_server(
                (host, listener.port), family=family, backlog=BACKLOG
            )
        except OSError as error:
            number = error.errno or 0  # negative: a name that cannot be resolved
            reason = os.strerror(number) if number > 0 else error.strerror
            message = (
                f"listener {listener.name} cannot use port {listener.port} of {host}: "
                f"{reason}; stop what uses it, or choose another port in "
                "spec.gates.listeners"
            )
            raise UsageError(message) from error
        bound[listener.name] = stack.enter_context(listening)
    return bound


def free_ports(count: int) -> list[int]:
    """Return *count* different ports of loopback that are free now.

    Raises:
        UsageError: There are not as many.
    """
    with ExitStack() as held:  # all at once, so that none is found twice
        ports: list[int] = []
        for port in _from_somewhere():
            if len(ports) == count:
                return ports
            probe = held.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    message = f"only {len(ports)} of {count} ports are free; use fewer replicas"
    raise UsageError(message)


def _from_somewhere() -> Iterator[int]:
    """Yield every port of the range once, from a random one on."""
    size = LAST_PORT - FIRST_PORT + 1
    start = random.randrange(size)
    for step in range(size):
        yield FIRST_PORT + (start + step) % size
