"""Calls between nodes: how they find a member, and how outcomes come back.

A peer's HELLO names what it serves, to clients and to nodes alone.  A call without a
session goes to any member that serves its route; one for a session goes to the
session's home, its gate, which alone knows for sure to whom the session is bound, and
which serves the call or passes it on.  What a call is and who waits for it is
:mod:`nano.runtime.calls`' business.
"""

from __future__ import annotations

from typing import Final

from nano.cluster.link import Link
from nano.cluster.links import Links
from nano.cluster.mirrors import MirrorHome
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.routes import choose, introduce, pick
from nano.errors import RequestError
from nano.runtime.callee import Done, Outcome, ended, overloaded, unserved
from nano.runtime.calls import Calls
from nano.runtime.dispatch import Dispatcher
from nano.runtime.session import Session
from nano.runtime.sessions import Sessions

__all__ = ["KINDS", "CallLinks"]

KINDS: Final = frozenset({pb.CALL, pb.RESULT})
"""What a peer must act upon to be called."""

_CALL: Final = pb.CALL
_RESULT: Final = pb.RESULT
_FAILED: Final = int(pb.FAILED)


class CallLinks:
    """The other nodes, for the calls of this one.

    It makes itself the :class:`~nano.runtime.calls.Elsewhere` of *calls*.

    Args:
        calls: The calls of this node.
        dispatcher: Whose serializer writes errors; it hides internal routes.
        sessions: The sessions that this node holds.
        links: The way to other nodes.
    """

    def __init__(
        self, calls: Calls, dispatcher: Dispatcher, sessions: Sessions, links: Links
    ) -> None:
        self._calls = calls
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._serving: dict[str, dict[str, Link]] = {}  # by route, then address
        calls.elsewhere = self
        links.observe(self)
        links.act(pb.CALL, self._on_call)
        links.act(pb.RESULT, self._on_result)

    # -------------------------------------------------------------------- links

    def link_up(self, link: Link) -> None:
        """Take note of what the peer serves."""
        if not KINDS.issubset(link.peer.features):
            return
        for handler in link.peer.handlers:
            self._serving.setdefault(handler.route, {})[link.address] = link
            if handler.internal:
                self._dispatcher.hidden.add(handler.route)

    def link_down(self, link: Link) -> None:
        """Forget the peer; who waits for it is told at once."""
        for route, links in list(self._serving.items()):
            links.pop(link.address, None)
            if not links:
                del self._serving[route]
        self._calls.lost(link)

    # ------------------------------------------------- what this node's calls ask

    def is_for_home(self, session: Session | None) -> bool:
        """Whether a call for *session* is to be passed on by its home, not here."""
        return session is not None and isinstance(session.home, MirrorHome)

    def send(
        self, route: str, session: Session | None, number: int, payload: bytes
    ) -> Link:
        """Send a call to a member that serves *route*; 0: no answer is wanted.

        Returns:
            The link that it went by.

        Raises:
            RequestError: Nobody serves it, or whoever does is overloaded.
        """
        link = self._way(route, session)
        if link is None:
            raise unserved()
        if link.outbox.full:
            raise overloaded()
        if session is None:
            link.message(_CALL, 0, number, route, payload)
            return link
        if not isinstance(session.home, MirrorHome):
            if self._sessions.get(session.id) is not session:
                raise ended()  # nobody would tell the mirror of the end
            if session.mirrors.get(link.address) != session.version:
                introduce(session, link)
        link.message(_CALL, session.id, number, route, payload)
        return link

    def _way(self, route: str, session: Session | None) -> Link | None:
        if session is not None and isinstance(session.home, MirrorHome):
            link = session.home.link
            return link if KINDS.issubset(link.peer.features) else None
        links = self._serving.get(route)
        if not links:
            return None
        if session is None:
            return pick(links)
        service = route.rpartition(".")[0]
        bound = links.get(session.bindings.get(service, ""))
        return bound or choose(session, service, links)

    # ----------------------------------------------------------------- envelopes

    def _on_call(self, link: Link, envelope: pb.Envelope) -> None:
        route, payload = envelope.route, envelope.payload
        session = self._sessions.get(envelope.session) if envelope.session else None
        here = self._calls.serves(route) or session is None or self.is_for_home(session)
        if envelope.session and session is None:
            self._refuse(link, envelope, ended())
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
