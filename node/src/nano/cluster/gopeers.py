"""The Go nodes of the cluster, as this node talks to them.

A Go node has no link.  It is told things by nano's unary calls, each session's in their
order (:mod:`nano.cluster.lanes`), and it says which services it has, not which routes.
What is said and why is for :mod:`nano.cluster.gobackends` and
:mod:`nano.cluster.gogates`; this module knows who is there, and who cannot be reached.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Protocol

import grpc

from nano.cluster.lanes import Errand, Lanes
from nano.cluster.members import Member
from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.peer import DEADLINE, MESSAGE_LIMIT, PeerError

__all__ = ["LARGEST_PAYLOAD", "GoPeer", "GoPeers", "MessagePeer"]

logger = logging.getLogger(__name__)

LARGEST_PAYLOAD: Final = MESSAGE_LIMIT - 1024  # the rest is for address, route and ids
REST: Final = 1.0  # seconds that a node is left alone after it could not be reached
DOUBT: Final = 5.0  # seconds that it gets no new sessions after it did not answer
MOST_STRANGERS: Final = 64  # gates that a Go master has forgotten to tell us of
NOBODY: Final = 0  # no session has this id: nano's are times, ours are above 2^62
FLUSH_TIME: Final = 1.0  # seconds for what is still to be said when this node stops

Failed = Callable[[PeerError], None]


class MessagePeer(Protocol):
    """What messages are sent by: :class:`~nano.cluster.peer.Peer`, or a part of it."""

    async def handle_request(
        self, message: pb.RequestMessage, deadline: float = DEADLINE
    ) -> None:
        """Have the node handle a request."""

    async def handle_notify(
        self, message: pb.NotifyMessage, deadline: float = DEADLINE
    ) -> None:
        """Have the node handle a notify."""

    async def handle_push(
        self, message: pb.PushMessage, deadline: float = DEADLINE
    ) -> None:
        """Have the gate push to one of its clients."""

    async def handle_response(
        self, message: pb.ResponseMessage, deadline: float = DEADLINE
    ) -> None:
        """Have the gate answer one of its clients."""

    async def session_closed(self, session_id: int, deadline: float = DEADLINE) -> None:
        """Tell the node that a client is gone."""

    async def close_session(self, session_id: int, deadline: float = DEADLINE) -> None:
        """Have the gate close one of its clients."""


class GoPeer:
    """One Go node.

    Attributes:
        address: Where it is.
        services: What it offers.
        lanes: What waits to be said to it.
        down: It could not be reached, and is not tried for a moment.
        doubtful: It did not answer in time, as when it is frozen: others are preferred.
        kind: Of which it does not tell.
        version: Of which it does not tell.
        draining: Of which it does not tell.
    """

    kind: Final = ""
    version: Final = ""
    draining: Final = False

    def __init__(
        self,
        address: str,
        services: Iterable[str],
        way: Callable[[], MessagePeer],
        time: Callable[[], float],
        eased: Callable[[str, int], None],
        lost: Callable[[str], None],
    ) -> None:
        self.address = address
        self.services = frozenset(services)
        self.lanes = Lanes(address, time, partial(eased, address))
        self._way = way
        self._lost = partial(lost, address)
        self._time = time
        self._down_until = 0.0
        self._doubtful_until = 0.0
        self._knocking = False

    @property
    def down(self) -> bool:
        """It could not be reached less than a second ago."""
        return self._time() < self._down_until

    @property
    def suspect(self) -> bool:
        """It is :attr:`doubtful`, in the words of links."""
        return self.doubtful

    @property
    def doubtful(self) -> bool:
        """It has left a call unanswered not long ago."""
        return self._time() < self._doubtful_until

    def request(self, message: pb.RequestMessage, failed: Failed) -> int:
        """Have the node handle a request; return how many of the session's wait."""
        call = partial(self._way().handle_request, message)
        size = len(message.data)
        errand = Errand("HandleRequest", call, self._noting(failed), size)
        return self.lanes.put(message.sessionId, errand)

    def notify(self, message: pb.NotifyMessage, failed: Failed) -> int:
        """Have the node handle a notify; return how many of the session's wait."""
        call = partial(self._way().handle_notify, message)
        size = len(message.data)
        errand = Errand("HandleNotify", call, self._noting(failed), size)
        return self.lanes.put(message.sessionId, errand)

    def push(self, message: pb.PushMessage, failed: Failed, *, patient: bool) -> None:
        """Have the gate push; *patient*: again while the client's buffer is full."""
        call = partial(self._way().handle_push, message)
        size = len(message.data)
        errand = Errand("HandlePush", call, self._noting(failed), size, patient=patient)
        self.lanes.put(message.sessionId, errand)

    def respond(self, message: pb.ResponseMessage, failed: Failed) -> None:
        """Have the gate answer its client."""
        call = partial(self._way().handle_response, message)
        size = len(message.data)
        errand = Errand(
            "HandleResponse", call, self._noting(failed), size, patient=True
        )
        self.lanes.put(message.sessionId, errand)

    def session_closed(self, session_id: int) -> None:
        """Tell the node that a client of ours is gone, behind all that it has said."""
        call = partial(self._way().session_closed, session_id)
        errand = Errand("SessionClosed", call, self._noting(_debug))
        self.lanes.put(session_id, errand)

    def close_session(
        self, session_id: int, done: Callable[[], None], failed: Failed
    ) -> None:
        """Have the gate close a client, behind all that it was sent."""
        call = partial(self._way().close_session, session_id)
        errand = Errand("CloseSession", call, self._noting(failed), done=done)
        self.lanes.put(session_id, errand)

    def knock(self) -> None:
        """Find out whether there is still a process; if not, it is noted as lost.

        nano has no call for it.  That a client has left which never was one is what
        every version of it takes, without any effect.
        """
        if self._knocking:
            return
        self._knocking = True
        call = partial(self._way().session_closed, NOBODY)
        failed = self._noting(self._knocked)
        errand = Errand("SessionClosed", call, failed, done=self._knocked)
        self.lanes.put(NOBODY, errand)

    def _knocked(self, _: PeerError | None = None) -> None:
        self._knocking = False

    async def probe(self, session_id: int) -> bool:
        """Ask a gate whether it still has a client of that id.

        nano has no call for it.  An answer to no request is refused in different
        words for a client that is there, one that has gone and one that is unknown.

        Raises:
            PeerError: It does not say.
        """
        message = pb.ResponseMessage(sessionId=session_id)
        try:
            await self._way().handle_response(message, DEADLINE)
        except PeerError as error:
            if error.status is not grpc.StatusCode.UNKNOWN:
                self._note(error)
                raise
            return "notify mode" in error.details
        return True  # a later nano, which takes it

    def _noting(self, failed: Failed) -> Failed:
        def both(error: PeerError) -> None:
            failed(error)
            self._note(error)

        return both

    def _note(self, error: PeerError) -> None:
        """Leave the node alone for a moment if it cannot be reached."""
        was_down = self.down
        if error.status is grpc.StatusCode.UNAVAILABLE:
            self._down_until = self._time() + REST
        elif error.status is grpc.StatusCode.DEADLINE_EXCEEDED:
            self._doubtful_until = self._time() + DOUBT
        if self.down and not was_down:
            logger.warning("%s; not tried again for %g s", error, REST)
            if error.refused:
                self._lost()


def _debug(error: PeerError) -> None:
    logger.debug("%s", error)


class GoPeers:
    """All Go nodes that this node knows.

    Args:
        way: Returns what calls to an address are made by.
        time: The clock for deadlines.
    """

    def __init__(
        self, way: Callable[[str], MessagePeer], time: Callable[[], float]
    ) -> None:
        self._way = way
        self._time = time
        self._peers: dict[str, GoPeer] = {}
        self._strangers: dict[str, GoPeer] = {}  # no members, by address
        self._serving: dict[str, dict[str, GoPeer]] = {}  # by service, then address
        self._awaited: dict[str, asyncio.Event] = {}  # members to be, by address
        self._waiting = 0  # calls that wait for one of them
        self._gone: list[Callable[[str], None]] = []
        self._eased: list[Callable[[str, int], None]] = []

    def on_gone(self, callback: Callable[[str], None]) -> None:
        """Have *callback* called with the address of each node that goes.

        Or whose process is gone, as nobody listens there: maybe more than once.
        """
        self._gone.append(callback)

    def on_eased(self, callback: Callable[[str, int], None]) -> None:
        """Have *callback* called when little waits for a node, with the session."""
        self._eased.append(callback)

    # ------------------------------------------------------------------ members

    def add(self, member: Member) -> None:
        """Take *member*, a Go node, in; or what is new about it."""
        address = member.address
        peer = self._peers.get(address) or self._strangers.pop(address, None)
        if peer is None:
            peer = self._make(address, member.services)
        self._peers[address] = peer
        self._awaited.pop(address, asyncio.Event()).set()
        self._forget(peer)
        peer.services = frozenset(member.services)
        for service in peer.services:
            self._serving.setdefault(service, {})[address] = peer

    def remove(self, address: str, reason: str = "not a member any more") -> None:
        """Let a node go: what waits for it comes to nothing."""
        peer = self._peers.pop(address, None) or self._strangers.pop(address, None)
        if peer is not None:
            self._forget(peer)
            peer.lanes.close(reason)
            self._call_gone(address)

    def _forget(self, peer: GoPeer) -> None:
        for service in peer.services:
            serving = self._serving.get(service, {})
            serving.pop(peer.address, None)
            if not serving:
                self._serving.pop(service, None)

    def _make(self, address: str, services: Iterable[str] = ()) -> GoPeer:
        way = partial(self._way, address)
        return GoPeer(
            address, services, way, self._time, self._call_eased, self._call_gone
        )

    def _call_gone(self, address: str) -> None:
        for callback in self._gone:
            callback(address)

    def _call_eased(self, address: str, session: int) -> None:
        for callback in self._eased:
            callback(address, session)

    def stranger(self, address: str) -> GoPeer | None:
        """Return the way to a node that is no member; none if there are too many."""
        peer = self._strangers.get(address)
        if peer is None and len(self._strangers) < MOST_STRANGERS:
            peer = self._strangers[address] = self._make(address)
        return peer

    async def arrived(self, address: str, timeout: float) -> GoPeer | None:
        """Wait for a node to be a member; none if it takes longer than *timeout*."""
        if self._waiting >= MOST_STRANGERS:
            return None
        event = self._awaited.setdefault(address, asyncio.Event())
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting -= 1
            if self._awaited.get(address) is event:
                del self._awaited[address]
        return self._peers.get(address)

    # ----------------------------------------------------------------- questions

    def get(self, address: str) -> GoPeer | None:
        """Return the Go node at *address*, if it is a member."""
        return self._peers.get(address)

    @property
    def all(self) -> list[GoPeer]:
        """The Go nodes that are members."""
        return list(self._peers.values())

    @property
    def addresses(self) -> list[str]:
        """Where Go nodes are, members or not."""
        return [*self._peers, *self._strangers]

    def has(self, service: str) -> bool:
        """Tell whether a Go node offers *service*, reachable or not."""
        return service in self._serving

    def serving(self, service: str) -> list[GoPeer]:
        """Return the Go nodes that offer *service* and can be reached.

        Those that answer, if there are any.
        """
        peers = self._serving.get(service, {})
        up = [it for it in peers.values() if not it.down]
        return [it for it in up if not it.doubtful] or up

    async def stop(self) -> None:
        """Say what is still to be said, and let everybody go."""
        peers = [*self._peers.values(), *self._strangers.values()]
        for peer in peers:
            await peer.lanes.flush(FLUSH_TIME / len(peers))
        for address in [peer.address for peer in peers]:
            self.remove(address, "this node is stopping")
        for peer in peers:
            await peer.lanes.flush(FLUSH_TIME)
