"""Bindings that handlers change: checked, and kept at the session's home.

The home, a gate, applies a binding at once; a session that another member has served
is moved (:mod:`nano.cluster.mover`).  On a backend the change is checked by
what this node knows of the members, applied to the mirror and sent home, where it is
checked again: a mirror whose gate knows better is told so in front of its next message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from nano.cluster.link import Link
from nano.cluster.links import Links
from nano.cluster.mirrors import MirrorHome
from nano.cluster.mover import Mover
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.routes import UNKNOWN_VERSION
from nano.errors import UsageError
from nano.metrics import Metrics
from nano.runtime.policies import Policies
from nano.runtime.session import Session
from nano.runtime.sessions import Sessions

__all__ = ["Bindings"]

logger = logging.getLogger(__name__)

_BIND: Final = pb.BIND


class Bindings:
    """Who serves what, and who is bound to whom.

    It makes itself the :class:`~nano.runtime.routing.Routing` of *sessions*.

    Args:
        sessions: The sessions that this node holds.
        links: The way to other nodes.
        metrics: Where what is refused is counted.
        others: Returns the addresses of the Go nodes that offer a service.
        policies: How members are chosen; at random unless given.

    Attributes:
        mover: Moves the sessions that are at home here, if any can be.
    """

    def __init__(
        self,
        sessions: Sessions,
        links: Links,
        metrics: Metrics,
        others: Callable[[str], list[str]] = lambda service: [],
        policies: Policies | None = None,
    ) -> None:
        self._sessions = sessions
        self._links = links
        self._metrics = metrics
        self._others = others
        self.policies = policies or Policies(metrics.dropped)
        self.mover: Mover | None = None
        sessions.routing = self
        sessions.on_closed(self._session_closed)
        links.act(pb.BIND, self._on_bind)

    def members(self, session: Session, service: str) -> list[str]:
        """Return the addresses of members that *session* can be bound to.

        Who drains is none of them.
        """
        hellos = [link.peer for link in self._links.open if not link.draining]
        if isinstance(session.home, MirrorHome):
            hellos.append(self._links.hello)
        ours = [hello.address for hello in hellos if _serves(hello, service)]
        return [*ours, *self._others(service)]

    def find(self, session: Session, service: str) -> str | None:
        """Return whom *session* is bound to, or moves to."""
        move = self.mover.find(session, service) if self.mover is not None else None
        if move is not None:
            return move.target or None
        return session.bindings.get(service)

    def bind(self, session: Session, service: str, member: str | None) -> None:
        """Bind *session*, at its home, to *member*; ``None``: to nobody.

        Raises:
            UsageError: *member* does not serve *service*, or the home cannot be told.
        """
        if member is not None:
            self._check(session, service, member)
        home = session.home
        if not isinstance(home, MirrorHome):
            self._apply(session, service, member)
            return
        if _BIND not in home.link.peer.features:
            message = (
                f"the gate {home.link.address} is of a version that takes no bindings "
                "of other nodes; upgrade it, or bind in a component of the gates"
            )
            raise UsageError(message)
        _write(session, service, member)
        home.link.change(
            pb.Envelope(
                kind=_BIND, session=session.id, service=service, member=member or ""
            )
        )

    def _check(self, session: Session, service: str, member: str) -> None:
        known = self.members(session, service)
        if member not in known:
            those = f"; {', '.join(sorted(known))} do" if known else "; nobody does"
            message = f"no member {member!r} serves {service!r} now{those}"
            raise UsageError(message)

    def tick(self, now: float) -> None:
        """Count who is bound to whom, if somebody wants to know."""
        if self.policies.tally.is_due(now):
            self.policies.tally.recount(
                session.bindings
                for session in self._sessions
                if not isinstance(session.home, MirrorHome)
            )

    def _session_closed(self, session: Session) -> None:
        if not isinstance(session.home, MirrorHome):
            for service, member in session.bindings.items():
                self.policies.tally.less(service, member)

    def _apply(self, session: Session, service: str, member: str | None) -> None:
        if self.mover is not None and self.mover.bind(session, service, member):
            return
        before = session.bindings.get(service)
        if before is not None:
            self.policies.tally.less(service, before)
        if member is not None:
            self.policies.tally.more(service, member)
        _write(session, service, member)
        session.home.changed(session)  # mirrors are to know

    def _on_bind(self, link: Link, envelope: pb.Envelope) -> None:
        session = self._sessions.get(envelope.session)
        if session is None or isinstance(session.home, MirrorHome):
            self._metrics.dropped["link", "no-session"] += 1
            return
        member = envelope.member or None
        if member is not None and member not in self.members(session, envelope.service):
            self._metrics.dropped["session", "unknown-member"] += 1
            text = "%s bound %r to %s, which serves no %s here; ignored"
            logger.warning(text, link.address, session, member, envelope.service)
            session.mirrors[link.address] = UNKNOWN_VERSION
            return
        self._apply(session, envelope.service, member)


def _serves(hello: pb.Hello, service: str) -> bool:
    return any(
        handler.route.rpartition(".")[0] == service for handler in hello.handlers
    )


def _write(session: Session, service: str, member: str | None) -> None:
    if member is None:
        session.bindings.pop(service, None)
    else:
        session.bindings[service] = member
