"""All links of one node: whom to dial, whom to let in, what envelopes mean.

Of two nodes, the one with the lower address dials, so that a pair has one link
and not two.  A link that ends is dialled again, after at most about a second, for
as long as the peer is a member.

What belongs to a peer outlives a link: whoever keeps something for peers is told when
one is gone (:mod:`nano.cluster.peerstates` says when that is), and changes that it may
not have taken are brought by the next link.

What an envelope does is looked up by its kind in a table that the parts of the node
fill (:meth:`Links.act`); a kind without an entry is refused politely.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable
from typing import Final, Protocol

from nano.cluster.link import Link, LinkState, Stream
from nano.cluster.members import Member, MemberState
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.peerstates import GRACE, SUSPICION, Life, Lives, PeerEvent, PeerState
from nano.errors import ClusterError
from nano.metrics import Gauge, Metrics
from nano.runtime.tasks import FAILURES

__all__ = ["Act", "Dial", "Keeper", "Links", "NodeStopping", "Observer"]

logger = logging.getLogger(__name__)

FIRST_DELAY: Final = 0.1  # seconds before a link is dialled again
LONGEST_DELAY: Final = 1.0
SETTLING_TIME: Final = 2.0  # seconds that a starting node waits for its first links

CHANGES: Final = frozenset(
    {
        pb.SESSION_UPDATE,
        pb.CLOSE_SESSION,
        pb.BIND,
        pb.LEAVE,
        pb.DISSOLVE,
    }
)
"""The kinds that may be brought again, and are then acted upon once.

JOIN is brought again, too, and looks at :meth:`Links.is_new` itself.
"""

Act = Callable[[Link, pb.Envelope], None]
Dial = Callable[[str], "DialledStream"]


class NodeStopping(ClusterError):
    """No link is made any more, whoever asks for one."""


class DialledStream(Stream, Protocol):
    """A stream that we opened, and so must close."""

    async def close(self) -> None:
        """End the stream."""


class Observer(Protocol):
    """A part of the node that wants to know which peers can be reached."""

    def link_up(self, link: Link) -> None:
        """*link* is open."""

    def link_down(self, link: Link) -> None:
        """*link*, which was open, has ended."""


class Keeper(Protocol):
    """A part of the node that keeps something for peers while they are apart."""

    def peer_gone(self, life: Life) -> None:
        """Free what belongs to *life*; it has no link any more, and will not return."""


class _Expected:
    """A member that there is to be a link with.

    Attributes:
        incarnation: Which life, as the master says.
        tried: Set after the first attempt.
        draining: The master says that it leaves.
        listed: The master names it still.
        task: Dials it, if that is our part.
    """

    __slots__ = ("draining", "incarnation", "listed", "task", "tried")

    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.draining = False
        self.tried = asyncio.Event()
        self.listed = True
        self.task: asyncio.Task[None] | None = None


class Links:
    """The links of one node.

    Args:
        hello: What this node says of itself.
        dial: Opens a stream to an address.
        metrics: Where traffic is counted.
        time: The clock for pings.
        grace: Seconds for which peers are kept that have no link.
    """

    def __init__(
        self,
        hello: pb.Hello,
        dial: Dial,
        metrics: Metrics,
        time: Callable[[], float],
        grace: float = GRACE,
    ) -> None:
        self._hello = hello
        self._dial = dial
        self._metrics = metrics
        self._time = time
        self._open: dict[str, Link] = {}
        self._all: set[Link] = set()  # those that still greet, too
        self._expected: dict[str, _Expected] = {}
        self._lives = Lives(grace)
        self._apart: dict[str, Link] = {}  # the last link of a peer that has none now
        self._tasks: set[asyncio.Task[None]] = set()  # those that still end, too
        self._acts: dict[pb.Kind.ValueType, Act] = {
            pb.PING: self._on_ping,
            pb.PONG: lambda link, envelope: link.pong(envelope.id),
            pb.GOODBYE: lambda link, envelope: link.goodbye(envelope),
            pb.UNSUPPORTED: self._on_unsupported,
        }
        self._ordinals = itertools.count(1)
        self._bring: dict[pb.Kind.ValueType, Act] = {}
        self._observers: list[Observer] = []
        self._keepers: list[Keeper] = []
        self._stopping = False
        self._quiet = asyncio.Event()  # no link is left
        self._quiet.set()
        metrics.gauges.append(self._gauges)

    def act(self, kind: pb.Kind.ValueType, act: Act) -> None:
        """Have *act* called with every envelope of *kind*."""
        self._acts[kind] = self._once(act) if kind in CHANGES else act

    def _once(self, act: Act) -> Act:
        """Have *act* called with changes that were not taken yet."""

        def take(link: Link, envelope: pb.Envelope) -> None:
            if self.is_new(link, envelope):
                act(link, envelope)

        return take

    def is_new(self, link: Link, envelope: pb.Envelope) -> bool:
        """Tell whether a change was not taken before, and note that it is now."""
        ordinal = envelope.ordinal
        life = self._lives.get(link.address)
        if not ordinal or life is None:  # older versions do not number
            return True
        if ordinal <= life.taken:
            self._metrics.dropped["link", "again"] += 1
            return False
        life.taken = ordinal
        return True

    def bring(self, kind: pb.Kind.ValueType, act: Act) -> None:
        """Have *act* send changes of *kind* that the link before may have lost."""
        self._bring[kind] = act

    def observe(self, observer: Observer) -> None:
        """Tell *observer* of links that open and end."""
        self._observers.append(observer)

    def keep(self, keeper: Keeper) -> None:
        """Tell *keeper* of peers that are gone."""
        self._keepers.append(keeper)

    def get(self, address: str) -> Link | None:
        """Return the open link to the member at *address*."""
        return self._open.get(address)

    def state(self, address: str) -> PeerState:
        """Return where we stand with the peer at *address*."""
        life = self._lives.get(address)
        return PeerState.GONE if life is None else life.state

    @property
    def states(self) -> dict[str, PeerState]:
        """Where we stand with each peer that has had a link and is not gone."""
        return self._lives.states

    def expects(self, address: str) -> bool:
        """Whether there is to be a link with *address*: it is a member."""
        expected = self._expected.get(address)
        return expected is not None and expected.listed

    @property
    def hello(self) -> pb.Hello:
        """What this node says of itself."""
        return self._hello

    @property
    def open(self) -> list[Link]:
        """The links that are open."""
        return list(self._open.values())

    # ----------------------------------------------------------------- members

    def add(self, member: Member) -> None:
        """Have a link with *member* from now on, if there is to be one."""
        address = member.address
        if self._stopping or not member.link or member.is_master:
            return
        if address == self._hello.address:
            return
        expected = self._expected.get(address)
        known = expected.incarnation if expected and expected.listed else None
        if known == member.incarnation:
            # no other news, and nothing against a life that has come since
            self._note_draining(member)
            return
        self._feed(PeerEvent.LISTED, address, member.incarnation)
        expected = self._expected.get(address)
        if expected is not None:
            expected.incarnation = member.incarnation
            expected.listed = True
            expected.draining = False
            self._note_draining(member)
            return
        expected = self._expected[address] = _Expected(member.incarnation)
        self._note_draining(member)
        if self._hello.address < address:
            task = asyncio.create_task(
                self._keep(address, expected), name=f"link to {address}"
            )
            expected.task = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _note_draining(self, member: Member) -> None:
        """Have nobody new bound to *member* if it leaves; it does not come back."""
        if member.state is not MemberState.DRAINING:
            return
        self._expected[member.address].draining = True
        link = self._open.get(member.address)
        if link is not None and link.peer.incarnation == member.incarnation:
            link.draining = True

    def remove(self, member: Member) -> None:
        """Dial *member* no more: it is dropped from the list, or has left.

        A link on which it is heard stays until it ends; the master can be wrong.
        """
        address = member.address
        expected = self._expected.get(address)
        if expected is None or expected.incarnation != member.incarnation:
            return  # another life has taken its place
        expected.listed = False
        self._feed(PeerEvent.DROPPED, address, member.incarnation)
        if self._lives.get(address) is None:
            self._forget(address)

    def _forget(self, address: str) -> None:
        expected = self._expected.pop(address, None)
        if expected is None:
            return
        expected.tried.set()
        if expected.task is not None and not self._is_open_or_ending(address):
            expected.task.cancel()  # else it ends by itself

    def _is_open_or_ending(self, address: str) -> bool:
        return any(link.address == address for link in self._all)

    async def settle(self) -> None:
        """Wait until every known member was reached, tried or slow to dial us."""
        waiting = [expected.tried.wait() for expected in self._expected.values()]
        try:
            async with asyncio.timeout(SETTLING_TIME):
                await asyncio.gather(*waiting)
        except TimeoutError:
            logger.info("some members have no link yet; going on without")

    # -------------------------------------------------------------------- lives

    def _feed(self, event: PeerEvent, address: str, incarnation: int) -> None:
        now = self._time()
        self._part_with(self._lives.feed(event, address, incarnation, now))

    def _part_with(self, gone: list[Life]) -> None:
        """Free what belongs to those that are gone."""
        for life in gone:
            link = self._open.get(life.address)
            if link is not None and link.peer.incarnation == life.incarnation:
                link.end("not a member any more")
                self._ended(link)
            last = self._apart.pop(life.address, None)
            if last is not None:
                self._abandon(last)
            expected = self._expected.get(life.address)
            if expected is not None and not expected.listed:
                self._forget(life.address)
            logger.info("the peer %s is gone", life.address)
            self._metrics.peers.pop(life.address, None)
            for keeper in self._keepers:
                keeper.peer_gone(life)

    def _abandon(self, link: Link) -> None:
        """Give up the changes that no link will bring any more."""
        if link.unconfirmed and not link.left:
            self._metrics.dropped["link", "gone"] += len(link.unconfirmed)
        link.unconfirmed.close()

    # ------------------------------------------------------------------ streams

    async def _keep(self, address: str, expected: _Expected) -> None:
        """Dial *address* again and again, for as long as it is a member."""
        delay = FIRST_DELAY
        while True:
            link = await self._dial_once(address)
            expected.tried.set()
            if self._stopping or self._expected.get(address) is not expected:
                return
            delay = min(delay * 2, LONGEST_DELAY) if link is None else FIRST_DELAY
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))

    async def _dial_once(self, address: str) -> Link | None:
        try:
            stream = self._dial(address)
            try:
                return await self.serve(stream)
            finally:
                await stream.close()
        except ClusterError as error:
            logger.info("no link to %s: %s", address, error)
        except Exception:
            logger.exception("the link to %s failed", address)
        return None

    async def serve(self, stream: Stream) -> Link:
        """Greet on *stream* and move envelopes until it ends; return what was.

        Raises:
            NodeStopping: Links are not made any more.
            ClusterError: There was no greeting.
        """
        if self._stopping:
            raise NodeStopping("this node is stopping")
        if not self._hello.features:
            self._hello.features.extend(sorted({pb.HELLO, *self._acts}))
        link = Link(stream, self._hello, self._metrics, self._time)
        link.ordinals = self._ordinals
        self._all.add(link)
        self._quiet.clear()
        try:
            await link.greet()
            try:
                self._opened(link)
                await link.run(self._receive, self._ended)
            finally:
                self._ended(link)
        finally:
            self._all.discard(link)
            if not self._all:
                self._quiet.set()
        return link

    def _opened(self, link: Link) -> None:
        previous = self._open.get(link.address)
        if previous is not None:
            previous.end("replaced by a newer link")
            self._ended(previous)
        self._feed(PeerEvent.LINK_UP, link.address, link.peer.incarnation)
        self._open[link.address] = link
        expected = self._expected.get(link.address)
        if expected is not None and expected.incarnation == link.peer.incarnation:
            link.draining = expected.draining
        logger.info("link with %s is open", link.address)
        for observer in self._observers:
            observer.link_up(link)
        last = self._apart.pop(link.address, None)
        if last is not None:
            self._bring_changes(last, link)
        expected = self._expected.get(link.address)
        if expected is not None:
            expected.tried.set()

    def _bring_changes(self, last: Link, link: Link) -> None:
        """Send on *link* what the peer may not have taken from the *last* one."""
        forgotten = last.unconfirmed.forgotten
        if forgotten:
            self._metrics.dropped["link", "too-many-changes"] += forgotten
        for envelope in last.unconfirmed.take():
            act = self._bring.get(envelope.kind)
            if act is None:
                link.change(envelope)
            else:
                act(link, envelope)
        last.unconfirmed.close()

    def _ended(self, link: Link) -> None:
        address = link.address
        if self._open.get(address) is not link:
            return
        del self._open[address]
        self._apart[address] = link
        logger.info("link with %s has ended: %s", address, link.reason)
        for observer in self._observers:
            observer.link_down(link)
        leaving = link.left or self._stopping
        event = PeerEvent.LEFT if leaving else PeerEvent.LINK_DOWN
        self._feed(event, address, link.peer.incarnation)

    def tick(self, now: float) -> None:
        """Let every link look at the clock, and end what has waited for too long."""
        for link in self.open:
            link.tick(now)
            suspect = link.silent >= SUSPICION
            if suspect is not link.suspect:
                link.suspect = suspect
                event = PeerEvent.SILENT if suspect else PeerEvent.HEARD
                self._feed(event, link.address, link.peer.incarnation)
        self._part_with(self._lives.tick(now))

    async def stop(self) -> None:
        """End all links and wait until they have ended."""
        self._stopping = True
        for link in list(self._all):
            link.end("the node is stopping", leaving=True)
        for address, expected in self._expected.items():
            if expected.task is not None and address not in self._open:
                expected.task.cancel()
        try:
            async with asyncio.timeout(SETTLING_TIME):
                await self._quiet.wait()
        except TimeoutError:
            logger.info("some links did not end in time")
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()  # their own callbacks may come a turn of the loop later
        self._part_with(self._lives.end())

    # ---------------------------------------------------------------- envelopes

    def _receive(self, link: Link, envelope: pb.Envelope) -> None:
        if link.reason and envelope.kind != pb.GOODBYE:
            # Whoever served its sessions was told of the end: a mirror that is made
            # now would answer on a link that carries nothing any more, for ever.
            self._metrics.dropped["link", "ended"] += 1
            return
        act = self._acts.get(envelope.kind)
        if act is None:
            self._metrics.dropped["link", "unsupported"] += 1
            link.send(pb.Envelope(kind=pb.UNSUPPORTED, id=envelope.kind))
            return
        try:
            act(link, envelope)
        except FAILURES:
            name = pb.Kind.Name(envelope.kind)
            logger.exception("%s from %s failed", name, link.address)

    @staticmethod
    def _on_ping(link: Link, envelope: pb.Envelope) -> None:
        link.send(pb.Envelope(kind=pb.PONG, id=envelope.id))

    @staticmethod
    def _on_unsupported(link: Link, envelope: pb.Envelope) -> None:
        logger.warning("%s does not act upon kind %d", link.address, envelope.id)

    def _gauges(self) -> list[Gauge]:
        text = "Links to other nodes that are open."
        number = sum(link.state is LinkState.OPEN for link in self._open.values())
        peers = (
            "Peers that this node keeps something for, by where it stands; gone are "
            "members that it has had no link with for longer than that, or never."
        )
        numbers = self._lives.numbers
        numbers[PeerState.GONE] = sum(
            it.listed and self._lives.get(address) is None
            for address, it in self._expected.items()
        )
        waits = "Bytes that wait to be sent on a link."
        took = "What the last ping on a link took."
        links = [(link, {"peer": link.address}) for link in self.open]
        return [
            *(
                ("nano_link_waiting_bytes", waits, peer, link.outbox.waiting)
                for link, peer in links
            ),
            *(
                ("nano_link_round_trip_seconds", took, peer, link.round_trip)
                for link, peer in links
            ),
            ("nano_links", text, {}, number),
            *(
                ("nano_peers", peers, {"state": state.value}, numbers[state])
                for state in PeerState
            ),
        ]
