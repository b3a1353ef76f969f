"""Messages that another node serves, seen from the gate.

When a link opens, the peer's HELLO names the routes that it serves, and each gets a
:class:`RemoteRoute` beside the local ones.  A session's first message to a service
picks one of the members that serve it, and the session stays there.

Every forwarded request has a number of the gate's own and an entry in one table,
until its answer, its deadline or the end of the link.  So a late answer finds
nothing, and no answer reaches the wrong request, whatever ids a client uses.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from nano.cluster.choosing import bind, dissolve, place, select
from nano.cluster.gobackends import GoBackends
from nano.cluster.gopeers import GoPeer
from nano.cluster.link import Link
from nano.cluster.links import Links
from nano.cluster.outbox import delivery_of
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.peerstates import Life
from nano.errors import INTERNAL, TIMEOUT, UNAVAILABLE, EncodeError, RequestError
from nano.metrics import Gauge, RouteCounts
from nano.protocol.messages import REQUEST, Message
from nano.runtime.dispatch import Clock, Dispatcher, answer_error
from nano.runtime.session import LARGEST_DATA, Session
from nano.runtime.sessions import Sessions

if TYPE_CHECKING:
    from nano.cluster.mover import Mover

__all__ = ["Forwarder", "RemoteRoute", "choose", "introduce"]

logger = logging.getLogger(__name__)

UNKNOWN_VERSION: Final = 0  # no session has it, so the mirror will be told again
MOST_PENDING: Final = 100_000  # forwarded requests of one gate, some 30 MB

# enum values of protobuf cost a lookup each; these are used for every message
_REQUEST: Final = pb.REQUEST
_NOTIFY: Final = pb.NOTIFY


class Pending(msgspec.Struct):
    """A request that was forwarded and not yet answered."""

    due: float
    session: Session
    id: int
    route: RemoteRoute
    link: Link
    ended: Callable[[], None] | None = None  # of one that is timed


class RemoteRoute:
    """A route that other members serve."""

    __slots__ = ("_forwarder", "counts", "links", "name", "service")

    def __init__(self, name: str, forwarder: Forwarder, counts: RouteCounts) -> None:
        self.name = name
        self.service = name.rpartition(".")[0]
        self.counts = counts
        self.links: dict[str, Link] = {}
        self._forwarder = forwarder

    def deliver(self, session: Session, message: Message) -> None:
        """Forward one message to the member that the session is bound to."""
        counts, payload = self.counts, message.payload
        if message.id:
            counts.requests += 1
            counts.request_bytes += len(payload)
        else:
            counts.notifies += 1
            counts.notify_bytes += len(payload)
        link = self.links.get(session.bindings.get(self.service, ""))
        forwarder = self._forwarder
        if link is None:
            mover = forwarder.mover
            if mover is not None and mover.park(self, session, message):
                return
            try:
                chosen = forwarder.place(self, session)
            except RequestError as error:
                forwarder.answer(session, message, error)
                return
            if isinstance(chosen, GoPeer):
                forwarder.hand_to(chosen, self, session, message)
                return
            link = chosen
        if link is None or link.outbox.full or len(forwarder.pending) >= MOST_PENDING:
            forwarder.refuse(self, session, message, link)
            return
        if session.mirrors.get(link.address) != session.version:
            introduce(session, link)
        if message.id:
            number = forwarder.expect(self, session, message.id, link)
            link.message(_REQUEST, session.id, number, self.name, payload)
        else:
            link.message(_NOTIFY, session.id, 0, self.name, payload)

    def sample(self, session: Session, message: Message, time: Clock) -> None:
        """Do as :meth:`deliver`, and note when the answer comes."""
        begun, forwarder = time(), self._forwarder
        last = forwarder.last
        self.deliver(session, message)
        entry = forwarder.pending.get(last + 1)
        if entry is not None and entry.route is self:
            entry.ended = lambda: self.counts.answering.observe(time() - begun)


def choose(session: Session, service: str, links: dict[str, Link]) -> Link | None:
    """Bind *session* to one of those that serve *service*; none if nobody can be."""
    try:
        return place(session, service, links.values())
    except RequestError:
        return None  # of a function, which was logged and counted


def introduce(session: Session, link: Link) -> None:
    """Tell a mirror, new or stale, what the session is, in front of its message."""
    state = pb.SessionState(
        version=session.version,
        uid=session.uid,
        data=msgspec.json.encode(session.data) if session.data else b"",
        bindings=session.bindings,
        client_address=session.remote_address,
    )
    link.send(pb.Envelope(kind=pb.SESSION, session=session.id, state=state))
    session.mirrors[link.address] = session.version


class Forwarder:
    """The remote routes of one gate, and what it waits for.

    Args:
        dispatcher: Whose routes are extended.
        sessions: The sessions at home here.
        links: The way to other members.
        timeout: Seconds that an answer may take.

    Attributes:
        pending: Forwarded requests by number, in the order of their deadlines.
        last: The number of the last one.
        go: The services of Go nodes, which may share routes with ours.
        mover: Has the messages of sessions wait that are moving.
    """

    def __init__(
        self, dispatcher: Dispatcher, sessions: Sessions, links: Links, timeout: float
    ) -> None:
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._links = links
        self._timeout = timeout
        self._now = 0.0  # as of the last tick: near enough for a deadline
        self.last = 0
        self.pending: dict[int, Pending] = {}
        self.go: GoBackends | None = None
        self.mover: Mover | None = None
        self._remote: dict[str, RemoteRoute] = {}
        links.observe(self)
        links.keep(self)
        links.act(pb.RESPONSE, self._on_response)
        links.act(pb.PUSH, self._on_push)
        links.act(pb.SESSION_UPDATE, self._on_update)
        links.act(pb.CLOSE_SESSION, self._on_close)
        links.act(pb.PAUSE, self._on_pause)
        links.act(pb.RESUME, self._on_resume)
        links.act(pb.HELD, self._on_held)
        sessions.on_closed(self._session_closed)
        dispatcher.metrics.gauges.append(self._gauges)

    # -------------------------------------------------------- used by the routes

    def expect(
        self, route: RemoteRoute, session: Session, number: int, link: Link
    ) -> int:
        """Note a request that is about to leave; return its number on the link."""
        self.last = key = self.last + 1
        due = self._now + self._timeout
        self.pending[key] = Pending(due, session, number, route, link)
        return key

    def asking(self) -> set[int]:
        """Return the ids of the sessions that wait for an answer, or for their move."""
        asking = {entry.session.id for entry in self.pending.values()}
        return asking | self.mover.parked() if self.mover is not None else asking

    def serving(self, service: str) -> dict[str, Link]:
        """Return those who serve *service* to clients, by address."""
        return {
            address: link
            for route in self._remote.values()
            if route.service == service
            for address, link in route.links.items()
        }

    def place(self, route: RemoteRoute, session: Session) -> Link | GoPeer | None:
        """Return a node, ours or Go, that serves *route*; bind *session* to ours.

        Raises:
            RequestError: A function of the application chooses nobody, or has failed.
        """
        service, ours, go = route.service, route.links.values(), self.go
        if go is None:
            return place(session, service, ours)
        bound = go.bound(session, service)
        if bound is not None:
            return bound
        members: list[Link | GoPeer] = [*ours, *go.peers(service)]
        chosen = select(session.routing.policies, session, service, members)
        if isinstance(chosen, Link):
            bind(session, service, chosen.address)
        return chosen

    def hand_to(
        self, peer: GoPeer, route: RemoteRoute, session: Session, message: Message
    ) -> None:
        """Forward a message to a Go node."""
        if self.go is not None:
            self.go.forward(session, route.service, message, route.counts, peer)

    def answer(self, session: Session, message: Message, error: RequestError) -> None:
        """Answer what nobody is to have."""
        answer_error(self._dispatcher, session, message, error)

    def refuse(
        self, route: RemoteRoute, session: Session, message: Message, link: Link | None
    ) -> None:
        """Answer what cannot be forwarded."""
        metrics = self._dispatcher.metrics
        metrics.dropped["forward", "no-member" if link is None else "overloaded"] += 1
        why = "is not served by any node now" if link is None else "is overloaded"
        error = RequestError(UNAVAILABLE, f"{route.service} {why}; try again")
        answer_error(self._dispatcher, session, message, error)

    def _fail(self, pending: Pending, status: int, text: str) -> None:
        message = Message(REQUEST, pending.id, pending.route.name, b"")
        error = RequestError(status, text)
        answer_error(self._dispatcher, pending.session, message, error)

    # --------------------------------------------------------------------- links

    def link_up(self, link: Link) -> None:
        """Take the peer's routes in; a route that is served here stays here."""
        dispatcher = self._dispatcher
        for handler in link.peer.handlers:
            if handler.internal or handler.route in dispatcher.local:
                continue
            route = self._remote.get(handler.route)
            if route is None:
                counts = dispatcher.metrics.route(handler.route)
                route = RemoteRoute(handler.route, self, counts)
                self._remote[handler.route] = dispatcher.routes[handler.route] = route
            route.links[link.address] = link

    def link_down(self, link: Link) -> None:
        """Send nothing to the peer, and wait for no answer of it.

        Its mirrors may still be there when it is linked again, and so bindings stay:
        of a session that sends nothing meanwhile, or that nobody else could serve.
        Routes stay in any case, and answer 503 until somebody serves them again.
        """
        address = link.address
        for route in self._remote.values():
            route.links.pop(address, None)
        lost = [key for key, entry in self.pending.items() if entry.link is link]
        for key in lost:
            self._fail(self.pending.pop(key), UNAVAILABLE, "the node went away")
        for session in self._sessions:
            if address in session.mirrors:  # what was on its way may be lost
                session.mirrors[address] = UNKNOWN_VERSION
            session.release(address)

    def peer_gone(self, life: Life) -> None:
        """Forget the peer: its mirrors, and who is bound to it."""
        address = life.address
        for session in self._sessions:
            session.mirrors.pop(address, None)
        dissolve(self._sessions, address)

    def tick(self, now: float) -> None:
        """Answer the requests whose time is over."""
        self._now = now
        late = []  # walked once: the front of a dict that shrinks is slow to find
        for key, entry in self.pending.items():
            if entry.due > now:
                break
            late.append(key)
        for key in late:
            entry = self.pending.pop(key)
            self._fail(entry, TIMEOUT, f"{entry.route.name} did not answer in time")

    # ----------------------------------------------------------------- envelopes

    def _on_response(self, _: Link, envelope: pb.Envelope) -> None:
        entry = self.pending.pop(envelope.id, None)
        if entry is None:
            self._dispatcher.metrics.dropped["answer", "late"] += 1
            return
        failed = envelope.flags & pb.FAILED != 0
        try:
            entry.session.home.respond(entry.id, envelope.payload, failed)
            counts = entry.route.counts
            counts.responses += 1
            counts.response_bytes += len(envelope.payload)
            if entry.ended is not None:
                entry.ended()
        except EncodeError as error:
            self._fail(entry, INTERNAL, str(error))

    def _session(self, envelope: pb.Envelope) -> Session | None:
        session = self._sessions.get(envelope.session)
        if session is None:
            self._dispatcher.metrics.dropped["link", "no-session"] += 1
        return session

    def _on_push(self, _: Link, envelope: pb.Envelope) -> None:
        session = self._session(envelope)
        if session is not None:
            try:
                session.home.push(
                    envelope.route, envelope.payload, delivery_of(envelope)
                )
            except EncodeError:
                self._dispatcher.metrics.dropped["push", "does-not-fit"] += 1

    def _on_update(self, link: Link, envelope: pb.Envelope) -> None:
        session = self._session(envelope)
        if session is None:
            return
        change, address = envelope.change, link.address
        data = {} if change.cleared else dict(session.data)
        data.update((key, msgspec.json.decode(it)) for key, it in change.set.items())
        for key in change.removed:
            data.pop(key, None)
        if len(msgspec.json.encode(data)) > LARGEST_DATA:
            self._dispatcher.metrics.dropped["session", "data-too-large"] += 1
            logger.warning("%s wrote too much into %r; dropped", address, session)
            session.mirrors[address] = UNKNOWN_VERSION
            return
        was_current = session.mirrors.get(address) == session.version
        uid = change.uid or ("" if change.cleared else session.uid)
        session.restore(uid, data, session.version + 1)
        if was_current and change.version == session.version:
            session.mirrors[address] = session.version  # it need not be told again

    def _on_close(self, _: Link, envelope: pb.Envelope) -> None:
        session = self._session(envelope)
        if session is not None:
            reconnect = bool(envelope.flags & pb.RECONNECT)
            session.kick(envelope.reason, reconnect=reconnect)

    def _on_pause(self, link: Link, envelope: pb.Envelope) -> None:
        session = self._session(envelope)
        if session is not None:
            session.hold(link.address)

    def _on_resume(self, link: Link, envelope: pb.Envelope) -> None:
        session = self._session(envelope)
        if session is not None:
            session.release(link.address)

    def _on_held(self, link: Link, envelope: pb.Envelope) -> None:
        """End the mirrors whose clients have left while there was no link."""
        for number in envelope.sessions:
            session = self._sessions.get(number)
            if session is not None:
                session.mirrors.setdefault(link.address, UNKNOWN_VERSION)
                continue
            reason = "client-closed"
            link.send(
                pb.Envelope(kind=pb.SESSION_CLOSED, session=number, reason=reason)
            )

    def _session_closed(self, session: Session) -> None:
        """Tell exactly those who hold a mirror."""
        for address in session.mirrors:
            link = self._links.get(address)
            if link is not None:
                envelope = pb.Envelope(
                    kind=pb.SESSION_CLOSED, session=session.id, reason=session.closed
                )
                link.send(envelope)

    def _gauges(self) -> list[Gauge]:
        text = "Forwarded requests that wait for their answer."
        return [("nano_pending_requests", text, {}, len(self.pending))]
