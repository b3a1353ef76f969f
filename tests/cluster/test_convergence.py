"""Whatever happens in whatever order, in the end everybody knows everybody.

Hypothesis starts, kills, stops, freezes and thaws nodes, ours and Go, restarts the
master, and delivers or loses calls in any order; then the network is good for a
while and everybody must believe the same.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nano.cluster.members import Member
from nano.cluster.registrar import Registrar
from nano.cluster.roster import Roster

from .simulation import MASTER, GoNode, Simulation

OURS = st.sampled_from("abcd")
GO = st.sampled_from("gh")
ANYBODY = st.sampled_from("abcdgh")
SERVICES = st.sampled_from([("Chat",), ("Chat", "Room"), ("Wallet",)])


def key(member: Member) -> tuple[str, tuple[str, ...]]:
    return member.address, member.services


class Storm(RuleBasedStateMachine):
    """A cluster to which everything happens."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Simulation()
        self.cluster.start_master()
        self.master_lives = 1

    @rule(name=OURS, services=SERVICES)
    def start(self, name: str, services: tuple[str, ...]) -> None:
        self.cluster.start(name, services, heartbeat=1.0)

    @rule(name=GO, services=SERVICES)
    def start_go(self, name: str, services: tuple[str, ...]) -> None:
        self.cluster.start_go(name, services, heartbeat=1.0)

    @rule(name=ANYBODY)
    def kill(self, name: str) -> None:
        if name in self.cluster.nodes:
            self.cluster.kill(name)

    @rule(name=ANYBODY)
    def stop(self, name: str) -> None:
        if name in self.cluster.nodes and name not in self.cluster.frozen:
            self.cluster.stop(name)

    @rule(name=OURS, services=SERVICES)
    def say(self, name: str, services: tuple[str, ...]) -> None:
        if name in self.cluster.nodes and name not in self.cluster.frozen:
            self.cluster.say(name, services)

    @rule(name=ANYBODY)
    def freeze(self, name: str) -> None:
        if name in self.cluster.nodes:
            self.cluster.frozen.add(name)

    @rule(name=ANYBODY)
    def thaw(self, name: str) -> None:
        self.cluster.frozen.discard(name)

    @rule()
    def restart_the_master(self) -> None:
        self.cluster.kill(MASTER)
        self.cluster.start_master()
        self.master_lives += 1

    @rule(elapsed=st.sampled_from([0.25, 0.25, 1.0, 3.0]))
    def tick(self, elapsed: float) -> None:
        self.cluster.tick(elapsed)

    @precondition(lambda self: self.cluster.calls)
    @rule(data=st.data(), count=st.integers(1, 5))
    def deliver(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.cluster.calls))):
            self.cluster.deliver(self._pick(data))

    @precondition(lambda self: self.cluster.calls)
    @rule(data=st.data(), unnoticed=st.booleans())
    def lose(self, data: st.DataObject, unnoticed: bool) -> None:
        self.cluster.lose(self._pick(data), unnoticed=unnoticed)

    @rule()
    def settle(self) -> None:
        self.cluster.settle()

    @invariant()
    def a_roster_is_the_list_whose_number_it_bears(self) -> None:
        for roster in self.cluster.nodes.values():
            if not isinstance(roster, Roster) or not roster.epoch:
                continue
            listed = self.cluster.lists[roster.epoch, roster.version]
            others = {a: m for a, m in listed.items() if a != roster.me.address}
            known = {a: m for a, m in roster.members.items() if a in others}
            assert set(known) == set(others)
            assert [key(it) for it in known.values()] == [
                key(others[address]) for address in known
            ]
            if self.master_lives == 1:  # else members may be carried over
                assert set(roster.members) == set(others) | {roster.me.address}

    def teardown(self) -> None:
        self.cluster.frozen.clear()
        # Longer than four of nano's default intervals: until a Go member has sent
        # three heartbeats, its silence is measured with that.
        for _ in range(130):
            self.cluster.run(seconds=1.0)
            if not (differences := self._differences()):
                return
        raise AssertionError(differences)

    def _differences(self) -> list[str]:
        """Who believes something else than what is."""
        master = self.cluster.master
        assert isinstance(master, Registrar)
        nodes = self.cluster.nodes
        truth = {key(it.me) for it in nodes.values()} | {key(master.me)}
        wrong = []
        if {key(it) for it in master.members.values()} != truth:
            wrong.append(f"the master, of {truth}")
        for name, node in nodes.items():
            if isinstance(node, GoNode):
                right = self._is_right(node, truth)
            else:
                right = {key(it) for it in node.members.values()} == truth
            if not right:
                wrong.append(f"{name}, of {truth}: {self.cluster.views()}")
        return wrong

    def _is_right(self, node: GoNode, truth: set[tuple[str, tuple[str, ...]]]) -> bool:
        others = truth - {key(node.me)}
        held = [key(it) for it in node.table]
        if self.master_lives == 1:
            return sorted(held) == sorted(others)
        # Whoever left while there was no master stays in a Go node's table: the new
        # master has never heard of it.
        return others <= set(held)

    def _pick(self, data: st.DataObject) -> int:
        return data.draw(st.integers(0, len(self.cluster.calls) - 1))


Storm.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

TestInTheEndEverybodyKnowsEverybody = Storm.TestCase
