"""A network in memory with a real master, whose calls can be late or come to nothing.

The machines of membership are those of production, the registrar and a roster a node;
what :mod:`nano.cluster.drivers` does with gRPC is done here by tasks that wait a
little, or until the caller has lost patience.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping

from nano.cluster.drivers import Change
from nano.cluster.gopeers import MessagePeer
from nano.cluster.members import Member
from nano.cluster.membership import (
    Action,
    Announce,
    Delivered,
    Heartbeat,
    HeartbeatAnswered,
    HeartbeatFailed,
    Leaving,
    Listing,
    MemberAdded,
    MemberChanged,
    MemberRemoved,
    Refused,
    Register,
    Registered,
    RegisterFailed,
    Registering,
    RegistrarEvent,
    RosterEvent,
    SelfChanged,
    SendHeartbeat,
    Undelivered,
    Unregister,
    Unregistering,
)
from nano.cluster.registrar import Registrar
from nano.cluster.roster import Roster, Standing
from nano.errors import ClusterError
from nano.node.meeting import Serve
from nano.node.world import Cluster
from nano.testing.clock import ManualClock
from nano.testing.network import Network

__all__ = ["HEARTBEAT", "MasteredNetwork"]

HEARTBEAT = 1.0  # seconds between those of a member
STEP = 0.25  # seconds between two looks at the clock
PATIENCE = 0.9  # seconds that a caller waits for an answer
LONGEST_WAY = 0.05  # seconds that a call takes when nothing is wrong
MASTER = "master"


class _LostError(Exception):
    """A call has come to nothing; refused: nobody listens there."""

    def __init__(self, *, refused: bool) -> None:
        super().__init__(refused)
        self.refused = refused


class _Place:
    """A node's place, with a roster of its own."""

    def __init__(
        self,
        network: MasteredNetwork,
        me: Member,
        on_change: Callable[[Change], None],
        serve: Serve,
    ) -> None:
        self._network = network
        self.me = me
        self.on_change = on_change
        self.serve = serve
        self.roster = Roster(me, jitter=lambda: network.random.uniform(0.5, 1.0))
        self._registered = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return self.me.address

    @property
    def members(self) -> Mapping[str, Member]:
        return self.roster.members

    @property
    def list_version(self) -> int:
        return self.roster.version

    @property
    def is_master_reachable(self) -> bool:
        return self.roster.standing is Standing.JOINED

    def peer(self, address: str) -> MessagePeer:
        raise ClusterError(f"{address} cannot be a Go node: it would have no socket")

    async def start(self) -> None:
        self._network.places[self.address] = self

    async def join(self) -> None:
        self.spawn(self._tick())
        await self._registered.wait()

    def update(self, me: Member) -> None:
        self.me = me
        self.feed(SelfChanged(me))

    async def stop(self, grace: float) -> None:
        """Leave; whoever is lost says nothing."""
        del grace
        actions = self.roster.feed(Leaving(), self._network.clock.now)
        known = self._network.places.pop(self.address, None) is self
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if known and Unregister() in actions:
            with contextlib.suppress(_LostError):  # the master will notice
                await self._ask(Unregistering(self.address, self.me.incarnation))

    def spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tick(self) -> None:
        while True:
            self._act(self.roster.tick(self._network.clock.now))
            await asyncio.sleep(STEP)

    def feed(self, event: RosterEvent) -> None:
        self._act(self.roster.feed(event, self._network.clock.now))

    def _act(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Register():
                    self.spawn(self._register())
                case SendHeartbeat():
                    self.spawn(self._heartbeat(action))
                case MemberAdded() | MemberRemoved() | MemberChanged():
                    self.on_change(action)

    async def _ask(self, event: RegistrarEvent) -> Listing:
        await self._network.travel(self.address)
        answer = self._network.ask(event)
        await self._network.travel(self.address)
        return answer

    async def _register(self) -> None:
        try:
            answer = await self._ask(Registering(self.roster.me))
        except _LostError:
            self.feed(RegisterFailed())
            return
        self.feed(Registered(answer.members, answer.epoch, answer.version))
        self._registered.set()

    async def _heartbeat(self, action: SendHeartbeat) -> None:
        event = Heartbeat(self.roster.me, action.epoch, action.version)
        try:
            answer = await self._ask(event)
        except _LostError as error:
            self.feed(HeartbeatFailed(error.refused))
            return
        self.feed(HeartbeatAnswered(answer.epoch, answer.version, answer.members))


class MasteredNetwork(Network):
    """The ways between the nodes of one process, and their master.

    Attributes:
        unreached: Addresses whose calls with the master come to nothing.
        random: Decides how long calls take.
    """

    def __init__(self, clock: ManualClock, seed: int) -> None:
        super().__init__()
        self.clock = clock
        self.random = random.Random(f"{seed} master")
        self.unreached: set[str] = set()
        self.places: dict[str, _Place] = {}
        self._master: Registrar | None = None
        self._lives = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ the master

    def start_master(self) -> None:
        """Begin a new life of the master, with an empty list; it goes on ticking."""
        self._lives += 1
        life = 1_000_000 + self._lives
        me = Member(address=MASTER, role=MASTER, incarnation=life, heartbeat=HEARTBEAT)
        self._master = Registrar(me, epoch=life)
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._tick(), name="master")

    def kill_master(self) -> None:
        """Let nobody answer there."""
        self._master = None

    @property
    def listed(self) -> set[str]:
        """Whom the master lists, itself apart; nobody while there is none."""
        members = self._master.members if self._master else {}
        return set(members) - {MASTER}

    async def _tick(self) -> None:
        while True:
            if self._master is not None:
                self._act(self._master.tick(self.clock.now))
            await asyncio.sleep(STEP)

    def ask(self, event: RegistrarEvent) -> Listing:
        """Feed the registrar; return its answer, or an empty one."""
        if self._master is None:
            raise _LostError(refused=True)
        return self._act(self._master.feed(event, self.clock.now))

    def _act(self, actions: Iterable[Action]) -> Listing:
        answer = Listing(0, 0)
        for action in actions:
            match action:
                case Listing():
                    answer = action
                case Refused():
                    raise _LostError(refused=False)
                case Announce():
                    task = asyncio.create_task(self._announce(action))
                    self._calls.add(task)
                    task.add_done_callback(self._calls.discard)
        return answer

    async def _announce(self, action: Announce) -> None:
        master, to, life = self._master, action.to, action.incarnation
        event: RegistrarEvent = Delivered(to, life)
        try:
            await self.travel(to)
            place = self.places.get(to)
            if place is None:
                raise _LostError(refused=True)
            place.feed(action.change)
        except _LostError as error:
            event = Undelivered(to, life, error.refused)
        if self._master is master is not None:
            self._act(master.feed(event, self.clock.now))

    async def travel(self, address: str) -> None:
        """Take the time of a way between *address* and the master."""
        if address in self.unreached:
            await asyncio.sleep(PATIENCE)
            raise _LostError(refused=False)
        await asyncio.sleep(self.random.uniform(0, LONGEST_WAY))

    # --------------------------------------------------------------- the members

    def place(
        self,
        me: Member,
        on_change: Callable[[Change], None],
        serve: Serve,
    ) -> Cluster:
        """Return a place for the node *me*."""
        self._lives += 1
        me = dataclasses.replace(me, incarnation=self._lives, heartbeat=HEARTBEAT)
        return _Place(self, me, on_change, serve)

    def reached(self, address: str) -> Serve:
        """Return what serves links at *address*; raises if nobody is there."""
        place = self.places.get(address)
        if place is None:
            raise ClusterError(f"nobody listens at {address}")
        return place.serve

    def lose(self, address: str) -> None:
        """Let the node at *address* be gone without a word, links and all."""
        self.cut_off(address)
        self.places.pop(address, None)

    async def stop(self) -> None:
        """End the master, and the links that are still served."""
        tasks = [*self._calls, *([self._ticking] if self._ticking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().stop()
