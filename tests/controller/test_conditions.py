"""What the conditions say, case by case, and that the page about them is true."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from nano_operator.conditions import (
    CONDITIONS,
    Obstacle,
    Reason,
    RoleState,
    View,
    conditions,
)
from nano_operator.objects import (
    Deployment,
    DeploymentCondition,
    DeploymentStatus,
    Meta,
)

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
DEADLINE = Obstacle(Reason.PROGRESS_DEADLINE_EXCEEDED, "Deployment arena-gate: slow")
INVALID = Obstacle(Reason.INVALID_SPEC, "spec.backends[0].components[1]: twice")


def role(
    title: str, desired: int, ready: int, *, updated: int | None = None, **more: object
) -> RoleState:
    new = ready if updated is None else updated
    return RoleState(
        title=title,
        desired=desired,
        current=bool(more.get("current", True)),
        replicas=int(str(more.get("replicas", desired))),
        updated=new,
        ready=ready,
        available=ready,
        failure=DEADLINE if more.get("stuck") else None,
    )


def view(
    master: int = 1,
    gates: RoleState | None = None,
    backends: tuple[RoleState, ...] = (),
    obstacle: Obstacle | None = None,
    pending: tuple[str, ...] = (),
) -> View:
    return View(
        master=role("master", 1, master),
        gates=gates or role("gate", 2, 2),
        backends=backends,
        obstacle=obstacle,
        pending=pending,
    )


CASES: dict[str, tuple[View, dict[str, tuple[bool, Reason]]]] = {
    "all is well": (
        view(backends=(role("backend room", 3, 3),)),
        {
            "Ready": (True, Reason.ALL_READY),
            "Available": (True, Reason.SERVING),
            "Progressing": (False, Reason.COMPLETE),
            "MasterAvailable": (True, Reason.NODES_READY),
            "GatesAvailable": (True, Reason.NODES_READY),
            "BackendsAvailable": (True, Reason.NODES_READY),
        },
    ),
    "nothing is there yet": (
        view(
            master=0,
            gates=RoleState(title="gate", desired=2),
            backends=(RoleState(title="backend room", desired=1),),
        ),
        {
            "Ready": (False, Reason.ROLLING_OUT),
            "Available": (False, Reason.MASTER_UNAVAILABLE),
            "Progressing": (True, Reason.ROLLING_OUT),
            "MasterAvailable": (False, Reason.NO_NODE_READY),
            "GatesAvailable": (False, Reason.NO_NODE_READY),
            "BackendsAvailable": (False, Reason.NO_NODE_READY),
        },
    ),
    "old gates serve while new ones come": (
        view(gates=role("gate", 2, 2, updated=1, replicas=3)),
        {
            "Ready": (False, Reason.ROLLING_OUT),
            "Available": (True, Reason.SERVING),
            "Progressing": (True, Reason.ROLLING_OUT),
            "GatesAvailable": (True, Reason.NODES_READY),
        },
    ),
    "old gates are still leaving": (
        view(gates=role("gate", 2, 2, replicas=4)),
        {"Ready": (False, Reason.ROLLING_OUT)},
    ),
    "the numbers speak of an earlier generation": (
        view(gates=role("gate", 2, 2, current=False)),
        {"Ready": (False, Reason.ROLLING_OUT), "Available": (True, Reason.SERVING)},
    ),
    "a Service is yet to be written": (
        view(pending=("Service arena-gate",)),
        {
            "Ready": (False, Reason.ROLLING_OUT),
            "Progressing": (True, Reason.ROLLING_OUT),
        },
    ),
    "the master is away": (
        view(master=0),
        {
            "Ready": (False, Reason.ROLLING_OUT),
            "Available": (False, Reason.MASTER_UNAVAILABLE),
            "MasterAvailable": (False, Reason.NO_NODE_READY),
        },
    ),
    "no gate is ready": (
        view(gates=role("gate", 2, 0)),
        {
            "Available": (False, Reason.GATES_UNAVAILABLE),
            "GatesAvailable": (False, Reason.NO_NODE_READY),
        },
    ),
    "no gate is wanted": (
        view(gates=role("gate", 0, 0)),
        {
            "Ready": (True, Reason.ALL_READY),
            "Available": (False, Reason.SCALED_TO_ZERO),
            "GatesAvailable": (False, Reason.SCALED_TO_ZERO),
        },
    ),
    "no backend is declared": (
        view(),
        {"BackendsAvailable": (True, Reason.NO_BACKENDS)},
    ),
    "no backend is wanted": (
        view(backends=(role("backend room", 0, 0),)),
        {
            "Ready": (True, Reason.ALL_READY),
            "BackendsAvailable": (False, Reason.SCALED_TO_ZERO),
        },
    ),
    "one kind of backend of two is down": (
        view(backends=(role("backend room", 1, 1), role("backend shop", 2, 0))),
        {
            "Available": (True, Reason.SERVING),
            "BackendsAvailable": (False, Reason.NO_NODE_READY),
        },
    ),
    "a rollout is stuck": (
        view(gates=role("gate", 2, 1, stuck=True)),
        {
            "Ready": (False, Reason.PROGRESS_DEADLINE_EXCEEDED),
            "Available": (True, Reason.SERVING),
            "Progressing": (False, Reason.PROGRESS_DEADLINE_EXCEEDED),
        },
    ),
    "the resource is invalid while everything runs": (
        view(obstacle=INVALID),
        {
            "Ready": (False, Reason.INVALID_SPEC),
            "Progressing": (False, Reason.INVALID_SPEC),
            "Available": (True, Reason.SERVING),
            "GatesAvailable": (True, Reason.NODES_READY),
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_conditions_say_what_is(case: str) -> None:
    seen, expected = CASES[case]
    verdicts = {name: judge(seen) for name, judge in CONDITIONS.items()}
    said = {name: (one.holds, one.reason) for name, one in verdicts.items()}
    assert {name: said[name] for name in expected} == expected


def test_an_obstacle_is_told_in_its_own_words() -> None:
    ready = CONDITIONS["Ready"](view(obstacle=INVALID))
    assert ready.message == INVALID.message


def test_what_is_waited_for_is_named() -> None:
    seen = view(
        gates=role("gate", 2, 1),
        backends=(role("backend room", 1, 1),),
        pending=("Service arena-gate",),
    )
    message = CONDITIONS["Ready"](seen).message
    assert message == "waiting for gate 1/2, Service arena-gate"


def test_every_condition_is_always_there_with_its_generation() -> None:
    written = conditions(view(), 7, {}, NOW)
    assert [entry["type"] for entry in written] == list(CONDITIONS)
    assert {entry["observedGeneration"] for entry in written} == {7}
    assert {entry["lastTransitionTime"] for entry in written} == {
        "2026-05-01T12:00:00Z"
    }


def test_the_time_moves_only_with_the_status() -> None:
    first = conditions(view(), 1, {}, NOW)
    previous = {str(entry["type"]): entry for entry in first}
    later = NOW.replace(hour=13)
    second = conditions(view(gates=role("gate", 2, 1)), 2, previous, later)
    moved = {
        str(entry["type"]): entry["lastTransitionTime"] == "2026-05-01T13:00:00Z"
        for entry in second
    }
    assert moved == {name: name in {"Ready", "Progressing"} for name in CONDITIONS}


def test_a_message_has_a_bound() -> None:
    endless = Obstacle(Reason.CHILD_REFUSED, "no " * 5000)
    (ready, *_) = conditions(view(obstacle=endless), 1, {}, NOW)
    assert len(str(ready["message"])) == 1024


def deployment(*complaints: DeploymentCondition, seen: int = 3) -> Deployment:
    return Deployment(
        metadata=Meta(name="arena-gate", generation=3),
        status=DeploymentStatus(
            observed_generation=seen,
            replicas=2,
            updated_replicas=2,
            ready_replicas=2,
            available_replicas=2,
            conditions=list(complaints),
        ),
    )


SLOW = DeploymentCondition(
    type="Progressing",
    status="False",
    reason="ProgressDeadlineExceeded",
    message="slow",
)
QUOTA = DeploymentCondition(type="ReplicaFailure", status="True", message="no quota")
FINE = DeploymentCondition(type="Progressing", status="True", reason="NewReplicaSet")


@pytest.mark.parametrize(
    ("found", "pending", "complete", "reason"),
    [
        (deployment(), False, True, None),
        (deployment(FINE), False, True, None),
        (deployment(), True, False, None),
        (deployment(seen=2), False, False, None),
        (deployment(SLOW), False, True, Reason.PROGRESS_DEADLINE_EXCEEDED),
        (deployment(SLOW, QUOTA), False, True, Reason.PODS_REFUSED),
        (deployment(SLOW, seen=2), False, False, None),
        (None, False, False, None),
    ],
)
def test_a_role_is_read_from_its_deployment(
    found: Deployment | None, pending: bool, complete: bool, reason: Reason | None
) -> None:
    state = RoleState.of("gate", 2, found, pending)
    assert state.complete is complete
    assert (state.failure.reason if state.failure else None) is reason


PAGE = Path(__file__).parents[2] / "docs" / "conditions.md"


def test_the_page_lists_every_condition() -> None:
    page = PAGE.read_text()
    assert [name for name in CONDITIONS if f"| `{name}` |" not in page] == []


def test_the_page_lists_every_reason_with_its_sentence_and_no_other() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().partition("## Reasons")[2].splitlines()
        if line.startswith("| `")
    ]
    assert rows == [[f"`{reason.word}`", reason.sentence] for reason in Reason]
