"""Link streams over gRPC: the one we dial and the one we are dialled on.

Both can move to a new connection while a link is on them
(:mod:`nano.cluster.moving`): who has dialled dials again, with new certificates, and
names the stream by a secret that only the two nodes know.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, cast

import grpc
import grpc.aio

from nano.cluster.credentials import Credentials, open_channel
from nano.cluster.link import Stream
from nano.cluster.links import NodeStopping
from nano.cluster.moving import Movable
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.peer import CHANNEL_OPTIONS
from nano.cluster.strangers import Strangers
from nano.errors import ClusterError

__all__ = ["LINK_LIMIT", "DialledLink", "LinkService"]

logger = logging.getLogger(__name__)

LINK_LIMIT: Final = 32 << 20
"""Bytes of the largest batch: one payload of a packet's 16 MiB and what goes along."""

MOVING_TIME: Final = 5.0
"""Seconds that the peer may take to let a stream move; it is tried again later."""

NAME_KEY: Final = "nano-link"  # metadata: by what a stream is called when it moves
MOVES_KEY: Final = "nano-moves"  # metadata: the name of the stream that moves here

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


# ---------------------------------------------------------------------- dialled


class _Dialled:
    """A call that we make, over a connection of its own."""

    def __init__(
        self,
        address: str,
        credentials: Credentials | None,
        metadata: tuple[tuple[str, str], ...],
    ) -> None:
        options = dict(CHANNEL_OPTIONS) | {
            "grpc.max_receive_message_length": LINK_LIMIT
        }
        self._address = address
        self._credentials = credentials
        self._channel = open_channel(address, [*options.items()], credentials)
        connect = self._channel.stream_stream(
            f"/{SERVICE}/{CONNECT}",
            request_serializer=None,
            response_deserializer=pb.Batch.FromString,
        )
        self._call = connect(None, metadata=metadata)

    async def read(self) -> pb.Batch | None:
        try:
            batch = await _translated(cast("Awaitable[object]", self._call.read()))
        except ClusterError as error:
            if self._credentials is not None:
                self._credentials.failed(self._address, str(error))
            raise
        return batch if isinstance(batch, pb.Batch) else None

    async def write(self, batch: bytes) -> None:
        await _translated(self._call.write(batch))

    async def accepted(self) -> None:
        """Wait until the peer lets the stream move here.

        Raises:
            ClusterError: It does not.
        """
        said = await _translated(self._call.initial_metadata())
        if MOVES_KEY not in dict(said):
            raise ClusterError(await self._call.details() or "it does not let us")

    async def drain(self) -> None:
        """Let the peer end the call, which has nothing more to say."""
        await _translated(self._call.done_writing())
        while await self.read() is not None:
            pass

    async def close(self) -> None:
        self._call.cancel()
        await self._channel.close(None)


class DialledLink(Movable[_Dialled]):
    """A stream that we open to *address*, over a connection of its own.

    Args:
        address: ``host:port`` of the peer.
        credentials: What is shown and believed there; None: plain.  When there are
            new ones, the stream moves to a connection that was made with them.
    """

    def __init__(self, address: str, credentials: Credentials | None = None) -> None:
        self._address = address
        self._credentials = credentials
        self._generation = credentials.generation if credentials else 0
        self._name = secrets.token_hex(16)
        metadata = ((NAME_KEY, self._name),) if credentials else ()
        self._ways = [_Dialled(address, credentials, metadata)]
        self._moving: asyncio.Task[None] | None = None
        self._has_moved = asyncio.Event()
        super().__init__(self._ways[0])

    async def write(self, batch: bytes) -> None:
        """Send *batch*, encoded; waits while the peer does not read."""
        if self._credentials is not None:
            self._keep_up(self._credentials)
            if self._may_write:
                await self._go_on_writing()
        await self._writing.write(batch)

    async def close(self) -> None:
        """End the stream and give its connections up."""
        moving, self._moving = self._moving, None
        if moving is not None:
            moving.cancel()
            await asyncio.gather(moving, return_exceptions=True)
        for way in self._ways:
            await way.close()

    def _keep_up(self, credentials: Credentials) -> None:
        """See to it that the stream moves if its certificate is not the newest."""
        if self._moving is not None and self._moving.done():
            self._moving = None
        if self._generation != credentials.generation and self._moving is None:
            self._moving = asyncio.create_task(
                self._move(credentials), name=f"move the link to {self._address}"
            )

    async def _move(self, credentials: Credentials) -> None:
        """Move to a connection with the newest certificate; one link at a time."""
        async with credentials.turn:
            generation = credentials.generation
            metadata = ((MOVES_KEY, self._name),)
            new = _Dialled(self._address, credentials, metadata)
            self._ways.append(new)
            self._has_moved.clear()
            self._next = new
            refusal = await self._refusal(new)
            if refusal:
                await self._stay(new, refusal)
            else:
                self._may_write = True
                await self._has_moved.wait()
                self._generation = generation
                await self._leave(self._ways[0])
        if refusal:  # let the next attempt wait, and the other links move meanwhile
            await asyncio.sleep(MOVING_TIME)

    async def _refusal(self, new: _Dialled) -> str:
        """Wait for the peer; return why the stream cannot move, or nothing."""
        try:
            async with asyncio.timeout(MOVING_TIME):
                await new.accepted()
        except (ClusterError, TimeoutError) as error:
            if self._reading is not new:
                return str(error) or "no answer came in time"
        return ""

    async def _stay(self, new: _Dialled, reason: str) -> None:
        """Go on as before."""
        self._next = None
        self._ways.remove(new)
        await new.close()
        cast("Credentials", self._credentials).failed(self._address, reason)
        logger.warning(
            "the link with %s keeps its old certificate for now: %s",
            self._address,
            reason,
        )

    async def _leave(self, old: _Dialled) -> None:
        """Give the old connection up, once the peer has done with it."""
        try:
            async with asyncio.timeout(MOVING_TIME):
                await old.drain()
        except (ClusterError, TimeoutError):
            logger.debug("the old connection to %s broke", self._address)
        self._ways.remove(old)
        await old.close()
        logger.info("the link with %s has a new certificate", self._address)

    def _moved(self) -> None:
        self._has_moved.set()


# ----------------------------------------------------------------------- served


class _Served:
    """A call that a peer has made to us; it ends when its handler returns."""

    def __init__(self, context: grpc.aio.ServicerContext[pb.Batch, bytes]) -> None:
        self.over = asyncio.Event()  # nothing more comes or goes on it
        self._context = context

    async def read(self) -> pb.Batch | None:
        batch = await _translated(cast("Awaitable[object]", self._context.read()))
        return batch if isinstance(batch, pb.Batch) else None

    async def write(self, batch: bytes) -> None:
        await _translated(self._context.write(batch))


class _ServedLink(Movable[_Served]):
    """A stream that a peer has opened to us.

    Attributes:
        serving: What runs the link on it.
    """

    serving: asyncio.Task[None]

    def __init__(self, way: _Served) -> None:
        super().__init__(way)
        self._old = way

    @property
    def can_move(self) -> bool:
        """Whether it is in no move now."""
        return self._next is None

    def offer(self, way: _Served) -> None:
        """Read on there when the peer says so."""
        self._next = way

    def withdraw(self) -> None:
        """Take the offer back, which the peer has not heard of."""
        self._next = None

    def accept(self) -> None:
        """Write on there, too."""
        self._may_write = True

    async def lost(self, way: _Served) -> None:
        """End the link if it needs *way*, which has broken, to go on."""
        if way in (self._reading, self._writing, self._next):
            self.serving.cancel()
            await asyncio.gather(self.serving, return_exceptions=True)

    def end(self) -> None:
        """Let every call end that carries a part of it."""
        for way in (self._old, self._reading, self._writing, self._next):
            if way is not None:
                way.over.set()

    def _moved(self) -> None:
        self._old.over.set()
        self._old = self._reading


class LinkService:
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
        self._named: dict[str, _ServedLink] = {}

    async def _connect(
        self,
        request_iterator: object,
        context: grpc.aio.ServicerContext[pb.Batch, bytes],
    ) -> None:
        """Serve one link, or a part of one; the call lasts as long as that."""
        del request_iterator  # it would read what the context reads
        told = dict(context.invocation_metadata() or ())
        way = _Served(context)
        if moves := told.get(MOVES_KEY):
            stream = await self._take_over(str(moves), way, context)
        else:
            name = str(told.get(NAME_KEY, ""))
            stream = self._begin(name, way, context.peer())
        try:
            await way.over.wait()
        except asyncio.CancelledError:  # the connection has broken, or we stop
            await stream.lost(way)
            raise

    def _begin(self, name: str, way: _Served, peer: str) -> _ServedLink:
        """Serve a link that is called *name* if it can move."""
        stream = _ServedLink(way)
        if name:
            self._named.setdefault(name, stream)
        work = self._run(stream, name, peer)
        stream.serving = asyncio.create_task(work, name="serve a link")
        return stream

    async def _run(self, stream: _ServedLink, name: str, peer: str) -> None:
        try:
            await self._serve(stream)
        except NodeStopping:
            logger.debug("a link from %s comes too late", peer)
        except ClusterError as error:
            text = f"a link from {peer} was not made: {error}"
            self._strangers.refuse("no-link", text)
        except Exception:
            logger.exception("the link from %s failed", peer)
        finally:
            if self._named.get(name) is stream:
                del self._named[name]
            stream.end()

    async def _take_over(
        self,
        name: str,
        way: _Served,
        context: grpc.aio.ServicerContext[pb.Batch, bytes],
    ) -> _ServedLink:
        """Let the link that is called *name* move to *way*."""
        stream = self._named.get(name)
        if stream is None or not stream.can_move:
            reason = "there is no such link, or it moves already"
            self._strangers.refuse(
                "no-link", f"{context.peer()} moves a link: {reason}"
            )
            await context.abort(grpc.StatusCode.NOT_FOUND, reason)
        stream.offer(way)
        try:
            await context.send_initial_metadata(((MOVES_KEY, "yes"),))
        except BaseException:
            stream.withdraw()
            raise
        stream.accept()
        return stream

    def attach(self, server: grpc.aio.Server) -> None:
        """Let *server* take calls for this service."""
        connect = grpc.stream_stream_rpc_method_handler(
            self._connect, request_deserializer=pb.Batch.FromString
        )
        handler = grpc.method_handlers_generic_handler(SERVICE, {CONNECT: connect})
        server.add_generic_rpc_handlers((handler,))
