"""Clients by their uids, wherever in the cluster they are connected.

Each gate knows the sessions that are at home there by uid, and nothing else is kept
anywhere: who wants to reach a uid asks all gates at once (:class:`Elsewhere`).  What a
gate does about its own clients is :meth:`Users.answer`, on whichever node it was asked.
A gate that does not answer in time is named, as what it knows is not known then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from nano.errors import UsageError
from nano.metrics import Metrics
from nano.protocol.packets import LARGEST_BODY
from nano.runtime.groups import Deliver, deliver_singly
from nano.runtime.session import (
    DELIVERIES,
    LONGEST_UID,
    Delivery,
    Session,
    too_large,
    unknown_delivery,
)
from nano.runtime.sessions import Sessions
from nano.serializers import Serializer

__all__ = [
    "Answer",
    "Elsewhere",
    "GateAddress",
    "Kick",
    "Online",
    "Push",
    "Question",
    "Reached",
    "SessionCounts",
    "Users",
    "Whom",
]

MOST_UIDS: Final = 1000  # at once; more of them are a group

Whom: TypeAlias = str | int | Iterable[str | int]
"""A uid, or several; an integer is what it is as text, as in ``session.bind``."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Who was reached by a push or a kick.

    Attributes:
        found: These uids.
        failed: Those that have no session at the gates that answered, or whose
            sessions did not take it; in the order in which they were given.
        silent: The addresses of gates that did not answer in time: who of the failed
            is there, if anybody, may have been reached or not.
    """

    found: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Online:
    """Where a uid has sessions; true if anywhere.

    Attributes:
        gates: How many, by the addresses of the gates that have any.
        silent: The addresses of gates that did not answer in time.
    """

    gates: dict[str, int] = field(default_factory=dict)
    silent: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.gates)


@dataclass(frozen=True, slots=True)
class SessionCounts:
    """How many clients there are.

    Attributes:
        gates: By the addresses of the gates that answered.
        silent: The addresses of gates that did not, in time.
    """

    gates: dict[str, int] = field(default_factory=dict)
    silent: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """How many at all gates that answered."""
        return sum(self.gates.values())


class GateAddress(NamedTuple):
    """A gate that lets clients in.

    Attributes:
        member: Its address in the cluster.
        urls: Where clients find it, in the order of the manifest's listeners.
    """

    member: str
    urls: tuple[str, ...]


class Push(NamedTuple):
    """What is to be sent."""

    route: str
    payload: bytes
    delivery: Delivery


class Kick(NamedTuple):
    """How somebody is to be sent away."""

    reason: str
    reconnect: bool


class Question(NamedTuple):
    """What is asked of a gate, about its own clients.

    Attributes:
        uids: Whom it is about; nobody: how many there are.
        push: Sent to them.
        kick: They are sent away.
        everyone: The push is for all clients, bound to a uid or not.
    """

    uids: Sequence[str] = ()
    push: Push | None = None
    kick: Kick | None = None
    everyone: bool = False


class Answer(NamedTuple):
    """What a gate says.

    Attributes:
        uids: Those that were found, and have taken what was to be done.
        sessions: How many it was about; of a push to everyone, how many took it.
    """

    uids: Sequence[str] = ()
    sessions: int = 0


class Elsewhere(Protocol):
    """What the other nodes are for users."""

    @property
    def address(self) -> str:
        """Where this node is reached."""

    def is_at_home(self, session: Session) -> bool:
        """Whether the client of *session* is connected to this node."""

    async def ask(
        self, question: Question, timeout: float
    ) -> tuple[dict[str, Answer], tuple[str, ...]]:
        """Ask all other gates at once.

        Returns:
            Answers by address, and the addresses of those that did not answer.

        Raises:
            RequestError: So many questions are open that this is refused.
        """

    def gates(self) -> list[GateAddress]:
        """Return the gates that let clients in, this one included."""


class _Nowhere:
    """There are no other nodes."""

    address = ""

    def is_at_home(self, session: Session) -> bool:
        """Every session is at home here."""
        return True

    async def ask(
        self, question: Question, timeout: float
    ) -> tuple[dict[str, Answer], tuple[str, ...]]:
        """Nobody is to be asked."""
        return {}, ()

    def gates(self) -> list[GateAddress]:
        """There are none."""
        return []


class Users:
    """All clients of the cluster by their uids, as one node reaches them.

    Args:
        sessions: Those that this node holds.
        serializer: Encodes what is pushed.
        metrics: Where what is thrown away is counted.
        deliver: Pushes one payload to several of this node's own clients.
        largest: Bytes of the largest payload that a client is sent.

    Attributes:
        elsewhere: The other nodes.
    """

    def __init__(
        self,
        sessions: Sessions,
        serializer: Serializer,
        metrics: Metrics,
        deliver: Deliver = deliver_singly,
        largest: int = LARGEST_BODY,
    ) -> None:
        self.elsewhere: Elsewhere = _Nowhere()
        self._sessions = sessions
        self._uids = sessions.uids
        self._serializer = serializer
        self._metrics = metrics
        self._deliver = deliver
        self._largest = largest
        self._clients = 0  # that are at home here
        sessions.on_opened(self._opened)
        sessions.on_closed(self._closed)

    def _opened(self, session: Session) -> None:
        self._clients += self.elsewhere.is_at_home(session)

    def _closed(self, session: Session) -> None:
        self._clients -= self.elsewhere.is_at_home(session)

    # ---------------------------------------------------------- what nodes ask for

    async def push(
        self, whom: Whom, route: str, value: Any, delivery: Delivery, timeout: float
    ) -> Reached:
        """Send *value* to every session of *whom*; see :meth:`NodeInfo.push`."""
        push = self._encoded(route, value, delivery)
        return await self._reach(Question(_names(whom), push=push), timeout)

    async def push_to_all(
        self, route: str, value: Any, delivery: Delivery, timeout: float
    ) -> SessionCounts:
        """Send *value* to every client of the cluster, bound to a uid or not.

        Returns:
            How many took it, by gate.

        Raises:
            RequestError: 503: 10,000 questions wait already.
            TypeError: *value* cannot be encoded.
            EncodeError: It, or *route*, is too long for a client.
            ValueError: There is no such *delivery*.
            UsageError: *timeout* is not positive.
        """
        push = self._encoded(route, value, delivery)
        return await self._count(Question(push=push, everyone=True), timeout)

    def _encoded(self, route: str, value: Any, delivery: Delivery) -> Push:
        if delivery not in DELIVERIES:
            raise ValueError(unknown_delivery(delivery))
        payload = self._serializer.encode(value)
        if len(payload) > self._largest:
            raise too_large(len(payload), self._largest)
        return Push(route, payload, delivery)

    async def kick(
        self, whom: Whom, reason: str, reconnect: bool, timeout: float
    ) -> Reached:
        """Send every session of *whom* away; see :meth:`NodeInfo.kick`."""
        kick = Kick(reason, reconnect)
        return await self._reach(Question(_names(whom), kick=kick), timeout)

    async def _reach(self, question: Question, timeout: float) -> Reached:
        if not question.uids:
            return Reached()
        answers, silent = await self._ask(question, timeout)
        found = {uid for answer in answers.values() for uid in answer.uids}
        return Reached(
            tuple(uid for uid in question.uids if uid in found),
            tuple(uid for uid in question.uids if uid not in found),
            silent,
        )

    async def online(self, uid: str | int, timeout: float) -> Online:
        """Tell where *uid* has sessions; see :meth:`NodeInfo.online`."""
        answers, silent = await self._ask(Question(_names(uid)), timeout)
        gates = {it: answer.sessions for it, answer in answers.items()}
        return Online({it: number for it, number in gates.items() if number}, silent)

    async def counts(self, timeout: float) -> SessionCounts:
        """Tell how many clients there are; see :meth:`NodeInfo.count_sessions`."""
        return await self._count(Question(), timeout)

    async def _count(self, question: Question, timeout: float) -> SessionCounts:
        answers, silent = await self._ask(question, timeout)
        here = self.elsewhere.address
        gates = {it: answer.sessions for it, answer in answers.items()}
        if not gates[here] and all(it.member != here for it in self.elsewhere.gates()):
            del gates[here]  # no gate
        return SessionCounts(gates, silent)

    async def _ask(
        self, question: Question, timeout: float
    ) -> tuple[dict[str, Answer], tuple[str, ...]]:
        """Ask every gate, this one first if it is one."""
        if not timeout > 0:
            raise UsageError(f"a time-out is more than 0 s, not {timeout!r}")
        here = {self.elsewhere.address: self.answer(question)}
        answers, silent = await self.elsewhere.ask(question, timeout)
        return here | answers, silent

    # ----------------------------------------- about this node's own clients only

    def answer(self, question: Question) -> Answer:
        """Do what is asked to the clients that are at home here."""
        if question.everyone:
            return Answer(sessions=self._tell_all(question.push))
        if not question.uids:
            return Answer(sessions=self._clients)
        found: list[str] = []
        number = 0
        for uid in question.uids:
            sessions = self.here(uid)
            number += len(sessions)
            if sessions and self._do(question, sessions):
                found.append(uid)
        return Answer(found, number)

    def here(self, uid: str) -> list[Session]:
        """Return the sessions of *uid* that are at home here."""
        is_at_home = self.elsewhere.is_at_home
        return [it for it in self._uids.of(uid) if is_at_home(it)]

    def _tell_all(self, push: Push | None) -> int:
        """Push to all clients that are at home here; return how many took it."""
        if push is None:
            return 0
        is_at_home = self.elsewhere.is_at_home
        everyone = [it for it in self._sessions if is_at_home(it)]
        return self._deliver(everyone, push.route, push.payload, push.delivery)

    def _do(self, question: Question, sessions: list[Session]) -> bool:
        """Do what is asked; false if none of *sessions* has taken it."""
        push, kick = question.push, question.kick
        if push is not None:
            return self._deliver(sessions, push.route, push.payload, push.delivery) > 0
        if kick is not None:
            for session in sessions:
                session.kick(kick.reason, reconnect=kick.reconnect)
        return True


def _names(whom: Whom) -> list[str]:
    """Return *whom* as uids, each once.

    Raises:
        UsageError: There are too many.
        ValueError: One of them can be no uid.
    """
    several = [whom] if isinstance(whom, str | int) else whom
    names = list(dict.fromkeys(map(str, several)))
    if len(names) > MOST_UIDS:
        message = (
            f"{len(names)} uids at once; {MOST_UIDS} is the most: publish to a group "
            "instead, or ask several times"
        )
        raise UsageError(message)
    for name in names:
        if not 0 < len(name.encode()) <= LONGEST_UID:  # raises ValueError, too
            message = f"{name[:40]!r} is no uid: it has 1 to {LONGEST_UID} bytes"
            raise ValueError(message)
    return names
