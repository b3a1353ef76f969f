"""Which Go gate a call comes from that does not say so.

Connections are known by what gRPC calls their far end, ``ipv4:10.0.0.7:43210``.
"""

from __future__ import annotations

from collections.abc import Iterable
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
        host = _host(connection)
        there = [it for it in members if it.rpartition(":")[0].strip("[]") == host]
        return there[0] if len(there) == 1 else None


def _host(connection: str) -> str:
    """Return the address of the machine in *connection*."""
    _, _, rest = unquote(connection).partition(":")
    return rest.rpartition(":")[0].strip("[]")
