"""One node's view: each cell of its table, its times, and whose word counts."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from nano.cluster.members import Member, MemberState
from nano.cluster.membership import (
    DelMember,
    HeartbeatAnswered,
    HeartbeatFailed,
    Leaving,
    MasterCut,
    MemberAdded,
    MemberChanged,
    MemberRemoved,
    NewMember,
    Register,
    Registered,
    RegisterFailed,
    RosterEvent,
    SelfChanged,
    SendHeartbeat,
    Unregister,
)
from nano.cluster.roster import TRANSITIONS, Happened, Roster, Standing

M = Member(address="m:1", role="master", incarnation=1, heartbeat=1.0)
ME = Member(address="a:1", incarnation=2, heartbeat=1.0)
B = Member(address="b:1", incarnation=3, heartbeat=1.0, services=("Chat",))
C = Member(address="c:1", incarnation=4, heartbeat=1.0)
EPOCH = 7


def roster() -> Roster:
    return Roster(ME, jitter=lambda: 1.0)


def joined(*members: Member, epoch: int = EPOCH, version: int = 5) -> Roster:
    """A roster that has registered at 0.0."""
    made = roster()
    made.tick(0.0)
    made.feed(Registered(members or (M, B), epoch, version), 0.0)
    return made


def standing(which: Standing) -> Roster:
    match which:
        case Standing.JOINING:
            made = roster()
            made.tick(0.0)
        case Standing.JOINED:
            made = joined()
        case Standing.LOST:
            made = joined()
            made.feed(HeartbeatFailed(), 1.0)
        case Standing.LEFT:
            made = joined()
            made.feed(Leaving(), 1.0)
    assert made.standing is which
    return made


EVENTS: dict[Happened, RosterEvent] = {
    Happened.REGISTERED: Registered((M, B), EPOCH, 5),
    Happened.REFUSED: RegisterFailed(),
    Happened.ANSWERED: HeartbeatAnswered(EPOCH, 5),
    Happened.UNANSWERED: HeartbeatFailed(),
    Happened.FORGOTTEN: HeartbeatAnswered(EPOCH, 6, (M, B)),
    Happened.LEAVING: Leaving(),
}

CELLS = sorted(product(Standing, Happened), key=str)


@pytest.mark.parametrize(("before", "happened"), CELLS)
def test_every_cell_leads_where_the_table_says(
    before: Standing, happened: Happened
) -> None:
    made = standing(before)
    actions = made.feed(EVENTS[happened], 2.0)
    after = TRANSITIONS.get((before, happened))
    assert made.standing is (after or before)
    if after is None:
        assert actions == []


def test_nothing_leaves_left() -> None:
    assert not [cell for cell in TRANSITIONS if cell[0] is Standing.LEFT]
    assert standing(Standing.LEFT).tick(100.0) == []


class TestJoining:
    def test_the_first_tick_registers_and_the_next_waits_for_the_answer(self) -> None:
        made = roster()
        assert made.tick(0.0) == [Register()]
        assert made.tick(50.0) == []

    def test_attempts_get_rarer_up_to_one_a_second(self) -> None:
        made = roster()
        now, waits = 0.0, []
        for _ in range(7):
            assert made.tick(now) == [Register()]
            made.feed(RegisterFailed(), now)
            failed = now
            while not (due := now >= failed and made.tick(now)):
                now = round(now + 0.1, 1)
            assert due == [Register()]
            waits.append(round(now - failed, 1))
            made.feed(RegisterFailed(), now)
            made.standing = Standing.JOINING
            now += 1.0
        assert waits[0] <= 0.2
        assert waits[-1] == 1.0

    def test_the_list_of_the_answer_is_taken_over(self) -> None:
        made = roster()
        made.tick(0.0)
        actions = made.feed(Registered((M, B), EPOCH, 5), 0.0)
        assert actions == [MemberAdded(M), MemberAdded(B)]
        assert made.members == {"a:1": ME, "m:1": M, "b:1": B}

    def test_an_announcement_that_overtakes_the_answer_makes_it_ask(self) -> None:
        made = roster()
        made.tick(0.0)
        assert made.feed(NewMember(C, EPOCH, 6), 0.0) == []
        actions = made.feed(Registered((M, B), EPOCH, 5), 0.0)
        assert actions[-1] == SendHeartbeat(EPOCH, 5)

    def test_who_never_tried_need_not_say_farewell(self) -> None:
        assert roster().feed(Leaving(), 0.0) == []

    def test_who_may_have_been_heard_says_farewell(self) -> None:
        assert standing(Standing.JOINING).feed(Leaving(), 0.0) == [Unregister()]


class TestHeartbeats:
    def test_one_is_sent_each_interval(self) -> None:
        made = joined()
        assert made.tick(0.9) == []
        assert made.tick(1.0) == [SendHeartbeat(EPOCH, 5)]
        made.feed(HeartbeatAnswered(EPOCH, 5), 1.1)
        assert made.tick(1.9) == []
        assert made.tick(2.0) == [SendHeartbeat(EPOCH, 5)]

    def test_only_one_is_out_at_a_time(self) -> None:
        made = joined()
        made.tick(1.0)
        assert made.tick(2.0) == []
        actions = made.feed(HeartbeatAnswered(EPOCH, 5), 2.1)
        assert actions == [SendHeartbeat(EPOCH, 5)]

    def test_a_lost_master_is_asked_at_least_once_a_second(self) -> None:
        me = replace(ME, heartbeat=30.0)
        made = Roster(me, jitter=lambda: 1.0)
        made.tick(0.0)
        made.feed(Registered((M,), EPOCH, 5), 0.0)
        made.tick(30.0)
        made.feed(HeartbeatFailed(refused=True), 30.0)
        assert made.tick(31.0) == [SendHeartbeat(EPOCH, 5)]

    def test_a_cut_brings_the_next_one_forward(self) -> None:
        me = replace(ME, heartbeat=30.0)
        made = Roster(me, jitter=lambda: 0.5)
        made.tick(0.0)
        made.feed(Registered((M,), EPOCH, 5), 0.0)
        assert made.feed(MasterCut(), 3.0) == []
        assert made.tick(3.4) == []
        assert made.tick(3.5) == [SendHeartbeat(EPOCH, 5)]

    def test_a_cut_puts_none_off(self) -> None:
        made = joined()
        made.feed(MasterCut(), 0.8)
        assert made.tick(1.0) == [SendHeartbeat(EPOCH, 5)]

    @pytest.mark.parametrize("which", [Standing.JOINING, Standing.LOST, Standing.LEFT])
    def test_a_cut_says_nothing_new_to_who_has_no_master(self, which: Standing) -> None:
        made = standing(which)
        assert made.feed(MasterCut(), 2.0) == []
        assert made.standing is which

    def test_losing_the_master_loses_nobody(self) -> None:
        made = joined()
        for now in range(1, 1000):
            made.tick(float(now))
            assert made.feed(HeartbeatFailed(refused=True), float(now)) == []
        assert set(made.members) == {"a:1", "m:1", "b:1"}

    def test_news_of_ourselves_go_out_at_once(self) -> None:
        made = joined()
        draining = replace(ME, state=MemberState.DRAINING)
        actions = made.feed(SelfChanged(draining), 0.5)
        assert actions == [MemberChanged(ME, draining), SendHeartbeat(EPOCH, 5)]
        assert made.feed(SelfChanged(draining), 0.6) == []

    def test_news_while_registering_follow_the_registration(self) -> None:
        made = standing(Standing.JOINING)
        draining = replace(ME, state=MemberState.DRAINING)
        assert made.feed(SelfChanged(draining), 0.0) == [MemberChanged(ME, draining)]
        actions = made.feed(Registered((M,), EPOCH, 5), 0.1)
        assert actions == [MemberAdded(M), SendHeartbeat(EPOCH, 5)]


class TestNumberedAnnouncements:
    def test_the_next_one_is_applied(self) -> None:
        made = joined()
        assert made.feed(NewMember(C, EPOCH, 6), 0.0) == [MemberAdded(C)]
        assert made.feed(DelMember("b:1", EPOCH, 7), 0.0) == [MemberRemoved(B)]
        assert made.version == 7

    @pytest.mark.parametrize("version", [4, 5])
    def test_an_older_one_is_forgotten(self, version: int) -> None:
        made = joined()
        assert made.feed(DelMember("b:1", EPOCH, version), 0.0) == []
        assert "b:1" in made.members

    @pytest.mark.parametrize(("epoch", "version"), [(EPOCH, 7), (EPOCH + 1, 6)])
    def test_one_that_does_not_fit_makes_it_ask(self, epoch: int, version: int) -> None:
        made = joined()
        actions = made.feed(NewMember(C, epoch, version), 0.0)
        assert actions == [SendHeartbeat(EPOCH, 5)]
        assert "c:1" not in made.members

    def test_one_without_a_number_is_a_strangers(self) -> None:
        assert joined().feed(DelMember("b:1"), 0.0) == []

    def test_an_older_list_is_forgotten(self) -> None:
        made = joined()
        made.tick(1.0)
        made.feed(NewMember(C, EPOCH, 6), 1.0)
        members = (M, B, ME)
        assert made.feed(HeartbeatAnswered(EPOCH, 5, members), 1.1) == []
        assert "c:1" in made.members

    def test_a_list_removes_who_is_not_in_it(self) -> None:
        made = joined()
        made.tick(1.0)
        actions = made.feed(HeartbeatAnswered(EPOCH, 9, (M, ME, C)), 1.1)
        assert actions == [MemberAdded(C), MemberRemoved(B)]


class TestNamesakes:
    def test_another_life_replaces_the_first(self) -> None:
        made = joined()
        again = replace(B, incarnation=33)
        actions = made.feed(NewMember(again, EPOCH, 6), 0.0)
        assert actions == [MemberRemoved(B), MemberAdded(again)]

    def test_the_same_life_changes(self) -> None:
        made = joined()
        other = replace(B, services=("Room",))
        assert made.feed(NewMember(other, EPOCH, 6), 0.0) == [MemberChanged(B, other)]

    def test_a_go_node_known_by_heartbeat_only_stays_who_it_was(self) -> None:
        made = joined(M, B)
        unknown = replace(B, incarnation=0)
        assert made.feed(NewMember(unknown, EPOCH, 6), 0.0) == []
        assert made.members["b:1"].incarnation == B.incarnation

    def test_somebody_else_at_our_own_address_makes_us_register(self) -> None:
        made = joined()
        made.tick(1.0)
        thief = replace(ME, incarnation=99)
        actions = made.feed(HeartbeatAnswered(EPOCH, 6, (M, B, thief)), 1.1)
        assert actions == [Register()]
        assert made.members["a:1"] == ME


class TestAMasterThatComesBack:
    def test_whom_it_does_not_list_is_kept_for_two_intervals(self) -> None:
        made = joined()
        made.tick(1.0)
        assert made.feed(HeartbeatAnswered(EPOCH + 1, 2, (M, ME)), 1.0) == []
        assert set(made.members) == {"a:1", "m:1", "b:1"}
        assert MemberRemoved(B) not in made.tick(2.9)
        assert MemberRemoved(B) in made.tick(3.0)

    def test_who_shows_up_in_time_stays(self) -> None:
        made = joined()
        made.tick(1.0)
        made.feed(HeartbeatAnswered(EPOCH + 1, 2, (M, ME)), 1.0)
        assert made.feed(NewMember(B, EPOCH + 1, 3), 2.0) == []
        assert MemberRemoved(B) not in made.tick(100.0)

    def test_going_away_once_more_gives_them_new_time(self) -> None:
        made = joined()
        made.tick(1.0)
        made.feed(HeartbeatAnswered(EPOCH + 1, 2, (M, ME)), 1.0)
        made.tick(2.0)
        made.feed(HeartbeatFailed(), 2.5)
        assert made.tick(50.0) == [SendHeartbeat(EPOCH + 1, 2)]
        made.feed(HeartbeatFailed(), 50.0)
        made.tick(51.0)
        made.feed(HeartbeatAnswered(EPOCH + 1, 2), 51.0)
        assert MemberRemoved(B) not in made.tick(51.9)
        assert MemberRemoved(B) in made.tick(52.0)

    def test_a_go_node_gets_twice_nanos_default(self) -> None:
        go = Member(address="g:1")
        made = joined(M, go)
        made.tick(1.0)
        made.feed(HeartbeatAnswered(EPOCH + 1, 2, (M, ME)), 1.0)
        assert MemberRemoved(go) not in made.tick(60.9)
        assert MemberRemoved(go) in made.tick(61.0)

    def test_a_list_after_being_forgotten_keeps_them_too(self) -> None:
        made = joined()
        made.tick(1.0)
        made.feed(HeartbeatAnswered(EPOCH + 1, 2, (M,)), 1.0)
        assert made.standing is Standing.JOINING
        made.feed(Registered((M,), EPOCH + 1, 3), 1.1)
        assert "b:1" in made.members


class TestAGoMaster:
    def test_its_words_count_without_numbers(self) -> None:
        made = joined(M, epoch=0, version=0)
        assert made.feed(NewMember(B), 0.0) == [MemberAdded(B)]
        assert made.feed(NewMember(B), 0.0) == []
        assert made.feed(DelMember("b:1"), 0.0) == [MemberRemoved(B)]
        assert made.feed(DelMember("b:1"), 0.0) == []

    def test_who_was_announced_before_its_answer_stays(self) -> None:
        made = standing(Standing.JOINING)
        assert made.feed(NewMember(B), 0.0) == [MemberAdded(B)]
        assert made.feed(Registered((M,)), 0.1) == [MemberAdded(M)]
        assert "b:1" in made.members

    def test_one_that_takes_over_from_ours_is_believed(self) -> None:
        made = joined()
        made.tick(1.0)
        made.feed(HeartbeatAnswered(), 1.0)
        assert made.feed(NewMember(C), 1.0) == [MemberAdded(C)]

    def test_silence_of_four_intervals_makes_us_register_again(self) -> None:
        made = joined(M, B, epoch=0, version=0)
        made.tick(6.0)
        assert made.feed(HeartbeatAnswered(), 6.0) == [Register()]

    def test_silence_of_the_master_does_not(self) -> None:
        made = joined(M, B, epoch=0, version=0)
        made.tick(1.0)
        made.feed(HeartbeatFailed(refused=True), 1.0)
        made.tick(6.0)
        assert made.feed(HeartbeatAnswered(), 6.0) == []
        assert made.standing is Standing.JOINED
