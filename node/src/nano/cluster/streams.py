"""Link streams over gRPC: the one we dial and the one we are dialled on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

import grpc
import grpc.aio

from nano.cluster.link import Stream
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.peer import CHANNEL_OPTIONS
from nano.errors import ClusterError

__all__ = ["LINK_LIMIT", "DialledLink", "LinkService"]

logger = logging.getLogger(__name__)

LINK_LIMIT: Final = 32 << 20
"""Bytes of the largest batch: one payload of a packet's 16 MiB and what goes along."""

SERVICE: Final = pb.DESCRIPTOR.services_by_name["Link"].full_name
CONNECT: Final = "Connect"  # its one method; what we send on it is encoded already

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
    """A stream that we open to *address*, over a connection of its own."""

    def __init__(self, address: str) -> None:
        options = dict(CHANNEL_OPTIONS) | {
            "grpc.max_receive_message_length": LINK_LIMIT
        }
        self._channel = grpc.aio.insecure_channel(address, options=[*options.items()])
        connect = self._channel.stream_stream(
            f"/{SERVICE}/{CONNECT}",
            request_serializer=None,
            response_deserializer=pb.Batch.FromString,
        )
        self._call = connect(None)

    async def read(self) -> pb.Batch | None:
        """Return the next batch, or ``None`` at the end."""
        batch = await _translated(cast("Awaitable[object]", self._call.read()))
        return batch if isinstance(batch, pb.Batch) else None

    async def write(self, batch: bytes) -> None:
        """Send *batch*, encoded; waits while the peer does not read."""
        await _translated(self._call.write(batch))

    async def close(self) -> None:
        """End the stream and give its connection up."""
        self._call.cancel()
        await self._channel.close(None)


class _ServedLink:
    """A stream that a peer has opened to us; it ends with the call."""

    def __init__(self, context: grpc.aio.ServicerContext[pb.Batch, bytes]) -> None:
        self._context = context

    async def read(self) -> pb.Batch | None:
        """Return the next batch, or ``None`` at the end."""
        batch = await _translated(cast("Awaitable[object]", self._context.read()))
        return batch if isinstance(batch, pb.Batch) else None

    async def write(self, batch: bytes) -> None:
        """Send *batch*, encoded; waits while the peer does not read."""
        await _translated(self._context.write(batch))


class LinkService:
    """What peers dial.

    Args:
        serve: Runs a link on a stream until it ends.
    """

    def __init__(self, serve: Callable[[Stream], Awaitable[object]]) -> None:
        self._serve = serve

    async def _connect(
        self,
        request_iterator: object,
        context: grpc.aio.ServicerContext[pb.Batch, bytes],
    ) -> None:
        """Serve one link; the call lasts as long as it."""
        del request_iterator  # it would read what the context reads
        try:
            await self._serve(_ServedLink(context))
        except ClusterError as error:
            logger.info("a link from %s was not made: %s", context.peer(), error)

    def attach(self, server: grpc.aio.Server) -> None:
        """Let *server* take calls for this service."""
        connect = grpc.stream_stream_rpc_method_handler(
            self._connect, request_deserializer=pb.Batch.FromString
        )
        handler = grpc.method_handlers_generic_handler(SERVICE, {CONNECT: connect})
        server.add_generic_rpc_handlers((handler,))
