"""What a cluster's nodes say, put together, and when it is worth writing."""

from __future__ import annotations

import msgspec
import pytest

from nano_operator.figures import Figures, Said, SaidMember, figures_of, shown
from nano_operator.objects import Pod


def pod(name: str, role: str, ip: str = "", backend: str = "", **meta: object) -> Pod:
    labels = {"nanocluster.io/role": role} | (
        {"nanocluster.io/backend": backend} if backend else {}
    )
    return msgspec.convert(
        {
            "metadata": {"name": name, "labels": labels, **meta},
            "status": {"phase": "Running" if ip else "Pending", "podIP": ip},
        },
        Pod,
    )


MASTER = pod("master-1", "master", "10.0.0.1")
GATES = [pod("gate-1", "gate", "10.0.0.2"), pod("gate-2", "gate", "10.0.0.3")]
ROOM = pod("room-1", "backend", "10.0.0.4", backend="room")
MEMBERS = [
    SaidMember(address="10.0.0.1:7650", state="active"),
    SaidMember(address="10.0.0.4:7650", services=["Room", "Shop"], state="active"),
    SaidMember(address="10.0.0.5:7650", services=["Room"], state="active"),
]


def test_connections_are_those_of_all_gates() -> None:
    answers = {"gate-1": Said(connections=3), "gate-2": Said(connections=4)}
    figures = figures_of([MASTER, *GATES, ROOM], answers)
    assert figures.connections == 7
    assert figures.silent == ()


def test_who_did_not_answer_is_named_and_not_counted() -> None:
    figures = figures_of(GATES, {"gate-2": Said(connections=4)})
    assert (figures.connections, figures.silent) == (4, ("gate-1",))
    # an older node does not say how many clients it has
    figures = figures_of(GATES, {"gate-2": Said()})
    assert (figures.connections, figures.silent) == (None, ("gate-1", "gate-2"))


def test_gates_that_do_not_run_yet_are_not_missed() -> None:
    figures = figures_of([pod("gate-3", "gate")], {})
    assert (figures.connections, figures.silent) == (0, ())


def test_the_masters_list_counts_and_without_it_any_other() -> None:
    old = [SaidMember(address="10.0.0.9:7650", services=["Old"], state="active")]
    answers = {
        "gate-1": Said(connections=0, members=old),
        "master-1": Said(connections=0, members=MEMBERS),
    }
    pods = [*GATES, MASTER]
    assert figures_of(pods, answers).routes == {"Room": 2, "Shop": 1}
    del answers["master-1"]
    assert figures_of(pods, answers).routes == {"Old": 1}
    assert figures_of(pods, {}).routes is None


def test_who_drains_serves_nothing_new_and_is_named() -> None:
    leaving = SaidMember(address="10.0.0.4:7650", services=["Room"], state="draining")
    answers = {
        "master-1": Said(connections=0, members=[*MEMBERS[2:], leaving]),
        "gate-2": Said(connections=1, draining="sending"),
    }
    gone = pod("gate-9", "gate", deletionTimestamp="2026-05-01T12:00:00Z")
    figures = figures_of([MASTER, *GATES, ROOM, gone], answers)
    assert figures.routes == {"Room": 1}
    assert figures.drains == {"gate-2": "gate", "gate-9": "gate", "room-1": "room"}


@pytest.mark.parametrize(
    ("count", "written", "expected"),
    [
        (7, None, 7),  # nobody has said anything yet
        (8, 7, 8),
        (20, 19, 20),
        (1_040, 1_000, 1_000),  # near enough
        (1_050, 1_000, 1_000),
        (1_051, 1_000, 1_051),
        (949, 1_000, 949),
        (0, 1, 0),
        (1, 0, 1),
        (None, 1_000, None),  # unknown is not a number
    ],
)
def test_a_number_is_written_anew_when_it_has_moved(
    count: int | None, written: int | None, expected: int | None
) -> None:
    assert shown(count, written) == expected


def test_what_is_worth_telling_is_compared_with_what_was_told() -> None:
    def figures(connections: int) -> Figures:
        return Figures(gates={"gate-1": connections}, drains={})

    told = figures(1_000).coarse(None)
    assert figures(1_030).coarse(told) == told
    assert figures(1_060).coarse(told) != told
