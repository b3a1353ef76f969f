"""Calls between nodes: how they find a member, and how outcomes come back.

A peer's HELLO names what it serves, to clients and to nodes alone.  A call without a
session goes to any member that serves its route; one for a session goes to the
session's home, its gate, which alone knows for sure to whom the session is bound, and
which serves the call or passes it on.  One that is for a certain member goes straight
there, or by way of the session's home (CALL_TO), which introduces the session in front
of it.  What a call is and who waits for it is :mod:`nano.runtime.calls`' business.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from nano.cluster.choosing import place, select
from nano.cluster.link import Link
from nano.cluster.links import Links
from nano.cluster.mirrors import MirrorHome
from nano.cluster.mover import Mover
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.routes import introduce
from nano.cluster.takeovers import Takeovers
from nano.errors import NOT_FOUND, UNAVAILABLE, RequestError
from nano.metrics import RouteCounts
from nano.protocol.messages import NOTIFY, FromNode, Message
from nano.runtime.callee import Done, Outcome, ended, overloaded, unknown, unserved
from nano.runtime.calls import MOST_AT_ONE, Calls
from nano.runtime.dispatch import Dispatcher
from nano.runtime.session import Session
from nano.runtime.sessions import Sessions
from nano.runtime.target import Target

__all__ = ["KINDS", "CallLinks"]

KINDS: Final = frozenset({pb.CALL, pb.RESULT})
"""What a peer must act upon to be called."""

_CALL: Final = pb.CALL
_CALL_TO: Final = pb.CALL_TO
_RESULT: Final = pb.RESULT
_FAILED: Final = int(pb.FAILED)


class CallLinks:
    """The other nodes, for the calls of this one.

    It makes itself the :class:`~nano.runtime.others.Elsewhere` of *calls*.

    Args:
        calls: The calls of this node.
        dispatcher: Whose serializer writes errors; it hides internal routes.
        sessions: The sessions that this node holds.
        links: The way to other nodes.

    Attributes:
        mover: Which of the sessions at home here are moving, if any can.
        takeovers: Which of the others have left, if any can.
    """

    def __init__(
        self, calls: Calls, dispatcher: Dispatcher, sessions: Sessions, links: Links
    ) -> None:
        self._calls = calls
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._links = links
        self.mover: Mover | None = None
        self.takeovers: Takeovers | None = None
        # By route, then address; a route stays, without members: it is known.
        self._serving: dict[str, dict[str, Link]] = {}
        self._away: dict[str, pb.Hello] = {}  # members whose link has ended
        calls.elsewhere = self
        links.observe(self)
        links.act(pb.CALL, self._on_call)
        links.act(pb.CALL_TO, self._on_call_to)
        links.act(pb.RESULT, self._on_result)

    # -------------------------------------------------------------------- links

    def link_up(self, link: Link) -> None:
        """Take note of what the peer serves."""
        self._away.pop(link.address, None)
        callable_ = KINDS.issubset(link.peer.features)
        for handler in link.peer.handlers:
            serving = self._serving.setdefault(handler.route, {})
            if not callable_:
                continue
            serving[link.address] = link
            if handler.internal:
                self._dispatcher.hidden.add(handler.route)

    def link_down(self, link: Link) -> None:
        """Forget the peer; who waits for it is told at once."""
        for links in self._serving.values():
            links.pop(link.address, None)
        self._away[link.address] = link.peer
        self._away = {
            address: peer
            for address, peer in self._away.items()
            if self._links.expects(address)
        }
        self._calls.lost(link)

    # ------------------------------------------------- what this node's calls ask

    def is_for_home(self, session: Session | None) -> bool:
        """Whether a call for *session* is to be passed on by its home, not here."""
        return session is not None and isinstance(session.home, MirrorHome)

    def find(self, route: str, session: Session | None, target: Target) -> str | None:
        """Return a member that *target* means; ``None``: this node.

        Raises:
            RequestError: There is none that serves *route*, or none that a function
                of the application chooses.
        """
        me = self._links.hello
        member, kind = target
        if member:
            return None if member == me.address else member
        able = {
            address: link
            for address, link in self._serving.get(route, {}).items()
            if _is(link.peer, kind)
        }
        here = self._calls.serves(route) and _is(me, kind)
        if session is not None:
            bound = self._bound(session, route.rpartition(".")[0])
            if bound in able:
                return bound
            if here and bound == me.address:
                return None
        if here:
            return None
        chosen = self._select(session, route, able.values())
        if chosen is None:
            known = any(_is(link.peer, kind) for link in self._links.open)
            raise _unmeant() if known else self._unserved(route)
        return chosen.address

    def everyone(self, route: str, kind: str) -> list[str]:
        """Return all members that serve *route*, this one and those out of reach, too.

        Raises:
            RequestError: Nobody has ever served it, or it is not known yet who does.
        """
        me = self._links.hello
        here = self._calls.serves(route)
        if not here and route not in self._serving:
            raise self._unserved(route)
        peers = {
            address: link.peer for address, link in self._serving.get(route, {}).items()
        }
        for address, peer in self._away.items():
            served = any(it.route == route for it in peer.handlers)
            if served and self._links.expects(address):
                peers[address] = peer
        if here:
            peers[me.address] = me
        return [address for address, peer in peers.items() if _is(peer, kind)]

    def send(
        self,
        route: str,
        session: Session | None,
        number: int,
        payload: bytes,
        member: str = "",
    ) -> Link | None:
        """Send a call to a member that serves *route*.

        Returns:
            The link that it went by; ``None``: it is a notify, and waits for the end of
            a move.

        Raises:
            RequestError: Nobody serves it, or whoever does is overloaded.
        """
        if session is not None and not (number or member) and self.mover is not None:
            move = self.mover.find(session, route.rpartition(".")[0])
            if move is not None:
                message = FromNode(NOTIFY, 0, route, payload)
                self.mover.wait(move, _Told(self, self._calls), message)
                return None
        link = self._straight(route, member) if member else self._way(route, session)
        home = session.home if session is not None else None
        if (
            member
            and session is not None
            and isinstance(home, MirrorHome)
            and home.link is not link
        ):
            return self._send_by_home(
                home.link, route, session, number, payload, member
            )
        self._check_room(link, number)
        if session is None:
            link.message(_CALL, 0, number, route, payload)
            return link
        if not isinstance(home, MirrorHome):
            if self._sessions.get(session.id) is not session:
                raise ended()  # nobody would tell the mirror of the end
            if session.mirrors.get(link.address) != session.version:
                introduce(session, link)
        link.message(_CALL, session.id, number, route, payload)
        return link

    def _send_by_home(
        self,
        link: Link,
        route: str,
        session: Session,
        number: int,
        payload: bytes,
        member: str,
    ) -> Link:
        if _CALL_TO not in link.peer.features:
            raise RequestError(
                UNAVAILABLE,
                "the session's gate is of a version that passes no call on to a member",
            )
        self._check_room(link, number)
        link.send(
            pb.Envelope(
                kind=_CALL_TO,
                session=session.id,
                id=number,
                route=route,
                payload=payload,
                member=member,
            )
        )
        return link

    def _check_room(self, link: Link, number: int) -> None:
        if link.outbox.full:
            raise overloaded()
        if number and self._calls.open_at(link) >= MOST_AT_ONE:
            self._dispatcher.metrics.dropped["call", "too-many"] += 1
            raise overloaded()

    def _straight(self, route: str, member: str) -> Link:
        """Return the link to *member*."""
        link = self._serving.get(route, {}).get(member)
        if link is not None:
            return link
        there = self._links.get(member)
        if there is None:
            raise _absent()
        if not KINDS.issubset(there.peer.features):
            raise _too_old()
        raise _unmeant()

    def _way(self, route: str, session: Session | None) -> Link:
        """Return the link to a member that serves *route*, or to the session's home."""
        if session is not None and isinstance(session.home, MirrorHome):
            link = session.home.link
            if not KINDS.issubset(link.peer.features):
                raise unserved()
            return link
        links = self._serving.get(route)
        if not links:
            raise self._unserved(route)
        if session is None:
            chosen = self._select(None, route, links.values())
        else:
            service = route.rpartition(".")[0]
            bound = links.get(self._bound(session, service))
            chosen = bound or place(session, service, links.values())
        if chosen is None:
            raise unserved()
        return chosen

    def _bound(self, session: Session, service: str) -> str:
        """Return whom calls for *session* go to: until it has moved, where it was."""
        move = self.mover.find(session, service) if self.mover is not None else None
        if move is not None:
            return move.source.address
        return session.bindings.get(service, "")

    def _select(
        self, session: Session | None, route: str, links: Collection[Link]
    ) -> Link | None:
        """Return one of *links*; without a session, load is what each has in hand."""
        policies, service = self._sessions.routing.policies, route.rpartition(".")[0]
        load = self._calls.open_at if session is None else None
        return select(policies, session, service, links, load)

    def _unserved(self, route: str) -> RequestError:
        if route in self._serving or self._dispatcher.unmet:
            return unserved()
        return unknown()

    # ----------------------------------------------------------------- envelopes

    def _on_call(self, link: Link, envelope: pb.Envelope) -> None:
        route, payload = envelope.route, envelope.payload
        session = self._sessions.get(envelope.session) if envelope.session else None
        here = self._calls.serves(route) or session is None or self.is_for_home(session)
        if envelope.session and session is None:
            self._refuse(link, envelope, ended())
        elif envelope.id and session is not None and self._has_left(session, route):
            self._refuse(link, envelope, _on_its_way())
        elif envelope.id:
            done = self._answering(link, envelope.id)
            if here:
                self._calls.serve(route, session, payload, done)
            else:
                self._calls.begin(route, session, payload, done)
        elif here:
            self._calls.take(route, session, payload)
        else:
            try:
                self.send(route, session, 0, payload)
            except RequestError as error:
                self._calls.lose(route, error)

    def _has_left(self, session: Session, route: str) -> bool:
        service = route.rpartition(".")[0]
        return self.takeovers is not None and self.takeovers.has_left(session, service)

    def _on_call_to(self, link: Link, envelope: pb.Envelope) -> None:
        session = self._sessions.get(envelope.session)
        if session is None or self.is_for_home(session):
            self._refuse(link, envelope, ended())
            return
        route, payload = envelope.route, envelope.payload
        target = Target(member=envelope.member)
        if envelope.id:
            done = self._answering(link, envelope.id)
            self._calls.begin(route, session, payload, done, target=target)
        else:
            self._calls.tell(route, session, payload, target)

    def _refuse(self, link: Link, envelope: pb.Envelope, error: RequestError) -> None:
        if envelope.id:
            self._answering(link, envelope.id)(error)
        else:
            self._calls.lose(envelope.route, error)

    def _answering(self, link: Link, number: int) -> Done:
        encode_error = self._dispatcher.serializer.encode_error

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, RequestError):
                body, flags = encode_error(outcome), _FAILED
            else:
                body, flags = outcome, 0
            link.message(_RESULT, 0, number, "", body, flags)

        return done

    def _on_result(self, link: Link, envelope: pb.Envelope) -> None:
        outcome: Outcome = envelope.payload
        if envelope.flags & _FAILED:
            outcome = self._dispatcher.serializer.decode_error(envelope.payload)
        self._calls.settle(envelope.id, link, outcome)


class _Told:
    """Sends a notify for a session on its way, when it has waited for a move."""

    __slots__ = ("_calls", "_links")

    counts: Final = RouteCounts()  # those of clients are counted elsewhere

    def __init__(self, links: CallLinks, calls: Calls) -> None:
        self._links = links
        self._calls = calls

    def deliver(self, session: Session, message: Message) -> None:
        """Send it to whoever serves the session now."""
        try:
            self._links.send(message.route, session, 0, message.payload)
        except RequestError as error:
            self._calls.lose(message.route, error)


def _is(peer: pb.Hello, kind: str) -> bool:
    """Tell whether *peer* is of a kind: an entry of ``spec.backends``, or ``gate``."""
    return kind in ("", peer.backend or peer.role)


def _unmeant() -> RequestError:
    """Return the error for a route that is served, but by nobody of those meant."""
    return RequestError(NOT_FOUND, "the node that was asked does not serve this")


def _absent() -> RequestError:
    """Return the error for a member with which there is no link."""
    text = "the node that was asked is not there, or out of reach; try again"
    return RequestError(UNAVAILABLE, text)


def _on_its_way() -> RequestError:
    """Return the error for a call that has crossed what it was to find here."""
    text = "the session moves to another node at this moment; try again"
    return RequestError(UNAVAILABLE, text)


def _too_old() -> RequestError:
    """Return the error for a member that knows no calls."""
    text = "the node that was asked is of a version that takes no calls"
    return RequestError(UNAVAILABLE, text)
