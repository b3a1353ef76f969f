"""Accepting clients: on a port of an address, or at a socket of this machine."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from nano.errors import UsageError
from nano.transports.certificate import Certificate
from nano.transports.connection import ClientTransport, TcpTransport
from nano.transports.context import Arriving, Doorway, Front, Terms
from nano.transports.entry import Entry, TlsEntry
from nano.transports.files import SocketFile
from nano.transports.websocket import WebSocketTransport

__all__ = ["Listener"]

TRANSPORTS: Final[dict[str, Callable[[Doorway], ClientTransport]]] = {
    "tcp": TcpTransport,
    "unix": TcpTransport,
    "websocket": WebSocketTransport,
}
BACKLOG: Final = 1024  # connections that the kernel may hold until we accept them


class Listener:
    """One way in for clients: a transport on an address.

    Args:
        name: Its name in the manifest and in metrics.
        transport: ``tcp``, ``websocket`` or ``unix``.
        front: What it shares with the node's other listeners.
        terms: What it asks of its clients and offers them; by default nothing.
        certificate: What it speaks TLS with; ``None``: it does not.
    """

    def __init__(
        self,
        name: str,
        transport: str,
        front: Front,
        terms: Terms | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self.name = name
        self._make = TRANSPORTS[transport]
        self._door = Doorway(front, front.metrics.listener(name), terms)
        self._certificate = certificate
        self._server: asyncio.Server | None = None
        self._file: SocketFile | None = None

    def _accept(self) -> asyncio.Protocol:
        """Return who speaks with the next client."""
        return cast("asyncio.Protocol", self._make(self._door))

    def _accept_slowly(self) -> asyncio.Protocol:
        """The same, where TLS or a proxy's word comes first."""
        if self._certificate is None:
            return Entry(self._door, self._make)
        return TlsEntry(self._door, self._make, self._certificate.context)

    @property
    def _factory(self) -> Callable[[], asyncio.Protocol]:
        slowly = self._certificate is not None or self._door.terms.proxy_protocol
        return self._accept_slowly if slowly else self._accept

    async def start(
        self, host: str, port: int, inherited: socket.socket | None = None
    ) -> None:
        """Begin to accept on a port.

        Args:
            host: Address to bind.
            port: Port to bind; 0 for any.
            inherited: A listening socket to use in place of both.

        Raises:
            UsageError: The address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        try:
            if inherited is not None:
                self._server = await loop.create_server(
                    self._factory, sock=inherited, backlog=BACKLOG
                )
            else:
                self._server = await loop.create_server(
                    self._factory, host, port, backlog=BACKLOG
                )
        except OSError as error:
            message = (
                f"listener {self.name} cannot use {host}:{port}: {error.strerror}; "
                "stop what uses it or choose another port"
            )
            raise UsageError(message) from error

    async def start_file(
        self, path: Path, inherited: socket.socket | None = None
    ) -> None:
        """Begin to accept at a socket that is a file.

        Args:
            path: Where the file is made; it is removed at the end.
            inherited: A socket to use in place of it, whose file is another's.

        Raises:
            UsageError: The path cannot be used.
        """
        if inherited is None:
            self._file = SocketFile(self.name, path)
            inherited = self._file.socket
        loop = asyncio.get_running_loop()
        if sys.version_info >= (3, 13):  # where the loop would remove the file, too
            self._server = await loop.create_unix_server(
                self._factory, sock=inherited, backlog=BACKLOG, cleanup_socket=False
            )
        else:
            self._server = await loop.create_unix_server(
                self._factory, sock=inherited, backlog=BACKLOG
            )

    @property
    def address(self) -> str:
        """Where clients find it, ``host:port`` or a path; empty before the start."""
        if self._server is None or not self._server.sockets:
            return ""
        name = self._server.sockets[0].getsockname()
        if isinstance(name, str):
            return name
        host, port = name[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def tick(self, now: float) -> None:
        """Look after the certificate."""
        if self._certificate is not None:
            self._certificate.tick(now)

    @property
    def clients(self) -> list[Arriving]:
        """The connections that there are."""
        return list(self._door.open)

    def shut(self) -> None:
        """Accept nobody any more; who is connected stays.  Twice is harmless."""
        if self._server is not None:
            self._server.close()
        self._door.shut = True

    async def stop(self) -> None:
        """Accept nobody any more, tell everyone to go and wait until they have.

        Clients that do not read their farewell are cut off after a few seconds by
        the front's clock, so this ends.
        """
        if self._server is None:
            return
        self.shut()
        for client in self.clients:
            client.stop()
        if self._file is not None:
            self._file.remove()
            self._file = None
        await self._door.deserted.wait()
        self._server = None
