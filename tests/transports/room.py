"""A node's front with a room behind it, and a wire instead of a socket.

:class:`Room` answers as the Go server did from which ``nano.json`` was recorded.
:class:`Hall` is what a gate has towards clients, with a clock that stands still
until a test moves it.  :class:`Wire` takes the place of the event loop's transport:
it shows every single write and delivers bytes at the moment a test says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from nano import Component, RequestError, Session, handler
from nano.metrics import ListenerCounts, Metrics
from nano.protocol.client import Accepted, ClientConnection, ClientEvent
from nano.protocol.messages import NOTIFY, Message, encode_message
from nano.protocol.packets import LARGEST_BODY, PacketType, encode_packet
from nano.runtime.component import collect_handlers
from nano.runtime.dispatch import Dispatcher
from nano.runtime.greeting import Greeter
from nano.runtime.sessions import Sessions
from nano.serializers import SerializerName, by_name
from nano.transports.certificate import Certificate
from nano.transports.connection import ClientTransport, TcpTransport
from nano.transports.context import Doorway, Front, Limits, Terms
from nano.transports.listener import Listener

HANDSHAKE = encode_packet(PacketType.HANDSHAKE)
ACK = encode_packet(PacketType.HANDSHAKE_ACK)
HEARTBEAT = encode_packet(PacketType.HEARTBEAT)
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)
PATIENCE = 20.0  # seconds; a test that waits longer has failed
HIGH_WATER = 65536  # bytes at which asyncio and uvloop call a socket full


def notify(route: str, payload: bytes) -> bytes:
    return encode_message(Message(NOTIFY, 0, route, payload))


def masked(data: bytes, head: int = 0x82) -> bytes:
    """Return *data*, of less than 126 bytes, as a frame of a client."""
    return bytes([head, 0x80 | len(data), 0, 0, 0, 0]) + data


async def until(condition: Callable[[], bool]) -> None:
    """Wait for *condition*; what makes it true happens on this loop."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - conditions of many kinds
            await asyncio.sleep(0.001)


async def turns(number: int = 3) -> None:
    """Let the loop turn a few times, for whatever is scheduled."""
    for _ in range(number):
        await asyncio.sleep(0)


class Hello(msgspec.Struct):
    name: str = ""
    n: int = 0


class Room(Component):
    """Handlers of all kinds; ``gate`` holds the slow ones until it is opened."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.gate = asyncio.Event()
        self.waits = 0

    @handler("Hello")
    def hello(self, _: Session, said: Hello) -> Hello:
        return Hello(f"hello {said.name}", said.n + 1)

    @handler("Poke")
    def poke(self, session: Session, said: Hello) -> None:
        session.push("onPoke", said)

    @handler("Raw")
    def raw(self, _: Session, data: bytes) -> bytes:
        return b"raw:" + data

    @handler("Nothing")
    def nothing(self, _: Session, _data: bytes) -> bytes:
        return b""

    @handler("Late")
    async def late(self, _: Session, said: Hello) -> Hello:
        await asyncio.sleep(0)
        return said

    @handler("Fail")
    def fail(self, _: Session, _said: Hello) -> None:
        raise RequestError(403, "not you")

    @handler("Panic")
    def panic(self, _: Session, _said: Hello) -> None:
        raise ValueError("the handler is broken")

    @handler("Close")
    def close(self, session: Session, _: None) -> None:
        session.kick("closed by the handler")

    @handler("Fast")
    def fast(self, _: Session, number: int) -> int:
        self.seen.append(number)
        return number

    @handler("Slow")
    async def slow(self, _: Session, number: int) -> int:
        self.waits += 1
        await self.gate.wait()
        self.seen.append(number)
        return number


class Hall:
    """A gate's side towards clients, without the rest of the gate."""

    def __init__(
        self,
        *,
        heartbeat: float = 1.0,
        packet: int = 65536,
        backlog: int = 1 << 20,
        handshake: float = 10.0,
        component: Component | None = None,
        serializer: SerializerName = "json",
        connections: int = 50_000,
        per_address: int = 0,
        messages: int = 0,
        handshakes: int = 0,
        rate: int = 0,
        rate_per_address: int = 0,
        greeter: Greeter | None = None,
        resume: float = 0,
        largest: int = LARGEST_BODY,
    ) -> None:
        self.now = 100.0
        self.wall = 1795231205.9
        self.room = Room()
        self.metrics = Metrics()
        self.sessions = Sessions()
        self.dispatcher = Dispatcher(
            by_name(serializer), self.metrics, PATIENCE, largest=largest
        )
        self.dispatcher.add(collect_handlers([component or self.room]))
        self.front = Front(
            self.dispatcher,
            self.sessions,
            self.metrics,
            Limits(
                packet,
                backlog,
                heartbeat,
                handshake,
                connections,
                per_address,
                messages,
                handshakes,
                resume,
                rate,
                rate_per_address,
            ),
            time=lambda: self.now,
            wall=lambda: self.wall,
            greeter=greeter,
        )
        self.front.tick(self.now)

    def pass_time(self, seconds: float, by: float = 0.02) -> None:
        """Let time pass as a ticker would show it."""
        until = self.now + seconds
        while self.now < until - 1e-9:
            self.now = min(self.now + by, until)
            self.front.tick(self.now)

    def counts(self, listener: str) -> ListenerCounts:
        return self.metrics.listener(listener)

    def is_empty(self) -> bool:
        """Nobody is anywhere: no session, beat or deadline is left behind."""
        return (
            len(self.sessions) == 0
            and len(self.front.greetings) == 0
            and len(self.front.closings) == 0
            and not self.front.throttled
            and not self.front.admission._open
            and not self.front.admission._addresses
            and not any(self.front.wheel._spokes)
            and not self.waiting()
        )

    def waiting(self) -> int:
        """Sessions that wait for their clients."""
        resumptions = self.front.resumptions
        return len(resumptions._waiting) if resumptions is not None else 0

    async def listener(
        self,
        transport: str,
        terms: Terms | None = None,
        certificate: Certificate | None = None,
    ) -> Listener:
        listener = Listener(transport, transport, self.front, terms, certificate)
        await listener.start("127.0.0.1", 0)
        return listener


class Wire(asyncio.Transport):
    """One connection: what the loop would do for it, seen from outside."""

    def __init__(
        self,
        hall: Hall,
        kind: Callable[[Doorway], ClientTransport] = TcpTransport,
        door: Doorway | None = None,
    ) -> None:
        super().__init__(extra={"peername": ("127.0.0.1", 4711)})
        self.door = door or Doorway(hall.front, hall.counts("wire"))
        self.hall = hall
        self.protocol = kind(self.door)
        self.writes: list[bytes] = []
        self.taking = True  # the client reads; else what is written piles up
        self.reading = True
        self.ended = ""  # close, abort or lost
        self._waiting = 0
        self._unread = b""
        self.early: list[ClientEvent] = []  # what came right behind the greeting
        self.client = ClientConnection()
        self.protocol.connection_made(self)

    # what the server's end calls

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended, "written behind the end"
        self.writes.append(bytes(data))
        if not self.taking:
            before = self._waiting
            self._waiting += len(data)
            if before <= HIGH_WATER < self._waiting:
                self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return self._waiting

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
        if self._unread:
            data, self._unread = self._unread, b""
            asyncio.get_running_loop().call_soon(self.deliver, data)

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        if not self.ended:
            self.ended = "close"
            if not self._waiting:
                asyncio.get_running_loop().call_soon(self.lose)

    def write_eof(self) -> None:
        self.close()  # and the client, having read all, closes as well

    def abort(self) -> None:
        self.ended = "abort"
        asyncio.get_running_loop().call_soon(self.lose)

    # what the client does

    def deliver(self, data: bytes) -> None:
        """Let the server read *data*, now or when it reads again."""
        if self.ended:
            return
        if self.reading:
            self.protocol.data_received(data)
            self.hall.front.unsent.flush()  # the turn is over
        else:
            self._unread += data

    def lose(self, error: Exception | None = None) -> None:
        if self.ended != "lost":
            self.ended = "lost"
            self.protocol.connection_lost(error)

    def catch_up(self) -> None:
        """Let the client read all that is there, and go on reading."""
        self.taking = True
        if self._waiting > HIGH_WATER:
            self.protocol.resume_writing()
        self._waiting = 0

    def greet(self) -> Session:
        """Shake hands; return the session."""
        self.shake()
        assert self.protocol.session is not None
        return self.protocol.session

    def shake(self, resume: str | None = None) -> Accepted:
        """Shake hands; return what the server says."""
        self.deliver(self.client.greet(resume=resume) + self.client.acknowledge())
        accepted, *self.early = self.events()
        assert isinstance(accepted, Accepted)
        return accepted

    def request(self, route: str, payload: bytes = b"{}") -> int:
        number, packet = self.client.request(route, payload)
        self.deliver(packet)
        return number

    def events(self) -> list[ClientEvent]:
        """Return what was written since the last time, as a client sees it."""
        data = b"".join(self.writes)
        self.writes.clear()
        return self.client.receive(data)
