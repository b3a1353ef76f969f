"""Users across nodes: how gates are asked about their clients, and answer.

A question is one envelope to each gate, whomever it is about; the gates that there are
come from the member list.  Whatever happens to a gate meanwhile, a question ends: by
its answer, with its link, or after its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from nano.cluster.gonodes import at_home
from nano.cluster.link import Link
from nano.cluster.links import Links
from nano.cluster.members import Member, MemberState
from nano.cluster.outbox import DELIVERY_CODES, delivery_of
from nano.cluster.pb import link_pb2 as pb
from nano.errors import UNAVAILABLE, RequestError
from nano.metrics import Gauge, Metrics
from nano.runtime.session import Session
from nano.runtime.users import Answer, GateAddress, Kick, Push, Question, Users

__all__ = ["GATE", "KINDS", "UserLinks", "gates_of"]

KINDS: Final = frozenset({pb.GATE_QUESTION, pb.GATE_ANSWER})
"""What a gate must act upon to be asked."""

GATE: Final = "gate"
MOST_OPEN: Final = 10_000  # questions to single gates that wait for their answers

Members = Callable[[], Mapping[str, Member]]
"""Gives the member list of this moment, by address."""


class _Asked(NamedTuple):
    """A question that waits."""

    link: Link
    future: asyncio.Future[Answer | None]  # None: there will be no answer


class UserLinks:
    """The other nodes, for the users of this one.

    It makes itself the :class:`~nano.runtime.users.Elsewhere` of *users*.

    Args:
        users: The users, as this node sees them.
        links: The way to other nodes.
        members: Who is there.
        metrics: Where what is thrown away is counted.
    """

    def __init__(
        self, users: Users, links: Links, members: Members, metrics: Metrics
    ) -> None:
        self._users = users
        self._links = links
        self._members = members
        self._metrics = metrics
        self._open: dict[int, _Asked] = {}
        self._last = 0
        users.elsewhere = self
        links.observe(self)
        links.act(pb.GATE_QUESTION, self._on_question)
        links.act(pb.GATE_ANSWER, self._on_answer)
        metrics.gauges.append(self._gauges)

    @property
    def address(self) -> str:
        """Where this node is reached."""
        return self._links.hello.address

    def is_at_home(self, session: Session) -> bool:
        """Whether the client of *session* is connected to this node."""
        return at_home(session)

    def link_up(self, link: Link) -> None:
        """Nothing to do before somebody asks."""

    def link_down(self, link: Link) -> None:
        """End the questions to a gate that will not answer any more."""
        lost = [number for number, it in self._open.items() if it.link is link]
        for number in lost:
            _settle(self._open.pop(number).future, None)

    def gates(self) -> list[GateAddress]:
        """Return the gates that let clients in, this one included."""
        return [
            GateAddress(member.address, member.client_addresses)
            for member in self._members().values()
            if member.role == GATE
            and member.state is MemberState.ACTIVE
            and (member.address == self.address or self._links.get(member.address))
        ]

    async def ask(
        self, question: Question, timeout: float
    ) -> tuple[dict[str, Answer], tuple[str, ...]]:
        """Ask all other gates at once.

        Returns:
            Answers by address, and the addresses of those that did not answer.

        Raises:
            RequestError: So many questions are open that this is refused.
        """
        gates = gates_of(self._members(), self._links)
        if len(self._open) + len(gates) > MOST_OPEN:
            self._metrics.dropped["users", "too-many"] += len(gates)
            raise RequestError(UNAVAILABLE, "too many questions wait; try again")
        asked = self._send(question, gates)
        answers: dict[str, Answer] = {}
        try:
            if asked:
                futures = [it.future for it in asked.values()]
                await asyncio.wait(futures, timeout=timeout)
        finally:
            for number in asked:
                self._open.pop(number, None)
        for it in asked.values():
            answer = it.future.result() if it.future.done() else None
            if answer is not None:
                answers[it.link.address] = answer
        silent = tuple(sorted(gates.keys() - answers.keys()))
        self._metrics.dropped["users", "silent"] += len(silent)
        return answers, silent

    def _send(
        self, question: Question, gates: Mapping[str, Link | None]
    ) -> dict[int, _Asked]:
        """Put *question* to those of *gates* that take it."""
        asked: dict[int, _Asked] = {}
        wanted = _encode(question)
        delivery = question.push.delivery if question.push else "must"
        for link in gates.values():
            if link is None or not KINDS.issubset(link.peer.features):
                continue
            if not link.outbox.takes(delivery):
                self._metrics.dropped["users", "link-full"] += 1
                continue
            self._last = number = self._last + 1
            future = asyncio.get_running_loop().create_future()
            asked[number] = self._open[number] = _Asked(link, future)
            link.send(pb.Envelope(kind=pb.GATE_QUESTION, id=number, ask=wanted))
        return asked

    def _on_question(self, link: Link, envelope: pb.Envelope) -> None:
        answer = self._users.answer(_decode(envelope.ask))
        told = pb.GateAnswer(uids=answer.uids, sessions=answer.sessions)
        link.send(pb.Envelope(kind=pb.GATE_ANSWER, id=envelope.id, told=told))

    def _on_answer(self, link: Link, envelope: pb.Envelope) -> None:
        entry = self._open.get(envelope.id)
        if entry is None or entry.link is not link:
            self._metrics.dropped["users", "late"] += 1
            return
        del self._open[envelope.id]
        told = envelope.told
        _settle(entry.future, Answer(list(told.uids), told.sessions))

    def _gauges(self) -> list[Gauge]:
        text = "Questions about users that wait for the answer of a gate."
        return [("nano_open_questions", text, {}, len(self._open))]


def gates_of(members: Mapping[str, Member], links: Links) -> dict[str, Link | None]:
    """Return all other gates, and the links to those that can be reached."""
    gates: dict[str, Link | None] = {
        link.address: link for link in links.open if link.peer.role == GATE
    }
    for address, member in members.items():
        if member.role == GATE and address != links.hello.address:
            gates.setdefault(address, None)
    return gates


def _settle(future: asyncio.Future[Answer | None], answer: Answer | None) -> None:
    if not future.done():
        future.set_result(answer)


def _encode(question: Question) -> pb.GateQuestion:
    wanted = pb.GateQuestion(uids=question.uids, everyone=question.everyone)
    if question.push is not None:
        route, payload, delivery = question.push
        wanted.push.route = route
        wanted.push.payload = payload
        wanted.push.delivery = DELIVERY_CODES[delivery]
    if question.kick is not None:
        wanted.kick.reason, wanted.kick.reconnect = question.kick
    return wanted


def _decode(wanted: pb.GateQuestion) -> Question:
    push = kick = None
    if wanted.HasField("push"):
        it = wanted.push
        push = Push(it.route, it.payload, delivery_of(it))
    if wanted.HasField("kick"):
        kick = Kick(wanted.kick.reason, wanted.kick.reconnect)
    return Question(list(wanted.uids), push, kick, wanted.everyone)
