"""TLS between a client's socket and what speaks with the client.

Event loops have their own, made for both sides of a connection and for changing it in
the middle.  Ours only serves: what the loop has read goes through OpenSSL to the
protocol above in the same call, a record at a time, no read ends in an exception, and
an idle connection needs 20 KiB, of uvloop's 44.

=============  ======================  =======================
state          what has come           the stream ends
=============  ======================  =======================
shaking hands  goes into the greeting  TLS came to nothing
open           is the protocol's       the protocol is told
said goodbye   is dropped              closed
=============  ======================  =======================
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

__all__ = ["MOST_UNREAD", "RECORD", "TlsTransport"]

RECORD: Final = 16 * 1024  # bytes; a record of TLS holds no more, RFC 8446 section 5.1
MOST_UNREAD: Final = 1024 * 1024  # bytes in front of what TLS itself has to say
NOTHING: Final = memoryview(b"")


class TlsTransport:
    """The server's side of TLS on one connection.

    It is the protocol of the *transport* below, and to the *protocol* above a transport
    like asyncio's.  Neither by descent, for the reason why
    :class:`~nano.transports.sending.Sender` is no protocol.  Other than theirs it
    knows an end of one direction: behind :meth:`write_eof` the client can still send,
    which is read and dropped until it ends its own.

    Args:
        transport: What the client's bytes come by; nothing of TLS was read from it.
        context: What TLS is spoken with.
        protocol: Who is told of what is read and of the end, also before TLS is
            agreed upon.
        agreed: Called when it is; nothing is read before it returns, and nothing may
            be written before.
    """

    __slots__ = (
        "_agreed",
        "_deaf",
        "_ended",
        "_error",
        "_incoming",
        "_lost",
        "_outgoing",
        "_partial",
        "_paused",
        "_protocol",
        "_pull",
        "_put",
        "_rest",
        "_tls",
        "_transport",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        context: ssl.SSLContext,
        protocol: asyncio.Protocol,
        agreed: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._protocol = protocol
        self._agreed: Callable[[], None] | None = agreed  # None once it is
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        # an SSLObject asks this one of CPython's, by functions that we need not call
        direct: Any = getattr(self._tls, "_sslobj", self._tls)
        self._pull: Callable[[int], bytes] = direct.read
        self._put: Callable[[bytes], int] = direct.write
        self._rest = NOTHING  # has come, and OpenSSL was not given it yet
        self._partial = False  # ... and of what it was given a part of a record is left
        self._paused = False
        self._ended = False  # nothing more is sent
        self._deaf = False  # nothing more is heard
        self._lost = False  # and the protocol knows that it is over
        self._error: Exception | None = None  # what TLS or the protocol failed with
        transport.set_protocol(cast("asyncio.Protocol", self))

    # ------------------------------------------- a transport, for who is above

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return ``ssl_object`` or what the transport below has, else *default*."""
        if name == "ssl_object":
            return self._tls
        return self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have *protocol*, an :class:`asyncio.Protocol`, take what comes."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.Protocol:
        """Return who takes what comes."""
        return self._protocol

    def is_closing(self) -> bool:
        """Return whether it is closed, or will be as soon as all is sent."""
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        """Return whether the protocol is given what comes."""
        return not (self._paused or self._deaf or self._transport.is_closing())

    def pause_reading(self) -> None:
        """Give the protocol nothing more until :meth:`resume_reading`."""
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on after :meth:`pause_reading`, in the loop's next turn."""
        if self._paused and not self._transport.is_closing():
            self._paused = False
            asyncio.get_running_loop().call_soon(self._go_on)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the socket did not take yet."""
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Send *data*; what the socket does not take waits."""
        if self._ended or not data:
            return
        outgoing = self._outgoing
        try:
            if len(data) <= RECORD:
                self._put(data)
                self._transport.write(outgoing.read())
                return
            # a buffer of OpenSSL's stays as large as it ever was
            for start in range(0, len(data), RECORD):
                self._put(data[start : start + RECORD])
                self._transport.write(outgoing.read())
        except ssl.SSLError as error:
            self._fail(error)

    def can_write_eof(self) -> bool:
        """Yes."""
        return True

    def write_eof(self) -> None:
        """End our direction when all is sent; drop what comes until the other ends."""
        if not self._ended and not self._transport.is_closing():
            self._say_goodbye()
            self._transport.write_eof()

    def close(self) -> None:
        """Close when all is sent; read nothing more."""
        if not self._transport.is_closing():
            self._say_goodbye()
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._ended = self._deaf = True
        if not self._lost:
            self._transport.abort()

    # --------------------------------------------- a protocol, for what is below

    def data_received(self, data: bytes) -> None:
        """Take what the socket has read."""
        if self._deaf:
            return
        if len(data) <= RECORD:
            self._incoming.write(data)
        else:
            self._rest = memoryview(data)
        self._take()

    def eof_received(self) -> bool:
        """Take the end of the client's direction; true if ours stays open."""
        if self._agreed is not None:
            self._fail(ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the client has gone"))
        elif not self._deaf:
            self._hear_end()
        return not self._ended

    def connection_lost(self, error: Exception | None) -> None:
        """Tell the protocol, once, that it is over."""
        self._ended = self._deaf = self._lost = True
        self._rest = NOTHING
        self._agreed = None
        self._protocol.connection_lost(self._error or error)

    def pause_writing(self) -> None:
        """Tell the protocol that the socket is full."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Tell the protocol that it takes more."""
        self._protocol.resume_writing()

    # ------------------------------------------------------------------ reading

    def _take(self) -> None:
        """Have OpenSSL read what has come, until that is all or somebody pauses."""
        incoming = self._incoming
        while not self._paused and not self._deaf:
            size = incoming.pending
            if not size:
                if not self._rest:
                    break
                size = incoming.write(self._rest[:RECORD])
                self._rest = self._rest[RECORD:]
            if self._agreed is None:
                self._read(size)
            else:
                self._shake(self._agreed)
        if self._outgoing.pending:
            self._reply()

    def _reply(self) -> None:
        """Send what TLS itself has to say: of the handshake, new keys, a failure.

        The client decides how much that is, so it has to read it.
        """
        self._transport.write(self._outgoing.read())
        if self._transport.get_write_buffer_size() > MOST_UNREAD:
            error = ssl.SSLError("the client makes TLS answer and does not read")
            self._error = self._error or error
            self.abort()

    def _go_on(self) -> None:
        """Take what was left at a pause, and then what the socket has."""
        self._take()
        if not self._paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def _shake(self, agreed: Callable[[], None]) -> None:
        """Go on with the handshake."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._agreed = None
        agreed()

    def _read(self, size: int) -> None:
        """Give the protocol what one record holds, of *size* bytes that have come."""
        try:
            # no record holds more than it is long; room for the longest costs time
            data = self._pull(RECORD if self._partial else size)
        except ssl.SSLWantReadError:
            self._partial = True  # or it was one that says nothing to us
            return
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._partial = False
        if not data:
            self._hear_end()
            return
        try:
            self._protocol.data_received(data)
        except Exception as error:  # as the loops: it is ours, and fatal
            asyncio.get_running_loop().call_exception_handler(
                {
                    "message": "what has come could not be taken",
                    "exception": error,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
            self._fail(error)

    def _hear_end(self) -> None:
        """Nothing more comes; the protocol says whether it has more to send."""
        self._deaf = True
        if not self._protocol.eof_received():
            self.close()

    # ------------------------------------------------------------------- ending

    def _say_goodbye(self) -> None:
        """Say by TLS that we send nothing more; hear nothing more either."""
        if not self._ended:
            self._ended = self._deaf = True
            with suppress(ssl.SSLError):  # it is said, and the client's has not come
                self._tls.unwrap()
            self._transport.write(self._outgoing.read())

    def _fail(self, error: Exception) -> None:
        """Close because of *error*; the client is told if TLS has a word for it."""
        self._error = self._error or error
        self._ended = self._deaf = True
        if self._outgoing.pending:
            self._reply()
        self._transport.close()
