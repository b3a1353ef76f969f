"""A client without manners: bytes as it likes, and any end that a socket can have."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from ssl import SSLContext
from typing import Final, Self, cast

from nano.protocol.packets import PacketType, encode_packet
from tests.resets import reset_at_close

__all__ = ["ACK", "ENDLESS", "GREETING", "HANDSHAKE", "UPGRADE", "Guest", "frame"]

PATIENCE: Final = 60.0  # seconds; the machine may be busy
ENDLESS: Final = "the connection did not end"

HANDSHAKE: Final = encode_packet(PacketType.HANDSHAKE, b'{"sys":{"type":"guest"}}')
ACK: Final = encode_packet(PacketType.HANDSHAKE_ACK)
GREETING: Final = HANDSHAKE + ACK
UPGRADE: Final = (
    b"GET /nano HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame(payload: bytes, opcode: int = 2, *, fin: bool = True) -> bytes:
    """Return a client's frame; its mask is zero, so that one can read it."""
    size = len(payload)
    head = bytes((fin << 7 | opcode,))
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 65536:
        length = struct.pack(">BH", 0x80 | 126, size)
    else:
        length = struct.pack(">BQ", 0x80 | 127, size)
    return head + length + bytes(4) + payload


class Guest(asyncio.Protocol):
    """One connection.

    Attributes:
        heard: All that the server has sent.
    """

    def __init__(self) -> None:
        self.heard = bytearray()
        self._transport: asyncio.Transport
        self._changed = asyncio.Event()
        self._over = False

    @classmethod
    async def come(
        cls,
        address: tuple[str, int],
        source: str = "",
        receive_buffer: int = 0,
        trusting: SSLContext | None = None,
    ) -> Self:
        """Connect.

        Args:
            address: Where to.
            source: The address to come from; any of 127/8.
            receive_buffer: Bytes that the kernel may keep for us; 0 for as usual.
            trusting: What to believe under TLS; ``None``: there is none.
        """
        sock = socket.socket()
        try:
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.setblocking(False)
            if source:
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((source, 0))
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, address)
            name = address[0] if trusting else None
            _, guest = await loop.create_connection(
                cls, sock=sock, ssl=trusting, server_hostname=name
            )
        except BaseException:
            sock.close()
            raise
        return guest

    # what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self._changed.set()

    def eof_received(self) -> bool:
        self._over = True
        self._changed.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        self._changed.set()

    # what a guest does

    def say(self, data: bytes) -> None:
        """Send *data*, if anybody is there."""
        if not self._over:
            self._transport.write(data)

    def say_below(self, data: bytes) -> None:
        """Send *data* as it is, below TLS, if the socket takes it."""
        sock = self._transport.get_extra_info("socket")
        os.write(sock.fileno(), data)

    def stop_reading(self) -> None:
        """Let what the server sends pile up."""
        self._transport.pause_reading()

    def say_no_more(self) -> None:
        """End our side of the stream, and go on reading."""
        if not self._over:
            self._transport.write_eof()

    def close(self) -> None:
        """Go as one should."""
        self._transport.close()

    def reset(self) -> None:
        """Go as a crash would, by RST."""
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            reset_at_close(sock)
        self._transport.abort()

    async def hear(self, wanted: bytes | Callable[[], bool]) -> None:
        """Wait until *wanted* is among what was heard, or is true.

        Raises:
            ConnectionError: The connection is over before.
        """
        async with asyncio.timeout(PATIENCE):
            while not (wanted() if callable(wanted) else wanted in self.heard):
                if self._over:
                    message = f"over before {wanted!r} came: {bytes(self.heard)!r}"
                    raise ConnectionError(message)
                self._changed.clear()
                await self._changed.wait()

    async def nag(self, data: bytes) -> None:
        """Send *data* again and again, reading or not, until the connection is reset.

        Who does not read cannot see the end of the stream, but whether it may write.
        What is heard meanwhile is forgotten.
        """
        async with asyncio.timeout(PATIENCE):
            while not self._over:
                self._transport.write(data)
                await asyncio.sleep(0.05)
                self.heard.clear()

    async def ended(self) -> bytes:
        """Wait until the server has ended the connection; return all it has said."""
        async with asyncio.timeout(PATIENCE):
            while not self._over:
                self._changed.clear()
                await self._changed.wait()
        self._transport.close()
        return bytes(self.heard)


IP_BIND_ADDRESS_NO_PORT: Final = 24  # Linux: choose the port when it connects
