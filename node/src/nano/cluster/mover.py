"""Sessions that move from one member to another, seen from their gate.

A move is a matter of one session and one service.  Its messages to the service wait
here while the old member finishes what it has (QUIESCE, QUIET); then the session is
bound to another one, which is given the state (HANDOVER) in front of the messages that
have waited.  So nothing is lost, nothing is handled twice, and nothing overtakes.

A session moves when it is bound anew (:class:`~nano.cluster.bindings.Bindings`), and
when the member that serves it drains: that has said DRAIN on its link, is given nothing
new, and is told DRAINED when all that could be moved away from it has been.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from typing import Final

from nano.cluster.choosing import bind
from nano.cluster.link import Link
from nano.cluster.links import Links
from nano.cluster.moves import (
    HOLD_AT,
    LONGEST,
    Move,
    MoveEvent,
    MoveState,
    Waiting,
)
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.routes import Forwarder, RemoteRoute, choose, introduce
from nano.errors import UNAVAILABLE, RequestError
from nano.metrics import Gauge
from nano.protocol.messages import Message
from nano.runtime.dispatch import Dispatcher, answer_error
from nano.runtime.session import Session
from nano.runtime.sessions import Sessions

__all__ = ["AT_ONCE", "Mover"]

logger = logging.getLogger(__name__)

AT_ONCE: Final = 256  # moves of one gate away from members that drain
MOVING: Final = "moving"  # who holds a session of which much waits


class _Leaving:
    """A member that drains.

    Attributes:
        link: The way to it.
        queue: Who is still to be moved away from it, and for what service.
        told: It knows that nothing more can be moved.
    """

    __slots__ = ("link", "queue", "told")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.queue: deque[tuple[Session, str]] = deque()
        self.told = False


class Mover:
    """The moves of one gate's sessions.

    Args:
        dispatcher: Where messages that cannot wait are answered.
        sessions: The sessions at home here.
        links: The way to the members.
        forwarder: The routes of the members, which ask it for sessions that move.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        sessions: Sessions,
        links: Links,
        forwarder: Forwarder,
    ) -> None:
        self._dispatcher = dispatcher
        self._metrics = dispatcher.metrics
        self._sessions = sessions
        self._links = links
        self._forwarder = forwarder
        self._numbers = itertools.count(1)
        self._now = 0.0  # as of the last tick: near enough for a deadline
        self._open: dict[int, Move] = {}  # by number, in the order of their deadlines
        self._moving: dict[int, dict[str, Move]] = {}  # by session, then service
        self._leaving: dict[str, _Leaving] = {}  # by address
        forwarder.mover = self
        # From zero on, or a rate would not see the first ones, which may be all.
        self._metrics.moves.update({it.value: 0 for it in MoveEvent})
        links.observe(self)
        links.act(pb.QUIET, self._on_quiet)
        links.act(pb.DRAIN, self._on_drain)
        sessions.on_closed(self._session_closed)
        self._metrics.gauges.append(self._gauges)

    # -------------------------------------------------------- used by the routes

    def bind(self, session: Session, service: str, member: str | None) -> bool:
        """Have *session* move to *member*, or to anybody if it moves already.

        Returns:
            False: there is nobody who would have to finish first, so that it can be
            bound at once.
        """
        move = self.find(session, service)
        if move is not None:
            move.target = member or ""
            return True
        source = self._links.get(session.bindings.get(service, ""))
        if member is None or source is None or member == source.address:
            return False
        if pb.QUIESCE not in source.peer.features or not self._links.get(member):
            return False
        if source.address not in session.mirrors:
            return False  # it has not been there yet
        self._ask(session, service, source, member)
        return True

    def find(self, session: Session, service: str) -> Move | None:
        """Return the move of *session* for *service* that is going on, if one is."""
        moves = self._moving.get(session.id)
        return moves.get(service) if moves else None

    def parked(self) -> set[int]:
        """Return the ids of the sessions whose messages wait."""
        return {move.session.id for move in self._open.values() if move.parked}

    def park(self, route: RemoteRoute, session: Session, message: Message) -> bool:
        """Have *message* wait if *session* moves; false: it does not.

        While much waits, the client is not read; what comes all the same is refused.
        """
        move = self.find(session, route.service)
        if move is None:
            return False
        try:
            self.wait(move, route, message)
        except RequestError as error:
            answer_error(self._dispatcher, session, message, error)
        else:
            route.counts.deferred(message.id, len(message.payload))
        return True

    def wait(self, move: Move, route: Waiting, message: Message) -> None:
        """Have *message* wait for the end of *move*, and then be delivered to *route*.

        Raises:
            RequestError: Too many wait already.
        """
        if not move.park(route, message):
            self._metrics.dropped["move", "too-many"] += 1
            text = "too many messages wait while the session moves; send slower"
            raise RequestError(UNAVAILABLE, text)
        if len(move.parked) == HOLD_AT:
            move.session.hold(MOVING)

    # --------------------------------------------------------------------- moves

    def _ask(self, session: Session, service: str, source: Link, target: str) -> None:
        """Begin to move *session* from *source*."""
        # Without a binding its next message asks us; all others notice nothing.
        if session.bindings.pop(service, None) is not None:
            session.routing.policies.tally.less(service, source.address)
        number = next(self._numbers)
        due = self._now + LONGEST
        move = Move(number, session, service, source, target, due)
        self._open[number] = move
        self._moving.setdefault(session.id, {})[service] = move
        source.send(
            pb.Envelope(kind=pb.QUIESCE, session=session.id, service=service, id=number)
        )

    def _end(self, move: Move, event: MoveEvent, state: bytes = b"") -> None:
        """Let the session go on elsewhere, and what has waited follow it."""
        session, service = move.session, move.service
        del self._open[move.number]
        moves = self._moving[session.id]
        del moves[service]
        if not moves:
            del self._moving[session.id]
        self._metrics.moves[event.value] += 1
        if move.step(event) is MoveState.OVER:
            self._metrics.dropped["move", "client-gone"] += len(move.parked)
            for route, message in move.parked:
                route.counts.received(message.id, len(message.payload))
            return
        if move.state is MoveState.FRESH:
            session.release(move.source.address)  # it may be busy for a while yet
            text = "%r moves from %s without what %s kept for it there: %s"
            address = move.source.address
            logger.warning(text, session, address, service, event.value)
        target = self._target(move)
        if target is not None:
            bind(session, service, target.address)
            if state:
                self._hand_over(move, target, state)
        elif state:
            logger.error("nobody is left to take over %s of %r", service, session)
            self._metrics.dropped["move", "no-member"] += 1
        self._part(session, move.source, target)
        for route, message in move.parked:
            route.deliver(session, message)
        session.release(MOVING)

    def _target(self, move: Move) -> Link | None:
        """Return who serves the session from now on, if anybody can."""
        serving = self._forwarder.serving(move.service)
        wanted = serving.get(move.target)
        if wanted is not None and not wanted.draining:
            return wanted
        others = self._others(move.service, move.source.address)
        return choose(move.session, move.service, others or serving)

    def _hand_over(self, move: Move, target: Link, state: bytes) -> None:
        if pb.HANDOVER not in target.peer.features:
            self._metrics.dropped["move", "too-old"] += 1
            text = "%s is of a version that takes nothing over; %s of %r is lost"
            logger.error(text, target.address, move.service, move.session)
            return
        session = move.session
        introduce(session, target)
        target.send(
            pb.Envelope(
                kind=pb.HANDOVER,
                session=session.id,
                service=move.service,
                payload=state,
            )
        )

    def _part(self, session: Session, source: Link, target: Link | None) -> None:
        """Tell *source* if it serves the session no more."""
        address = source.address
        moves = self._moving.get(session.id, {}).values()
        if address in session.bindings.values() or source.reason:
            return
        if any(move.source is source for move in moves):
            return
        if pb.MOVED in source.peer.features:
            session.mirrors.pop(address, None)
            member = target.address if target is not None else ""
            source.send(pb.Envelope(kind=pb.MOVED, session=session.id, member=member))

    # ------------------------------------------------------------------- drains

    def _others(self, service: str, address: str) -> dict[str, Link]:
        """Return those who serve *service* and stay, without the one at *address*."""
        return {
            other: link
            for other, link in self._forwarder.serving(service).items()
            if other != address and not link.draining
        }

    def _on_drain(self, link: Link, _: pb.Envelope) -> None:
        link.draining = True
        self._leaving[link.address] = leaving = _Leaving(link)
        logger.info("%s drains", link.address)
        self._list(leaving)
        self._advance()

    def _list(self, leaving: _Leaving) -> None:
        """Note who is to be moved away."""
        address = leaving.link.address
        able: dict[str, bool] = {}
        leaving.queue.clear()
        leaving.told = False
        for session in self._sessions:
            for service, member in session.bindings.items():
                if member != address:
                    continue
                if service not in able:
                    able[service] = bool(self._others(service, address))
                if able[service]:
                    leaving.queue.append((session, service))

    def _advance(self) -> None:
        """Begin as many moves as may be under way; say when there are no more."""
        for address, leaving in self._leaving.items():
            queue = leaving.queue
            while queue and len(self._open) < AT_ONCE:
                session, service = queue.popleft()
                if session.closed or session.bindings.get(service) != address:
                    continue
                if self._others(service, address):
                    self._ask(session, service, leaving.link, "")
            if queue or leaving.told or self._is_left(leaving.link):
                continue
            leaving.told = True
            if pb.DRAINED in leaving.link.peer.features:
                leaving.link.send(pb.Envelope(kind=pb.DRAINED))

    def _is_left(self, link: Link) -> bool:
        """Whether somebody is on the way from *link*."""
        return any(move.source is link for move in self._open.values())

    # --------------------------------------------------------------- what happens

    def link_up(self, link: Link) -> None:
        """Have those who could not leave a draining member move to a new one."""
        for leaving in self._leaving.values():
            self._list(leaving)
        self._advance()

    def link_down(self, link: Link) -> None:
        """Wait for nobody who does not answer any more."""
        leaving = self._leaving.get(link.address)
        if leaving is not None and leaving.link is link:
            del self._leaving[link.address]
        lost = [move for move in self._open.values() if move.source is link]
        for move in lost:
            self._end(move, MoveEvent.LOST)
        self._advance()

    def tick(self, now: float) -> None:
        """Wait for nobody who takes too long."""
        self._now = now
        late = list(
            itertools.takewhile(lambda move: move.due <= now, self._open.values())
        )
        for move in late:
            self._end(move, MoveEvent.LATE)
        if late:
            self._advance()

    def _session_closed(self, session: Session) -> None:
        moves = self._moving.get(session.id)
        if moves is not None:
            for move in list(moves.values()):
                self._end(move, MoveEvent.CLOSED)
            self._advance()

    def _on_quiet(self, link: Link, envelope: pb.Envelope) -> None:
        move = self._open.get(envelope.id)
        if move is None or move.source is not link:
            self._metrics.dropped["move", "late"] += 1
            if envelope.payload:
                text = "%d bytes that %s handed over came too late; they are lost"
                logger.warning(text, len(envelope.payload), link.address)
            return
        if envelope.flags & pb.FAILED:
            event = MoveEvent.FAILED
        else:
            event = MoveEvent.QUIET if envelope.payload else MoveEvent.EMPTY
        self._end(move, event, envelope.payload)
        self._advance()

    def _gauges(self) -> list[Gauge]:
        moving = "Sessions on their way to another member, each for one service."
        leaving = "Members that drain, and from which this gate moves its sessions."
        return [
            ("nano_sessions_moving", moving, {}, len(self._open)),
            ("nano_members_draining", leaving, {}, len(self._leaving)),
        ]
