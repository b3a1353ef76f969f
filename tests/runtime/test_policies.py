"""What decides who is chosen, and what becomes of functions that fail."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from nano import RequestError, Session
from nano.errors import UsageError
from nano.runtime.policies import Policies
from nano.runtime.strategies import Candidate, RoundRobin

from .clients import World

A = Candidate("a:1", "rooms", "1")
B = Candidate("b:1", "canary", "2")


@pytest.fixture
def policies() -> Policies:
    return Policies(Counter())


@pytest.fixture
def session() -> Session:
    return World().client().session


def dropped(policies: Policies) -> dict[tuple[str, str], int]:
    return dict(policies._dropped)


def test_unless_something_is_said_it_is_at_random(policies: Policies) -> None:
    assert policies.are_random("Room")
    assert policies.choose(None, "Room", [A]) == A
    assert policies.choose(None, "Room", []) is None
    policies.add("Room", RoundRobin())
    assert not policies.are_random("Room")
    assert [policies.choose(None, "Room", [A, B]) for _ in range(3)] == [A, B, A]


def test_a_function_sees_version_and_kind_and_is_obeyed(
    policies: Policies, session: Session
) -> None:
    def route(who: Session, members: Sequence[Candidate]) -> Candidate | None:
        wanted = "canary" if who.uid == "tester" else "rooms"
        return next((it for it in members if it.kind == wanted), None)

    policies.route("Room", route)
    assert not policies.are_random("Room")
    assert policies.choose(session, "Room", [A, B]) == A
    session.bind("tester")
    assert policies.choose(session, "Room", [A, B]) == B
    assert policies.choose(session, "Room", []) is None  # it is not asked
    assert policies.choose(None, "Room", [A]) == A  # ... nor without a session
    assert not dropped(policies)


def test_a_function_may_refuse_the_session(
    policies: Policies, session: Session
) -> None:
    def route(who: Session, members: Sequence[Candidate]) -> Candidate:
        raise RequestError(403, "not for you")

    policies.route("Room", route)
    with pytest.raises(RequestError, match="not for you"):
        policies.choose(session, "Room", [A, B])
    assert dropped(policies) == {("route", "function-refused"): 1}


def test_a_function_that_chooses_nobody_is_an_answer_too(
    policies: Policies, session: Session
) -> None:
    policies.route("Room", lambda who, members: None)
    with pytest.raises(RequestError, match="nobody for this session") as caught:
        policies.choose(session, "Room", [A, B])
    assert caught.value.status == 503
    assert dropped(policies) == {("route", "function-chose-nobody"): 1}


def test_a_function_that_fails_is_logged_and_counted(
    policies: Policies, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    def route(who: Session, members: Sequence[Candidate]) -> Candidate:
        raise LookupError("no such room")

    policies.route("Room", route)
    with pytest.raises(RequestError, match="internal error") as caught:
        policies.choose(session, "Room", [A, B])
    assert caught.value.status == 500
    assert dropped(policies) == {("route", "function-failed"): 1}
    assert "the route function of Room" in caplog.text
    assert "no such room" in caplog.text


@pytest.mark.parametrize(
    "wrong", ["a:1", 7, ("a:1", "rooms", "1", 0, False, False), Candidate("c:1"), [A]]
)
def test_a_function_that_returns_no_member_is_logged_and_counted(
    policies: Policies,
    session: Session,
    caplog: pytest.LogCaptureFixture,
    wrong: Any,
) -> None:
    policies.route("Room", lambda who, members: wrong)
    with pytest.raises(RequestError, match="internal error") as caught:
        policies.choose(session, "Room", [A, B])
    assert caught.value.status == 500
    assert dropped(policies) == {("route", "function-wrong"): 1}
    assert caplog.record_tuples[0][1] == logging.ERROR
    assert "none of the members" in caplog.text


def test_a_service_is_chosen_for_in_one_way(policies: Policies) -> None:
    policies.route("Room", lambda who, members: members[0])
    with pytest.raises(UsageError, match="Room is chosen in two ways"):
        policies.add("Room", RoundRobin())
    with pytest.raises(UsageError, match="Room is chosen in two ways"):
        policies.route("Room", lambda who, members: members[0])
    with pytest.raises(UsageError, match="it is not empty"):
        policies.add("", RoundRobin())


def test_a_function_is_not_awaited(policies: Policies) -> None:
    async def route(who: Session, members: Sequence[Candidate]) -> Candidate:
        return members[0]

    with pytest.raises(UsageError, match="make it a plain def"):
        policies.route("Room", route)  # type: ignore[arg-type]
