"""Which member serves a session: the bindings, as handlers see and change them.

A session's first message to a service binds the session to one of the members that
serve it, and the session stays there until that member goes.  Bindings are kept at
the session's home, its gate.  This module is what handlers use; who the members are
is known to the cluster, which stands behind :class:`Routing`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Protocol

from nano.errors import UsageError
from nano.runtime.policies import Policies

if TYPE_CHECKING:
    from nano.runtime.session import Session

__all__ = ["NOWHERE", "Router", "Routing"]


class Routing(Protocol):
    """What is known of the members of the cluster, and of who serves what.

    Attributes:
        policies: How this node chooses a member where none is bound.
    """

    policies: Policies

    def members(self, session: Session, service: str) -> list[str]:
        """Return the addresses of members that *session* can be bound to."""

    def find(self, session: Session, service: str) -> str | None:
        """Return whom *session* is bound to, or moves to."""

    def bind(self, session: Session, service: str, member: str | None) -> None:
        """Bind *session*, at its home, to *member*; ``None``: to nobody.

        Raises:
            UsageError: *member* does not serve *service*, or the home cannot be told.
        """


class Router:
    """The bindings of one session; had as ``session.router``."""

    __slots__ = ("_routing", "_session")

    def __init__(self, session: Session, routing: Routing) -> None:
        self._session = session
        self._routing = routing

    def find(self, service: str) -> str | None:
        """Return the address of the member that serves the session; None if unbound.

        On a backend this is as old as what its gate has last told of the session, or
        as what was changed here.
        """
        return self._routing.find(self._session, service)

    def members(self, service: str) -> list[str]:
        """Return the addresses of the members that serve *service*, sorted.

        What the session's own gate serves itself is not bound to anybody.
        """
        return sorted(self._routing.members(self._session, service))

    def bind(self, service: str, member: str) -> None:
        """Have *member* serve the session's messages to *service* from the next on.

        The member that has served it so far finishes what it has got, answers and all,
        and hands over what it keeps for the session
        (:meth:`Component.handover <nano.runtime.component.Component.handover>`); what
        the client sends meanwhile waits at its gate, for five seconds at most.  Nothing
        is lost, and nothing overtakes.  This returns at once: a handler that waited for
        the move of its own session would wait for its own end.

        Args:
            service: The part of a route before the last dot.
            member: An address, as :meth:`members` has them.

        Raises:
            UsageError: No member of that address serves *service*.
        """
        self._routing.bind(self._session, service, member)

    def unbind(self, service: str) -> None:
        """Have the session's next message to *service* choose a member again.

        Nobody is asked to finish or to hand anything over; see :meth:`bind` for that.
        """
        self._routing.bind(self._session, service, None)

    def __repr__(self) -> str:
        return f"<Router of {self._session!r}: {self._session.bindings}>"


class _Nowhere:
    """There are no other nodes."""

    def __init__(self) -> None:
        self.policies = Policies(Counter())

    def members(self, session: Session, service: str) -> list[str]:
        """Nobody serves anything."""
        return []

    def find(self, session: Session, service: str) -> str | None:
        """Nobody serves anything, unless that is known already."""
        return session.bindings.get(service)

    def bind(self, session: Session, service: str, member: str | None) -> None:
        """Nobody is there to be bound to."""
        if member is not None:
            raise UsageError(f"there is no other node that could serve {service!r}")


NOWHERE: Final = _Nowhere()
