"""Who serves a session: choosing a member, and what is written down of it.

The choke point of all choices, of our nodes and Go nodes alike.  Nobody is chosen who
is silent or leaves while somebody else is there; among those that are equally fit, the
service's policy decides (:mod:`nano.runtime.policies`).

A choice is made once: a session stays where it is bound, for to choose anew for each
message would let one overtake the other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol, TypeVar

from nano.runtime.policies import Policies
from nano.runtime.session import Session
from nano.runtime.strategies import Candidate

__all__ = ["Choosable", "bind", "dissolve", "fittest", "place", "select"]


class Choosable(Protocol):
    """A member that can be chosen: a link, or a Go node."""

    @property
    def address(self) -> str:
        """Where it is."""

    @property
    def kind(self) -> str:
        """Which entry of ``spec.backends`` it is, or ``gate``; empty: a Go node."""

    @property
    def version(self) -> str:
        """Which version of the application it runs; empty: it does not say."""

    @property
    def suspect(self) -> bool:
        """It is silent."""

    @property
    def draining(self) -> bool:
        """It leaves."""


ChoosableT = TypeVar("ChoosableT", bound=Choosable)


def fittest(members: Collection[ChoosableT]) -> Sequence[ChoosableT]:
    """Return those that are heard and stay; or are heard; or all of them."""
    return (
        [it for it in members if not (it.suspect or it.draining)]
        or [it for it in members if not it.suspect]
        or list(members)
    )


def select(
    policies: Policies,
    session: Session | None,
    service: str,
    members: Collection[ChoosableT],
    load: Callable[[ChoosableT], int] | None = None,
) -> ChoosableT | None:
    """Return who of *members* is to serve; none if there are none.

    Args:
        policies: How this node chooses.
        session: For whom; ``None``: a call that has no session.
        service: What they serve.
        members: In any order.
        load: How much each has to do; by default the sessions bound to it.

    Raises:
        RequestError: A function of the application chooses nobody, or has failed.
    """
    if not members:
        return None
    fit = fittest(members)
    if policies.are_random(service):
        return random.choice(fit)
    number = policies.tally.number
    candidates = [
        Candidate(
            it.address,
            it.kind,
            it.version,
            load(it) if load is not None else number(service, it.address),
            it.suspect,
            it.draining,
        )
        for it in fit
    ]
    chosen = policies.choose(session, service, candidates)
    return None if chosen is None else fit[candidates.index(chosen)]


def place(
    session: Session, service: str, members: Collection[ChoosableT]
) -> ChoosableT | None:
    """Bind *session* to one of *members*, who is returned; none if there are none.

    Raises:
        RequestError: A function of the application chooses nobody, or has failed.
    """
    chosen = select(session.routing.policies, session, service, members)
    if chosen is not None:
        bind(session, service, chosen.address)
    return chosen


def bind(session: Session, service: str, member: str) -> None:
    """Write down, at the session's home, that *member* serves it."""
    before, tally = session.bindings.get(service), session.routing.policies.tally
    if before == member:
        return
    if before is not None:
        tally.less(service, before)
    tally.more(service, member)
    session.bindings[service] = member
    _note(session)


def dissolve(sessions: Iterable[Session], member: str) -> None:
    """Have nobody be bound to *member* any more: it is gone."""
    for session in sessions:
        bound = [it for it, who in session.bindings.items() if who == member]
        for service in bound:
            del session.bindings[service]
            session.routing.policies.tally.less(service, member)
        if bound:
            _note(session)


def _note(session: Session) -> None:
    """Have those who hold a mirror know, in front of what they get next."""
    if session.mirrors:
        session.home.changed(session)
