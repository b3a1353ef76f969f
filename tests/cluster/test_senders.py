"""Which Go gate a call comes from, by its connection."""

from __future__ import annotations

from nano.cluster.senders import MOST_KNOWN, Senders

ONE, TWO = "10.0.0.1:33", "10.0.0.2:33"


def test_a_connection_that_one_gate_has_used_is_its_own() -> None:
    senders = Senders()
    senders.learn("ipv4:10.0.0.9:5001", ONE)
    senders.learn("ipv4:10.0.0.9:5002", TWO)
    assert senders.who("ipv4:10.0.0.9:5001", [ONE, TWO]) == ONE
    assert senders.who("ipv4:10.0.0.9:5002", [ONE, TWO]) == TWO


def test_a_connection_that_several_have_used_tells_nothing() -> None:
    senders = Senders()
    for gate in (ONE, TWO, ONE):
        senders.learn("ipv4:10.0.0.1:5001", gate)
    assert senders.who("ipv4:10.0.0.1:5001", [ONE]) is None


def test_the_only_go_node_of_a_machine_is_known_by_that() -> None:
    senders = Senders()
    assert senders.who("ipv4:10.0.0.2:5001", [ONE, TWO]) == TWO
    assert senders.who("ipv4:10.0.0.3:5001", [ONE, TWO]) is None
    assert senders.who("ipv4:10.0.0.2:5001", [ONE, TWO, "10.0.0.2:34"]) is None
    assert senders.who("ipv6:%5Bfd00::1%5D:5001", ["[fd00::1]:33", ONE]) == (
        "[fd00::1]:33"
    )
    assert senders.who("unix:", [ONE]) is None


def test_a_node_that_is_known_by_name_may_be_on_any_machine() -> None:
    assert Senders().who("ipv4:10.0.0.2:5001", [TWO, "gate.games:33"]) is None
    assert Senders().who("ipv4:10.0.0.2:5001", ["gate.games:33"]) is None


def test_a_gate_that_has_gone_is_forgotten() -> None:
    senders = Senders()
    senders.learn("ipv4:10.0.0.9:5001", ONE)
    senders.forget(ONE)
    assert senders.who("ipv4:10.0.0.9:5001", [ONE, TWO]) is None


def test_what_is_known_is_bounded() -> None:
    senders = Senders()
    for port in range(MOST_KNOWN + 1):
        senders.learn(f"ipv4:10.0.0.9:{port}", ONE)
    assert senders.who("ipv4:10.0.0.9:0", []) is None
    assert senders.who("ipv4:10.0.0.9:1", []) == ONE
