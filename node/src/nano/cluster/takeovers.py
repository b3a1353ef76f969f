"""Sessions that leave this node for another one, or come from there.

The gate of a session says when: QUIESCE has this node finish and hand over, HANDOVER
take over, and MOVED end the mirror of a session of which nothing is served here.
"""

from __future__ import annotations

from functools import partial

from nano.cluster.link import Link
from nano.cluster.links import Links
from nano.cluster.mirrors import MirrorHome
from nano.cluster.pb import link_pb2 as pb
from nano.runtime.dispatch import Dispatcher
from nano.runtime.handovers import Handovers
from nano.runtime.session import Session
from nano.runtime.sessions import Sessions

__all__ = ["Takeovers"]


class Takeovers:
    """What a node does for sessions on the move.

    Args:
        handovers: What components give away and take.
        dispatcher: Which answers have been promised; mirrors wait for them.
        sessions: Where mirrors are kept.
        links: The way to the gates.
    """

    def __init__(
        self,
        handovers: Handovers,
        dispatcher: Dispatcher,
        sessions: Sessions,
        links: Links,
    ) -> None:
        self._handovers = handovers
        self._answers = dispatcher.answers
        self._metrics = dispatcher.metrics
        self._sessions = sessions
        # By session: its bindings as it left; whatever its gate tells replaces them.
        self._moved: dict[int, dict[str, str]] = {}
        # The same of each service that was handed over, whatever became of the rest.
        self._left: dict[int, dict[str, dict[str, str]]] = {}
        links.act(pb.QUIESCE, self._on_quiesce)
        links.act(pb.HANDOVER, self._on_handover)
        links.act(pb.MOVED, self._on_moved)
        sessions.on_closed(self._session_closed)

    def has_left(self, session: Session, service: str) -> bool:
        """Whether *service* was handed over, and the gate has not sent it back."""
        left = self._left.get(session.id) if self._left else None
        return left is not None and left.get(service) is session.bindings

    def _mirror(self, envelope: pb.Envelope) -> Session | None:
        session = self._sessions.get(envelope.session)
        if session is not None and isinstance(session.home, MirrorHome):
            return session
        return None

    def _on_quiesce(self, link: Link, envelope: pb.Envelope) -> None:
        session = self._mirror(envelope)
        if session is None:
            self._say_quiet(link, envelope.id, b"")
        else:
            given = partial(self._given, link, envelope.id, session, envelope.service)
            self._handovers.give(session, envelope.service, given)

    def _given(
        self,
        link: Link,
        number: int,
        session: Session,
        service: str,
        state: bytes | None,
    ) -> None:
        if not session.closed:
            self._left.setdefault(session.id, {})[service] = session.bindings
        self._say_quiet(link, number, state)

    @staticmethod
    def _say_quiet(link: Link, number: int, state: bytes | None) -> None:
        if link.reason:
            return  # the gate waits no more
        flags = pb.FAILED if state is None else pb.FLAG_NONE
        link.send(
            pb.Envelope(kind=pb.QUIET, id=number, payload=state or b"", flags=flags)
        )

    def _on_handover(self, _: Link, envelope: pb.Envelope) -> None:
        session = self._mirror(envelope)
        if session is None:
            self._metrics.dropped["link", "no-session"] += 1
        else:
            self._handovers.take(session, envelope.service, envelope.payload)

    def _on_moved(self, _: Link, envelope: pb.Envelope) -> None:
        session = self._mirror(envelope)
        if session is None:
            return
        if not session.turns.over or len(self._answers):
            self._moved[session.id] = session.bindings
        else:
            self._sessions.close(session, "moved")

    def _session_closed(self, session: Session) -> None:
        self._left.pop(session.id, None)

    def tick(self, now: float) -> None:
        """End the mirrors that have moved, once nothing of theirs is in hand."""
        if not self._moved:
            return
        promised = self._answers.holders()
        for number, bindings in list(self._moved.items()):
            session = self._sessions.get(number)
            if session is None or session.bindings is not bindings:
                del self._moved[number]  # it has ended, or it is served here again
            elif session.turns.over and number not in promised:
                del self._moved[number]
                self._sessions.close(session, "moved")
