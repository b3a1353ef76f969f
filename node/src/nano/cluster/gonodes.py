"""Messages between this node and Go nodes, both ways: nano's six unary calls.

:class:`GoNodes` puts the parts together and sorts what Go nodes send by whose session
it is about: a client of this gate (:mod:`nano.cluster.gobackends`), of a Go gate
(:mod:`nano.cluster.gogates`), or of another gate of ours, to which it is passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nano.cluster.gobackends import GoBackends
from nano.cluster.gogates import GoGates, GoHome
from nano.cluster.gopeers import GoPeers, MessagePeer
from nano.cluster.links import Links
from nano.cluster.members import Member
from nano.cluster.mirrors import MirrorHome
from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.pb import link_pb2
from nano.errors import ClusterError
from nano.protocol.messages import NOTIFY, Message
from nano.runtime.calls import Calls
from nano.runtime.dispatch import Dispatcher
from nano.runtime.session import Delivery, Session
from nano.runtime.sessions import Sessions
from nano.runtime.target import ANYONE

__all__ = ["GoNodes", "at_home"]


def at_home(session: Session) -> bool:
    """Tell whether the client of *session* is connected to this node."""
    return not isinstance(session.home, MirrorHome | GoHome)


class GoNodes:
    """This node's part in a cluster that has Go nodes; what they send is sorted here.

    It is the :class:`~nano.cluster.services.MemberCalls` of gates and backends.

    Args:
        dispatcher: Whose handlers are called, and whose routes are extended.
        calls: The handlers as nodes reach them.
        sessions: The sessions that this node holds.
        way: Returns what calls to an address are made by.
        address: Returns this node's cluster address.
        links: Returns the ways to nodes of ours.
        lenient: Tells whether the master is a Go node, so that gates may write of
            which it has told nobody.
        time: The clock.
        trusted: Go nodes reach internal handlers, too.

    Attributes:
        backends: The services of Go nodes.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        calls: Calls,
        sessions: Sessions,
        *,
        way: Callable[[str], MessagePeer],
        address: Callable[[], str],
        links: Callable[[], Links],
        lenient: Callable[[], bool],
        time: Callable[[], float],
        trusted: bool,
    ) -> None:
        self._dispatcher = dispatcher
        self._calls = calls
        self._sessions = sessions
        self._address = address
        self._links = links
        self._trusted = trusted
        self._ours: set[str] = set()  # members of our make, by address
        self._peers = GoPeers(way, time)
        self.backends = GoBackends(
            dispatcher,
            sessions,
            self._peers,
            address=address,
            timeout=dispatcher.timeout,
            at_home=at_home,
        )
        self._gates = GoGates(
            dispatcher,
            calls,
            sessions,
            self._peers,
            time=time,
            trusted=trusted,
            lenient=lenient,
        )

    # ------------------------------------------------------------------ members

    def add(self, member: Member) -> None:
        """Take note of *member*."""
        if member.is_go:
            self._peers.add(member)
        else:
            self._ours.add(member.address)

    def remove(self, address: str) -> None:
        """Let the member at *address* go."""
        self._peers.remove(address)
        self._ours.discard(address)

    def deliver(
        self, sessions: Iterable[Session], route: str, payload: bytes, how: Delivery
    ) -> int:
        """Push to those of *sessions* that are at Go gates; return how many took it."""
        return self._gates.deliver(sessions, route, payload, how)

    def tick(self, now: float) -> None:
        """Look at the clock: requests have a deadline, silent clients are asked for."""
        self.backends.tick(now)
        self._gates.tick(now)

    async def stop(self) -> None:
        """Say what is still to be said to Go nodes, and no more."""
        await self._gates.stop()
        await self._peers.stop()

    # ------------------------------------------------------- what Go nodes send

    async def handle_request(self, message: pb.RequestMessage, sender: str) -> None:
        """A client of a Go gate asks."""
        if self._is_ours(message.gateAddr):
            # nano forwards requests from the gate alone, and gates of ours have links
            text = f"a request of a client of {message.gateAddr} comes from its gate"
            raise ClusterError(text)
        await self._gates.handle_request(message, sender)

    async def handle_notify(self, message: pb.NotifyMessage) -> None:
        """A client of a Go gate tells something, or a Go node does ``session.RPC``."""
        gate = message.gateAddr
        if not self._is_ours(gate):
            await self._gates.handle_notify(message)
            return
        internal = message.route in self._dispatcher.hidden
        if internal and not self._trusted:
            self._dispatcher.metrics.dropped["go", "internal-route"] += 1
            text = f"service not found in current node: {message.route}"
            raise ClusterError(text)
        if gate == self._address():
            self._of_own(message, internal)
        else:
            self._pass_on(message)

    async def handle_push(self, message: pb.PushMessage) -> None:
        """A Go node pushes to a client of this gate."""
        await self.backends.handle_push(message)

    async def handle_response(self, message: pb.ResponseMessage) -> None:
        """A Go node answers a client of this gate."""
        await self.backends.handle_response(message)

    async def session_closed(self, session_id: int, sender: str) -> None:
        """A client of some Go gate is gone."""
        await self._gates.session_closed(session_id, sender)

    async def close_session(self, session_id: int) -> None:
        """A Go node closes a client of this gate."""
        await self.backends.close_session(session_id)

    def _is_ours(self, gate: str) -> bool:
        return gate == self._address() or gate in self._ours

    def _of_own(self, message: pb.NotifyMessage, internal: bool) -> None:
        """Take what a Go backend says for a client of this gate."""
        session = self._sessions.get(message.sessionId)
        if session is None or not at_home(session):
            raise ClusterError(f"session not found: {message.sessionId}")
        if internal:
            self._calls.tell(message.route, session, message.data, ANYONE)
        else:
            notify = Message(NOTIFY, 0, message.route, message.data)
            self._dispatcher.dispatch(session, notify)

    def _pass_on(self, message: pb.NotifyMessage) -> None:
        """Hand what a Go backend says for a client of another gate of ours to that.

        It knows the session, and to whom it is bound; a mirror that was made here on
        a Go node's word would be known to nobody, and end with nobody's word.
        """
        link = self._links().get(message.gateAddr)
        if link is None or link.outbox.full:
            raise ClusterError(f"the gate {message.gateAddr} cannot be reached")
        link.message(link_pb2.CALL, message.sessionId, 0, message.route, message.data)
