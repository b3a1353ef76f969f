"""Which of several members: the ways to choose that need no application.

A strategy is asked once for a session and a service, when the session is bound, and for
each call that has no session.  It chooses among members that are equally fit; who is
fit, and what a choice leads to, is for :mod:`nano.cluster.choosing`.

Pure, but for the randomness of :mod:`random`: what is asked twice with the same members
may answer differently, except where a class says otherwise.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from nano.runtime.session import Session

__all__ = [
    "Candidate",
    "Hash",
    "LeastLoaded",
    "Random",
    "RoundRobin",
    "Strategy",
    "rank",
]


class Candidate(NamedTuple):
    """A member that a session may be bound to, as the choosing node knows it.

    Attributes:
        address: Where it is, and its name.
        kind: Which entry of ``spec.backends`` it is; ``gate`` for gates, empty for Go
            nodes.
        version: What ``spec.backends[].version`` says of it; empty if nothing, and for
            Go nodes.
        load: Sessions of this gate that are bound to it for the service; of a call
            without a session, the calls of this node that it has in hand.
        suspect: It has been silent for two seconds, or has left a call unanswered.
        draining: It is leaving.
    """

    address: str
    kind: str = ""
    version: str = ""
    load: int = 0
    suspect: bool = False
    draining: bool = False


class Strategy(Protocol):
    """A way to choose; it has one object for each service, and may remember."""

    def choose(
        self, session: Session | None, candidates: Sequence[Candidate]
    ) -> Candidate:
        """Return one of *candidates*, of which there is one at least.

        Args:
            session: Who is bound; ``None``: a call that has no session.
            candidates: Equally fit, in any order.
        """


class Random:
    """Any of them."""

    def choose(
        self, session: Session | None, candidates: Sequence[Candidate]
    ) -> Candidate:
        """Return any."""
        return random.choice(candidates)


class RoundRobin:
    """Each in its turn, by address.

    Who comes and goes disturbs nobody's turn: next is whoever's address follows that of
    the last.
    """

    def __init__(self) -> None:
        self._last = ""

    def choose(
        self, session: Session | None, candidates: Sequence[Candidate]
    ) -> Candidate:
        """Return the one behind the last."""
        turns = sorted(candidates)  # the address is the first field, and unique
        place = bisect_right(turns, self._last, key=_address)
        chosen = turns[place % len(turns)]
        self._last = chosen.address
        return chosen


class LeastLoaded:
    """The one with the smallest :attr:`Candidate.load`; any of several such."""

    def choose(
        self, session: Session | None, candidates: Sequence[Candidate]
    ) -> Candidate:
        """Return one with the smallest load."""
        least = min(it.load for it in candidates)
        return random.choice([it for it in candidates if it.load == least])


class Hash:
    """The one that the session's key belongs to; the same on every node.

    The members are ranked for each key (:func:`rank`), and the first has it.  A member
    that comes takes its share of the keys and moves no other; of one that goes, the
    keys are spread over those that are left.

    Args:
        data_key: Which key of ``session.data``; empty: the session's uid.
    """

    def __init__(self, data_key: str = "") -> None:
        self._data_key = data_key

    def choose(
        self, session: Session | None, candidates: Sequence[Candidate]
    ) -> Candidate:
        """Return whom the key belongs to; any if there is no session.

        A session that has no key yet is as good as any other: its id is the key.
        """
        if session is None:
            return random.choice(candidates)
        key = self._key(session)
        return max(candidates, key=lambda it: (rank(key, it.address), it.address))

    def _key(self, session: Session) -> bytes:
        if not self._data_key:
            return (session.uid or str(session.id)).encode()
        value = session.data.get(self._data_key)
        if value is None:
            return str(session.id).encode()
        if isinstance(value, str):
            return value.encode()
        return msgspec.json.encode(value, order="sorted")


RANK_BYTES: Final = 8


def rank(key: bytes, address: str) -> bytes:
    """Return how much *key* belongs to the member at *address*: the greatest has it.

    Rendezvous hashing with BLAKE2b, of which all nodes and all versions of Python make
    the same; Python's own ``hash()`` differs from process to process.
    """
    return blake2b(address.encode() + b"\0" + key, digest_size=RANK_BYTES).digest()


def _address(candidate: Candidate) -> str:
    return candidate.address
