"""Whose a connection is, and whether it may stay.

A connection is counted when it comes, as its address's, or later, when a proxy has told
whom it speaks for.  What it says is not looked at here.
"""

from __future__ import annotations

from asyncio import BaseTransport
from typing import Final

from nano.transports.addresses import Address, counted_as, read_address, written
from nano.transports.context import Doorway
from nano.transports.sending import Sender

__all__ = ["FOR_NOW", "REFUSALS", "Arrival", "address_of"]

MOST_FAREWELLS: Final = 1000  # refused clients that get time to read why
REFUSALS: Final = {
    "too-many-connections": "too many connections",
    "too-many-of-address": "too many connections from your address",
    "too-many-new": "too many new connections at this moment",
    "too-many-new-of-address": "too many new connections from your address",
}
FOR_NOW: Final = frozenset(REFUSALS) - {"too-many-of-address"}  # may come back


def address_of(transport: BaseTransport | None) -> Address | None:
    """Return the IP address of a socket's peer, if it has one."""
    name = transport.get_extra_info("peername") if transport is not None else None
    return read_address(name[0]) if isinstance(name, tuple) else None


class Arrival(Sender):
    """The part of a connection that knows whence it comes.

    Args:
        door: The listener's doorway.

    Attributes:
        door: The same.
    """

    __slots__ = ("_host", "_source", "door")

    def __init__(self, door: Doorway) -> None:
        super().__init__(door.front)
        self.door = door
        self._host: str | None = None  # counted as whose, once in; empty: nobody's yet
        self._source = ""  # the client's address, where it is not the socket's peer

    def let_in(self, host: str, source: str) -> None:
        """Note that this connection has been counted before it became a client's.

        Args:
            host: As whose; empty: a proxy's, which may still tell.
            source: The client's address for people; empty: the socket's peer.
        """
        self._host = host
        self._source = source

    def _count_in(self) -> None:
        """Count this connection as its address's, or refuse it.

        Whoever is refused is not counted among the connections, so only some get the
        time to read why; a flood of them is cut off.
        """
        front, proxies = self._front, self.door.terms.proxies
        host = ""
        if front.admission.by_address or proxies:
            address = address_of(self._transport)
            if address is not None and address not in proxies:
                host = counted_as(address)
        refusal = front.admission.enter(host, front.time())
        if not refusal:
            self._host = host
            return
        self._refuse(refusal, REFUSALS[refusal])
        if len(front.closings) > MOST_FAREWELLS:
            self.abort()

    def _identify(self, address: Address) -> str:
        """Take *address* for the client's; return why it may not stay, if so."""
        self._source = written(address)
        front, host = self._front, counted_as(address)
        refusal = front.admission.identify(host, front.time())
        if not refusal:
            self._host = host
        return refusal

    @property
    def peer(self) -> str:
        """The client's address, ``host:port``, for people.

        The host alone, where only a proxy knows it and does not tell the port.
        """
        if self._source:
            return self._source
        if self._transport is None:
            return "gone"
        name = self._transport.get_extra_info("peername")
        if isinstance(name, tuple):
            host = f"[{name[0]}]" if ":" in name[0] else name[0]
            return f"{host}:{name[1]}"
        return str(name or "local")

    def _refuse(self, reason: str, text: str) -> None:
        """Close: there are too many already; subclasses say how."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close without waiting for the client to read."""
        if self._transport is not None:
            self._transport.abort()
