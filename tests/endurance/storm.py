"""Let anything go wrong between the nodes of a small cluster, and see what holds.

``python -m tests.endurance.storm [--runs 500] [--seed 0]``, or ``make endurance``.  A
run is a master, two gates and up to three backends in memory, with clients that send
numbered requests and notifies and get numbered pushes, for half a minute of a manual
clock: links are cut, frozen, delayed, lose batches or bring them twice, nodes freeze,
stop, die and come back at their old addresses, and so does the master; sessions are
moved from one backend to another all the time, with their last number.  Then the
network is good again, grace passes, and this must hold:

* each request had one answer, its own, or was told 503 or 504 (404 by a new gate);
* each node took the messages of a session in the order of their numbers, each once,
  and each client got the pushes of a node in the order of theirs;
* components were told of the beginning and of the end of each session, once;
* everybody lists everybody, and is linked with everybody;
* what was stored in a session stays, and is the same in its mirrors;
* no node holds a session, mirror, binding, membership or request whose client is gone.

The same seed gives the same faults; a run that fails tells its seed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from nano import Component, RequestError, Session, handler
from nano.cluster.mirrors import MirrorHome
from nano.cluster.peerstates import PeerState
from nano.errors import ConnectionClosed
from nano.node import Node, Role
from nano.testing import ManualClock, MemoryCluster
from nano.testing.clients import MemoryClient
from nano.testing.faults import Line
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
)

from .mastered import HEARTBEAT, MasteredNetwork

__all__ = ["Storm", "weather"]

STORM = 12.0  # seconds in which things go wrong
GRACE = 4.0  # seconds that peers are kept
CALM = 15.0  # ... until everything must be in order: grace, silence and four heartbeats
CUSTOMERS = 4
MOST_BACKENDS = 3
KIND = "rooms"


def manifest() -> NanoCluster:
    """Return two gates and as many backends, with short times."""
    return NanoCluster(
        metadata=Metadata(name="storm"),
        spec=Spec(
            settings=Settings(
                member_heartbeat_seconds=HEARTBEAT,
                request_timeout_seconds=3,
                peer_grace_seconds=GRACE,
                drain_seconds=4,
            ),
            gates=Gates(
                replicas=2,
                listeners=[Listener(name="memory", transport="tcp", port=1024)],
            ),
            backends=[
                Backend(name=KIND, replicas=2, components=["storm:Ledger"]),
            ],
        ),
    )


class Ledger(Component):
    """What the backends serve: it writes down what it gets, and in which order."""

    storm: Storm

    def __init__(self) -> None:
        self.last: dict[int, int] = {}  # number of the last message, by session
        self.open: set[int] = set()

    def session_opened(self, session: Session) -> None:
        self.storm.expect(session.id not in self.open, f"{session} began twice")
        self.open.add(session.id)

    def session_closed(self, session: Session) -> None:
        self.storm.expect(session.id in self.open, f"{session} ended twice")
        self.open.discard(session.id)

    def write(self, session: Session, number: int) -> None:
        last = self.last.get(session.id, -1)
        self.storm.expect(last < number, f"{session}: {number} after {last}")
        self.storm.expect(number not in self.storm.taken, f"{number} was taken twice")
        self.storm.taken[number] = session.id
        self.last[session.id] = number

    async def handover(self, session: Session) -> bytes:
        await asyncio.sleep(self.storm.random.uniform(0, 0.2))
        return str(self.last.pop(session.id, -1)).encode()

    async def takeover(self, session: Session, state: bytes) -> None:
        await asyncio.sleep(self.storm.random.uniform(0, 0.2))
        self.last[session.id] = int(state)

    def news(self, number: int) -> list[Any]:
        return [self.node.name, number]

    @handler
    def echo(self, session: Session, number: int) -> int:
        self.write(session, number)
        return number

    @handler
    async def slow(self, session: Session, number: int) -> int:
        self.write(session, number)
        await asyncio.sleep(0.3)
        session.push("onNote", self.news(number), delivery="drop")
        return number

    @handler
    def note(self, session: Session, number: int) -> None:
        self.write(session, number)
        session.push("onNote", self.news(number), delivery="drop")

    @handler
    def must(self, session: Session, number: int) -> None:
        self.write(session, number)
        session.push("onNote", self.news(number))

    @handler
    def know(self, session: Session, number: int) -> int:
        self.write(session, number)
        session.set("number", number)
        return number

    @handler
    def enter(self, session: Session, number: int) -> int:
        self.write(session, number)
        self.node.group("room").add(session)
        return number

    @handler
    def leave(self, session: Session, number: int) -> int:
        self.write(session, number)
        self.node.group("room").remove(session)
        return number


class Customer:
    """Somebody who comes, talks, leaves, and comes again as somebody else."""

    def __init__(self, storm: Storm, number: int) -> None:
        self.storm = storm
        self.random = random.Random(f"{storm.seed} customer {number}")
        self.client: MemoryClient | None = None
        self.last: dict[str, int] = {}

    async def live(self) -> None:
        while True:
            gates = self.storm.cluster.gates
            at = self.random.randrange(len(gates))
            try:
                await self.visit(at)
            except ConnectionClosed:
                await asyncio.sleep(0.5)

    async def visit(self, gate: int) -> None:
        self.client = client = await self.storm.cluster.connect(gate)
        self.last = {}
        client.on("onNote", self.pushed)
        talks: set[asyncio.Task[None]] = set()
        try:
            for _ in range(self.random.randrange(5, 60)):
                talks.add(asyncio.create_task(self.say(client)))
                await asyncio.sleep(self.random.uniform(0, 0.4))
                if client.closed:
                    return
        finally:
            await client.close()
            await asyncio.gather(*talks)

    def pushed(self, news: list[Any]) -> None:
        where, number = news
        last = self.last.get(where, -1)
        self.storm.expect(last < number, f"push {number} of {where} after {last}")
        self.last[where] = number

    async def say(self, client: MemoryClient) -> None:
        number = next(self.storm.numbers)
        word = self.random.choice(
            ["echo", "slow", "know", "enter", "leave", "note", "note", "must"]
        )
        try:
            if word in ("note", "must"):
                await client.notify(f"Ledger.{word}", number)
                return
            answer = await client.request(f"Ledger.{word}", number)
            self.storm.expect(answer == number, f"{number} was answered {answer}")
            self.storm.answered += 1
            if word == "know":
                session = self.storm.taken[number]
                self.storm.known.setdefault(session, set()).add(number)
        except RequestError as error:
            # 404: a gate that has just begun, and is linked with nobody yet
            right = error.status in (404, 503, 504)
            self.storm.expect(right, f"{number} was answered {error}")
            self.storm.refused += 1
        except TimeoutError:
            self.storm.expect(False, f"{number} had no answer")
        except ConnectionClosed:
            pass


class Storm:
    """One run.

    Attributes:
        seed: Decides what happens.
        trouble: What must not have happened, in the order in which it was seen.
        faults: What went wrong, with the time.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(f"{seed} weather")
        self.trouble: list[str] = []
        self.faults: list[str] = []
        self.numbers = itertools.count()
        self.taken: dict[int, int] = {}  # session by number of a message
        self.known: dict[int, set[int]] = {}  # what a session was answered, of "know"
        self.answered = self.refused = 0
        self.cluster: MemoryCluster
        self.network: MasteredNetwork
        self.clock: ManualClock
        self._leaving: list[asyncio.Task[None]] = []
        self._wounds: dict[Callable[[], object], asyncio.TimerHandle] = {}

    def expect(self, holds: bool, trouble: str) -> None:
        """Note *trouble* unless something *holds*."""
        if not holds:
            self.trouble.append(f"{self.clock.now:.2f}: {trouble}")

    async def run(self) -> None:
        """Let everything happen.

        Raises:
            AssertionError: Something did that must not; it says what, and the seed.
        """
        random.seed(self.seed)  # of choices and back-offs within the nodes
        ledger = type("Ledger", (Ledger,), {"storm": self})
        with ManualClock() as self.clock:
            self.network = MasteredNetwork(self.clock, self.seed)
            self.network.start_master()
            self.cluster = MemoryCluster(
                manifest(), components={KIND: [ledger]}, clock=self.clock
            )
            self.cluster.network = self.network
            async with self.cluster:
                await self._live()
        if self.trouble:
            lines = "\n  ".join([*self.faults, "", *self.trouble[:20]])
            raise AssertionError(f"seed {self.seed}:\n  {lines}")

    async def _live(self) -> None:
        customers = [Customer(self, number) for number in range(CUSTOMERS)]
        tasks = [asyncio.create_task(it.live()) for it in customers]
        begun = self.clock.now
        while self.clock.now < begun + STORM:
            await asyncio.sleep(self.random.uniform(0, 1))
            await self._go_wrong()
        self._calm_down()
        await asyncio.gather(*self._leaving)
        await asyncio.sleep(CALM)
        self._check_data()
        for task in tasks[::2]:  # some stay, and say no more
            task.cancel()
        await asyncio.gather(*tasks[::2], return_exceptions=True)
        for task in tasks[1::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        stay = [await self.cluster.connect(at % 2) for at in range(4)]
        await self._prove_service(stay)
        await asyncio.sleep(1)
        self._check(len(stay))

    # ------------------------------------------------------------------ the weather

    @property
    def nodes(self) -> list[Node]:
        return self.cluster.nodes

    @property
    def backends(self) -> list[Node]:
        return [it for it in self.cluster.backends[KIND] if it in self.nodes]

    async def _go_wrong(self) -> None:
        kinds: list[Callable[[], Any]] = [
            *[self._cut] * 3,
            *[self._freeze_line] * 3,
            *[self._freeze_node] * 2,
            *[self._move] * 4,
            self._lose_batches,
            self._repeat_batches,
            self._disturb,
            self._partition,
            self._kill_backend,
            self._stop_backend,
            *[self._drain_backend] * 2,
            self._start_backend,
            self._start_backend,
            self._replace_gate,
            self._lose_master,
            self._unreach,
        ]
        done = self.random.choice(kinds)()
        if done is not None:
            await done

    def _note(self, what: str) -> None:
        self.faults.append(f"{self.clock.now:.2f} {what}")

    def _line(self) -> tuple[str, Line]:
        one, other = self.random.sample(self.nodes, 2)
        return f"{one.address} - {other.address}", self.cluster.line(one, other)

    def _later(self, seconds: float, heal: Callable[[], object]) -> None:
        """Call *heal* in some *seconds*, or when calm comes."""
        self._wounds[heal] = asyncio.get_running_loop().call_later(
            seconds, lambda: self._heal(heal)
        )

    def _heal(self, heal: Callable[[], object]) -> None:
        self._wounds.pop(heal).cancel()
        heal()

    def _cut(self) -> None:
        name, line = self._line()
        self._note(f"cut {name}")
        line.cut()

    def _freeze_line(self) -> None:
        name, line = self._line()
        seconds = self.random.uniform(0.1, 9)
        self._note(f"freeze {name} for {seconds:.1f}")
        line.freeze()
        self._later(seconds, partial(Line.thaw, line))

    def _freeze_node(self) -> None:
        """It answers nobody; that it goes on itself makes it no easier."""
        node = self.random.choice(self.nodes)
        seconds = self.random.uniform(0.5, 8)
        self._note(f"freeze {node.address} for {seconds:.1f}")
        lines = self.network.lines(node.address)
        self.network.unreached.add(node.address)

        self._later(seconds, lambda: self.network.unreached.discard(node.address))
        for line in lines:
            line.freeze()
            self._later(seconds, partial(Line.thaw, line))

    def _partition(self) -> None:
        """The gates on one side, the backends on the other, cut and kept apart."""
        lines = [
            self.cluster.line(a, b) for a in self.cluster.gates for b in self.backends
        ]
        seconds = self.random.uniform(0.5, 8)
        self._note(f"partition for {seconds:.1f}")
        for line in lines:
            line.freeze()
            line.cut()
            self._later(seconds, partial(Line.thaw, line))

    def _move(self) -> None:
        """Bind everybody of a gate anew, and some of them again while they move."""
        gate = self.random.choice(self.cluster.gates)
        moved = 0
        for session in gate._sessions:
            for _ in range(self.random.randrange(1, 3)):
                members = session.router.members("Ledger")
                if members:
                    session.router.bind("Ledger", self.random.choice(members))
                    moved += 1
        self._note(f"move {moved} at {gate.address}")

    def _lose_batches(self) -> None:
        name, line = self._line()
        number = self.random.randrange(1, 4)
        self._note(f"lose {number} batches on {name}")
        self.random.choice([line.up, line.down]).drop(number)

    def _repeat_batches(self) -> None:
        name, line = self._line()
        number = self.random.randrange(1, 9)
        self._note(f"repeat {number} batches on {name}")
        self.random.choice([line.up, line.down]).duplicate(number)

    def _disturb(self) -> None:
        name, line = self._line()
        seconds = self.random.uniform(1, 6)
        self._note(f"disturb {name} for {seconds:.1f}")
        line.disturb(self.random.randrange(1000), drop=0.02, duplicate=0.1, delay=0.5)
        self._later(seconds, lambda: line.disturb(0))

    def _unreach(self) -> None:
        node = self.random.choice(self.nodes)
        seconds = self.random.uniform(1, 10)
        self._note(f"{node.address} and the master apart for {seconds:.1f}")
        self.network.unreached.add(node.address)
        self._later(seconds, lambda: self.network.unreached.discard(node.address))

    def _lose_master(self) -> None:
        seconds = self.random.uniform(0.1, 12)
        self._note(f"no master for {seconds:.1f}")
        self.network.kill_master()
        self._later(seconds, lambda: self.network.start_master())

    async def _kill_backend(self) -> None:
        if len(self.backends) > 1:
            node = self.random.choice(self.backends)
            self._note(f"kill {node.address}")
            await self.cluster.kill(node)
            if self.random.random() < 0.5:
                await asyncio.sleep(self.random.uniform(0, 1))
                await self._start(Role.BACKEND, KIND, node)

    async def _stop_backend(self) -> None:
        if len(self.backends) > 1:
            node = self.random.choice(self.backends)
            self._note(f"stop {node.address}")
            await node.stop()

    def _drain_backend(self) -> None:
        """One leaves well, or as well as the weather lets it."""
        if len(self.backends) > 1:
            node = self.random.choice(self.backends)
            self._note(f"drain {node.address}")
            leaving = asyncio.create_task(self._leave(node))
            self._leaving.append(leaving)

    async def _leave(self, node: Node) -> None:
        node.drain()
        await node.drained()
        self._note(f"stop {node.address}, drained")
        await node.stop()

    async def _start_backend(self) -> None:
        if len(self.backends) < MOST_BACKENDS:
            await self._start(Role.BACKEND, KIND, None)

    async def _replace_gate(self) -> None:
        at = self.random.randrange(2)
        node = self.cluster.gates.pop(at)
        self._note(f"kill {node.address}")
        await self.cluster.kill(node)
        await self._start(Role.GATE, None, node)
        if at == 0:
            self.cluster.gates.reverse()

    async def _start(self, role: Role, kind: str | None, again: Node | None) -> None:
        """Start a node, at the address of another one if given."""
        numbers, name = self.cluster._numbers, kind or role.value
        newest = numbers[name]
        if again is not None:
            numbers[name] = int(again.address.rpartition("-")[2]) - 1
        started = asyncio.create_task(self.cluster.start(role, kind))
        await asyncio.sleep(0)
        numbers[name] = max(newest, numbers[name])
        try:
            node = await started
        except TimeoutError:  # it runs, but is not linked with everybody yet
            node = (self.cluster.gates if kind is None else self.backends)[-1]
        self._note(f"start {node.address}")

    def _calm_down(self) -> None:
        for heal in list(self._wounds):
            self._heal(heal)
        for one, other in itertools.combinations(self.nodes, 2):
            self.cluster.line(one, other).heal()
        if not self.network.listed:
            self.network.start_master()
        self._note("calm")

    # ------------------------------------------------------------------- what holds

    async def _prove_service(self, clients: list[MemoryClient]) -> None:
        """Everybody is served, and a publish reaches everybody once."""
        for client in clients:
            for word in ("echo", "enter"):
                number = next(self.numbers)
                try:
                    answer = await client.request(f"Ledger.{word}", number)
                except (RequestError, ConnectionClosed, TimeoutError) as error:
                    answer = error
                self.expect(answer == number, f"in the calm: {number}: {answer}")
        await asyncio.sleep(1)
        for node in self.nodes:
            room = node._groups.group("room")
            room.publish("onNews", node.address)
        await asyncio.sleep(1)
        for client in clients:
            news = sorted(client.received("onNews"))
            expected = sorted(node.address for node in self.nodes)
            self.expect(news == expected, f"published {expected}, came {news}")

    def _check_data(self) -> None:
        """What a session was told to be stored is not replaced by what is older."""
        for gate in self.cluster.gates:
            for session in gate._sessions:
                known = self.known.get(session.id, set())
                number = session.data.get("number")
                stale = number in known and number != max(known)
                lost = bool(known) and number is None
                self.expect(
                    not stale and not lost, f"{session} has {number} of {known}"
                )

    def _check(self, clients: int) -> None:
        addresses = {node.address for node in self.nodes}
        self.expect(
            self.network.listed == addresses,
            f"the master lists {sorted(self.network.listed)}, not {sorted(addresses)}",
        )
        homes: dict[int, Session] = {}
        for gate in self.cluster.gates:
            homes.update((it.id, it) for it in gate._sessions)
        self.expect(len(homes) == clients, f"{len(homes)} sessions, {clients} clients")
        for node in self.nodes:
            self._check_node(node, addresses, homes)
        for number, session in homes.items():
            bound = set(session.bindings.values())
            self.expect(bound <= addresses, f"{number} is bound to {bound}")
            self.expect(
                set(session.mirrors) <= addresses, f"{number}: {session.mirrors}"
            )

    def _check_node(
        self, node: Node, addresses: set[str], homes: dict[int, Session]
    ) -> None:
        me = node.address
        members = {it for it in node._cluster.members if it != "master"}
        self.expect(members == addresses, f"{me} lists {sorted(members)}")
        linked = node.linked | {me}
        self.expect(linked == addresses, f"{me} is linked with {sorted(linked)}")
        for other in addresses - {me}:
            state = node._links.state(other)
            self.expect(state is PeerState.LINKED, f"{me}: {other} is {state.value}")
        lives = node._links._lives.numbers.total()
        self.expect(lives == len(addresses) - 1, f"{me} keeps {lives} peers")
        mirrors = dict(_mirrors(node))
        for number, mirror in mirrors.items():
            home = homes.get(number)
            self.expect(home is not None, f"{me} holds a ghost of {number}")
            if home is not None:
                current = home.mirrors.get(me) == home.version
                same = not current or dict(mirror.data) == dict(home.data)
                self.expect(same, f"{me} holds other data of {number}")
                self.expect(me in home.mirrors, f"{number} forgot its mirror at {me}")
                same = mirror.uid == home.uid and mirror.bindings.keys() <= {"Ledger"}
                self.expect(same, f"{me} holds another {number}")
        pending = self.cluster.count(node, "nano_pending_requests")
        self.expect(pending == 0, f"{me} waits for {pending} answers")
        strangers = {it.id for it in node._groups.roll.members("room")} - set(homes)
        self.expect(not strangers, f"{me} has strangers in the room: {strangers}")
        for ledger in self.cluster._worlds[node].parts:
            if isinstance(ledger, Ledger):
                same = ledger.open == set(mirrors)
                self.expect(same, f"{me} was told of {ledger.open}, not {set(mirrors)}")


def _mirrors(node: Node) -> Iterator[tuple[int, Session]]:
    for session in node._sessions:
        if isinstance(session.home, MirrorHome):
            yield session.id, session


def weather(seed: int) -> Storm:
    """Run the storm of *seed*, in an event loop of its own.

    Raises:
        AssertionError: Something happened that must not; it says what, and the seed.
    """
    storm = Storm(seed)
    asyncio.run(storm.run())
    return storm


def main() -> int:
    """Run many; tell what failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="of the first run")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # hundreds of thousands of lost links
    failed = answered = refused = 0
    for seed in range(options.seed, options.seed + options.runs):
        try:
            storm = weather(seed)
        except AssertionError as error:
            failed += 1
            print(error, flush=True)
        else:
            answered += storm.answered
            refused += storm.refused
    print(
        f"{options.runs} storms, {failed} failed; "
        f"{answered} requests answered, {refused} refused"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
