"""Clients of Go gates, seen from a node of ours.

A Go gate's first message about a client makes a mirror of it here, kept by gate and
the gate's number for it: two gates may give out the same numbers (nano.md E.2, 35).
Here the mirror has an id of its own, which every node of ours computes alike.

nano's ``SessionClosed`` names the number alone and goes to everybody.  Whose it is is
told by the connection that it came by, if requests of one gate came by it; by the
machine, if one Go node is there; and else by asking every gate that it may be of.  So
are gates asked every few seconds for clients that have been silent: what nano forgets
to tell leaves no ghost here, nor does a gate that dies.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import logging
from collections.abc import Callable, Iterable
from typing import Final

from nano.cluster.gopeers import LARGEST_PAYLOAD, GoPeer, GoPeers
from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.peer import PeerError
from nano.cluster.senders import Senders
from nano.errors import INTERNAL, ClusterError, EncodeError, RequestError
from nano.protocol.messages import NOTIFY, REQUEST, Message
from nano.runtime.calls import Calls
from nano.runtime.dispatch import Dispatcher, answer_error
from nano.runtime.session import Delivery, Session, too_large
from nano.runtime.sessions import LOWEST_ID, Sessions
from nano.serializers import JsonSerializer

__all__ = ["GoGates", "GoHome", "id_here"]

logger = logging.getLogger(__name__)

MOST_MIRRORS: Final = 100_000
MOST_ASKED: Final = 64  # gates are asked about so many clients at once
LONGEST_ADDRESS: Final = 255  # bytes of a gate's address
PATIENCE: Final = 5.0  # seconds that a message's call may wait for its session
ARRIVAL: Final = 2.0  # seconds that it may wait for its gate to be a member
DOUBTS: Final = (0.0, 0.2, 1.0, 3.0)  # seconds before each question after a close
LOOK: Final = 5.0  # seconds after which a gate is asked for clients that are silent
AT_ONCE: Final = 8  # of one gate
LOST: Final = ("session not found", "broken low-level pipe")  # nano: it has gone


def id_here(gate: str, number: int) -> int:
    """Return the id that a Go gate's session *number* has on nodes of ours."""
    digest = hashlib.blake2b(f"{gate} {number}".encode(), digest_size=8).digest()
    return LOWEST_ID | (int.from_bytes(digest) & (LOWEST_ID - 1))


class GoHome:
    """The way from a mirror to its client: by nano's calls to a Go gate.

    Attributes:
        gate: The gate.
        number: The gate's own id of the session.
        heard: When the gate last sent something of it.
        going_on: Set unless the client's messages are to wait.
    """

    __slots__ = (
        "_dispatcher",
        "_gates",
        "_lost",
        "gate",
        "going_on",
        "heard",
        "number",
    )

    def __init__(
        self, gate: GoPeer, number: int, dispatcher: Dispatcher, gates: GoGates
    ) -> None:
        self.gate = gate
        self.number = number
        self.heard = 0.0
        self.going_on = asyncio.Event()
        self.going_on.set()
        self._dispatcher = dispatcher
        self._gates = gates
        self._lost = False  # a push that must not be lost was

    def respond(self, number: int, payload: bytes, failed: bool) -> None:
        """Answer the client's request *number*.

        nano has no sign for errors, so one goes as an ordinary answer where it can be
        read, in JSON, and is counted and dropped where it would be misread.

        Raises:
            EncodeError: The client is not sent so much.
        """
        if failed and not isinstance(self._dispatcher.serializer, JsonSerializer):
            self._dispatcher.metrics.dropped["answer", "go-error"] += 1
            return
        self._check(payload)
        message = pb.ResponseMessage(sessionId=self.number, id=number, data=payload)
        self.gate.respond(message, self._failed("answer"))

    def push(self, route: str, payload: bytes, delivery: Delivery = "must") -> None:
        """Send a push by way of the gate; dropped while too much waits for it.

        Raises:
            EncodeError: The client is not sent so much.
        """
        self._check(payload)
        if not self.gate.lanes.takes(self.number, delivery):
            self._dispatcher.metrics.dropped["push", "go-full"] += 1
            if delivery == "must" and not self._lost:
                self._lost = True
                self.kick("more was sent than could be passed on", True)
            return
        message = pb.PushMessage(sessionId=self.number, route=route, data=payload)
        patient = delivery == "must"
        self.gate.push(message, self._failed("push"), patient=patient)

    def _check(self, payload: bytes) -> None:
        largest = min(self._dispatcher.largest, LARGEST_PAYLOAD)
        if len(payload) > largest:
            raise too_large(len(payload), largest)

    def _failed(self, what: str) -> Callable[[PeerError], None]:
        def failed(error: PeerError) -> None:
            self._dispatcher.metrics.dropped[what, "go-failed"] += 1
            logger.debug("%s for a client of a Go gate: %s", what, error)
            self._gates.failed(self, error)

        return failed

    def kick(self, reason: str, reconnect: bool = False) -> None:
        """Have the gate close the client; nano tells it neither why nor what next."""
        self._gates.kick(self, reason)

    def pause(self) -> None:
        """Let the gate wait with the client's next message: it sends one at a time."""
        self.going_on.clear()

    def resume(self) -> None:
        """Let it go on."""
        self.going_on.set()

    def changed(self, session: Session) -> None:
        """Note that uid or data have changed: nodes of ours are told with a call."""
        session.version += 1


class GoGates:
    """What this node does for the clients of Go gates.

    Args:
        dispatcher: Whose handlers are called.
        calls: The handlers as nodes reach them.
        sessions: Where mirrors are kept.
        peers: The Go nodes.
        time: The clock.
        trusted: Go nodes reach internal handlers, too.
        lenient: Tells whether gates may write that are no members: a Go master does
            not tell everybody of everybody.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        calls: Calls,
        sessions: Sessions,
        peers: GoPeers,
        *,
        time: Callable[[], float],
        trusted: bool,
        lenient: Callable[[], bool],
    ) -> None:
        self._dispatcher = dispatcher
        self._metrics = dispatcher.metrics
        self._calls = calls
        self._sessions = sessions
        self._peers = peers
        self._time = time
        self._trusted = trusted
        self._lenient = lenient
        self._senders = Senders()
        self._mirrors: dict[tuple[str, int], Session] = {}  # by gate and its number
        self._numbers: dict[int, set[str]] = {}  # the gates that have given it out
        self._asking: set[asyncio.Task[None]] = set()
        self._looked = 0.0
        peers.on_gone(self._gone)
        sessions.on_closed(self._session_closed)

    # --------------------------------------------------------------- from a gate

    async def handle_request(self, message: pb.RequestMessage, sender: str) -> None:
        """Have a handler of this node answer a client of a Go gate.

        Raises:
            ClusterError: Nobody here serves the route, or nobody knows the gate.
        """
        gate = await self._gate(message.gateAddr)
        self._senders.learn(sender, gate.address)
        session = self._mirror(gate, message.sessionId)
        what = Message(REQUEST, message.id, message.route, message.data)
        internal = self._internal(message.route)
        if internal:
            self._calls.serve(
                message.route, session, message.data, self._answering(session, what)
            )
        else:
            self._dispatcher.dispatch_here(session, what)
        await self._turn(session)
        if not internal:
            self._check(message.route)

    async def handle_notify(self, message: pb.NotifyMessage) -> None:
        """Have a handler of this node take what a client of a Go gate tells.

        Raises:
            ClusterError: Nobody here serves the route, or nobody knows the gate.
        """
        route = message.route
        internal = self._internal(route)
        if not internal:
            self._check(route)
        gate = await self._gate(message.gateAddr)
        session = self._mirror(gate, message.sessionId)
        if internal:
            self._calls.take(route, session, message.data)
        else:
            what = Message(NOTIFY, 0, route, message.data)
            self._dispatcher.dispatch_here(session, what)
        await self._turn(session)

    async def session_closed(self, number: int, sender: str) -> None:
        """End the mirror of a client that has gone; it may never have been here."""
        gates = self._numbers.get(number)
        if not gates:
            return
        gate = self._senders.who(sender, self._peers.addresses)
        if gate is not None:
            self._end(gate, number, "client-closed")
            return
        for address in list(gates):
            self._ask(address, number, DOUBTS)

    def _internal(self, route: str) -> bool:
        """Whether *route* is for nodes alone, and Go nodes are trusted with it."""
        local = route in self._dispatcher.local
        return self._trusted and not local and self._calls.serves(route)

    def _check(self, route: str) -> None:
        if route in self._dispatcher.local:
            return
        if self._calls.serves(route):
            self._metrics.dropped["go", "internal-route"] += 1
        else:
            self._metrics.dropped["go", "no-route"] += 1
        raise ClusterError(f"service not found in current node: {route}")

    def _answering(
        self, session: Session, message: Message
    ) -> Callable[[bytes | RequestError], None]:
        def done(outcome: bytes | RequestError) -> None:
            if isinstance(outcome, RequestError):
                answer_error(self._dispatcher, session, message, outcome)
                return
            try:
                session.home.respond(message.id, outcome, False)
            except EncodeError as error:
                refusal = RequestError(INTERNAL, str(error))
                answer_error(self._dispatcher, session, message, refusal)

        return done

    @staticmethod
    async def _turn(session: Session) -> None:
        """Wait while the client is not to be read: its gate sends one at a time."""
        home = session.home
        if isinstance(home, GoHome) and not home.going_on.is_set():
            try:
                async with asyncio.timeout(PATIENCE):
                    await home.going_on.wait()
            except TimeoutError:
                pass  # its own queue is bounded as well

    async def _gate(self, address: str) -> GoPeer:
        """Return the way to a gate.

        Its first client may be quicker than the word that there is a new gate.
        """
        if len(address.encode()) > LONGEST_ADDRESS or ":" not in address:
            raise ClusterError("a message names the gate that it comes from, host:port")
        peer = self._peers.get(address)
        if peer is None and self._lenient():
            peer = self._peers.stranger(address)
        elif peer is None:
            peer = await self._peers.arrived(address, ARRIVAL)
        if peer is None:
            self._metrics.dropped["go", "no-member"] += 1
            raise ClusterError(f"the gate {address} is no member here")
        return peer

    def _mirror(self, gate: GoPeer, number: int) -> Session:
        key = gate.address, number
        session = self._mirrors.get(key)
        if session is None:
            if len(self._mirrors) >= MOST_MIRRORS:
                self._metrics.dropped["go", "too-many"] += 1
                raise ClusterError("this node holds too many sessions of Go gates")
            home = GoHome(gate, number, self._dispatcher, self)
            serializer = self._dispatcher.serializer
            session = Session(id_here(*key), home, serializer, "")
            self._mirrors[key] = session
            self._numbers.setdefault(number, set()).add(gate.address)
            self._sessions.add(session)
        if isinstance(session.home, GoHome):
            session.home.heard = self._time()
        return session

    # ------------------------------------------------------------------ to a gate

    def deliver(
        self, sessions: Iterable[Session], route: str, payload: bytes, how: Delivery
    ) -> int:
        """Push to those of *sessions* that are at Go gates; return how many took it.

        Go gates have no groups, so each member is told by a call of its own.
        """
        if not self._mirrors:
            return 0
        homes = [it.home for it in sessions if isinstance(it.home, GoHome)]
        delivered = 0
        for home in homes:
            try:
                home.push(route, payload, how)
                delivered += 1
            except EncodeError:
                self._metrics.dropped["push", "does-not-fit"] += 1
        return delivered

    def kick(self, home: GoHome, reason: str) -> None:
        """Have the gate close a client, behind what it was sent."""

        def done() -> None:
            self._end(home.gate.address, home.number, reason)

        def failed(error: PeerError) -> None:
            self._metrics.dropped["kick", "go-failed"] += 1
            self.failed(home, error)

        home.gate.close_session(home.number, done, failed)

    def failed(self, home: GoHome, error: PeerError) -> None:
        """Look whether a call's failure means that the client has gone."""
        if error.details.startswith(LOST):
            self._end(home.gate.address, home.number, "client-closed")

    # -------------------------------------------------------------- what happens

    def tick(self, now: float) -> None:
        """Ask every gate for some of the clients that have been silent longest."""
        if now - self._looked < LOOK:
            return
        self._looked = now
        silent: dict[str, list[GoHome]] = {}
        for session in self._mirrors.values():
            home = session.home
            if isinstance(home, GoHome) and now - home.heard >= LOOK:
                silent.setdefault(home.gate.address, []).append(home)
        for address, homes in silent.items():
            for home in heapq.nsmallest(AT_ONCE, homes, key=lambda it: it.heard):
                home.heard = now
                self._ask(address, home.number, (0.0,))

    def _ask(self, address: str, number: int, pauses: tuple[float, ...]) -> None:
        """Ask the gate at *address* whether the client is there, after each pause."""
        session = self._mirrors.get((address, number))
        if session is None or not isinstance(session.home, GoHome):
            return
        if len(self._asking) >= MOST_ASKED:
            self._metrics.dropped["go", "too-many-questions"] += 1
            return  # the audit will ask
        task = asyncio.get_running_loop().create_task(
            self._find_out(session.home, session, pauses), name=f"probe {address}"
        )
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _find_out(
        self, home: GoHome, session: Session, pauses: tuple[float, ...]
    ) -> None:
        for pause in pauses:
            await asyncio.sleep(pause)
            if session.closed:
                return
            try:
                if not await home.gate.probe(home.number):
                    self._end(home.gate.address, home.number, "client-closed")
            except PeerError as error:
                self.failed(home, error)

    def _end(self, gate: str, number: int, reason: str) -> None:
        session = self._mirrors.get((gate, number))
        if session is not None:
            self._sessions.close(session, reason)

    def _session_closed(self, session: Session) -> None:
        home = session.home
        if isinstance(home, GoHome):
            home.going_on.set()
            self._mirrors.pop((home.gate.address, home.number), None)
            gates = self._numbers.get(home.number, set())
            gates.discard(home.gate.address)
            if not gates:
                self._numbers.pop(home.number, None)

    def _gone(self, address: str) -> None:
        self._senders.forget(address)
        for gate, number in list(self._mirrors):
            if gate == address:
                self._end(gate, number, "gate-lost")

    async def stop(self) -> None:
        """Ask nothing any more."""
        tasks = list(self._asking)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
