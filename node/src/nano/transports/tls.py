"""TLS on a client's socket, spoken by OpenSSL itself.

Event loops put TLS between buffers in memory: every message is copied into one and out
of another on both ways, each read ends in an exception, and uvloop keeps a buffer of
256 KiB for each connection.  Here OpenSSL reads and writes the socket, and the loop
only says when it can.  Of what TLS adds to a small message that saves a sixth, and of
the memory of an idle connection, 44 KiB with uvloop's, 27.

What a connection does next stands in two callbacks, one for each direction of the
socket:

============  =================  =====================================
state         socket is readable  socket is writable, if somebody waits
============  =================  =====================================
shaking       ``_shake``          ``_shake``
open          ``_read``           ``_drain``
said goodbye  ``_drop``           ``_say_goodbye``, if it did not fit
============  =================  =====================================
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

__all__ = ["TlsTransport", "taken_over"]

RECORD: Final = 16 * 1024  # bytes; a record of TLS holds no more, RFC 8446 section 5.1
HIGH_WATER: Final = 64 * 1024  # bytes that wait when a socket is called full
LOW_WATER: Final = HIGH_WATER // 4


def taken_over(transport: asyncio.Transport) -> socket.socket:
    """Take a socket from the loop's *transport*, which is closed without a word.

    Nothing must have been read from it yet: call it in ``connection_made``.
    """
    sock: socket.socket = transport.get_extra_info("socket").dup()
    sock.setblocking(False)
    transport.set_protocol(asyncio.Protocol())
    transport.abort()
    return sock


class TlsTransport:
    """The server's side of one connection; use it as any of asyncio's transports.

    It is none by descent, for the reason why
    :class:`~nano.transports.sending.Sender` is no protocol.  Other than theirs it
    knows an end of one direction: behind :meth:`write_eof` the client can still send,
    which is read and dropped until it ends its own.

    Args:
        sock: The client's socket, which does not block; it is closed at the end.
        context: What TLS is spoken with.
        protocol: Who is told of what is read and of the end, also before TLS is
            agreed upon.
        agreed: Called when it is; nothing is read before it returns.

    Raises:
        OSError: The client has gone already.
    """

    __slots__ = (
        "_agreed",
        "_closing",
        "_congested",
        "_ended",
        "_ending",
        "_extra",
        "_loop",
        "_next",
        "_over",
        "_paused",
        "_protocol",
        "_said",
        "_size",
        "_tls",
        "_waiting",
        "_writing",
    )

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        protocol: asyncio.Protocol,
        agreed: Callable[[], None],
    ) -> None:
        peer = sock.getpeername()
        tls = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._extra = {"socket": tls, "ssl_object": tls, "peername": peer}
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._agreed: Callable[[], None] | None = agreed
        self._waiting: deque[memoryview] = deque()  # what the socket did not take
        self._size = 0  # bytes in it
        self._congested = False  # the protocol knows that the socket is full
        self._writing = False  # the loop tells when the socket takes more
        self._paused = False
        self._ending: Callable[[], None] | None = None  # what comes behind all that
        self._ended = False  # nothing more is sent
        self._said = False  # ... and the client was told so
        self._closing = False
        self._over = False
        self._next = self._shake
        self._loop.add_reader(tls, self._shake)

    # ---------------------------------------------------------------- asyncio's

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return ``socket``, ``ssl_object`` or ``peername``, else *default*."""
        return self._extra.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have *protocol*, an :class:`asyncio.Protocol`, take what comes."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.Protocol:
        """Return who takes what comes."""
        return self._protocol

    def is_closing(self) -> bool:
        """Return whether it is closed, or will be as soon as all is sent."""
        return self._over or self._closing

    def is_reading(self) -> bool:
        """Return whether the protocol is given what comes."""
        return not self._paused and not self.is_closing()

    def pause_reading(self) -> None:
        """Give the protocol nothing more until :meth:`resume_reading`."""
        if not self._paused and not self.is_closing():
            self._paused = True
            self._loop.remove_reader(self._tls)

    def resume_reading(self) -> None:
        """Go on after :meth:`pause_reading`."""
        if self._paused and not self.is_closing():
            self._paused = False
            self._loop.add_reader(self._tls, self._next)

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the socket did not take yet."""
        return self._size

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send *data*; what the socket does not take waits."""
        if self._ended or self._over or not data:
            return
        if not self._waiting and len(data) <= RECORD:
            try:
                self._tls.write(data)
            except ssl.SSLWantWriteError:
                pass  # OpenSSL wants the same bytes once more
            except OSError as error:
                self._finish(error)
                return
            else:
                return
        self._waiting.append(memoryview(bytes(data)))
        self._size += len(data)
        if not self._writing:
            self._drain()
        if self._size > HIGH_WATER and not self._congested:
            self._congested = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        """Yes."""
        return True

    def write_eof(self) -> None:
        """End our direction when all is sent; drop what comes until the other ends."""
        self._end(self._say_goodbye)

    def close(self) -> None:
        """Close when all is sent; read nothing more."""
        if not self.is_closing():
            self._closing = True
            self._loop.remove_reader(self._tls)
            self._end(self._close)

    def abort(self) -> None:
        """Close at once."""
        self._finish(None)

    # ------------------------------------------------------------------ reading

    def _shake(self) -> None:
        """Go on with the handshake."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._hush()
        except ssl.SSLWantWriteError:
            self._call_when_writable(self._shake)
        except OSError as error:  # ssl.SSLError is one
            self._finish(error)
        else:
            self._hush()
            self._then(self._read)
            agreed, self._agreed = self._agreed, None
            if agreed is not None:
                agreed()

    def _then(self, reader: Callable[[], None]) -> None:
        """Have *reader* called from now on when the socket is readable."""
        self._next = reader
        if not self._paused:
            self._loop.add_reader(self._tls, reader)

    def _read(self) -> None:
        """Give the protocol what one record holds."""
        try:
            data = self._tls.read(RECORD)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return  # a part of a record, or one that says nothing to us
        except OSError as error:
            self._finish(error)
            return
        try:
            if data:
                self._protocol.data_received(data)
            elif not self._protocol.eof_received():
                self.close()
            else:
                self._loop.remove_reader(self._tls)
        except Exception as error:  # as the loops: it is ours, and fatal
            self._loop.call_exception_handler(
                {
                    "message": "what has come could not be taken",
                    "exception": error,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
            self._finish(error)

    def _drop(self) -> None:
        """Read what the client has sent meanwhile, as it lies in the stream."""
        try:
            data = socket.socket.recv(self._tls, RECORD)
        except BlockingIOError:
            return
        except OSError as error:
            self._finish(error)
            return
        if not data:
            self._finish(None)

    # ------------------------------------------------------------------ writing

    def _drain(self) -> None:
        """Send what waits, a record at a time, until the socket takes no more."""
        waiting = self._waiting
        try:
            while waiting:
                first = waiting[0]
                sent = self._tls.write(first[:RECORD])
                self._size -= sent
                if sent < len(first):
                    waiting[0] = first[sent:]
                else:
                    waiting.popleft()
        except ssl.SSLWantWriteError:
            self._call_when_writable(self._drain)
        except OSError as error:
            self._finish(error)
            return
        else:
            self._hush()
        if self._congested and self._size <= LOW_WATER:
            self._congested = False
            self._protocol.resume_writing()
        self._end_if_sent()

    def _call_when_writable(self, writer: Callable[[], None]) -> None:
        self._writing = True
        self._loop.add_writer(self._tls, writer)

    def _hush(self) -> None:
        """Nobody waits for the socket to take more."""
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._tls)

    # ------------------------------------------------------------------- ending

    def _end(self, ending: Callable[[], None]) -> None:
        """Have *ending* called behind all that waits to be sent."""
        if not self._over:
            self._ended = True
            self._ending = ending
            self._end_if_sent()

    def _end_if_sent(self) -> None:
        if self._ending is not None and not self._waiting:
            ending, self._ending = self._ending, None
            ending()

    def _say_goodbye(self) -> None:
        """End our direction: by TLS's word for it, and by TCP's."""
        try:
            if not self._notified():
                self._call_when_writable(self._say_goodbye)
                return
            self._hush()
            socket.socket.shutdown(self._tls, socket.SHUT_WR)
        except OSError as error:
            self._finish(error)
            return
        self._then(self._drop)

    def _close(self) -> None:
        """End both directions; a goodbye that does not fit is not waited for."""
        try:
            self._notified()
        except OSError as error:
            self._finish(error)
        else:
            self._finish(None)

    def _notified(self) -> bool:
        """Say that nothing more comes; return false if the socket takes no more."""
        if not self._said:
            try:
                self._tls.unwrap()
            except ssl.SSLWantWriteError:
                return False
            except ssl.SSLError:
                pass  # it is sent, and no such word of the client's has come yet
            self._said = True
        return True

    def _finish(self, error: Exception | None) -> None:
        """Close the socket, and tell the protocol in the loop's next turn."""
        if self._over:
            return
        self._over = True
        self._loop.remove_reader(self._tls)
        self._hush()
        self._waiting.clear()
        self._size = 0
        self._loop.call_soon(self._lose, error)

    def _lose(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._tls.close()
