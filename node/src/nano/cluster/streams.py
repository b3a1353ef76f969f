"""Link streams over gRPC: the one we dial and the one we are dialled on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

import grpc
import grpc.aio

from nano.cluster.credentials import Credentials, open_channel
from nano.cluster.link import Stream
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.pb import link_pb2_grpc as rpc
from nano.cluster.peer import CHANNEL_OPTIONS
from nano.cluster.strangers import Strangers
from nano.errors import ClusterError

__all__ = ["LINK_LIMIT", "DialledLink", "LinkService"]

LINK_LIMIT: Final = 32 << 20
"""Bytes of the largest batch: one payload of a packet's 16 MiB and what goes along."""

T = TypeVar("T")


async def _translated(call: Awaitable[T]) -> T:
    """Wait for *call* and say what went wrong in our own words."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise ClusterError(error.details() or error.code().name) from None
    except (
        grpc.aio.UsageError,
        grpc.aio.InternalError,
        asyncio.InvalidStateError,  # what a write says once the call is over
    ) as error:
        raise ClusterError(str(error)) from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ClusterError("the stream was cancelled") from None


class DialledLink:
    """A stream that we open to *address*, over a connection of its own.

    Args:
        address: ``host:port`` of the peer.
        credentials: What is shown and believed there; None: plain.
    """

    def __init__(self, address: str, credentials: Credentials | None = None) -> None:
        self._address = address
        self._credentials = credentials
        options = dict(CHANNEL_OPTIONS) | {
            "grpc.max_receive_message_length": LINK_LIMIT
        }
        self._channel = open_channel(address, [*options.items()], credentials)
        self._call = rpc.LinkStub(self._channel).Connect(None)

    async def read(self) -> pb.Batch | None:
        """Return the next batch, or ``None`` at the end."""
        try:
            batch = await _translated(cast("Awaitable[object]", self._call.read()))
        except ClusterError as error:
            if self._credentials is not None:
                self._credentials.failed(self._address, str(error))
            raise
        return batch if isinstance(batch, pb.Batch) else None

    async def write(self, batch: pb.Batch) -> None:
        """Send *batch*; waits while the peer does not read."""
        await _translated(self._call.write(batch))

    async def close(self) -> None:
        """End the stream and give its connection up."""
        self._call.cancel()
        await self._channel.close(None)


class _ServedLink:
    """A stream that a peer has opened to us; it ends with the call."""

    def __init__(self, context: grpc.aio.ServicerContext[pb.Batch, pb.Batch]) -> None:
        self._context = context

    async def read(self) -> pb.Batch | None:
        """Return the next batch, or ``None`` at the end."""
        batch = await _translated(cast("Awaitable[object]", self._context.read()))
        return batch if isinstance(batch, pb.Batch) else None

    async def write(self, batch: pb.Batch) -> None:
        """Send *batch*; waits while the peer does not read."""
        await _translated(self._context.write(batch))


class LinkService(rpc.LinkServicer):
    """What peers dial.

    Args:
        serve: Runs a link on a stream until it ends.
        strangers: Where links are counted that were not made.
    """

    def __init__(
        self,
        serve: Callable[[Stream], Awaitable[object]],
        strangers: Strangers | None = None,
    ) -> None:
        self._serve = serve
        self._strangers = strangers or Strangers()

    async def Connect(  # type: ignore[override]  # the coroutine form of grpc.aio
        self,
        request_iterator: object,
        context: grpc.aio.ServicerContext[pb.Batch, pb.Batch],
    ) -> None:
        """Serve one link; the call lasts as long as it."""
        del request_iterator  # it would read what the context reads
        try:
            await self._serve(_ServedLink(context))
        except ClusterError as error:
            text = f"a link from {context.peer()} was not made: {error}"
            self._strangers.refuse("no-link", text)

    def attach(self, server: grpc.aio.Server) -> None:
        """Let *server* take calls for this service."""
        rpc.add_LinkServicer_to_server(self, server)
