"""Services of Go nodes, for the clients of this gate.

A Go node says which services it has, not which routes.  So a route that no node of ours
serves is looked up by its service here, and one that both serve is shared: whoever is
chosen by a session's first message keeps the session.

A request goes out under the client's own number, for a Go handler may answer as late as
it likes: what comes after the deadline is handed on, as nano does it.  Everything else
a Go node gets wrong ends here: a call that fails is an answer to the client, a node
that is gone holds nobody, and it is told when a session ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import grpc
import msgspec

from nano.cluster.choosing import bind, dissolve, select
from nano.cluster.gopeers import LARGEST_PAYLOAD, GoPeer, GoPeers
from nano.cluster.lanes import PAUSE_AT
from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.peer import PeerError
from nano.errors import (
    INTERNAL,
    NOT_FOUND,
    TIMEOUT,
    UNAVAILABLE,
    ClusterError,
    EncodeError,
    RequestError,
)
from nano.metrics import Gauge, RouteCounts
from nano.protocol.messages import REQUEST, Message
from nano.runtime.dispatch import Dispatcher, Route, answer_error
from nano.runtime.session import Session
from nano.runtime.sessions import Sessions

__all__ = ["GoBackends"]

MOST_PENDING: Final = 100_000  # requests that Go nodes have in hand
TOO_LARGE: Final = 413
KNOCKING: Final = 0.5  # seconds between two looks for those who have not answered
NO_ROUTE: Final = "service not found"  # how nano's words for it begin


class _Pending(msgspec.Struct, gc=False):
    """A request that a Go node has in hand."""

    due: float
    session: Session
    route: str
    counts: RouteCounts
    peer: GoPeer


class _ByService:
    """Where messages go whose route nobody of ours serves: maybe a Go node does."""

    def __init__(self, backends: GoBackends, otherwise: Route) -> None:
        self._backends = backends
        self._otherwise = otherwise
        self.counts = otherwise.counts

    def deliver(self, session: Session, message: Message) -> None:
        """Hand *message* to a Go node that offers its service, or refuse it."""
        if not self._backends.take(session, message):
            self._otherwise.deliver(session, message)


class GoBackends:
    """The services of Go nodes, and what this gate waits for from them.

    It makes itself the dispatcher's way for routes that nobody of ours serves.

    Args:
        dispatcher: Whose routes are extended.
        sessions: Those at home here are served.
        peers: The Go nodes.
        address: Returns this gate's cluster address, to which they answer.
        timeout: Seconds that an answer may take.
        at_home: Tells whether a session's client is connected here.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        sessions: Sessions,
        peers: GoPeers,
        *,
        address: Callable[[], str],
        timeout: float,
        at_home: Callable[[Session], bool],
    ) -> None:
        self._dispatcher = dispatcher
        self._metrics = dispatcher.metrics
        self._sessions = sessions
        self._peers = peers
        self._address = address
        self._timeout = timeout
        self._at_home = at_home
        self._now = 0.0  # as of the last tick: near enough for a deadline
        self._knock_at = 0.0
        self._pending: dict[tuple[int, int], _Pending] = {}  # by session and number
        self._known: set[int] = set()  # sessions that Go nodes have heard of
        dispatcher.unknown = _ByService(self, dispatcher.unknown)
        sessions.on_closed(self._session_closed)
        peers.on_gone(self._gone)
        peers.on_eased(self._eased)
        self._metrics.gauges.append(self._gauges)

    # ------------------------------------------------------------- to Go nodes

    def take(self, session: Session, message: Message) -> bool:
        """Forward *message* if a Go node offers its service; false if none does."""
        service = message.route.rpartition(".")[0]
        if not self._peers.has(service) or message.route in self._dispatcher.hidden:
            return False
        if not self._at_home(session):
            return False
        # Labels are bounded: the methods of a Go service are not known here.
        counts = self._metrics.route(f"{service}.*")
        counts.received(message.id, len(message.payload))
        peer = self.bound(session, service)
        if peer is None:
            policies, peers = session.routing.policies, self._peers.serving(service)
            try:
                peer = select(policies, session, service, peers)
            except RequestError as error:
                answer_error(self._dispatcher, session, message, error)
                return True
        self.forward(session, service, message, counts, peer)
        return True

    def peers(self, service: str) -> list[GoPeer]:
        """Return the Go nodes that offer *service* now."""
        return self._peers.serving(service)

    def serving(self, service: str) -> list[str]:
        """Return the addresses of Go nodes that offer *service* now."""
        return [peer.address for peer in self._peers.serving(service)]

    def bound(self, session: Session, service: str) -> GoPeer | None:
        """Return the Go node that *session* is bound to, if it can be reached."""
        peer = self._peers.get(session.bindings.get(service, ""))
        if peer is None or peer.down or service not in peer.services:
            return None
        return peer

    def forward(
        self,
        session: Session,
        service: str,
        message: Message,
        counts: RouteCounts,
        peer: GoPeer | None,
    ) -> None:
        """Send *message* to *peer*; if it takes that, *session* is bound to it."""
        if peer is None:
            text = f"{service} is not served by any node now; try again"
            self._refuse(session, message, UNAVAILABLE, text, "no-member")
            return
        if len(message.payload) > LARGEST_PAYLOAD:
            text = f"a Go node takes payloads of {LARGEST_PAYLOAD} bytes at most"
            self._refuse(session, message, TOO_LARGE, text, "too-large")
            return
        if not peer.lanes.takes(session.id) or len(self._pending) >= MOST_PENDING:
            text = f"{service} is overloaded; try again"
            self._refuse(session, message, UNAVAILABLE, text, "overloaded")
            return
        if session.bindings.get(service) != peer.address:
            bind(session, service, peer.address)
        self._known.add(session.id)
        waiting = self._send(session, message, counts, peer)
        if waiting >= PAUSE_AT:
            session.hold(peer.address)

    def _send(
        self, session: Session, message: Message, counts: RouteCounts, peer: GoPeer
    ) -> int:
        """Put *message* into the session's lane; return how many wait there now."""
        number, route = message.id, message.route
        if not number:
            notify = pb.NotifyMessage(
                gateAddr=self._address(),
                sessionId=session.id,
                route=route,
                data=message.payload,
            )
            return peer.notify(notify, self._notify_failed)
        key = session.id, number
        due = self._now + self._timeout
        self._pending.pop(key, None)  # asked twice under one number; the last counts
        entry = self._pending[key] = _Pending(due, session, route, counts, peer)
        request = pb.RequestMessage(
            gateAddr=self._address(),
            sessionId=session.id,
            id=number,
            route=route,
            data=message.payload,
        )

        def failed(error: PeerError) -> None:
            if self._pending.get(key) is entry:
                del self._pending[key]
                self._fail(entry, number, _refusal(error, route))

        return peer.request(request, failed)

    def _notify_failed(self, error: PeerError) -> None:
        refusal = _refusal(error, "")
        self._metrics.dropped["go-notify", str(refusal.status)] += 1
        self._metrics.failures[refusal.status] += 1

    def _refuse(
        self, session: Session, message: Message, status: int, text: str, why: str
    ) -> None:
        self._metrics.dropped["forward", why] += 1
        answer_error(self._dispatcher, session, message, RequestError(status, text))

    def _fail(self, entry: _Pending, number: int, error: RequestError) -> None:
        message = Message(REQUEST, number, entry.route, b"")
        answer_error(self._dispatcher, entry.session, message, error)

    # ----------------------------------------------------------- from Go nodes

    async def handle_push(self, message: pb.PushMessage) -> None:
        """Push to a client of this gate.

        Raises:
            ClusterError: It is not connected here, or is not sent so much.
        """
        session = self._session(message.sessionId)
        try:
            session.home.push(message.route, message.data)
        except EncodeError as error:
            self._metrics.dropped["push", "does-not-fit"] += 1
            raise ClusterError(str(error)) from None

    async def handle_response(self, message: pb.ResponseMessage) -> None:
        """Answer a client of this gate; what comes late is handed on, too.

        Raises:
            ClusterError: It is not connected here, or is not sent so much.
        """
        session = self._session(message.sessionId)
        if not message.id:
            raise ClusterError("current session working on notify mode")
        entry = self._pending.pop((session.id, message.id), None)
        try:
            session.home.respond(message.id, message.data, False)
        except EncodeError as error:
            if entry is not None:
                refusal = RequestError(INTERNAL, str(error))
                self._fail(entry, message.id, refusal)
            raise ClusterError(str(error)) from None
        if entry is not None:
            entry.counts.answered(len(message.data))

    async def close_session(self, session_id: int) -> None:
        """Close a client of this gate; nano does not mind if it has gone."""
        session = self._sessions.get(session_id)
        if session is not None and self._at_home(session):
            session.close("closed by a backend")

    def _session(self, number: int) -> Session:
        session = self._sessions.get(number)
        if session is None or not self._at_home(session):
            self._metrics.dropped["go", "no-session"] += 1
            raise ClusterError(f"session not found: {number}")
        return session

    # -------------------------------------------------------------- what happens

    def tick(self, now: float) -> None:
        """Answer the requests whose time is over."""
        self._now = now
        if now >= self._knock_at:
            self._knock_at = now + KNOCKING
            self._knock()
        late = []
        for key, entry in self._pending.items():
            if entry.due > now:
                break
            late.append(key)
        for key in late:
            entry = self._pending.pop(key)
            text = f"{entry.route} did not answer in time"
            self._fail(entry, key[1], RequestError(TIMEOUT, text))

    def _knock(self) -> None:
        """Look for those who have had a request for a while.

        They have taken it, so no call would fail if they died meanwhile, and a master
        finds out much later.
        """
        asked = self._now - KNOCKING + self._timeout
        slow: dict[str, GoPeer] = {}
        for entry in self._pending.values():
            if entry.due > asked:
                break
            slow[entry.peer.address] = entry.peer
        for peer in slow.values():
            peer.knock()

    def _session_closed(self, session: Session) -> None:
        """Tell every Go node: one may have made the session known to another."""
        if session.id in self._known:
            self._known.discard(session.id)
            for peer in self._peers.all:
                peer.session_closed(session.id)

    def _gone(self, address: str) -> None:
        """Forget a node: its bindings, its answers, and whom it held back."""
        lost = [
            it for it, entry in self._pending.items() if entry.peer.address == address
        ]
        for key in lost:
            error = RequestError(UNAVAILABLE, "the node went away")
            self._fail(self._pending.pop(key), key[1], error)
        for session in self._sessions:
            session.release(address)
        dissolve(self._sessions, address)

    def _eased(self, address: str, number: int) -> None:
        session = self._sessions.get(number)
        if session is not None:
            session.release(address)

    def _gauges(self) -> list[Gauge]:
        text = "Requests that Go nodes have in hand."
        waiting = "Bytes that wait to be sent to Go nodes."
        size = sum(peer.lanes.waiting for peer in self._peers.all)
        return [
            ("nano_go_pending_requests", text, {}, len(self._pending)),
            ("nano_go_waiting_bytes", waiting, {}, size),
        ]


def _refusal(error: PeerError, route: str) -> RequestError:
    """Return what the client is told of a call that came to nothing."""
    match error.status:
        case grpc.StatusCode.UNKNOWN if error.details.startswith(NO_ROUTE):
            return RequestError(NOT_FOUND, f"nobody serves {route[:80]!r}")
        case grpc.StatusCode.UNAVAILABLE:
            return RequestError(UNAVAILABLE, "the node cannot be reached; try again")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return RequestError(TIMEOUT, f"{route} did not answer in time")
        case _:
            return RequestError(INTERNAL, f"{route} was refused: {error.details}")
