"""The client: requests and their answers, pushes, and one connection after another.

What a connection is, :mod:`nano.client.connection` knows; in which order things happen,
:mod:`nano.client.states`; when to try again, :mod:`nano.client.returning`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import os
import random
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from ssl import SSLContext
from typing import Any, Final, Self

from msgspec import Struct

from nano.client.callbacks import Callbacks
from nano.client.connection import LATE, Connection, Greeting
from nano.client.outbox import Outbox
from nano.client.pushes import MOST_PUSHES, Pushes
from nano.client.returning import ONCE, Backoff, delay, worth_returning
from nano.client.states import Input, State, next_state
from nano.client.streams import ABNORMAL, Stream, open_stream, verifying
from nano.errors import ConnectionClosed, ConnectionRefused, UsageError
from nano.protocol.client import Kicked
from nano.protocol.messages import REQUEST, Message, encode_message
from nano.serializers import SerializerName, by_name

__all__ = ["OUTBOX_BYTES", "Client", "Closed", "Reconnecting"]

logger = logging.getLogger(__name__)

OUTBOX_BYTES: Final = 65_536
NORMAL: Final = 1000
EVENTS: Final = ("open", "reconnecting", "reconnected", "kick", "close", "error")
AWAITED: Final = ("open", "reconnected")

Opener = Callable[[], Awaitable[Stream]]
ReconnectAfterKick = Callable[[Kicked, int], bool]

# whoever greets for a client, on the connection that others still wait for
_welcoming: ContextVar[Connection | None] = ContextVar("_welcoming", default=None)


class Reconnecting(Struct, frozen=True):
    """The connection was cut, and there will be another attempt.

    Attributes:
        attempt: Which, counted from 1.
        delay: Seconds until then.
        reason: Why it was cut.
        code: The same as a number: WebSocket's close code, or one of ours.
    """

    attempt: int
    delay: float
    reason: str
    code: int


class Closed(Struct, frozen=True):
    """The client is over.

    Attributes:
        reason: Why.
        code: The same as a number: WebSocket's close code, or one of ours.
    """

    reason: str
    code: int


class Client:
    """A client of one address; :func:`nano.client.connect` makes and opens one.

    Args:
        url: ``tcp://host:port``, ``ws://host:port/path``, the same with TLS as
            ``tls://`` and ``wss://``, or ``unix:///path``; or a function that opens a
            stream.
        user: What the server's handshake validator wants, JSON-able; or a function that
            returns it, or awaits it, called before every greeting.
        timeout: Seconds until an attempt must have succeeded, greeting and all.
        request_timeout: Seconds until an answer must have come; ``math.inf`` for ever.
        serializer: The format of payloads: ``json``, ``protobuf`` or ``raw``, as
            ``spec.settings.serializer`` of the cluster says.
        reconnect: Whether a connection that was cut is followed by another, and when.
        reconnect_after_kick: Decides, by the kick and the close code, whether to come
            back after one.  By default if the kick says so, or the close code does
            (1001, 1012, 1013), or if it was for silence.
        resume: Go on with the same session after a connection that was cut, if the
            server offers it; ``greeting.resumed`` says whether it did.
        outbox_bytes: How much may wait while there is no connection.
        ssl: What TLS is spoken with; by default the server has to prove that it is
            *url*'s host.
        ca: File with the authorities to believe for that, in PEM; by default those of
            the system.  Not together with *ssl*.

    Attributes:
        state: Where the client stands.
        closed: Why it is over; empty while it is not.
        close_code: The same as a number: WebSocket's close code (1006 if there was
            none, or by TCP); 1000 if this side closed; 4002 if the server's bytes mean
            nothing, 4008 if it fell silent, 4009 if its greeting was late; 0 while the
            client is not closed.
        kick: What the server said when it last sent us away, if it has.
        greeting: What it has answered to the latest handshake; ``None`` before that.
        events: What happens to the connection has callbacks here, ``events.on(name,
            callback)``; pushes have :meth:`on`.  ``open`` (with the
            :class:`~nano.client.Greeting`): a connection works, the first or a later
            one; coroutine functions are awaited before anything else is sent.
            ``reconnecting`` (:class:`Reconnecting`).  ``reconnected`` (the greeting):
            one works that is not the first.  ``kick`` (with ``reason`` and
            ``reconnect``): the server sends us away.  ``close`` (:class:`Closed`).
            ``error`` (the exception): a callback failed, or a push could not be
            decoded; without callbacks it goes to the log.

    Raises:
        UsageError: There is no such serializer, or *ssl* or *ca* cannot be used.
    """

    def __init__(
        self,
        url: str | Opener,
        *,
        user: Any = None,
        timeout: float = 10.0,
        request_timeout: float = 10.0,
        serializer: SerializerName = "json",
        reconnect: bool | Backoff = False,
        reconnect_after_kick: ReconnectAfterKick | None = None,
        resume: bool = True,
        outbox_bytes: int = OUTBOX_BYTES,
        ssl: SSLContext | None = None,
        ca: str | os.PathLike[str] | None = None,
    ) -> None:
        self.state = State.IDLE
        self.closed = ""
        self.close_code = 0
        self.kick: Kicked | None = None
        self.greeting: Greeting | None = None
        self.events = Callbacks(self._failed, EVENTS, AWAITED)
        self.request_timeout = request_timeout
        self._open_stream = _opener(url, _context(ssl, ca))
        self._user = user
        self._timeout = timeout
        self._serializer = by_name(serializer)
        self._backoff = _backoff(reconnect)
        self._reconnect_after_kick = reconnect_after_kick
        # the token of the session to go on with; None: not even asked for
        self._resume = "" if resume and self._backoff.attempts else None
        self._decoders: dict[Any, Callable[[bytes], Any]] = {}
        self._callbacks = Callbacks(self._failed)
        self._pushes: dict[str, list[Pushes]] = {}
        self._outbox = Outbox(outbox_bytes)
        self._current: Connection | None = None  # works, or says who we are
        self._connection: Connection | None = None  # the same, for everybody to send by
        self._attempt = 0  # in a row, without a connection that has lasted
        self._connections = 0  # that have worked
        self._working_since = 0.0
        self._pause = 0.0  # seconds before the next attempt
        self._life: asyncio.Task[None] | None = None
        self._opening: asyncio.Future[None] | None = None
        self._over = asyncio.Event()

    # ----------------------------------------------------------------- messages

    async def request(
        self,
        route: str,
        payload: Any = None,
        *,
        timeout: float | None = None,
        wanted: Any = Any,
    ) -> Any:
        """Ask, and return the decoded answer.

        Without a connection the request waits for one, if there is to be another.

        Args:
            route: Who is asked, ``Service.method``.
            payload: What the serializer can encode, or bytes.
            timeout: Seconds to wait for the answer; ``request_timeout`` unless given.
            wanted: What the answer becomes, as the annotation of a handler says it.
                ``Any`` is whatever JSON holds (``None`` if the answer is empty), and
                the bytes as they came under the other serializers.

        Raises:
            RequestError: The answer is an error.
            PayloadError: The answer is not what is wanted.
            ConnectionClosed: The connection is over, or ends while waiting; ``sent``
                says whether the request was on its way.
            OutboxFull: There is no connection, and too much waits for one.
            TimeoutError: No answer came in time.
            TypeError: The serializer knows neither *payload* nor *wanted*.
        """
        decode = self._decoder(wanted)
        encoded = self._serializer.encode(payload)
        async with asyncio.timeout(self._limit(timeout)):
            connection = self._connection or await self._wait(route, encoded)
            message = await connection.request(route, encoded)
        if message.failed:
            raise self._serializer.decode_error(message.payload)
        return decode(message.payload)

    async def notify(
        self, route: str, payload: Any = None, *, timeout: float | None = None
    ) -> None:
        """Say, and expect no answer; waits while the server does not read.

        Raises:
            ConnectionClosed: The connection is over.
            OutboxFull: There is no connection, and too much waits for one.
            TimeoutError: It could not be sent in time.
            TypeError: The serializer does not know *payload*.
        """
        encoded = self._serializer.encode(payload)
        async with asyncio.timeout(self._limit(timeout)):
            connection = self._connection or await self._wait(route, encoded)
            await connection.notify(route, encoded)

    @property
    def unanswered(self) -> int:
        """How many requests are on their way, or wait for a connection."""
        sent = self._current.waiting if self._current is not None else 0
        return sent + len(self._outbox)

    def _limit(self, timeout: float | None) -> float | None:
        seconds = self.request_timeout if timeout is None else timeout
        return None if seconds == math.inf else seconds

    async def _wait(self, route: str, payload: bytes) -> Connection:
        """Wait for a connection; what cannot be sent at all is refused at once."""
        if self.state is State.CLOSED:
            raise ConnectionClosed(self.closed)
        if self.state is State.IDLE:
            raise UsageError("the client is not open; await its open() first")
        connection = _welcoming.get()
        if connection is not None and self._current is connection:
            return connection
        size = len(encode_message(Message(REQUEST, 1, route, payload)))
        return await self._outbox.wait(size)

    def _decoder(self, wanted: Any) -> Callable[[bytes], Any]:
        decode = self._decoders.get(wanted)
        if decode is None:
            decode = self._decoders[wanted] = self._serializer.decoder(wanted)
        return decode

    # ------------------------------------------------------------------- pushes

    def on(
        self, route: str, callback: Callable[[Any], None], *, wanted: Any = Any
    ) -> None:
        """Have *callback* called with the decoded payload of each push to *route*.

        Raises:
            TypeError: The serializer does not know *wanted*.
        """
        decode = self._decoder(wanted)
        self._callbacks.add(route, callback, lambda it: callback(decode(it)))

    def once(
        self, route: str, callback: Callable[[Any], None], *, wanted: Any = Any
    ) -> None:
        """Have *callback* called with the next push to *route*; as :meth:`on`."""
        decode = self._decoder(wanted)
        self._callbacks.add(route, callback, lambda it: callback(decode(it)), once=True)

    def off(self, route: str, callback: Callable[[Any], None] | None = None) -> None:
        """Forget *callback*; without one all of *route*."""
        self._callbacks.off(route, callback)

    def pushes(
        self, route: str, *, wanted: Any = Any, limit: int = MOST_PUSHES
    ) -> Pushes:
        """Return the pushes to *route* from now on, to be awaited one by one.

        Args:
            route: Which.
            wanted: What a push becomes; as in :meth:`request`.
            limit: How many are kept; beyond it the oldest are dropped.

        Raises:
            TypeError: The serializer does not know *wanted*.
        """
        made = Pushes(route, self._decoder(wanted), limit, self._forget)
        self._pushes.setdefault(route, []).append(made)
        if self.closed:
            made.end(self.closed)
        return made

    def _forget(self, pushes: Pushes) -> None:
        others = self._pushes.get(pushes.route, [])
        if pushes in others:
            others.remove(pushes)
        if not others:
            self._pushes.pop(pushes.route, None)

    def pushed(self, message: Message) -> None:
        """Take a push; called by the connection."""
        route = message.route
        for pushes in self._pushes.get(route, ()):
            pushes.put(message.payload)
        self._callbacks.emit(route, message.payload)

    def _failed(self, name: str, error: Exception) -> None:
        if name != "error" and "error" in self.events:
            self.events.emit("error", error)
        else:
            logger.error("a callback of %s failed", name, exc_info=error)

    # --------------------------------------------------------------- connecting

    async def open(self) -> Self:
        """Connect and be greeted; called once.

        If that fails the client is closed, unless ``reconnect`` has ``first`` set.

        Raises:
            ConnectionRefused: The server does not let us in.
            ConnectionClosed: Nobody answers, or the server sends us away.
            TimeoutError: It took too long.
            UsageError: The URL cannot be understood, or this is the second time.
            Exception: What ``user`` or a coroutine function for ``open`` raises.
        """
        if self.state is not State.IDLE:
            raise UsageError(f"open() while the client is {self.state.value}")
        self._opening = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(), name="nano client")
        try:
            await self._opening
        except BaseException:
            await self.close()
            raise
        return self

    async def _live(self) -> None:
        """Have one connection after another, until there is to be no more."""
        while self.state is not State.CLOSED:
            await asyncio.sleep(self._pause)
            await self._connect_once()

    async def _connect_once(self) -> None:
        """Have one connection, from its opening to its end."""
        self._step(Input.OPEN)
        connection: Connection | None = None
        late = asyncio.timeout(self._timeout)
        try:
            async with late:
                stream = await self._open_stream()
                connection = Connection(stream, self.pushed, self._ended)
                self._step(Input.OPENED)
                await connection.greet(await self._introduction(), self._resume)
            await self._work(connection)
        except Exception as error:
            if late.expired():
                text = f"no greeting came in {self._timeout:g} s"
                self._lost(TimeoutError(text), None, LATE)
            elif connection is None:
                self._lost(error, None, ABNORMAL)
            elif not connection.ended:
                self._lost(error, connection.kick, connection.code or ABNORMAL)
        finally:
            self._current = None
            if connection is not None:
                await connection.close()

    async def _introduction(self) -> Any:
        user = self._user
        if callable(user):
            user = user()
        return await user if inspect.isawaitable(user) else user

    async def _work(self, connection: Connection) -> None:
        """Let messages flow until the connection ends."""
        self._working_since = asyncio.get_running_loop().time()
        self._current = connection
        self._step(Input.ACCEPTED)
        self._connections += 1
        self.greeting = connection.greeting
        if self._resume is not None:
            self._resume = connection.greeting.resume
        work = self._welcome(connection)  # first, that the end does not come before it
        welcome = asyncio.create_task(work, name="nano client open")
        running = asyncio.create_task(connection.run(), name="nano client reader")
        both = (welcome, running)
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if welcome.done():
                await welcome
                await running
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _welcome(self, connection: Connection) -> None:
        """Have callbacks of ``open`` say who we are, then let everybody else send."""
        _welcoming.set(connection)  # of this task, and those that it makes
        names = ["open"] if self._connections == 1 else ["open", "reconnected"]
        for name in names:
            for made in self.events.emit(name, connection.greeting):
                if inspect.isawaitable(made):
                    await made
        self._let_go(connection)
        if self._opening is not None and not self._opening.done():
            self._opening.set_result(None)

    def _let_go(self, connection: Connection) -> None:
        """Let what waits go out first; whoever comes meanwhile waits behind it."""
        if self._current is not connection:
            return
        if self._outbox.release(connection):
            asyncio.get_running_loop().call_soon(self._let_go, connection)
        else:
            self._connection = connection

    def _ended(self, connection: Connection) -> None:
        """Be told that a connection has ended, before those are who wait for it."""
        if self._current is not connection or self.state is State.CLOSED:
            return
        lasted = asyncio.get_running_loop().time() - self._working_since
        if lasted >= self._backoff.cap:
            self._attempt = 0
        self._lost(ConnectionClosed(connection.ended), connection.kick, connection.code)

    def _lost(self, error: Exception, kick: Kicked | None, code: int) -> None:
        """Come back in a while; or be closed."""
        self._connection = self._current = None
        if kick is not None:
            self.kick = kick
            self.events.emit("kick", kick)
        if self.state is State.CLOSED:
            return
        if not self._returns(error, kick, code):
            self._end(error, code)
            return
        self._step(Input.LOST)
        self._pause = delay(self._attempt, self._backoff, random.random)
        self._attempt += 1
        told = Reconnecting(self._attempt, self._pause, str(error), code)
        self.events.emit("reconnecting", told)

    def _returns(self, error: Exception, kick: Kicked | None, code: int) -> bool:
        if isinstance(error, ConnectionRefused):
            return False
        if not isinstance(error, ConnectionClosed | TimeoutError):
            return False
        if self._connections == 0 and not self._backoff.first:
            return False
        if self._attempt >= self._backoff.attempts:
            return False
        if kick is not None and self._reconnect_after_kick is not None:
            return self._reconnect_after_kick(kick, code)
        return worth_returning(kick, code)

    def _step(self, happened: Input) -> None:
        self.state = next_state(self.state, happened)

    # ------------------------------------------------------------------ the end

    def _end(self, error: Exception, code: int) -> None:
        if self.state is State.CLOSED:
            return
        self._step(Input.OVER)
        self._connection = None
        self.closed = str(error) or type(error).__name__
        self.close_code = code
        self._outbox.fail(ConnectionClosed(self.closed))
        for pushes in [it for made in self._pushes.values() for it in made]:
            pushes.end(self.closed)
        if self._opening is not None and not self._opening.done():
            self._opening.set_exception(error)
        self._over.set()
        self.events.emit("close", Closed(self.closed, code))

    async def wait_closed(self) -> str:
        """Wait until the client is over; return why."""
        await self._over.wait()
        return self.closed

    async def close(self) -> None:
        """Close, in a few seconds at most; a second time is harmless."""
        self._end(ConnectionClosed("closed by this side"), NORMAL)
        life = self._life
        if life is not None and life is not asyncio.current_task():
            life.cancel()
            await asyncio.wait({life})  # it may be waiting for who calls this

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _opener(url: str | Opener, context: SSLContext | None) -> Opener:
    if not isinstance(url, str):
        return url

    async def opener() -> Stream:
        return await open_stream(url, context)

    return opener


def _context(
    ssl: SSLContext | None, ca: str | os.PathLike[str] | None
) -> SSLContext | None:
    if ca is None:
        return ssl
    if ssl is not None:
        raise UsageError("ssl and ca exclude each other: give one of them")
    return verifying(ca)


def _backoff(reconnect: bool | Backoff) -> Backoff:
    if isinstance(reconnect, Backoff):
        return reconnect
    return Backoff() if reconnect else ONCE
