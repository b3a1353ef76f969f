"""The machines of membership, driven: actions become calls, outcomes events.

One :class:`MasterDriver` or :class:`MemberDriver` belongs to each
:class:`~nano.cluster.server.ClusterServer`.  A driver owns the tasks that its calls
run in and decides nothing about members; it survives whatever a call or the node's
own callback does, and says so in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import grpc

from nano.cluster.members import Member, from_list, to_info
from nano.cluster.membership import (
    Action,
    Announce,
    Delivered,
    DelMember,
    HeartbeatAnswered,
    HeartbeatFailed,
    Leaving,
    Listing,
    MasterCut,
    MemberAdded,
    MemberChanged,
    MemberRemoved,
    NewMember,
    Refused,
    Register,
    Registered,
    RegisterFailed,
    RegistrarEvent,
    RosterEvent,
    SelfChanged,
    SendHeartbeat,
    Undelivered,
)
from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.peer import DEADLINE, Peer, PeerError, Peers
from nano.cluster.registrar import Registrar
from nano.cluster.roster import Roster, Standing
from nano.cluster.services import Answer

__all__ = ["Change", "Driver", "MasterDriver", "MemberDriver", "Surroundings", "Tasks"]

_log: Final = logging.getLogger("nano.cluster")

Change: TypeAlias = MemberAdded | MemberRemoved | MemberChanged

REMIND: Final = 10.0
"""Seconds between two lines about a master that does not answer."""

SHORTEST_WAIT: Final = 0.25
"""The least time, in seconds, that a heartbeat's answer may take.

It must come within the interval; very short intervals are for tests, where a busy
machine is no reason to think the master lost.
"""


class Tasks:
    """Named tasks with an owner: what fails is logged, what is left is cancelled."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run *work* until it ends or :meth:`cancel` comes."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def cancel(self) -> None:
        """End them all and wait until they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("%s failed", task.get_name(), exc_info=error)


class Driver(Protocol):
    """What the server needs of either driver."""

    @property
    def members(self) -> Mapping[str, Member]:
        """By address, this node included."""

    def tick(self) -> None:
        """Let time pass."""

    @property
    def list_version(self) -> int:
        """Which list this node has."""

    @property
    def is_master_reachable(self) -> bool:
        """The master has answered last time."""

    def hear(self, event: NewMember | DelMember) -> None:
        """Take in an announcement of the master."""

    def update(self, me: Member) -> None:
        """This node has something new to say about itself."""

    async def leave(self, deadline: float) -> None:
        """Say farewell, in *deadline* seconds at most, and end all tasks."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a driver shares with the server that owns it.

    Attributes:
        peers: The ways to the members.
        clock: Seconds, from any origin.
        on_change: Is told of each change of the list.
        registered: To be set once the node is in the list.
    """

    peers: Peers
    clock: Callable[[], float]
    on_change: Callable[[Change], None]
    registered: asyncio.Event


class _Shared:
    """What both drivers do with what their machine says."""

    def __init__(self, around: Surroundings) -> None:
        self._peers = around.peers
        self._clock = around.clock
        self._on_change = around.on_change
        self._registered = around.registered
        self._tasks = Tasks()

    def _tell(self, change: Change) -> None:
        match change:
            case MemberAdded(member):
                _log.info("member %s is here: %s", member.address, _words(member))
            case MemberRemoved(member):
                _log.info("member %s is gone", member.address)
            case MemberChanged(_, member):
                _log.info("member %s changed: %s", member.address, _words(member))
        try:
            self._on_change(change)
        except Exception:
            _log.exception("the node could not follow a change of the member list")
        if isinstance(change, MemberRemoved):
            address = change.member.address
            if peer := self._peers.drop(address):
                self._tasks.spawn(peer.close(), f"close {address}")


class MasterDriver(_Shared):
    """Drives the list of a master."""

    def __init__(self, registrar: Registrar, around: Surroundings) -> None:
        super().__init__(around)
        self._registrar = registrar
        self._registered.set()

    @property
    def members(self) -> Mapping[str, Member]:
        """See :class:`Driver`."""
        return self._registrar.members

    @property
    def list_version(self) -> int:
        """See :class:`Driver`."""
        return self._registrar.version

    @property
    def is_master_reachable(self) -> bool:
        """See :class:`Driver`; it is this node."""
        return True

    def tick(self) -> None:
        """See :class:`Driver`."""
        self._act(self._registrar.tick(self._clock()))

    def ask(self, event: RegistrarEvent) -> Answer:
        """Feed the registrar, see to what follows, and give its answer back."""
        return self._act(self._registrar.feed(event, self._clock()))

    def hear(self, event: NewMember | DelMember) -> None:
        """See :class:`Driver`; the master makes the list and is told nothing."""
        _log.warning("%s was announced to the master itself; is there another?", event)

    def update(self, me: Member) -> None:
        """See :class:`Driver`."""
        self.ask(SelfChanged(me))

    async def leave(self, deadline: float) -> None:
        """See :class:`Driver`; members go on without a master, so none is told."""
        await self._tasks.cancel()

    def _act(self, actions: Iterable[Action]) -> Answer:
        answer: Answer = None
        for action in actions:
            match action:
                case Listing() | Refused():
                    answer = action
                case Announce():
                    # The way is taken now: once the member is gone, asking for it
                    # would open another one that nobody closes.
                    peer = self._peers.to(action.to)
                    self._tasks.spawn(self._announce(action, peer), f"tell {action.to}")
                case MemberAdded() | MemberRemoved() | MemberChanged():
                    self._tell(action)
        return answer

    async def _announce(self, action: Announce, peer: Peer) -> None:
        to, incarnation = action.to, action.incarnation
        try:
            await _announce(peer, action.change)
        except PeerError as error:
            _log.debug("could not announce a change: %s", error)
            self.ask(Undelivered(to, incarnation, error.refused))
        except Exception:
            self.ask(Undelivered(to, incarnation))
            raise
        else:
            self.ask(Delivered(to, incarnation))


class MemberDriver(_Shared):
    """Drives the roster of any other node."""

    def __init__(self, roster: Roster, master: str, around: Surroundings) -> None:
        super().__init__(around)
        self._roster = roster
        # Its own channel: members' channels close when the member is replaced.
        self._master = self._peers.another(master)
        self._connected = False  # when last looked at, or answered
        self._complained_at = float("-inf")

    @property
    def members(self) -> Mapping[str, Member]:
        """See :class:`Driver`."""
        return self._roster.members

    @property
    def list_version(self) -> int:
        """See :class:`Driver`."""
        return self._roster.version

    @property
    def is_master_reachable(self) -> bool:
        """See :class:`Driver`."""
        return self._roster.standing is Standing.JOINED

    def tick(self) -> None:
        """See :class:`Driver`; the end of the connection is noticed here."""
        before, self._connected = self._connected, self._master.is_connected
        if before and not self._connected:
            self._feed(MasterCut())
        self._act(self._roster.tick(self._clock()))

    def hear(self, event: NewMember | DelMember) -> None:
        """See :class:`Driver`."""
        self._feed(event)

    def update(self, me: Member) -> None:
        """See :class:`Driver`."""
        self._feed(SelfChanged(me))

    async def leave(self, deadline: float) -> None:
        """See :class:`Driver`."""
        actions = self._roster.feed(Leaving(), self._clock())
        await self._tasks.cancel()
        if actions:
            await self._unregister(deadline)
        await self._master.close()

    def _feed(self, event: RosterEvent) -> None:
        before = self._roster.standing
        self._act(self._roster.feed(event, self._clock()))
        match before, self._roster.standing:
            case Standing.LOST, Standing.JOINED:
                _log.info("the master at %s is back", self._master.address)
            case Standing.JOINED | Standing.LOST, Standing.JOINING:
                _log.warning("the master does not know this node: registering again")

    def _act(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Register():
                    self._tasks.spawn(self._register(), "register")
                case SendHeartbeat():
                    self._tasks.spawn(self._heartbeat(action), "heartbeat")
                case MemberAdded() | MemberRemoved() | MemberChanged():
                    self._tell(action)

    async def _register(self) -> None:
        request = pb.RegisterRequest(memberInfo=to_info(self._roster.me))
        try:
            answer = await self._master.register(request)
            members = from_list(answer.members)
        except PeerError as error:
            self._complain("waiting for the master", error)
            self._reconnect(error)
            self._feed(RegisterFailed())
        except Exception:
            self._feed(RegisterFailed())
            raise
        else:
            self._connected = True
            self._feed(Registered(members, answer.epoch, answer.listVersion))
            self._registered.set()
            self._complained_at = float("-inf")
            _log.info("registered with the master at %s", self._master.address)

    async def _unregister(self, deadline: float) -> None:
        me = self._roster.me
        request = pb.UnregisterRequest(
            serviceAddr=me.address, incarnation=me.incarnation
        )
        try:
            await self._master.unregister(request, deadline)
        except PeerError as error:
            _log.warning("left without a word, the master will notice: %s", error)

    async def _heartbeat(self, action: SendHeartbeat) -> None:
        me = self._roster.me
        request = pb.HeartbeatRequest(
            memberInfo=to_info(me), epoch=action.epoch, listVersion=action.version
        )
        deadline = max(min(DEADLINE, 0.9 * me.heartbeat), SHORTEST_WAIT)
        try:
            answer = await self._master.heartbeat(request, deadline)
            members = from_list(answer.members)
        except PeerError as error:
            if error.status is grpc.StatusCode.UNIMPLEMENTED:
                self._feed(HeartbeatAnswered())  # nano before v0.5.1 has no such call
                return
            self._complain("the master is lost, everything else goes on", error)
            self._reconnect(error)
            self._feed(HeartbeatFailed(error.refused))
        except Exception:
            self._feed(HeartbeatFailed())
            raise
        else:
            self._connected = True
            event = HeartbeatAnswered(answer.epoch, answer.listVersion, members)
            self._feed(event)
            self._complained_at = float("-inf")

    def _reconnect(self, error: PeerError) -> None:
        """Leave a connection on which nothing comes back any more.

        When the master's machine dies, nobody ends the connection, and TCP gives it
        up after a quarter of an hour only; the next master is behind the same name.
        """
        if error.status is grpc.StatusCode.DEADLINE_EXCEEDED:
            before = self._master
            self._master = self._peers.another(before.address)
            self._tasks.spawn(before.close(), "close the way to the master")

    def _complain(self, what: str, error: PeerError) -> None:
        now = self._clock()
        if now >= self._complained_at + REMIND:
            self._complained_at = now
            _log.warning("%s: %s", what, error)


async def _announce(peer: Peer, change: NewMember | DelMember) -> None:
    if isinstance(change, NewMember):
        await peer.new_member(
            pb.NewMemberRequest(
                memberInfo=to_info(change.member),
                epoch=change.epoch,
                listVersion=change.version,
            )
        )
    else:
        await peer.del_member(
            pb.DelMemberRequest(
                serviceAddr=change.address,
                epoch=change.epoch,
                listVersion=change.version,
            )
        )


def _words(member: Member) -> str:
    """Describe a member for the log."""
    role = " ".join(filter(None, (member.role or "role unknown", member.kind)))
    services = ", ".join(member.services) or "no services"
    return f"{role}, {services}, {member.state.name.lower()}"
