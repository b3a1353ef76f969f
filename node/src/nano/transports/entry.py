"""A connection before it is a client's: its true address and its TLS come first.

Listeners that want neither do without this class.  The others make one
:class:`Entry` for each connection, which is counted as soon as it is accepted, reads
the header of the PROXY protocol if there is to be one, has the loop agree on TLS,
and then puts a :class:`~nano.transports.connection.ClientTransport` in its place.

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
from typing import Final, cast

from nano.transports.addresses import counted_as, written
from nano.transports.arrival import address_of
from nano.transports.connection import ClientTransport
from nano.transports.context import CLOSING_TIME, Doorway
from nano.transports.proxy import ProxyError, ProxyHeader, read_header

__all__ = ["Entry"]

logger = logging.getLogger(__name__)

HIGH_WATER: Final = 64 * 1024  # bytes at which a socket without TLS is called full
LATER: Final = 5.0  # seconds: the loop's own time-out is to come behind ours
MOST_EARLY: Final = 256 * 1024  # bytes that may come while the client is put in place


class Entry(asyncio.Protocol):
    """One connection, from its acceptance until its client takes over.

    Args:
        door: The listener's doorway.
        make: Makes the client.
        context: What TLS is spoken with; ``None``: none is.
    """

    def __init__(
        self,
        door: Doorway,
        make: Callable[[Doorway], ClientTransport],
        context: SSLContext | None = None,
    ) -> None:
        self._door = door
        self._front = door.front
        self._make = make
        self._context = context
        self._transport: asyncio.Transport | None = None
        self._heading = door.terms.proxy_protocol  # a header is still to come
        self._early = bytearray()  # what has come for somebody else
        self._host: str | None = None  # counted as whose, once let in
        self._source = ""  # what the PROXY protocol has said, for people
        self._client: ClientTransport | None = None
        self._securing: asyncio.Task[None] | None = None
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
        trusted = peer in door.terms.proxies if peer else self._is_local()
        host = counted_as(peer) if peer and not trusted else ""
        refusal = front.admission.enter(host, front.time())
        if refusal:
            self._end(refusal)
            return
        self._host = host
        if self._heading and not trusted:
            logger.info("%s is none of the listener's trustedProxies", peer)
            self._refuse("untrusted-proxy")
        elif not self._heading:
            self._go_on()

    def data_received(self, data: bytes) -> None:
        """Take what has come, and look for the header if there is to be one."""
        if self._reason:
            return
        self._early += data
        if not self._heading:
            if len(self._early) > MOST_EARLY:
                self._end("protocol-error")
            return
        try:
            header = read_header(bytes(self._early))
        except ProxyError as error:
            logger.info(
                "%s sent no good PROXY header: %s", address_of(self._transport), error
            )
            self._refuse("bad-proxy-header")
            return
        if header is not None:
            self._heading = False
            del self._early[: header.size]
            if self._identify(header):
                self._go_on()

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

    def _go_on(self) -> None:
        assert self._transport is not None
        if self._context is None:
            self._hand_over(self._transport)
            return
        self._securing = asyncio.create_task(
            self._secure(self._transport, self._context), name="TLS handshake"
        )
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._feed)

    async def _secure(self, transport: asyncio.Transport, context: SSLContext) -> None:
        """Have the loop agree on TLS, and hand over."""
        front = self._front
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=front.limits.handshake + LATER,
                ssl_shutdown_timeout=CLOSING_TIME,
            )
        except OSError as error:  # ssl.SSLError is one
            logger.debug("a TLS handshake failed: %s", error)
            self._failed(transport)
            return
        if secured is None or secured.is_closing() or self._reason:
            self._failed(transport)
            return
        secured.set_write_buffer_limits(HIGH_WATER)
        self._hand_over(secured)

    def _failed(self, transport: asyncio.Transport) -> None:
        """Note that TLS was not agreed upon.

        Neither loop reports the end of a connection that comes during the handshake.
        """
        transport.abort()
        if not self._reason and self._transport is not None:
            self._door.counts.handshakes["no-tls"] += 1
            self._reason = "no-tls"
        self._leave(self._reason)

    def _feed(self) -> None:
        """Give TLS what was read before its time: behind a header, or at once.

        ``start_tls`` schedules two calls: TLS learns of the socket, and the socket is
        read again.  This one was scheduled so that it stands right behind them, in the
        same turn of the loop, when nothing has been read in between.
        """
        if self._transport is None or not self._early:
            return
        tls = cast("asyncio.BufferedProtocol", self._transport.get_protocol())
        early = bytes(self._early)
        self._early.clear()
        while early and not self._transport.is_closing():
            room = memoryview(tls.get_buffer(len(early)))
            size = min(len(room), len(early))
            room[:size] = early[:size]
            tls.buffer_updated(size)
            early = early[size:]

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
        transport.set_protocol(client)
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
        if not self._reason and self._transport is not None:
            self._reason = reason
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
