"""Several nodes write into one session at once, and nothing is lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano import Session
from nano.cluster.link import Link
from nano.cluster.pb import link_pb2 as pb
from nano.cluster.routes import introduce
from nano.testing.memory import stream_pair

from .nodes import GATE, ONE, TWO, Gate, Node, Shop, sent_on
from .peers import Network, hello

BACKENDS = (ONE, TWO)


class Way:
    """Gate and one backend, with every envelope between them in our hands."""

    def __init__(self, network: Network, gate: Gate, address: str) -> None:
        self.gate = gate
        self.node = Node(network, address, Shop())
        there, back = stream_pair()
        self.there = Link(there, hello(GATE), gate.metrics, network.clock)
        self.there.address = address
        self.back = Link(back, hello(address), self.node.metrics, network.clock)
        self.back.address = GATE
        self.to_mirror: deque[pb.Envelope] = deque()
        self.to_home: deque[pb.Envelope] = deque()

    def tell(self, session: Session) -> None:
        """Do as for a message: introduce the session if its mirror is stale."""
        if session.mirrors.get(self.there.address) != session.version:
            introduce(session, self.there)
            self.to_mirror.extend(sent_on(self.there))

    def arrive(self) -> None:
        """Deliver the next envelope at the mirror."""
        if self.to_mirror:
            self.node.links._receive(self.back, self.to_mirror.popleft())

    def apply(self) -> None:
        """Deliver the next envelope at the home."""
        self.to_home.extend(sent_on(self.back))
        if self.to_home:
            self.gate.links._receive(self.there, self.to_home.popleft())

    def settle(self) -> None:
        """Deliver all that is on its way to the home."""
        self.apply()
        while self.to_home:
            self.apply()


class World:
    """One session with its home and two mirrors."""

    def __init__(self) -> None:
        network = Network()
        self.gate = Gate(network, GATE)
        self.home = self.gate.client().session
        self.ways = [Way(network, self.gate, address) for address in BACKENDS]
        for way in self.ways:
            way.tell(self.home)
            way.arrive()

    def mirror(self, number: int) -> Session:
        session = self.ways[number].node.sessions.get(self.home.id)
        assert session is not None
        return session

    def settle(self) -> None:
        """Deliver everything, then one more message to each mirror."""
        for way in self.ways:
            way.settle()
        for way in self.ways:
            way.tell(self.home)
            while way.to_mirror:
                way.arrive()


KEYS = st.sampled_from(["x", "y"])
NODES = st.integers(0, 1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["set", "remove"]), st.integers(0, 2), KEYS),
        st.tuples(st.sampled_from(["tell", "arrive", "apply"]), NODES, st.just("")),
        st.tuples(st.sampled_from(["bind", "clash"]), NODES, KEYS),
    ),
    max_size=60,
)


@given(STEPS)
def test_no_interleaving_loses_what_one_node_alone_writes(
    steps: Sequence[tuple[str, int, str]],
) -> None:
    world = World()
    expected: dict[str, int] = {}
    for count, (what, number, key) in enumerate(steps):
        session = world.mirror(number) if number < 2 else world.home
        own = f"{number} {key}"  # nobody else writes it
        if what == "set":
            session.set(own, count)
            expected[own] = count
        elif what == "remove":
            session.remove(own)
            expected.pop(own, None)
        elif what == "bind":
            session.bind(key)
        elif what == "clash":
            session.set("common", count)
        elif what == "tell":
            world.ways[number].tell(world.home)
        elif what == "arrive":
            world.ways[number].arrive()
        else:
            world.ways[number].apply()
    world.settle()
    home = world.home
    assert {k: v for k, v in home.data.items() if k != "common"} == expected
    for number in range(2):
        mirror = world.mirror(number)
        assert (mirror.uid, mirror.data) == (home.uid, home.data)
    assert not world.gate.metrics.dropped


def test_a_change_is_all_that_travels() -> None:
    world = World()
    mirror = world.mirror(0)
    mirror.set("a", {"b": [1]})
    mirror.bind("ann")
    mirror.remove("c")
    changes = [envelope.change for envelope in sent_on(world.ways[0].back)]
    assert [(it.uid, dict(it.set), list(it.removed)) for it in changes] == [
        ("", {"a": b'{"b":[1]}'}, []),
        ("ann", {}, []),
        ("", {}, ["c"]),
    ]


def test_a_mirror_that_alone_has_written_is_not_told_again() -> None:
    world = World()
    mirror = world.mirror(0)
    mirror.set("a", 1)
    mirror.set("b", 2)
    world.ways[0].settle()
    for way in world.ways:
        way.tell(world.home)
    assert [len(way.to_mirror) for way in world.ways] == [0, 1]


def test_what_two_nodes_write_together_is_still_limited(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    for number in range(2):
        world.mirror(number).set(f"k{number}", "x" * 10_000)
    world.settle()
    assert list(world.home.data) == ["k0"]
    assert world.mirror(1).data == world.home.data
    assert world.gate.metrics.dropped == {("session", "data-too-large"): 1}
    assert f"{TWO} wrote too much" in caplog.text


def test_values_that_are_stored_together_travel_together() -> None:
    world = World()
    world.mirror(0).update({"a": 1, "b": 2})
    (envelope,) = sent_on(world.ways[0].back)
    assert dict(envelope.change.set) == {"a": b"1", "b": b"2"}
    assert not envelope.change.cleared


def test_who_logs_out_on_one_node_is_forgotten_on_all() -> None:
    world = World()
    first, second = world.mirror(0), world.mirror(1)
    second.bind("ann")
    second.update({"a": 1, "b": 2})
    world.settle()
    assert (first.uid, first.data) == ("ann", {"a": 1, "b": 2})
    first.clear()
    first.set("c", 3)
    world.settle()
    for session in (world.home, first, second):
        assert (session.uid, session.data) == ("", {"c": 3})
    first.clear()
    first.bind("bob")
    world.settle()
    assert (second.uid, second.data) == ("bob", {})
