"""One connection, from its greeting to its end; a client has one after the other.

It greets, answers heartbeats, numbers requests, and notices a server that has fallen
silent.  What an end means, and whether there is another connection, is the client's
business.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from nano.client.streams import Stream
from nano.errors import ConnectionClosed, ConnectionRefused, ProtocolError
from nano.protocol.client import (
    Accepted,
    ClientConnection,
    ClientEvent,
    Heartbeat,
    Kicked,
)
from nano.protocol.messages import PUSH, Message
from nano.protocol.packets import HEARTBEAT_PACKET

__all__ = ["BROKEN", "LATE", "SILENT", "Connection", "Greeting"]

BROKEN: Final = 4002  # the server's bytes mean nothing
SILENT: Final = 4008  # it has not been heard for two of its heartbeats' intervals
LATE: Final = 4009  # the greeting was not over in time
"""Codes of the kind that RFC 6455 leaves to applications; the JavaScript client's."""

KICKED: Final = "kicked"  # by a server that does not say why
CLOSING_TIME: Final = 5.0  # seconds that a kick may be ahead of the close
TOLERATED: Final = 2  # intervals of heartbeats without a byte


class Greeting(msgspec.Struct, frozen=True):
    """The server's answer to our handshake.

    Attributes:
        code: 200.
        heartbeat: Seconds between its heartbeats; 0 if it sends none.
        resume: The token by which the session can be taken up; empty: there is none.
        resumed: The session is the one that was, and goes on.
        answer: The whole, decoded: ``sys`` holds ``heartbeat``, ``servertime``,
            ``dict`` and whatever else the server tells; beside it is what the
            application's validator adds.
    """

    code: int
    heartbeat: float
    resume: str
    resumed: bool
    answer: dict[str, Any]


class Connection:
    """A stream on which a server is talked to.

    Args:
        stream: Open; closed by :meth:`close`.
        pushed: Takes each push.
        over: Is told of the end, before those are who wait for answers.

    Attributes:
        greeting: What the server has answered; there after :meth:`greet`.
        kick: What the server said when it sent us away, if it has.
        code: Why it ended, as a number: WebSocket's close code, or one of ours.
        ended: Why it ended, in words; empty while it has not.
    """

    greeting: Greeting

    def __init__(
        self,
        stream: Stream,
        pushed: Callable[[Message], None],
        over: Callable[[Connection], None],
    ) -> None:
        self.kick: Kicked | None = None
        self.code = 0
        self.ended = ""
        self._stream = stream
        self._core = ClientConnection()
        self._pushed = pushed
        self._over = over
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._early: list[ClientEvent] = []
        self._beats = 0  # to be answered
        self._beat: asyncio.Task[None] | None = None
        self._finished = asyncio.Event()
        self._heard = 0.0
        self._watch: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------- the greeting

    async def greet(self, user: Any, resume: str | None = None) -> None:
        """Shake hands.

        Args:
            user: What the server's handshake validator wants, JSON-able.
            resume: The token of a session to go on with; empty: ask for one.

        Raises:
            ConnectionRefused: The server does not let us in.
            ConnectionClosed: It has sent us away, or makes no sense.
        """
        await self._stream.write(self._core.greet(user, resume))
        while not self._core.accepted:
            data = await self._stream.read()
            if not data:
                raise ConnectionClosed("closed during the handshake")
            for event in self._understand(data):
                if isinstance(event, Accepted):
                    self._greeted(event)
                elif isinstance(event, Kicked):
                    self.kick = event
                    raise ConnectionClosed(event.reason or KICKED)
                else:
                    self._early.append(event)
        with contextlib.suppress(ConnectionClosed):  # why: the next read tells
            await self._stream.write(self._core.acknowledge())

    def _greeted(self, event: Accepted) -> None:
        answer = msgspec.json.decode(event.body)
        if event.code != 200:
            raise ConnectionRefused(event.code, answer)
        resumed = event.epoch > 1
        self.greeting = Greeting(
            event.code, event.heartbeat, event.resume, resumed, answer
        )

    def _understand(self, data: bytes) -> list[ClientEvent]:
        try:
            return self._core.receive(data)
        except ProtocolError as error:
            self.code = BROKEN
            message = f"the server broke the protocol: {error}"
            raise ConnectionClosed(message) from None

    # --------------------------------------------------------------- the work

    async def run(self) -> None:
        """Take what comes until the end; :attr:`ended` then says why."""
        loop = asyncio.get_running_loop()
        reason = "the server closed the connection"
        try:
            async with asyncio.timeout(None) as limit:
                self._listen(limit)
                for event in self._early:
                    self._act(event, limit)
                while data := await self._stream.read():
                    self._heard = loop.time()
                    for event in self._understand(data):
                        self._act(event, limit)
        except ConnectionClosed as error:
            reason = str(error)
        except OSError as error:  # a TimeoutError of ours is one, too
            reason = f"the connection is lost: {error}"
            if limit.expired() and self.kick is None:
                self.code = SILENT
                patience = TOLERATED * self.greeting.heartbeat
                reason = f"heartbeat timeout: the server was silent for {patience:g} s"
        self.end(self.kick.reason or KICKED if self.kick else reason)

    def _listen(self, limit: asyncio.Timeout) -> None:
        """Watch for a server that is silent for two intervals of its heartbeats."""
        patience = TOLERATED * self.greeting.heartbeat
        if patience:
            loop = asyncio.get_running_loop()
            self._heard = loop.time()
            self._watch = loop.call_later(patience, self._look, limit, patience)

    def _look(self, limit: asyncio.Timeout, patience: float) -> None:
        loop = asyncio.get_running_loop()
        due = self._heard + patience
        if due > loop.time():
            self._watch = loop.call_at(due, self._look, limit, patience)
        else:
            limit.reschedule(due)

    def _act(self, event: ClientEvent, limit: asyncio.Timeout) -> None:
        if isinstance(event, Message):
            if event.type == PUSH:
                self._pushed(event)
            elif (future := self._waiting.get(event.id)) and not future.done():
                future.set_result(event)
        elif isinstance(event, Heartbeat):
            self._beats += 1
            if self._beat is None or self._beat.done():
                self._beat = asyncio.create_task(self._answer(), name="nano heartbeat")
        elif isinstance(event, Kicked):
            self.kick = event
            limit.reschedule(asyncio.get_running_loop().time() + CLOSING_TIME)

    async def _answer(self) -> None:
        """Answer heartbeats; reading goes on, should the server not read just now."""
        with contextlib.suppress(ConnectionClosed):  # why: the next read tells
            while beats := self._beats:
                self._beats = 0
                await self._stream.write(HEARTBEAT_PACKET * beats)

    async def request(self, route: str, payload: bytes) -> Message:
        """Ask, and wait for the answer.

        Raises:
            ConnectionClosed: The connection is over, or ends meanwhile.
            EncodeError: Route or payload do not fit the wire.
        """
        if self.ended:
            raise ConnectionClosed(self.ended)
        number, packet = self._core.request(route, payload)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            with contextlib.suppress(ConnectionClosed):  # why: the next read tells
                await self._stream.write(packet)
            return await future
        finally:
            del self._waiting[number]

    async def notify(self, route: str, payload: bytes) -> None:
        """Say, and expect no answer; raises as :meth:`request`."""
        if self.ended:
            raise ConnectionClosed(self.ended)
        try:
            await self._stream.write(self._core.notify(route, payload))
        except ConnectionClosed:  # why: the next read tells
            await self._finished.wait()
            raise ConnectionClosed(self.ended, sent=True) from None

    @property
    def waiting(self) -> int:
        """How many requests have no answer yet."""
        return len(self._waiting)

    # ----------------------------------------------------------------- the end

    def end(self, reason: str, code: int = 0) -> None:
        """Note that it is over, and tell all who wait; a second time is harmless."""
        if self.ended:
            return
        self.ended = reason
        self.code = code or self.code or self._stream.close_code
        if self._watch is not None:
            self._watch.cancel()
        if self._beat is not None:
            self._beat.cancel()
        self._finished.set()
        self._over(self)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionClosed(reason, sent=True))

    async def close(self) -> None:
        """Close the stream, in a few seconds at most; a second time is harmless."""
        self.end("closed by this side", 1000)
        try:
            async with asyncio.timeout(CLOSING_TIME):
                await self._stream.close()
        except TimeoutError:
            return  # given up by the stream
