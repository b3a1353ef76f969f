"""A connection before it is a client's: its true address and its TLS come first.

Listeners that want neither do without these classes.  The others make one for each
connection, which is counted as soon as it is accepted, reads the header of the PROXY
protocol if there is to be one, agrees on TLS if it is to be spoken, and then puts a
:class:`~nano.transports.connection.ClientTransport` in its place.

All of that has the time of a handshake, costs little memory, and ends without a word:
whoever is refused here does not speak our protocol yet, or should not cost us the
arithmetic of TLS.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from ssl import SSLContext
from typing import cast

from nano.transports.addresses import counted_as, written
from nano.transports.arrival import address_of
from nano.transports.connection import ClientTransport
from nano.transports.context import Doorway
from nano.transports.proxy import ProxyError, ProxyHeader, read_header
from nano.transports.tls import TlsTransport

__all__ = ["Entry", "TlsEntry"]

logger = logging.getLogger(__name__)


class Entry(asyncio.Protocol):
    """One connection that begins with a header, until its client takes over.

    Args:
        door: The listener's doorway.
        make: Makes the client.
    """

    def __init__(
        self, door: Doorway, make: Callable[[Doorway], ClientTransport]
    ) -> None:
        self._door = door
        self._front = door.front
        self._make = make
        self._transport: asyncio.Transport | None = None
        self._early = bytearray()  # of the header, and what has come with its end
        self._peer = ""  # the socket's, for people
        self._host: str | None = None  # counted as whose, once let in
        self._source = ""  # what the PROXY protocol has said, for people
        self._client: ClientTransport | None = None
        self._reason = ""  # why it is over, once it is

    @property
    def behind(self) -> int:
        """Nothing is sent to it yet."""
        return 0

    @property
    def session(self) -> None:
        """There is none yet."""

    # ------------------------------------------------------------ the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, or refuse it at once."""
        front, door = self._front, self._door
        self._transport = cast("asyncio.Transport", transport)
        door.enter(self)
        front.greetings.add(self, front.time())
        if door.shut:
            self._end("server-stopping")
            return
        peer = address_of(self._transport)
        self._peer = str(peer)
        trusted = peer in door.terms.proxies if peer else self._is_local()
        host = counted_as(peer) if peer and not trusted else ""
        refusal = front.admission.enter(host, front.time())
        if refusal:
            self._end(refusal)
            return
        self._host = host
        if not door.terms.proxy_protocol:
            self._go_on(self._transport)
        elif not trusted:
            logger.info("%s is none of the listener's trustedProxies", peer)
            self._refuse("untrusted-proxy")

    def data_received(self, data: bytes) -> None:
        """Look for the header; what comes behind it is the client's."""
        if self._reason:
            return
        assert self._transport is not None
        header = self._header(data)
        if header is not None:
            del self._early[: header.size]
            if self._identify(header):
                self._go_on(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It ends before it was a client's."""
        del exc
        self._transport = None
        self._leave(self._reason or "client-closed")

    # ------------------------------------------------------------ who it is

    def _is_local(self) -> bool:
        """Return whether the socket is a file, which says who may use it."""
        assert self._transport is not None
        used = self._transport.get_extra_info("socket")
        return used is not None and used.family == socket.AF_UNIX

    def _header(self, data: bytes) -> ProxyHeader | None:
        """Return the header if it ends within *data*; refuse what is none."""
        self._early += data
        try:
            return read_header(bytes(self._early))
        except ProxyError as error:
            logger.info("%s sent no good PROXY header: %s", self._peer, error)
            self._refuse("bad-proxy-header")
            return None

    def _identify(self, header: ProxyHeader) -> bool:
        """Take the proxy's word for whose the connection is; false if refused."""
        source = header.source
        if source is None:
            return True
        self._source = written(source, header.port)
        if source in self._door.terms.proxies:
            return True  # a proxy in front of the proxy; it may tell by other means
        host, front = counted_as(source), self._front
        refusal = front.admission.identify(host, front.time())
        if refusal:
            self._end(refusal)
            return False
        self._host = host
        return True

    # ------------------------------------------------------- what comes next

    def _go_on(self, transport: asyncio.Transport) -> None:
        """Do what comes behind the header, or first if there is none: hand over."""
        self._hand_over(transport)

    def _hand_over(self, transport: asyncio.Transport) -> None:
        """Put the client in this one's place."""
        assert self._host is not None
        client = self._make(self._door)
        client.let_in(self._host, self._source)
        self._host = None
        self._client = client
        self._front.greetings.discard(self)
        self._door.become(self, client)
        self._transport = None
        transport.set_protocol(cast("asyncio.Protocol", client))
        client.connection_made(transport)
        if self._early:
            client.data_received(bytes(self._early))
            self._early.clear()

    # ---------------------------------------------------------------- ending

    def late_greeting(self) -> None:
        """Close: neither header nor TLS came in time."""
        self._door.counts.handshakes["timeout"] += 1
        self._end("handshake-timeout")

    def stop(self) -> None:
        """Close: the node goes."""
        self._end("server-stopping")

    def _refuse(self, reason: str) -> None:
        """Close, and count a handshake that came to nothing."""
        self._door.counts.handshakes[reason] += 1
        self._end(reason)

    def _end(self, reason: str) -> None:
        """Cut the connection off; its end is noted when the loop reports it."""
        if not self._reason:
            self._reason = reason
            if self._transport is not None:
                self._transport.abort()

    def _leave(self, reason: str) -> None:
        """Give everything back, once."""
        if self._client is not None:
            return
        front = self._front
        front.greetings.discard(self)
        if self._host is not None:
            front.admission.leave(self._host)
            self._host = None
        if self in self._door.open:
            self._door.leave(self, reason)


class TlsEntry(Entry):
    """One connection that speaks TLS, behind a header or from the beginning.

    Args:
        door: The listener's doorway.
        make: Makes the client.
        context: What TLS is spoken with.
    """

    def __init__(
        self,
        door: Doorway,
        make: Callable[[Doorway], ClientTransport],
        context: SSLContext,
    ) -> None:
        super().__init__(door, make)
        self._context = context
        self._shaking = False  # TLS has begun

    def _go_on(self, transport: asyncio.Transport) -> None:
        """Agree on TLS, and hand over."""
        self._shaking = True
        tls = TlsTransport(transport, self._context, self, self._agreed)
        self._transport = cast("asyncio.Transport", tls)
        early = bytes(self._early)
        self._early.clear()
        if early:
            tls.data_received(early)

    def _agreed(self) -> None:
        assert self._transport is not None
        self._hand_over(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It ends before it was a client's; without our doing, TLS came to nothing."""
        if self._shaking and not self._reason:
            logger.debug("a TLS handshake failed: %s", exc or "the client has gone")
            self._door.counts.handshakes["no-tls"] += 1
            self._reason = "no-tls"
        super().connection_lost(exc)
