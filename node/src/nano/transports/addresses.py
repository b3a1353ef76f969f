"""Whence a client comes, when others stand in between.

A proxy's address is not its clients'.  What a proxy says of them is believed only if
the proxy is one of those that the listener's owner has named; everybody else could
say anything.  Pure: texts go in, texts and addresses come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, TypeAlias

__all__ = ["Address", "Proxies", "counted_as", "read_address", "written"]

Address: TypeAlias = IPv4Address | IPv6Address

MOST_HOPS: Final = (
    32  # of one X-Forwarded-For; behind more, the truth is not looked for
)
CUSTOMER_BITS: Final = 64  # what one IPv6 customer gets at least (RFC 6177)


def read_address(text: str) -> Address | None:
    """Return the IP address that *text* is; ``None`` if it is none.

    An IPv4 address in IPv6's clothes, as a socket of both families shows it, is one
    of IPv4.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            address = IPv6Address(address.packed)
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
    return address


def counted_as(address: Address) -> str:
    """Return under which name the connections of *address* are counted.

    Who has one IPv6 address has 2^64 of them: all of a /64 are one.
    """
    if isinstance(address, IPv4Address):
        return str(address)
    first = int(address) >> CUSTOMER_BITS << CUSTOMER_BITS
    return f"{IPv6Address(first)}/{CUSTOMER_BITS}"


def written(address: Address, port: int | None = None) -> str:
    """Return *address* for people: ``192.0.2.1:80`` or ``[2001:db8::1]:80``."""
    host = f"[{address}]" if address.version == 6 else str(address)
    return host if port is None else f"{host}:{port}"


class Proxies:
    """The proxies that a listener believes.

    Args:
        ranges: Addresses and ranges of them, as ``10.0.0.0/8``.

    Raises:
        ValueError: One of them is neither.
    """

    def __init__(self, ranges: Iterable[str] = ()) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(text) for text in ranges
        ]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: object) -> bool:
        return any(address in network for network in self._networks)

    def client(self, forwarded: Sequence[str]) -> Address | None:
        """Return the client's address, as X-Forwarded-For of a trusted proxy says it.

        Each proxy adds the address that it was called from at the right.  So the
        right-most address that is no proxy of ours is the last one that somebody
        whom we believe has seen; what stands left of it, the client may have written
        itself.  If all are ours, the client is the left-most.

        Args:
            forwarded: The values of all headers of that name, in their order.

        Returns:
            The address; ``None`` if the header is missing, or does not hold an
            address where the client's should be.
        """
        hops = [hop for value in forwarded for hop in value.split(",")]
        found: Address | None = None
        for hop in reversed(hops[-MOST_HOPS:]):
            found = _hop(hop.strip())
            if found is None or found not in self:
                break
        return found


def _hop(text: str) -> Address | None:
    """Read an entry: an address, which some proxies write with a port."""
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return None
        return read_address(host)
    if text.count(":") == 1:
        text = text.partition(":")[0]
    return read_address(text)
