"""Sessions of other nodes' clients, seen from a backend.

A gate's first envelope about a session makes a *mirror* of it here: a session like
any other, whose home is the link that it came by.  Mirrors end when their gate says
so, or when it is gone.

A gate that has no link is not gone yet.  Its mirrors wait: what they change is brought
by the next link, their answers are dropped, for the gate has given up what it waits
for, and so are pushes.  When the link is back, the gate is told which mirrors there are
and ends those whose clients have left meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from nano.cluster.link import Link
from nano.cluster.links import Links
from nano.cluster.outbox import DELIVERY_CODES
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.peerstates import Life
from nano.protocol.messages import NOTIFY, REQUEST, Message
from nano.runtime.dispatch import Dispatcher
from nano.runtime.session import Delivery, Session, too_large
from nano.runtime.sessions import Sessions

__all__ = ["MirrorHome", "Mirrors"]

_RESPONSE: Final = pb.RESPONSE
_PUSH: Final = pb.PUSH
_FAILED: Final = int(pb.FAILED)
_RECONNECT: Final = int(pb.RECONNECT)

HELD_AT_ONCE: Final = 10_000  # sessions in one HELD, 80 kB


class MirrorHome:
    """The way from a mirror to its client: over the link to the gate."""

    __slots__ = ("_dispatcher", "_lost", "_number", "link")

    def __init__(self, link: Link, number: int, dispatcher: Dispatcher) -> None:
        self.link = link
        self._number = number
        self._dispatcher = dispatcher
        self._lost = False  # a push that must not be lost was

    def respond(self, number: int, payload: bytes, failed: bool) -> None:
        """Answer the gate's request *number*; answers are never dropped.

        Raises:
            EncodeError: The client is not sent so much.
        """
        largest = self._dispatcher.largest
        if len(payload) > largest and not failed:
            raise too_large(len(payload), largest)
        flags = _FAILED if failed else 0
        if self.link.reason:  # the gate has answered for us
            self._dispatcher.metrics.dropped["answer", "closed"] += 1
            return
        self.link.message(_RESPONSE, 0, number, "", payload, flags)

    def push(self, route: str, payload: bytes, delivery: Delivery = "must") -> None:
        """Send a push by way of the gate; dropped while the link is full.

        A client that was to get a ``must`` and cannot is sent away, to come back: it
        would not know what it has missed.

        Raises:
            EncodeError: The client is not sent so much.
        """
        largest = self._dispatcher.largest
        if len(payload) > largest:
            raise too_large(len(payload), largest)
        link = self.link
        if link.outbox.takes(delivery):
            code = DELIVERY_CODES[delivery]
            link.message(_PUSH, self._number, 0, route, payload, 0, code)
            return
        why = "closed" if link.reason else "link-full"
        self._dispatcher.metrics.dropped["push", why] += 1
        if delivery == "must" and not self._lost:
            self._lost = True
            self.kick("more was sent than could be passed on", reconnect=True)

    def kick(self, reason: str, reconnect: bool = False) -> None:
        """Have the gate send the client away."""
        flags = _RECONNECT if reconnect else 0
        kind, number = pb.CLOSE_SESSION, self._number
        self.link.change(
            pb.Envelope(kind=kind, session=number, reason=reason, flags=flags)
        )

    def pause(self) -> None:
        """Have the gate read the client no further; it forgets that with the link."""
        self._send(pb.PAUSE)

    def resume(self) -> None:
        """Have the gate read on."""
        self._send(pb.RESUME)

    def _send(self, kind: pb.Kind.ValueType) -> None:
        if not self.link.reason:
            self.link.send(pb.Envelope(kind=kind, session=self._number))

    def changed(self, session: Session) -> None:
        """Ask the home to take what was changed here, and nothing else."""
        session.version += 1  # as the home will count it, unless it has news itself
        done = session.change
        change = pb.SessionChange(version=session.version, cleared=done.cleared)
        if done.uid:
            change.uid = session.uid
        for key in done.keys:
            if key in session.data:
                change.set[key] = msgspec.json.encode(session.data[key])
            else:
                change.removed.append(key)
        number = self._number
        envelope = pb.Envelope(kind=pb.SESSION_UPDATE, session=number, change=change)
        self.link.change(envelope)


class Mirrors:
    """What this node does for the sessions of other nodes.

    Args:
        dispatcher: Whose handlers are called.
        sessions: Where mirrors are kept.
        links: What they come by.
    """

    def __init__(
        self, dispatcher: Dispatcher, sessions: Sessions, links: Links
    ) -> None:
        self._dispatcher = dispatcher
        self._sessions = sessions
        links.observe(self)
        links.keep(self)
        links.act(pb.REQUEST, self._on_request)
        links.act(pb.NOTIFY, self._on_notify)
        links.act(pb.SESSION, self._on_session)
        links.act(pb.SESSION_CLOSED, self._on_closed)

    def link_up(self, link: Link) -> None:
        """Have the mirrors of a gate that is back use *link*, and name them to it."""
        address = link.address
        mirrors = [session for session, _ in self._of(address, link.peer.incarnation)]
        for session, home in self._of(address, link.peer.incarnation):
            home.link = link
            if session.held:
                home.pause()
        for start in range(0, len(mirrors), HELD_AT_ONCE):
            some = mirrors[start : start + HELD_AT_ONCE]
            link.send(pb.Envelope(kind=pb.HELD, sessions=[it.id for it in some]))

    def link_down(self, link: Link) -> None:
        """Keep the mirrors, unless the gate is of a version that does not compare."""
        if pb.HELD not in link.peer.features:
            self._end(link.address, link.peer.incarnation)

    def peer_gone(self, life: Life) -> None:
        """End the mirrors of a gate that will not come back."""
        self._end(life.address, life.incarnation)

    def _end(self, address: str, incarnation: int) -> None:
        for session, _ in self._of(address, incarnation):
            self._sessions.close(session, "gate-lost")

    def _of(
        self, address: str, incarnation: int
    ) -> Iterator[tuple[Session, MirrorHome]]:
        """Give the mirrors of one life of a gate."""
        for session in self._sessions:
            home = session.home
            if isinstance(home, MirrorHome):
                hello = home.link.peer
                if (hello.address, hello.incarnation) == (address, incarnation):
                    yield session, home

    def _mirror(self, link: Link, number: int) -> Session:
        session = self._sessions.get(number)
        if session is None:
            session = self._make(link, number)
            self._sessions.add(session)
        return session

    def _make(self, link: Link, number: int) -> Session:
        home = MirrorHome(link, number, self._dispatcher)
        return Session(number, home, self._dispatcher.serializer, "")

    def _on_request(self, link: Link, envelope: pb.Envelope) -> None:
        message = Message(REQUEST, envelope.id, envelope.route, envelope.payload)
        session = self._mirror(link, envelope.session)
        self._dispatcher.dispatch_here(session, message)

    def _on_notify(self, link: Link, envelope: pb.Envelope) -> None:
        message = Message(NOTIFY, 0, envelope.route, envelope.payload)
        session = self._mirror(link, envelope.session)
        self._dispatcher.dispatch_here(session, message)

    def _on_session(self, link: Link, envelope: pb.Envelope) -> None:
        known = self._sessions.get(envelope.session)
        session = known or self._make(link, envelope.session)
        state = envelope.state
        data = msgspec.json.decode(state.data) if state.data else {}
        session.remote_address = state.client_address
        session.restore(state.uid, data, state.version)
        session.bindings = dict(state.bindings)
        if known is None:
            self._sessions.add(session)  # who is told of it can see who it is

    def _on_closed(self, _: Link, envelope: pb.Envelope) -> None:
        session = self._sessions.get(envelope.session)
        if session is not None and isinstance(session.home, MirrorHome):
            self._sessions.close(session, envelope.reason or "client-closed")
