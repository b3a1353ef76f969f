"""Which Go gate a call comes from that does not say so.

Connections are known by what gRPC calls their far end, ``ipv4:10.0.0.7:43210``.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import unquote

__all__ = ["Senders"]

MOST_KNOWN: Final = 4096  # connections; nano has ten to each node


class Senders:
    """What is known of connections from Go gates."""

    def __init__(self) -> None:
        self._gates: dict[str, str | None] = {}  # None: requests of several came by it

    def learn(self, connection: str, gate: str) -> None:
        """Note that a request of *gate* came by *connection*."""
        known = self._gates.get(connection, gate)
        if connection not in self._gates and len(self._gates) >= MOST_KNOWN:
            del self._gates[next(iter(self._gates))]
        self._gates[connection] = gate if known == gate else None

    def forget(self, gate: str) -> None:
        """Let *gate* go: another node may have its connections' ports."""
        for connection, known in list(self._gates.items()):
            if known == gate:
                del self._gates[connection]

    def who(self, connection: str, members: Iterable[str]) -> str | None:
        """Return the gate behind *connection*; none if it cannot be told.

        Args:
            connection: What the call came by.
            members: The addresses of all Go nodes.
        """
        if connection in self._gates:
            return self._gates[connection]
        _, _, address = unquote(connection).partition(":")
        machine = _machine(address)
        there = [it for it in members if _machine(it) in (machine, None)]
        return there[0] if len(there) == 1 and _machine(there[0]) else None


def _machine(address: str) -> IPv4Address | IPv6Address | None:
    """Return the machine of *address*, ``host:port``; none if that is a name."""
    try:
        return ip_address(address.rpartition(":")[0].strip("[]"))
    except ValueError:
        return None
