"""Accepting clients on one address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from nano.errors import UsageError
from nano.transports.connection import ClientTransport, TcpTransport
from nano.transports.context import Doorway, Front, Terms
from nano.transports.websocket import WebSocketTransport

__all__ = ["Listener"]

TRANSPORTS: Final[dict[str, Callable[[Doorway], ClientTransport]]] = {
    "tcp": TcpTransport,
    "websocket": WebSocketTransport,
}
BACKLOG: Final = 1024  # connections that the kernel may hold until we accept them


class Listener:
    """One way in for clients: a transport on an address.

    Args:
        name: Its name in the manifest and in metrics.
        transport: ``tcp`` or ``websocket``.
        front: What it shares with the node's other listeners.
        terms: What it asks of its clients and offers them; by default nothing.
    """

    def __init__(
        self, name: str, transport: str, front: Front, terms: Terms | None = None
    ) -> None:
        self.name = name
        self._make = TRANSPORTS[transport]
        self._door = Doorway(front, front.metrics.listener(name), terms)
        self._server: asyncio.Server | None = None

    async def start(
        self, host: str, port: int, inherited: socket.socket | None = None
    ) -> None:
        """Begin to accept.

        Args:
            host: Address to bind.
            port: Port to bind; 0 for any.
            inherited: A listening socket to use in place of both.

        Raises:
            UsageError: The address cannot be bound.
        """
        loop = asyncio.get_running_loop()

        def connection() -> ClientTransport:
            return self._make(self._door)

        try:
            if inherited is not None:
                self._server = await loop.create_server(
                    connection, sock=inherited, backlog=BACKLOG
                )
            else:
                self._server = await loop.create_server(
                    connection, host, port, backlog=BACKLOG
                )
        except OSError as error:
            message = (
                f"listener {self.name} cannot use {host}:{port}: {error.strerror}; "
                "stop what uses it or choose another port"
            )
            raise UsageError(message) from error

    @property
    def address(self) -> str:
        """Where clients find it, ``host:port``; empty before :meth:`start`."""
        if self._server is None or not self._server.sockets:
            return ""
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self) -> None:
        """Accept nobody any more, tell everyone to go and wait until they have.

        Clients that do not read their farewell are cut off after a few seconds by
        the front's clock, so this ends.
        """
        if self._server is None:
            return
        self._server.close()
        self._door.shut = True
        for client in list(self._door.open):
            client.stop()
        await self._door.deserted.wait()
        self._server = None
