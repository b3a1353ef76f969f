"""A client for programs: asyncio, TCP or WebSocket.

::

    async with await nano.client.connect("ws://127.0.0.1:3250/") as client:
        client.on("onShout", print)
        print(await client.request("EchoService.echo", {"text": "hello"}))

Payloads are JSON unless told otherwise; both sides have to mean the same::

    client = await nano.client.connect("tcp://127.0.0.1:3251", serializer="protobuf")
    pong = await client.request("Room.Ping", Ping(content="ann"), wanted=Pong)

The client answers heartbeats by itself, and gives up a server that has sent nothing for
two of them.  When the connection ends, everything that waits gets
:class:`~nano.errors.ConnectionClosed` with the reason that the server gave; with
``reconnect=True`` the client then comes back, as the JavaScript client does.  The
session may be a new one, so say who you are again::

    client = nano.client.Client("ws://127.0.0.1:3250/", reconnect=True)

    async def log_in(greeting: nano.client.Greeting) -> None:
        if not greeting.resumed:
            await client.request("Lobby.login", {"token": token})

    client.events.on("open", log_in)
    async with await client.open():
        ...
"""

from __future__ import annotations

import os
from ssl import SSLContext
from typing import Any

from nano.client.client import OUTBOX_BYTES, Client, Closed, Reconnecting
from nano.client.connection import Greeting
from nano.client.pushes import Pushes
from nano.client.returning import Backoff
from nano.client.states import State
from nano.protocol.client import Kicked
from nano.serializers import SerializerName

__all__ = [
    "Backoff",
    "Client",
    "Closed",
    "Greeting",
    "Kicked",
    "Pushes",
    "Reconnecting",
    "State",
    "connect",
]


async def connect(
    url: str,
    *,
    user: Any = None,
    timeout: float = 10.0,
    request_timeout: float = 10.0,
    serializer: SerializerName = "json",
    reconnect: bool | Backoff = False,
    resume: bool = True,
    outbox_bytes: int = OUTBOX_BYTES,
    ssl: SSLContext | None = None,
    ca: str | os.PathLike[str] | None = None,
) -> Client:
    """Connect and be greeted; the arguments are those of :class:`Client`.

    Raises:
        ConnectionRefused: The server does not let us in.
        ConnectionClosed: Nobody answers, or the server sends us away.
        TimeoutError: It took too long.
        UsageError: The URL cannot be understood, or there is no such serializer.
    """
    client = Client(
        url,
        user=user,
        timeout=timeout,
        request_timeout=request_timeout,
        serializer=serializer,
        reconnect=reconnect,
        resume=resume,
        outbox_bytes=outbox_bytes,
        ssl=ssl,
        ca=ca,
    )
    return await client.open()
