"""The master's list: who is refused, who is dead, and what a change costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nano.cluster.members import Member, MemberState
from nano.cluster.membership import (
    Action,
    Announce,
    Delivered,
    DelMember,
    Heartbeat,
    Listing,
    MemberAdded,
    MemberChanged,
    MemberRemoved,
    NewMember,
    Refused,
    Registering,
    SelfChanged,
    Undelivered,
    Unregistering,
)
from nano.cluster.registrar import FULL, Registrar

M = Member(address="m:1", role="master", incarnation=1, heartbeat=1.0)
A = Member(address="a:1", incarnation=2, heartbeat=1.0)
B = Member(address="b:1", incarnation=3, heartbeat=1.0)
GO = Member(address="g:1", services=("Chat",))
EPOCH = 7


def registrar(*members: Member) -> Registrar:
    made = Registrar(M, epoch=EPOCH)
    made.tick(0.0)
    for member in members:
        deliver(made, made.feed(Registering(member), 0.0))
    return made


def deliver(made: Registrar, actions: list[Action]) -> None:
    """All announcements arrive, and those that follow from it."""
    for action in actions:
        if isinstance(action, Announce):
            done = Delivered(action.to, action.incarnation)
            deliver(made, made.feed(done, 0.0))


def told(actions: list[Action]) -> list[Announce]:
    return [action for action in actions if isinstance(action, Announce)]


def pass_time(made: Registrar, begin: float, end: float) -> list[Action]:
    """Tick ten times a second after *begin*, up to and with *end*."""
    actions: list[Action] = []
    for tenth in range(round(begin * 10) + 1, round(end * 10) + 1):
        actions += made.tick(tenth / 10)
    return actions


class TestAnswers:
    @pytest.mark.parametrize("address", ["", M.address])
    def test_nobody_registers_without_an_address_of_its_own(self, address: str) -> None:
        member = Member(address=address)
        refused = [Refused("invalid register request")]
        assert registrar().feed(Registering(member), 0.0) == refused
        assert registrar().feed(Heartbeat(member), 0.0) == refused

    def test_a_farewell_without_an_address_is_refused(self) -> None:
        refused = [Refused("invalid register request")]
        assert registrar().feed(Unregistering(""), 0.0) == refused

    def test_a_farewell_of_a_stranger_is_refused_in_nanos_words(self) -> None:
        refused = [Refused("address x:1 has not registered")]
        assert registrar().feed(Unregistering("x:1"), 0.0) == refused

    def test_a_farewell_of_an_earlier_life_is_refused(self) -> None:
        made = registrar(A)
        late = Unregistering(A.address, incarnation=99)
        assert made.feed(late, 0.0) == [Refused("address a:1 has not registered")]
        assert A.address in made.members

    def test_a_list_that_is_full_takes_nobody_new(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("nano.cluster.registrar.MOST_MEMBERS", 2)
        made = registrar(A, B)
        for event in (
            Registering(GO),
            Heartbeat(GO),
            Heartbeat(replace(A, address="x:1")),
        ):
            assert made.feed(event, 0.0) == [FULL]
        assert FULL not in made.feed(Registering(replace(A, incarnation=9)), 0.0)
        made.feed(Unregistering(B.address), 0.0)
        assert FULL not in made.feed(Registering(GO), 0.0)

    def test_a_registration_is_answered_with_the_list(self) -> None:
        actions = registrar(A).feed(Registering(B), 0.0)
        assert Listing(EPOCH, 3, (M, A, B)) in actions

    def test_a_heartbeat_that_holds_the_list_is_answered_with_nothing(self) -> None:
        made = registrar(A)
        actions = made.feed(Heartbeat(A, EPOCH, made.version), 1.0)
        assert actions == [Listing(EPOCH, made.version)]

    @pytest.mark.parametrize(("epoch", "version"), [(0, 0), (EPOCH, 1), (EPOCH + 1, 2)])
    def test_another_one_gets_the_list(self, epoch: int, version: int) -> None:
        made = registrar(A)
        actions = made.feed(Heartbeat(A, epoch, version), 1.0)
        assert actions == [Listing(EPOCH, 2, (M, A))]

    def test_another_life_gets_a_list_without_itself(self) -> None:
        made = registrar(A)
        ghost = replace(A, incarnation=99)
        actions = made.feed(Heartbeat(ghost, EPOCH, 2), 1.0)
        assert actions == [Listing(EPOCH, 2, (M, A))]


class TestChanges:
    def test_registering_twice_changes_nothing(self) -> None:
        made = registrar(A, B)
        actions = made.feed(Registering(A), 0.0)
        assert actions == [Listing(EPOCH, 3, (M, A, B))]

    def test_a_replacement_is_one_change(self) -> None:
        made = registrar(A, B)
        again = replace(A, incarnation=22, services=("Room",))
        actions = made.feed(Registering(again), 0.0)
        assert made.version == 4
        assert actions[:2] == [MemberRemoved(A), MemberAdded(again)]
        change = NewMember(again, EPOCH, 4)
        assert told(actions) == [Announce(B.address, B.incarnation, change)]

    def test_news_in_a_heartbeat_are_announced(self) -> None:
        made = registrar(A, B)
        draining = replace(A, state=MemberState.DRAINING)
        actions = made.feed(Heartbeat(draining, EPOCH, 3), 1.0)
        assert MemberChanged(A, draining) in actions
        change = NewMember(draining, EPOCH, 4)
        assert told(actions) == [Announce(B.address, B.incarnation, change)]

    def test_news_of_the_master_are_announced(self) -> None:
        made = registrar(A)
        draining = replace(M, state=MemberState.DRAINING)
        actions = made.feed(SelfChanged(draining), 1.0)
        assert actions[0] == MemberChanged(M, draining)
        assert [it.to for it in told(actions)] == [A.address]
        assert made.feed(SelfChanged(draining), 1.0) == []

    def test_many_changes_are_told_in_one_go(self) -> None:
        made = registrar(A)
        first = made.feed(Registering(B), 0.0)
        assert len(told(first)) == 1
        for port in range(100):
            other = Member(address=f"x:{port}", incarnation=5, heartbeat=1.0)
            assert A.address not in [
                it.to for it in told(made.feed(Registering(other), 0.0))
            ]
        rest = told(made.feed(Delivered(A.address, A.incarnation), 0.0))
        assert [it.change.version for it in rest] == [made.version]

    def test_the_outcome_of_an_earlier_lifes_announcement_is_forgotten(self) -> None:
        made = registrar(A, B)
        made.feed(Unregistering(B.address), 0.0)
        assert made.feed(Delivered(A.address, 99), 0.0) == []
        assert made.feed(Undelivered("x:1", 1), 0.0) == []


class TestTheDead:
    def test_four_silent_intervals_are_death(self) -> None:
        made = registrar(A, B)
        assert pass_time(made, 0.0, 4.0) == []
        actions = pass_time(made, 4.0, 4.1)
        assert MemberRemoved(A) in actions
        assert MemberRemoved(B) in actions

    def test_a_heartbeat_starts_the_count_again(self) -> None:
        made = registrar(A)
        pass_time(made, 0.0, 3.5)
        made.feed(Heartbeat(A, EPOCH, 2), 3.5)
        assert pass_time(made, 3.5, 7.4) == []

    def test_a_refused_connection_and_a_heartbeat_overdue_are_death(self) -> None:
        made = registrar(A, B)
        made.feed(Undelivered(A.address, A.incarnation, refused=True), 0.0)
        assert pass_time(made, 0.0, 1.5) == []
        assert MemberRemoved(A) in pass_time(made, 1.5, 1.6)

    def test_a_refused_connection_of_one_that_speaks_is_not(self) -> None:
        made = registrar(A)
        made.feed(Undelivered(A.address, A.incarnation, refused=True), 0.0)
        for second in range(1, 10):
            assert pass_time(made, second - 1.0, float(second)) == []
            made.feed(Heartbeat(A, EPOCH, 2), float(second))

    def test_a_master_that_stood_still_drops_nobody(self) -> None:
        made = registrar(A)
        assert made.tick(3600.0) == []
        made.feed(Heartbeat(A, EPOCH, 2), 3600.1)
        assert made.tick(3600.2) == []

    @pytest.mark.parametrize(("promised", "dead"), [(0.001, 0.4), (1e6, 1200.0)])
    def test_an_absurd_promise_is_bounded(self, promised: float, dead: float) -> None:
        made = registrar(replace(A, heartbeat=promised))
        assert pass_time(made, 0.0, dead - 0.1) == []
        assert pass_time(made, dead - 0.1, dead + 0.2) == [
            MemberRemoved(replace(A, heartbeat=promised))
        ]

    def test_the_master_never_drops_itself(self) -> None:
        made = registrar()
        assert pass_time(made, 0.0, 100.0) == []
        assert made.members == {M.address: M}

    def test_who_was_dropped_and_beats_again_is_announced(self) -> None:
        made = registrar(A, B)
        for tenth in range(1, 50):
            made.feed(Heartbeat(B, EPOCH, made.version), tenth / 10)
            deliver(made, made.tick(tenth / 10))
        assert A.address not in made.members
        actions = made.feed(Heartbeat(A, EPOCH, 3), 6.0)
        assert MemberAdded(A) in actions
        change = NewMember(A, EPOCH, 5)
        assert told(actions) == [Announce(B.address, B.incarnation, change)]
        assert Listing(EPOCH, 5, (M, B, A)) in actions


class TestGoMembers:
    def test_nanos_interval_is_assumed(self) -> None:
        made = registrar(GO)
        assert pass_time(made, 0.0, 120.0) == []
        assert made.tick(120.1) != []

    def test_their_interval_is_learnt(self) -> None:
        made = registrar(GO)
        for second in (2.0, 4.0, 6.0):
            pass_time(made, second - 2.0, second)
            made.feed(Heartbeat(GO), second)
        assert pass_time(made, 6.0, 14.0) == []
        assert made.tick(14.2) != []

    def test_each_registration_is_another_life(self) -> None:
        made = registrar(GO)
        first = made.members[GO.address]
        made.feed(Heartbeat(GO), 1.0)
        actions = made.feed(Registering(GO), 2.0)
        second = made.members[GO.address]
        assert actions[:2] == [MemberRemoved(first), MemberAdded(second)]
        assert first.incarnation != second.incarnation

    def test_a_heartbeat_is_not(self) -> None:
        made = registrar(GO)
        before = made.members[GO.address]
        assert made.feed(Heartbeat(GO), 1.0) == [Listing(EPOCH, 2, (M, before))]
        assert made.members[GO.address] == before

    def test_they_are_told_one_thing_after_the_other(self) -> None:
        made = registrar(GO)
        go = made.members[GO.address]
        first = told(made.feed(Registering(A), 0.0))
        assert [it.change for it in first] == [NewMember(A, EPOCH, 3)]
        assert GO.address not in [it.to for it in told(made.feed(Registering(B), 0.0))]
        second = made.feed(Delivered(go.address, go.incarnation), 0.0)
        change = NewMember(B, EPOCH, 4)
        assert second == [Announce(go.address, go.incarnation, change)]

    def test_what_surely_did_not_arrive_is_said_again_at_the_next_tick(self) -> None:
        made = registrar(GO)
        go = made.members[GO.address]
        made.feed(Registering(A), 0.0)
        assert (
            made.feed(Undelivered(go.address, go.incarnation, refused=True), 0.0) == []
        )
        change = NewMember(A, EPOCH, 3)
        assert made.tick(0.1) == [Announce(go.address, go.incarnation, change)]

    def test_what_may_have_arrived_is_taken_back_first(self) -> None:
        made = registrar(GO)
        go = made.members[GO.address]
        made.feed(Registering(A), 0.0)
        made.feed(Undelivered(go.address, go.incarnation), 0.0)
        back = DelMember(A.address, EPOCH, 3)
        assert made.tick(0.1) == [Announce(go.address, go.incarnation, back)]
        change = NewMember(A, EPOCH, 3)
        assert made.feed(Delivered(go.address, go.incarnation), 0.1) == [
            Announce(go.address, go.incarnation, change)
        ]

    def test_what_is_out_of_date_is_not_said_at_all(self) -> None:
        made = registrar(GO)
        go = made.members[GO.address]
        made.feed(Registering(A), 0.0)
        made.feed(Undelivered(go.address, go.incarnation, refused=True), 0.0)
        made.feed(Unregistering(A.address), 0.0)
        assert made.tick(0.1) == []

    def test_what_means_nothing_to_them_is_not_said(self) -> None:
        made = registrar(GO, A)
        draining = replace(A, state=MemberState.DRAINING)
        assert told(made.feed(Heartbeat(draining, EPOCH, 3), 1.0)) == []

    def test_what_a_restarted_one_may_have_heard_is_not_in_its_list(self) -> None:
        made = registrar(GO)
        go = made.members[GO.address]
        made.feed(Heartbeat(GO), 1.0)
        made.feed(Registering(A), 1.0)
        made.feed(Delivered(go.address, go.incarnation), 1.0)
        actions = made.feed(Registering(GO), 2.0)
        assert Listing(EPOCH, 4, (M,)) in actions
        back = DelMember(A.address, EPOCH, 4)
        assert [it.change for it in told(actions) if it.to == GO.address] == [back]

    def test_only_so_many_of_the_silent_are_remembered(self) -> None:
        made = registrar()
        for port in range(100):
            made.feed(Registering(Member(address=f"g:{port}")), 0.0)
        pass_time(made, 0.0, 121.0)
        assert len(made.members) == 1
        before = made.version
        made.feed(Heartbeat(Member(address="g:0")), 122.0)  # forgotten
        made.feed(Heartbeat(Member(address="g:99")), 122.0)  # remembered
        assert made.version == before + 2
        assert made.members["g:0"].incarnation == 0
        assert made.members["g:99"].incarnation != 0
