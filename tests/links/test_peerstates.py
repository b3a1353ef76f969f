"""The states of peers: every cell, and whose life it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nano.cluster.peerstates import TRANSITIONS, Life, Lives, PeerEvent, PeerState

LINKED, SUSPECT, UNLISTED, UNLINKED, GONE = PeerState
UP, DOWN, SILENT, HEARD, LISTED, DROPPED, LEFT, REPLACED, EXPIRED = PeerEvent

# every cell that changes something; all others leave the state as it is
TABLE = {
    LINKED: {
        DOWN: UNLINKED,
        SILENT: SUSPECT,
        DROPPED: UNLISTED,
        LEFT: GONE,
        REPLACED: GONE,
    },
    SUSPECT: {
        DOWN: UNLINKED,
        HEARD: LINKED,
        DROPPED: GONE,
        LEFT: GONE,
        REPLACED: GONE,
    },
    UNLISTED: {DOWN: GONE, SILENT: GONE, LISTED: LINKED, LEFT: GONE, REPLACED: GONE},
    UNLINKED: {UP: LINKED, DROPPED: GONE, LEFT: GONE, REPLACED: GONE, EXPIRED: GONE},
    GONE: {},
}
A, B = "10.0.0.1:1", "10.0.0.2:1"


def test_the_table_has_no_other_cells() -> None:
    cells = {(state, it): to for state, row in TABLE.items() for it, to in row.items()}
    assert dict(TRANSITIONS) == cells


@pytest.mark.parametrize("state", PeerState)
@pytest.mark.parametrize("event", PeerEvent)
def test_each_cell_leads_where_it_should(state: PeerState, event: PeerEvent) -> None:
    life = Life(A, 1)
    life.state = state
    gone = life.step(event, 10.0)
    assert life.state is TABLE[state].get(event, state)
    assert gone is (life.state is GONE and state is not GONE)


def alive(lives: Lives, *events: PeerEvent) -> PeerState | None:
    """Feed *events* about one life; return where it stands."""
    for event in (UP, *events):
        lives.feed(event, A, 1, 0.0)
    life = lives.get(A)
    return life.state if life else None


def test_a_peer_that_was_never_linked_is_nobody() -> None:
    lives = Lives()
    for event in PeerEvent:
        if event is not UP:
            assert lives.feed(event, A, 1, 0.0) == []
    assert lives.get(A) is None


def test_a_link_that_ends_leaves_grace_and_no_more() -> None:
    lives = Lives(10.0)
    assert alive(lives, DOWN) is UNLINKED
    assert lives.tick(9.9) == []
    (life,) = lives.tick(10.0)
    assert (life.address, life.incarnation, life.state) == (A, 1, GONE)
    assert lives.tick(11.0) == []
    assert lives.get(A) is None


def test_a_link_within_grace_ends_it_and_the_next_grace_is_whole() -> None:
    lives = Lives(10.0)
    alive(lives, DOWN)
    lives.feed(UP, A, 1, 9.0)
    assert lives.tick(100.0) == []
    lives.feed(DOWN, A, 1, 100.0)
    assert lives.tick(109.0) == []
    assert len(lives.tick(110.0)) == 1


def test_a_refused_suspicion_does_not_lengthen_grace() -> None:
    lives = Lives(10.0)
    alive(lives, DOWN)
    for event in (SILENT, HEARD, LISTED, DOWN):
        lives.feed(event, A, 1, 5.0)
    assert len(lives.tick(10.0)) == 1


@pytest.mark.parametrize("event", [UP, LISTED])
def test_another_life_at_the_address_replaces_the_one_there_is(
    event: PeerEvent,
) -> None:
    lives = Lives()
    alive(lives)
    (before,) = lives.feed(event, A, 2, 1.0)
    assert before.incarnation == 1
    now = lives.get(A)
    assert (now and now.incarnation) == (2 if event is UP else None)


@pytest.mark.parametrize("event", set(PeerEvent) - {UP, LISTED})
def test_old_news_of_another_life_changes_nothing(event: PeerEvent) -> None:
    lives = Lives()
    alive(lives)
    assert lives.feed(event, A, 2, 1.0) == []
    assert alive(lives) is LINKED


def test_a_healthy_peer_that_the_master_drops_stays_until_its_link_ends() -> None:
    lives = Lives()
    assert alive(lives, DROPPED) is UNLISTED
    assert alive(lives, LISTED) is LINKED
    assert alive(lives, DROPPED, DOWN) is None


def test_lives_are_counted_by_state() -> None:
    lives = Lives()
    alive(lives, SILENT)
    lives.feed(UP, B, 1, 0.0)
    assert lives.numbers == {SUSPECT: 1, LINKED: 1}


@given(st.lists(st.tuples(st.sampled_from(PeerEvent), st.integers(1, 2))))
def test_whatever_happens_each_life_goes_once_and_grace_is_kept(
    story: list[tuple[PeerEvent, int]],
) -> None:
    lives = Lives(10.0)
    begun, gone = 0, []
    for now, (event, incarnation) in enumerate(story):
        before = lives.get(A)
        gone += lives.feed(event, A, incarnation, float(now))
        after = lives.get(A)
        begun += after is not None and after is not before
        gone += lives.tick(float(now))
    assert len(gone) == len(set(map(id, gone)))
    assert begun == len(gone) + (lives.get(A) is not None)
    lives.feed(DOWN, A, 1, 1e6)
    lives.feed(DOWN, A, 2, 1e6)
    lives.tick(2e6)
    assert lives.get(A) is None
