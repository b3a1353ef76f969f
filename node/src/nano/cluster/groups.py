"""Groups across nodes: who has members, and how a publish reaches them.

Memberships are kept by the gates (:mod:`nano.runtime.groups`); this module is what
the nodes tell each other about them.  Every node has the same part in it: a backend is
only a node that never has members of its own.

* A node tells all its peers which groups have members with it: all of them when a link
  opens, then each first and last one (PRESENT, ABSENT).  That is the whole state, it
  lives as long as the link, and a backend that has just started knows as much as one
  that was there before.
* A publish is one envelope to each peer that has members.
* Whoever sends a JOIN counts the peer as having members at once, so that the PUBLISH
  behind it is sent.  An ABSENT that has crossed the JOIN is told by its number, and a
  JOIN that came to nothing (its client had gone) is answered with an ABSENT.

A JOIN, LEAVE or DISSOLVE that a link may have lost, or that is said while there is
none, is brought by the next link; a PUBLISH is not.  Memberships at the gate stay.  A
peer whose HELLO does not list the kinds used here hears nothing of groups.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from nano.cluster.link import Link
from nano.cluster.links import Links
from nano.cluster.mirrors import MirrorHome
from nano.cluster.outbox import DELIVERY_CODES, delivery_of
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.peerstates import Life
from nano.cluster.routes import introduce
from nano.metrics import Metrics
from nano.runtime.group import Publication
from nano.runtime.groups import Groups
from nano.runtime.session import Session
from nano.runtime.sessions import Sessions

__all__ = ["KINDS", "GroupLinks"]

logger = logging.getLogger(__name__)

KINDS: Final = frozenset(
    {
        pb.JOIN,
        pb.LEAVE,
        pb.PUBLISH,
        pb.PRESENT,
        pb.ABSENT,
        pb.DISSOLVE,
        pb.GROUP_QUESTION,
        pb.GROUP_ANSWER,
    }
)
"""What a peer must act upon to take part."""

NAMES_AT_ONCE: Final = 1000  # in one PRESENT: at most some 255 kB


class _Peer:
    """What is known of groups at the other end of one link.

    Attributes:
        link: The way there.
        joined: The number of the last JOIN that was sent.
        taken: The number of the last JOIN that came from there.
        groups: Those with members there, with the number of our last JOIN to each.
        asked: Questions that wait for an answer, by number.
    """

    __slots__ = ("asked", "groups", "joined", "link", "taken")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.joined = 0
        self.taken = 0
        self.groups: dict[str, int] = {}
        self.asked: dict[int, asyncio.Future[pb.GroupAnswer]] = {}


class GroupLinks:
    """The other nodes, for the groups of this one.

    It makes itself the :class:`~nano.runtime.groups.Elsewhere` of *groups*.

    Args:
        groups: The groups of this node.
        sessions: The sessions that this node holds.
        links: The way to other nodes.
        metrics: Where what is thrown away is counted.
    """

    def __init__(
        self, groups: Groups, sessions: Sessions, links: Links, metrics: Metrics
    ) -> None:
        self._groups = groups
        self._roll = groups.roll
        self._sessions = sessions
        self._metrics = metrics
        self._links = links
        self._peers: dict[str, _Peer] = {}
        self._apart: dict[str, _Peer] = {}  # as they were when their links ended
        self._having: dict[str, dict[str, _Peer]] = {}  # by group, then address
        self._last = 0  # number of the last question
        groups.elsewhere = self
        groups.roll.changed = self._changed
        links.observe(self)
        links.keep(self)
        links.bring(pb.JOIN, self._join_again)
        links.act(pb.JOIN, self._on_join)
        links.act(pb.LEAVE, self._on_leave)
        links.act(pb.PUBLISH, self._on_publish)
        links.act(pb.PRESENT, self._on_present)
        links.act(pb.ABSENT, self._on_absent)
        links.act(pb.DISSOLVE, self._on_dissolve)
        links.act(pb.GROUP_QUESTION, self._on_question)
        links.act(pb.GROUP_ANSWER, self._on_answer)

    # -------------------------------------------------------------------- links

    def link_up(self, link: Link) -> None:
        """Tell the peer which groups have members here."""
        if not KINDS.issubset(link.peer.features):
            logger.info("%s does not know of groups", link.address)
            return
        self._peers[link.address] = _Peer(link)
        self._apart.pop(link.address, None)
        names = self._roll.names
        for start in range(0, len(names), NAMES_AT_ONCE):
            some = names[start : start + NAMES_AT_ONCE]
            link.send(pb.Envelope(kind=pb.PRESENT, groups=some))

    def link_down(self, link: Link) -> None:
        """Forget the peer; who waits for it counts none of its members."""
        peer = self._peers.pop(link.address, None)
        if peer is None:
            return
        self._apart[link.address] = peer
        for name in peer.groups:
            self._drop(name, link.address)
        for future in peer.asked.values():
            if not future.done():
                future.set_result(pb.GroupAnswer())

    def peer_gone(self, life: Life) -> None:
        """Forget that it ever had members."""
        self._apart.pop(life.address, None)

    def _peer(self, link: Link) -> _Peer | None:
        """Return the state of *link*; none if it has been replaced meanwhile."""
        peer = self._peers.get(link.address)
        return peer if peer is not None and peer.link is link else None

    # ----------------------------------------------------------------- presence

    def _changed(self, name: str, present: bool) -> None:
        """Tell everybody that this node has its first member, or lost its last."""
        for peer in self._peers.values():
            if present:
                peer.link.send(pb.Envelope(kind=pb.PRESENT, groups=[name]))
            else:
                self._deny(peer, name)

    @staticmethod
    def _deny(peer: _Peer, name: str) -> None:
        envelope = pb.Envelope(kind=pb.ABSENT, groups=[name], id=peer.taken)
        peer.link.send(envelope)

    def _on_present(self, link: Link, envelope: pb.Envelope) -> None:
        peer = self._peer(link)
        if peer is not None:
            for name in envelope.groups:
                peer.groups.setdefault(name, 0)
                self._having.setdefault(name, {})[link.address] = peer

    def _on_absent(self, link: Link, envelope: pb.Envelope) -> None:
        peer = self._peer(link)
        if peer is not None:
            for name in envelope.groups:
                if peer.groups.get(name, 0) <= envelope.id:
                    peer.groups.pop(name, None)
                    self._drop(name, link.address)

    def _drop(self, name: str, address: str) -> None:
        having = self._having.get(name)
        if having is not None:
            having.pop(address, None)
            if not having:
                del self._having[name]

    def _others(self, name: str) -> list[_Peer]:
        return list(self._having.get(name, {}).values())

    # ------------------------------------------------- what this node's groups ask

    def join(self, name: str, session: Session) -> bool:
        """Have *session* join at its home; false if it is at home here."""
        home = session.home
        if not isinstance(home, MirrorHome):
            return False
        envelope = pb.Envelope(kind=pb.JOIN, group=name, session=session.id)
        peer = self._peer(home.link)
        if peer is not None:
            self._join(peer, envelope)
        else:
            self._change_later(home.link, envelope)
        return True

    def _join(self, peer: _Peer, envelope: pb.Envelope) -> None:
        peer.joined += 1
        peer.groups[envelope.group] = envelope.id = peer.joined
        self._having.setdefault(envelope.group, {})[peer.link.address] = peer
        peer.link.change(envelope)

    def _join_again(self, link: Link, envelope: pb.Envelope) -> None:
        peer = self._peer(link)
        if peer is not None:
            self._join(peer, envelope)

    def leave(self, name: str, session: Session) -> bool:
        """Have *session* leave at its home; false if it is at home here."""
        home = session.home
        if not isinstance(home, MirrorHome):
            return False
        envelope = pb.Envelope(kind=pb.LEAVE, group=name, session=session.id)
        if session.closed:
            return True
        if self._peer(home.link) is not None:
            home.link.change(envelope)
        else:
            self._change_later(home.link, envelope)
        return True

    def _change_later(self, link: Link, envelope: pb.Envelope) -> None:
        """Leave *envelope* to the next link, if the peer has groups and comes back."""
        if not link.reason:
            self._metrics.dropped["group", "unsupported"] += 1
        elif not KINDS.issubset(link.peer.features) or not link.change(envelope):
            self._metrics.dropped["group", "closed"] += 1

    def publish(self, publication: Publication) -> None:
        """Pass *publication* to every other node that has members.

        A full link drops it, later if it is ``must``: members cannot be sent away for
        a link that is too slow, as clients are.
        """
        for peer in self._apart.values():
            if publication.group in peer.groups:
                self._metrics.dropped["group", "apart"] += 1
        others = self._others(publication.group)
        if not others:
            return
        where = publication.where
        envelope = pb.Envelope(
            kind=pb.PUBLISH,
            group=publication.group,
            route=publication.route,
            payload=publication.payload,
            without=publication.without,
            where=msgspec.json.encode(where) if where else b"",
            delivery=DELIVERY_CODES[publication.delivery],
        )
        for peer in others:
            if peer.link.outbox.takes(publication.delivery):
                peer.link.send(envelope)
            else:
                self._metrics.dropped["group", "link-full"] += 1

    def dissolve(self, name: str) -> None:
        """Have all members leave on every other node."""
        apart = [it for it in self._apart.values() if name in it.groups]
        for peer in (*self._others(name), *apart):
            peer.link.change(pb.Envelope(kind=pb.DISSOLVE, group=name))

    # ------------------------------------------------------------------ questions

    async def count(self, name: str, timeout: float) -> int:
        """Return the number of members at other nodes.

        Raises:
            TimeoutError: One of them did not answer in time.
        """
        answers = await self._ask(name, pb.GroupQuestion(), timeout)
        return sum(answer.count for answer in answers)

    async def uids(self, name: str, timeout: float) -> set[str]:
        """Return the uids of members at other nodes.

        Raises:
            TimeoutError: One of them did not answer in time.
        """
        answers = await self._ask(name, pb.GroupQuestion(uids=True), timeout)
        return {uid for answer in answers for uid in answer.uids}

    async def find(self, name: str, uid: str, timeout: float) -> Session | None:
        """Return a member at another node that is bound to *uid*.

        Raises:
            TimeoutError: One of them did not answer in time.
        """
        for answer in await self._ask(name, pb.GroupQuestion(uid=uid), timeout):
            session = self._sessions.get(answer.session)
            if session is not None:
                return session
        return None

    async def _ask(
        self, name: str, question: pb.GroupQuestion, timeout: float
    ) -> list[pb.GroupAnswer]:
        """Ask every node that has members, all at once."""
        others = self._others(name)
        if not others:
            return []
        self._last = number = self._last + 1
        futures = dict(self._send_question(others, name, number, question))
        try:
            async with asyncio.timeout(timeout):
                return list(await asyncio.gather(*futures.values()))
        except TimeoutError:
            silent = ", ".join(
                peer.link.address for peer, it in futures.items() if it.cancelled()
            )
            message = f"{silent} did not tell of the group {name!r} in {timeout:g} s"
            raise TimeoutError(message) from None
        finally:
            for peer in others:
                peer.asked.pop(number, None)

    @staticmethod
    def _send_question(
        peers: Iterable[_Peer], name: str, number: int, question: pb.GroupQuestion
    ) -> Iterator[tuple[_Peer, asyncio.Future[pb.GroupAnswer]]]:
        for peer in peers:
            future = asyncio.get_running_loop().create_future()
            peer.asked[number] = future
            peer.link.send(
                pb.Envelope(
                    kind=pb.GROUP_QUESTION, id=number, group=name, question=question
                )
            )
            yield peer, future

    def _on_answer(self, link: Link, envelope: pb.Envelope) -> None:
        peer = self._peer(link)
        future = peer.asked.pop(envelope.id, None) if peer is not None else None
        if future is not None and not future.done():
            future.set_result(envelope.answer)

    # ------------------------------------------------------ what other nodes want

    def _on_join(self, link: Link, envelope: pb.Envelope) -> None:
        peer = self._peer(link)
        is_new = self._links.is_new(link, envelope)
        session = self._own(envelope.session) if is_new else None
        if peer is not None:
            peer.taken = envelope.id
        if session is not None:
            self._roll.join(envelope.group, session)
        elif peer is not None and envelope.group not in self._roll:
            self._deny(peer, envelope.group)

    def _on_leave(self, _: Link, envelope: pb.Envelope) -> None:
        session = self._own(envelope.session)
        if session is not None:
            self._roll.leave(envelope.group, session)

    def _own(self, number: int) -> Session | None:
        """Return the session, if it is at home here."""
        session = self._sessions.get(number)
        if session is None or isinstance(session.home, MirrorHome):
            self._metrics.dropped["group", "no-session"] += 1
            return None
        return session

    def _on_publish(self, _: Link, envelope: pb.Envelope) -> None:
        where = msgspec.json.decode(envelope.where) if envelope.where else {}
        self._groups.deliver(
            Publication(
                envelope.group,
                envelope.route,
                envelope.payload,
                frozenset(envelope.without),
                where,
                delivery_of(envelope),
            )
        )

    def _on_dissolve(self, _: Link, envelope: pb.Envelope) -> None:
        self._roll.dissolve(envelope.group)

    def _on_question(self, link: Link, envelope: pb.Envelope) -> None:
        name, question = envelope.group, envelope.question
        answer = pb.GroupAnswer(count=self._roll.count(name))
        if question.uids:
            answer.uids.extend(self._groups.uids_here(name))
        found = self._groups.find_here(name, question.uid) if question.uid else None
        if found is not None:
            if found.mirrors.get(link.address) != found.version:
                introduce(found, link)
            answer.session = found.id
        link.send(pb.Envelope(kind=pb.GROUP_ANSWER, id=envelope.id, answer=answer))
