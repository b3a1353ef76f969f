"""A cluster of membership machines on a network that is moved by hand.

Nothing here has a socket, a task or a clock: calls wait in a list until somebody
delivers or loses them, in any order, and time is a number.  Go nodes are played by
:class:`GoNode`, which keeps the defects of nano's tables, so that a second
announcement of the same thing shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from nano.cluster.members import Member
from nano.cluster.membership import (
    Action,
    Announce,
    Delivered,
    DelMember,
    Heartbeat,
    HeartbeatAnswered,
    HeartbeatFailed,
    Leaving,
    Listing,
    MemberAdded,
    MemberChanged,
    MemberRemoved,
    NewMember,
    Refused,
    Register,
    Registered,
    RegisterFailed,
    Registering,
    SelfChanged,
    SendHeartbeat,
    Undelivered,
    Unregister,
    Unregistering,
)
from nano.cluster.registrar import Registrar
from nano.cluster.roster import Roster

STEP = 0.25
"""Seconds between ticks, as in the real server."""

MASTER = "m"


@dataclass
class GoNode:
    """A Go nano member: its service table is a list that nobody tidies."""

    me: Member
    interval: float
    table: list[Member] = field(default_factory=list)
    beat_at: float = 0.0
    registered: bool = False
    waiting: bool = False

    def tick(self, now: float) -> list[Action]:
        if self.waiting:
            return []
        if not self.registered:
            self.waiting = True
            return [Register()]
        if now < self.beat_at:
            return []
        self.beat_at = now + self.interval
        return [SendHeartbeat(0, 0)]

    def hear(self, change: NewMember | DelMember) -> None:
        if isinstance(change, NewMember):
            self.table.append(change.member)
            return
        # Go ranges over the slice that it shortens (nano.md E.2, 26).
        array, length = list(self.table), len(self.table)
        for i in range(len(array)):
            if array[i].address == change.address:
                if i >= length - 1:
                    length = i
                else:
                    array[i : length - 1] = array[i + 1 : length]
                    length -= 1
        self.table = array[:length]


@dataclass
class GoMaster:
    """A Go nano master; what it announces is left to the story."""

    me: Member
    members: dict[str, Member] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """Something on its way.  *fail* is fed to the caller when it does not arrive."""

    caller: str
    callee: str
    words: str
    arrive: Callable[[], None]
    fail: Callable[[bool], None]
    noted: Callable[[], None] | None = None  # arrive, but nobody learns of it


Node = Roster | GoNode


class Simulation:
    """Machines, and the calls between them; every step is logged in words."""

    def __init__(self) -> None:
        self.now = 0.0
        self.master: Registrar | GoMaster | None = None
        self.nodes: dict[str, Node] = {}
        self.frozen: set[str] = set()
        self.calls: list[Call] = []
        self.log: list[str] = []
        self.lists: dict[tuple[int, int], dict[str, Member]] = {}
        self._lives = 0

    # People's commands

    def start_master(self, *, go: bool = False) -> None:
        if go:
            self.master = GoMaster(Member(address=MASTER))
            return
        life = self._new_life()
        me = Member(address=MASTER, incarnation=life, role="master", heartbeat=1.0)
        self.master = Registrar(me, epoch=life)
        self._note_list()

    def start(self, name: str, services: tuple[str, ...], heartbeat: float) -> None:
        me = Member(
            address=name,
            services=services,
            incarnation=self._new_life(),
            heartbeat=heartbeat,
        )
        self._replace(name, Roster(me, jitter=lambda: 1.0))

    def start_go(self, name: str, services: tuple[str, ...], heartbeat: float) -> None:
        self._replace(name, GoNode(Member(address=name, services=services), heartbeat))

    def kill(self, name: str) -> None:
        """End a process without a word; what it sent may still arrive."""
        if name == MASTER:
            self.master = None
        else:
            del self.nodes[name]
        self.frozen.discard(name)
        self._forget_outcomes(name)

    def stop(self, name: str) -> None:
        node = self.nodes[name]
        if isinstance(node, Roster):
            self._do(name, node.feed(Leaving(), self.now))
        else:
            self._do(name, [Unregister()])
        del self.nodes[name]
        self._forget_outcomes(name)

    def say(self, name: str, services: tuple[str, ...]) -> None:
        node = self.nodes[name]
        assert isinstance(node, Roster)
        changed = replace(node.me, services=services)
        self._do(name, node.feed(SelfChanged(changed), self.now))

    def hear(self, name: str, change: NewMember | DelMember) -> None:
        self._hear(name, change)

    def tick(self, elapsed: float = STEP) -> None:
        """Let time pass for everybody who is awake; nothing is delivered."""
        self.now += elapsed
        if isinstance(self.master, Registrar) and MASTER not in self.frozen:
            self._do(MASTER, self.master.tick(self.now))
        for name, node in list(self.nodes.items()):
            if name not in self.frozen:
                self._do(name, node.tick(self.now))

    def deliver(self, index: int = 0) -> None:
        """Let one call arrive, or fail where nobody is there or awake."""
        call = self.calls.pop(index)
        if call.callee in self.frozen:
            call.fail(False)
        elif not self._is_up(call.callee):
            call.fail(True)
        else:
            call.arrive()

    def lose(self, index: int = 0, *, unnoticed: bool = False) -> None:
        """The caller's deadline passes; *unnoticed*: the call arrived in truth."""
        call = self.calls.pop(index)
        if unnoticed and call.noted and self._is_up(call.callee):
            call.noted()
        call.fail(False)

    def settle(self, *, newest_first: bool = False) -> None:
        """Deliver until nothing is on its way."""
        for _ in range(100_000):
            if not self.calls:
                return
            self.deliver(-1 if newest_first else 0)
        raise AssertionError("the calls never end")

    def run(self, seconds: float) -> None:
        """Let time pass on a good network."""
        for _ in range(round(seconds / STEP)):
            self.tick()
            self.settle()

    def views(self) -> list[str]:
        """What everybody believes, in words."""
        lines = []
        if isinstance(self.master, Registrar):
            lines.append(f"m lists {_names(self.master.members.values())}")
        for name, node in sorted(self.nodes.items()):
            if isinstance(node, Roster):
                words = f"{name} ({node.standing.value}) knows "
                lines.append(words + _names(node.members.values()))
            else:
                lines.append(f"{name} (Go) has {_names(node.table)}")
        return lines

    # The network

    def _do(self, name: str, actions: list[Action]) -> Listing | Refused | None:
        """See to a machine's actions; its answer to a caller is given back."""
        if name == MASTER:
            self._note_list()
        answer: Listing | Refused | None = None
        for action in actions:
            match action:
                case Listing() | Refused():
                    answer = action
                case Announce():
                    self._say(name, f"tells {action.to}: {_change(action.change)}")
                    self._announce(action)
                case Register():
                    self._say(name, "registers")
                    self._register(name)
                case SendHeartbeat():
                    self._heartbeat(name, action)
                case Unregister():
                    self._say(name, "leaves")
                    self._unregister(name)
                case MemberAdded(member):
                    self._say(name, f"+ {_name(member)}")
                case MemberRemoved(member):
                    self._say(name, f"- {_name(member)}")
                    if name == MASTER:
                        self._hang_up(member.address)
                case MemberChanged(_, member):
                    self._say(name, f"~ {_name(member)}")
        return answer

    def _announce(self, action: Announce) -> None:
        def noted() -> None:
            self._hear(action.to, action.change)

        def arrive() -> None:
            noted()
            self._tell_master(Delivered(action.to, action.incarnation))

        def fail(refused: bool) -> None:
            why = "nobody there" if refused else "no answer"
            self._say(MASTER, f"could not tell {action.to}: {why}")
            self._tell_master(Undelivered(action.to, action.incarnation, refused))

        words = f"announcement {_change(action.change)}"
        self.calls.append(Call(MASTER, action.to, words, arrive, fail, noted))

    def _register(self, name: str) -> None:
        node = self.nodes[name]

        def arrive() -> None:
            self._do_register(name, node)

        def fail(_: bool) -> None:
            self._answer_register(name, node, None)

        self._send(name, MASTER, "register", arrive, fail)

    def _do_register(self, name: str, node: Node) -> None:
        if isinstance(self.master, GoMaster):
            others = [m for a, m in self.master.members.items() if a != name]
            listing = Listing(0, 0, (self.master.me, *others))
            self.master.members[name] = node.me
            answer: Listing | Refused | None = listing
        else:
            assert self.master is not None
            actions = self.master.feed(Registering(node.me), self.now)
            answer = self._do(MASTER, actions)
        if isinstance(answer, Listing):
            members = tuple(it for it in answer.members if it.address != name)
            answer = replace(answer, members=members)

        def arrive() -> None:
            self._answer_register(name, node, answer)

        def fail(_: bool) -> None:
            self._answer_register(name, node, None)

        self._send(MASTER, name, "registered", arrive, fail)

    def _answer_register(
        self, name: str, node: Node, answer: Listing | Refused | None
    ) -> None:
        if self.nodes.get(name) is not node:
            return
        listing = answer if isinstance(answer, Listing) else None
        if isinstance(node, GoNode):
            node.waiting = False
            if listing:
                node.registered = True
                node.table += listing.members
                node.beat_at = self.now + node.interval
        elif listing:
            event = Registered(listing.members, listing.epoch, listing.version)
            self._do(name, node.feed(event, self.now))
        else:
            self._do(name, node.feed(RegisterFailed(), self.now))

    def _heartbeat(self, name: str, action: SendHeartbeat) -> None:
        node = self.nodes[name]
        beat = Heartbeat(node.me, action.epoch, action.version)

        def arrive() -> None:
            answer = HeartbeatAnswered()
            if isinstance(self.master, GoMaster):
                self.master.members.setdefault(name, node.me)
            elif self.master is not None:
                listing = self._do(MASTER, self.master.feed(beat, self.now))
                assert isinstance(listing, Listing)
                answer = HeartbeatAnswered(
                    listing.epoch, listing.version, listing.members
                )
            if isinstance(node, Roster):
                self._send(MASTER, name, "answer", lambda: back(answer), fail)

        def back(answer: HeartbeatAnswered) -> None:
            if self.nodes.get(name) is node and isinstance(node, Roster):
                self._do(name, node.feed(answer, self.now))

        def fail(refused: bool) -> None:
            if self.nodes.get(name) is node and isinstance(node, Roster):
                self._do(name, node.feed(HeartbeatFailed(refused), self.now))

        self._send(name, MASTER, "heartbeat", arrive, fail)

    def _unregister(self, name: str) -> None:
        farewell = Unregistering(name, self.nodes[name].me.incarnation)

        def arrive() -> None:
            self._tell_master(farewell)

        self._send(name, MASTER, "unregister", arrive, lambda _: None)

    def _hear(self, name: str, change: NewMember | DelMember) -> None:
        node = self.nodes[name]
        if isinstance(node, GoNode):
            node.hear(change)
        else:
            self._do(name, node.feed(change, self.now))

    def _tell_master(self, event: Delivered | Undelivered | Unregistering) -> None:
        if isinstance(self.master, Registrar):
            self._do(MASTER, self.master.feed(event, self.now))

    def _send(
        self,
        caller: str,
        callee: str,
        words: str,
        arrive: Callable[[], None],
        fail: Callable[[bool], None],
    ) -> None:
        self.calls.append(Call(caller, callee, words, arrive, fail))

    def _hang_up(self, name: str) -> None:
        """Close the channel to a member that is gone, with all that is on it."""
        announcements = [
            call
            for call in self.calls
            if call.callee == name and call.words.startswith("announcement")
        ]
        for call in announcements:
            self.calls.remove(call)

    def _forget_outcomes(self, name: str) -> None:
        """Who is gone is not told how its calls went, nor does it answer."""
        kept = []
        for call in self.calls:
            if call.caller == name and call.words in ("registered", "answer"):
                call.fail(False)
            elif call.caller == name:
                kept.append(replace(call, fail=lambda _: None))
            else:
                kept.append(call)
        self.calls = kept

    def _replace(self, name: str, node: Node) -> None:
        if name in self.nodes:
            self.kill(name)
        self.nodes[name] = node

    def _is_up(self, name: str) -> bool:
        return self.master is not None if name == MASTER else name in self.nodes

    def _note_list(self) -> None:
        if isinstance(self.master, Registrar):
            at = (self.master.epoch, self.master.version)
            self.lists[at] = dict(self.master.members)

    def _say(self, name: str, words: str) -> None:
        self.log.append(f"{name} {words}")

    def _new_life(self) -> int:
        self._lives += 1
        return self._lives * 1000  # lives that a registrar makes up lie in between


def _change(change: NewMember | DelMember) -> str:
    if isinstance(change, NewMember):
        return f"+ {_name(change.member)} @{change.version}"
    return f"- {change.address} @{change.version}"


def _name(member: Member) -> str:
    services = ",".join(member.services)
    return f"{member.address}[{services}]" if services else member.address


def _names(members: object) -> str:
    assert hasattr(members, "__iter__")
    return " ".join(sorted(_name(it) for it in members)) or "nobody"
