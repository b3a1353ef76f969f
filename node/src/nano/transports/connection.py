"""One client's socket, its protocol state and its session.

Bytes are read, understood by :class:`nano.protocol.Connection`, and every message
goes straight to its route: no task, queue or await on the way.  How what is sent to
the client leaves is :mod:`nano.transports.sending`'s.

The class knows both ways a connection can end: the client goes, or we send it
away, in which case it gets the reason in a kick packet, the end of our stream and a
few seconds to read both, while what it still sends is read and dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Iterable
from functools import partial
from typing import Any, Final, cast

from nano.errors import ACCEPTED, ProtocolError
from nano.protocol.connection import Connection, Event, HandshakeRequested
from nano.protocol.handshake import ServerHello
from nano.protocol.messages import (
    PUSH,
    RESPONSE,
    Message,
    encode_push,
    encode_response,
)
from nano.protocol.packets import HEARTBEAT_PACKET, LARGEST_BODY
from nano.runtime.dispatch import answer_error, refusal_of
from nano.runtime.greeting import Handshake, Verdict
from nano.runtime.session import Delivery, Session, too_large
from nano.runtime.sessions import new_session_id
from nano.runtime.tasks import FAILURES, task_for
from nano.transports.admission import Meter
from nano.transports.arrival import FOR_NOW, Arrival
from nano.transports.context import Doorway
from nano.transports.resuming import Absent

__all__ = ["ClientTransport", "TcpTransport"]

logger = logging.getLogger(__name__)


SILENT: Final = "heartbeat-timeout"
BROKE_OFF: Final = "client-broke-off"  # it has closed, and means to come back
BREAKS: Final = (SILENT, BROKE_OFF)
TOO_FAST: Final = "rate"  # who holds a session whose client sends too fast
MOST_OF_A_STRANGER: Final = 64 * 1024  # bytes that mean nothing yet


class ClientTransport(Arrival):
    """A client's connection; subclasses say how packets lie in the stream.

    It is its session's :class:`~nano.runtime.session.Home`, and every method of
    that interface may be called at any time, also after the end.
    """

    __slots__ = (
        "_asking",
        "_errors",
        "_guest",
        "_held",
        "_inbound",
        "_largest",
        "_meter",
        "_outbound",
        "_paused",
        "_protocol",
        "_receive",
        "_routes",
        "_strange",
        "_unknown",
        "heard",
        "session",
        "silent",
        "spoke",
    )

    def __init__(self, door: Doorway) -> None:
        front, terms = door.front, door.terms
        super().__init__(door)
        self._protocol = Connection(terms.dictionary, front.limits.stranger)
        self._receive = self._protocol.receive
        self._routes = front.dispatcher.routes
        self._unknown = front.dispatcher.unknown
        self._largest = front.dispatcher.largest
        self._inbound = terms.pipeline.inbound
        self._outbound = terms.pipeline.outbound
        self._held: deque[Event] | None = None  # read before the session was paused
        self._errors = True  # the client can tell an error from an answer
        self._paused = False  # the session's queue is full
        self._strange = 0  # bytes without a meaning, of a client not yet greeted
        self._meter: Meter | None = None  # how fast it sends, if that is limited
        self._guest: Session | None = None  # the session, until it is let in
        self._asking: asyncio.Task[None] | None = None  # whether it is
        self.session: Session | None = None
        self.heard = False
        self.silent = 0
        self.spoke = 0

    # ------------------------------------------------------------ the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the greeting."""
        front, door = self._front, self.door
        self._transport = cast("asyncio.Transport", transport)
        known = self._host is not None
        if not known:
            door.enter(self)
        front.wheel.add(self)
        front.greetings.add(self, front.time())
        if door.shut:
            self.stop()  # accepted in the moment in which the listener stopped
        elif not known:
            self._count_in()

    def data_received(self, data: bytes) -> None:
        """Take what the socket has read; behind our farewell nothing counts."""
        if self._closing:
            return
        self.heard = True
        self._take(data)
        self._unsent.hurry()

    def _take(self, data: bytes) -> None:
        """Understand *data*; subclasses unwrap it first."""
        self.feed(data)

    def feed(self, data: bytes) -> None:
        """Take bytes of the client protocol and act upon what they mean."""
        events = self._receive(data)
        session = self.session
        if session is None or self._meter is not None or self._inbound.stages:
            if not events and session is None:
                self._note_noise(len(data))
            self._inspect(events)
            return
        if self._paused:
            self._hold(events)
            return
        routes, unknown = self._routes, self._unknown
        for number, event in enumerate(events, 1):
            if type(event) is Message:
                routes.get(event.route, unknown).deliver(session, event)
                if self._paused:
                    self._hold(events[number:])
                    return
            else:
                self._control(event)

    def _inspect(self, events: list[Event]) -> None:
        """Act upon *events* of a client whose session or messages are looked at."""
        if self._meter is not None:
            self._count(self._meter, len(events))
        if self._paused:
            self._hold(events)
        else:
            self._act(deque(events))

    def _act(self, events: deque[Event]) -> None:
        """Act upon *events* one by one, and hold those behind a pause."""
        dispatch = self._front.dispatcher.dispatch
        while events and not self._paused:
            event = events.popleft()
            if type(event) is not Message:
                self._control(event)
            elif self.session is not None and self._passes(self.session, event):
                dispatch(self.session, event)
        if events:
            self._hold(events)

    def _passes(self, session: Session, message: Message) -> bool:
        """Run a message of the client through the listener's pipeline."""
        try:
            self._inbound.process(session, message)
        except FAILURES as error:
            culprit = f"the pipeline of {message.route}"
            refusal = refusal_of(error, culprit, session, route=message.route)
            answer_error(self._front.dispatcher, session, message, refusal)
            return False
        return True

    def _note_noise(self, size: int) -> None:
        """Note that a stranger has sent *size* bytes, and still not its greeting."""
        self._strange += size
        if self._strange > MOST_OF_A_STRANGER:
            text = "too much was sent before the handshake"
            self._end("protocol-error", text)

    def _count(self, meter: Meter, number: int) -> None:
        """Note how fast the client sends; do not read it for a while if too fast."""
        session, front = self.session, self._front
        if session is not None and meter.spend(number, front.time()):
            front.throttled[self] = meter.until
            session.hold(TOO_FAST)

    def read_on(self, now: float) -> None:
        """Read on after a pause for speed; or kick, if it has not helped for long."""
        session, meter = self.session, self._meter
        if session is None or meter is None:
            return
        if meter.exhausted(now):
            self._end("too-many-messages", "too many messages for too long")
        else:
            self.heard = True  # from now on; what it has sent comes next
            session.release(TOO_FAST)

    def _hold(self, events: Iterable[Event]) -> None:
        """Keep what was read although the session is paused: one read's worth."""
        if self._held is None:
            self._held = deque()
        self._held.extend(events)

    def _control(self, event: Event) -> None:
        if isinstance(event, HandshakeRequested):
            self._greet(event)
        elif isinstance(event, ProtocolError):
            logger.info("%s broke the protocol: %s", self.peer, event)
            self._end(event.reason, str(event))

    # ---------------------------------------------------------------- the greeting

    def _greet(self, asked: HandshakeRequested) -> None:
        """Find out whether the client may come in."""
        front = self._front
        rate = front.greeting_rate
        if rate is not None and not rate.allow(front.time()):
            text = "too many handshakes at this moment"
            self._end("too-many-handshakes", text, reconnect=True)
            return
        session = self.session or self._guest
        if session is None and self._take_up(asked.hello.resume):
            return
        if session is None:
            serializer = front.dispatcher.serializer
            session = Session(new_session_id(), self, serializer, self.peer)
            session.routing = front.sessions.routing  # it may be bound before it begins
            self._guest = session
        hello = asked.hello
        name = self.door.terms.name
        said = Handshake(hello.user, asked.body, hello.type, hello.version, name)
        verdict = front.greeter.judge(session, said)
        if isinstance(verdict, Verdict):
            self._decide(session, verdict)
        else:
            front.greetings.add(self, front.time())  # anew, if it is not the first
            waiting = self._wait(session, verdict)
            self._asking = front.keep(task_for(verdict, waiting, "handshake"))

    async def _wait(self, session: Session, said: Awaitable[Any]) -> None:
        verdict = await self._front.greeter.wait(said)
        self._asking = None
        self._decide(session, verdict)

    def _decide(self, session: Session, verdict: Verdict) -> None:
        transport = self._transport
        if transport is None or self._closing:
            return
        if verdict.code == ACCEPTED:
            self._admit(session, verdict.user)
            return
        logger.info("%s is refused with %d", self.peer, verdict.code)
        self.door.counts.handshakes["refused"] += 1
        answer = self._protocol.refuse(verdict.code, verdict.body)
        self._dismiss(transport, answer, "refused", f"refused with {verdict.code}")

    def _take_up(self, token: str | None) -> bool:
        """Go on with the session that *token* is good for, if there is one."""
        resumptions = self._front.resumptions
        session = resumptions.find(token) if resumptions and token else None
        if resumptions is None or session is None:
            return False
        before = session.home
        if isinstance(before, ClientTransport):
            before.surrender()
        resumptions.take_up(session, self)
        session.remote_address = self.peer
        self.session = session
        self._welcome(session, None, "resumed")
        if isinstance(before, Absent):
            before.hand_over(self)
        if session.held:
            self.pause()
        self.feed(b"")
        return True

    def surrender(self) -> None:
        """Close, and leave the session to another connection of its client."""
        self.session = None
        self._end("resumed", "the session goes on by another connection")

    def _admit(self, session: Session, user: Any) -> None:
        first = self.session is None
        self._welcome(session, user, "accepted")
        if first:
            self.session, self._guest = session, None
            self._front.sessions.add(session)
        self.feed(b"")  # what arrived together with the handshake

    def _welcome(self, session: Session, user: Any, outcome: str) -> None:
        """Tell the client that it is in, and begin to count what it sends."""
        front, hello = self._front, self._protocol.hello
        token = ""
        if front.resumptions is not None and hello.resume is not None:
            token = front.resumptions.issue(session)
        answer = ServerHello(
            front.limits.heartbeat,
            int(front.wall()),
            self.door.terms.dictionary,
            user,
            token,
            session.epoch,
        )
        self._send(self._protocol.accept(answer))
        self.door.counts.handshakes[outcome] += 1
        front.greetings.discard(self)
        self._widen(front.limits.packet)  # it is no stranger any more
        self._errors = hello.errors or front.dispatcher.serializer.self_describing
        if front.limits.messages and self._meter is None:
            self._meter = Meter(front.limits.messages, front.time())

    def _widen(self, limit: int) -> None:
        """Accept packets of up to *limit* bytes from now on."""
        self._protocol.allow(limit)

    # --------------------------------------------------------------------- the end

    def eof_received(self) -> None:
        """Let the transport close, behind the answers: the client ends its stream."""
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Everything is over; tell whoever must know, once."""
        closing = self._closing
        reason = closing or ("connection-lost" if exc else "client-closed")
        front = self._front
        self.discard(reason)
        self._held = None
        self._protocol.close()
        if self._asking is not None:
            self._asking.cancel()
        front.wheel.remove(self)
        front.greetings.discard(self)
        front.closings.discard(self)
        front.throttled.pop(self, None)
        if self._host is not None:
            front.admission.leave(self._host)
            self._host = None
        self.door.leave(self, reason)
        self._part(reason, broken=not closing)

    def _part(self, reason: str, *, broken: bool) -> None:
        """Let the session end; or wait, if its client did not mean to go."""
        front, session = self._front, self.session
        if session is None or session.home is not self:
            return
        resumptions = front.resumptions if broken else None
        # a pipeline may make a payload smaller or larger, once there is a client
        most = LARGEST_BODY if self._outbound.stages else self._largest
        if resumptions is None or not resumptions.wait(
            session, most, reason, front.time()
        ):
            front.sessions.close(session, reason)

    # ------------------------------------------------- the home of a session

    def respond(self, number: int, payload: bytes, failed: bool) -> None:
        """Answer request *number*.

        A client that would take an error for an answer gets none, as from nano.

        Raises:
            EncodeError: The client is not sent so much.
        """
        if (
            failed
            or self._closing
            or self._outbound.stages
            or len(payload) > self._largest
        ):
            self._respond(number, payload, failed)
            return
        data = self._answer(number, payload)
        self._out.append(data)
        self._size += len(data)
        if not self._flushing or self._size > self._backlog:
            self.settle()

    def _respond(self, number: int, payload: bytes, failed: bool) -> None:
        """Do as :meth:`respond` where there is more to look at."""
        if failed and not self._errors:
            self._front.metrics.dropped["answer", "errors-not-announced"] += 1
            return
        if self._outbound.stages and self.session is not None:
            answer = Message(RESPONSE, number, "", payload, failed)
            if not self._processed(self.session, answer):
                return
            payload = answer.payload
        if len(payload) > self._largest and not failed:
            raise too_large(len(payload), self._largest)
        self._send(encode_response(number, payload, failed))

    @staticmethod
    def _answer(number: int, payload: bytes) -> bytes:
        """Return a response as it lies in the stream."""
        return encode_response(number, payload)

    def push(self, route: str, payload: bytes, delivery: Delivery = "must") -> None:
        """Send a message that nobody asked for.

        Raises:
            EncodeError: Route or payload do not fit the wire.
        """
        if self.deliver(route, payload, delivery):
            self._front.metrics.pushed(route, len(payload))

    def deliver(self, route: str, payload: bytes, delivery: Delivery) -> bool:
        """Do as :meth:`push` without counting it; false if it is dropped."""
        if self.session is None:
            self._front.metrics.dropped["push", "not-greeted"] += 1
            return False  # its application is still deciding
        if self._outbound.stages:
            message = Message(PUSH, 0, route, payload)
            if not self._processed(self.session, message):
                return False
            payload = message.payload
        return self.offer(route, self.prepare(route, payload), delivery)

    def _processed(self, session: Session, message: Message) -> bool:
        """Run a message for the client through the listener's pipeline."""
        try:
            self._outbound.process(session, message)
        except FAILURES:
            self._front.metrics.dropped["client", "pipeline"] += 1
            logger.exception("outbound pipeline of %s", self.door.terms.name)
            return False
        return True

    @property
    def alike(self) -> bool:
        """Every client of this listener gets a push in the same bytes."""
        return not self._outbound.stages

    def prepare(self, route: str, payload: bytes) -> bytes:
        """Return a push as it lies in the stream of every client of this listener.

        Raises:
            EncodeError: Route or payload do not fit the wire.
        """
        if len(payload) > self._largest:
            raise too_large(len(payload), self._largest)
        door = self.door
        head = door.heads.get(route) or door.head(route)
        return self._frame(encode_push(head, payload))

    def kick(self, reason: str, reconnect: bool = False) -> None:
        """Send the client away, with the reason in a kick packet."""
        self._end("kicked", reason, reconnect)

    def pause(self) -> None:
        """Read no further until :meth:`resume`."""
        self._paused = True
        if self._transport is not None and not self._closing:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on with what was read before the pause, and then with the socket."""
        if not self._paused or self._closing:
            return
        self._paused = False
        held, self._held = self._held, None
        if held:
            self._act(held)
        if not self._paused and self._transport is not None and not self._closing:
            self._transport.resume_reading()

    def changed(self, session: Session) -> None:
        """Note that uid or data have changed: mirrors are told with what comes next."""
        session.version += 1

    def _send(self, data: bytes) -> bool:
        """Send *data*, one packet."""
        return self.forward(self._frame(data))

    def _frame(self, packet: bytes) -> bytes:
        """Return *packet* as it lies in the stream; subclasses put it into a frame."""
        return packet

    # ----------------------------------------------------------------- ending

    def beat(self) -> None:
        """Send a heartbeat; as nano's, it does not wait for the handshake."""
        if self.ready and not self._closing:
            self._send(HEARTBEAT_PACKET)

    @property
    def ready(self) -> bool:
        """Packets can be sent: nothing has to be agreed upon below them first."""
        return True

    def lose(self) -> None:
        """Close: the client has been silent for too long."""
        if self in self._front.throttled:
            return  # it may have spoken: we do not listen
        text = "no heartbeat came for two intervals"
        self._end(SILENT, text, reconnect=True)

    def late_greeting(self) -> None:
        """Close: the client has not introduced itself in time."""
        self.door.counts.handshakes["timeout"] += 1
        self._end("handshake-timeout", "no handshake came in time", reconnect=True)

    def stop(self) -> None:
        """Close: the node goes."""
        self._end("server-stopping", "the server is going away", reconnect=True)

    def _refuse(self, reason: str, text: str) -> None:
        """Close: there are too many already."""
        self._end(reason, text, reconnect=reason in FOR_NOW)

    def _end(self, reason: str, text: str, reconnect: bool = False) -> None:
        """Kick and close; *reason* is counted, the rest is what the client reads."""
        transport = self._transport
        if transport is None or self._closing:
            return
        kick = self._protocol.kick(text, reconnect)
        self._dismiss(transport, kick, reason, text)

    def _dismiss(
        self, transport: asyncio.Transport, packet: bytes, reason: str, text: str
    ) -> None:
        """Close behind *packet*, the last that the client is sent."""
        self._out.append(self._frame(packet))
        self._leave(transport, reason, self._farewell(reason, text))

    def _leave(self, transport: asyncio.Transport, reason: str, last: bytes) -> None:
        """End our side of the stream with *last*, and read until the client ends its.

        A socket that is closed while the client still sends answers with a reset,
        which overtakes what the client has yet to read: the reason would be lost.
        """
        transport.write(last)
        self._closing = reason
        self._out.clear()
        self._size = 0
        front = self._front
        front.closings.add(self, front.time())
        if self.session is not None:
            part = partial(self._part, reason, broken=reason in BREAKS)
            asyncio.get_running_loop().call_soon(part)
        if self._paused:
            transport.resume_reading()
        self._paused = True  # the rest of this read does not count either
        try:
            transport.write_eof()
        except OSError:  # asyncio's: the client was quicker
            transport.abort()

    def _farewell(self, reason: str, text: str) -> bytes:
        """Return all that still goes out, in front of the end of the stream."""
        del reason, text
        return b"".join(self._out)


class TcpTransport(ClientTransport):
    """Packets lie in the stream as they are."""

    __slots__ = ()
