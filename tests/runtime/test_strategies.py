"""Who is chosen: how evenly, how steadily, and the same on every node."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from functools import cache
from typing import Any

import pytest

from nano.runtime.session import Session
from nano.runtime.strategies import (
    Candidate,
    Hash,
    LeastLoaded,
    Random,
    RoundRobin,
    Strategy,
    rank,
)

from .clients import World

ADDRESSES = tuple(f"10.0.0.{number}:7650" for number in range(1, 11))
MEMBERS = [Candidate(address) for address in ADDRESSES]
UIDS = [f"user-{number}" for number in range(2_000)]


def session(uid: str = "", **data: Any) -> Session:
    session = World().client().session
    if uid:
        session.bind(uid)
    session.update(data)
    return session


@cache
def owners(addresses: tuple[str, ...]) -> dict[str, str]:
    """Return who has each of the uids, as :class:`Hash` does it."""
    return {uid: max(addresses, key=lambda it: rank(uid.encode(), it)) for uid in UIDS}


@pytest.mark.parametrize(
    "strategy", [Random(), RoundRobin(), LeastLoaded(), Hash(), Hash("room")]
)
def test_the_only_member_is_chosen(strategy: Strategy) -> None:
    for who in (None, session(), session("ann", room="r1")):
        assert strategy.choose(who, MEMBERS[:1]) == MEMBERS[0]


def test_at_random_everybody_gets_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "choice", random.Random(7).choice)
    chosen = Counter(Random().choose(None, MEMBERS).address for _ in range(1000))
    assert set(chosen) == set(ADDRESSES)


def test_in_turn_everybody_gets_the_same() -> None:
    strategy = RoundRobin()
    shuffled = random.Random(3).sample(MEMBERS, len(MEMBERS))
    chosen = [strategy.choose(None, shuffled).address for _ in range(30)]
    assert chosen == sorted(ADDRESSES) * 3


def test_a_turn_goes_on_where_it_was_when_members_come_and_go() -> None:
    strategy = RoundRobin()
    a, b, c, d = (Candidate(name) for name in "abcd")
    assert strategy.choose(None, [a, b, d]) == a
    assert strategy.choose(None, [a, b, d]) == b
    assert strategy.choose(None, [a, c, d]) == c  # it has come
    assert strategy.choose(None, [a, b]) == a  # those behind the last have gone


def test_the_least_loaded_is_chosen_and_any_of_several_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strategy = LeastLoaded()
    loads = [Candidate("a", load=3), Candidate("b", load=1), Candidate("c", load=2)]
    assert strategy.choose(None, loads).address == "b"
    monkeypatch.setattr(random, "choice", random.Random(7).choice)
    even = [Candidate("a"), Candidate("b", load=1), Candidate("c")]
    chosen = {strategy.choose(None, even).address for _ in range(100)}
    assert chosen == {"a", "c"}


def test_keys_are_spread_evenly() -> None:
    # The same uids and addresses each time: these are figures, not chances.
    shares = Counter(owners(ADDRESSES).values())
    assert set(shares) == set(ADDRESSES)
    assert min(shares.values()) > 160
    assert max(shares.values()) < 240


def test_a_member_that_goes_moves_its_own_keys_only() -> None:
    before, after = owners(ADDRESSES), owners(ADDRESSES[1:])
    moved = {uid for uid in UIDS if before[uid] != after[uid]}
    assert moved == {uid for uid in UIDS if before[uid] == ADDRESSES[0]}
    heirs = Counter(after[uid] for uid in moved)
    assert set(heirs) == set(ADDRESSES[1:])  # all take a part
    assert max(heirs.values()) < len(moved) / 4


def test_a_member_that_comes_takes_its_share_and_moves_nothing_else() -> None:
    new = "10.0.0.11:7650"
    before, after = owners(ADDRESSES), owners((*ADDRESSES, new))
    moved = [uid for uid in UIDS if before[uid] != after[uid]]
    assert all(after[uid] == new for uid in moved)
    assert 140 < len(moved) < 220  # of 2,000, a share of one in eleven


def test_the_hash_is_of_the_uid_or_of_a_key_of_the_data() -> None:
    by_uid, by_room = Hash(), Hash("room")
    for uid in UIDS[:50]:
        owner = max(ADDRESSES, key=lambda it: rank(uid.encode(), it))
        assert by_uid.choose(session(uid, room="x"), MEMBERS).address == owner
        assert by_room.choose(session("x", room=uid), MEMBERS).address == owner


def test_members_are_found_in_whatever_order() -> None:
    strategy, who = Hash(), session("ann")
    assert strategy.choose(who, MEMBERS) == strategy.choose(who, MEMBERS[::-1])


def test_a_number_and_its_digits_are_one_key() -> None:
    strategy = Hash("room")
    chosen = strategy.choose(session(room=17), MEMBERS)
    assert strategy.choose(session(room="17"), MEMBERS) == chosen
    one, other = session(room={"a": 1, "b": 2}), session(room={"b": 2, "a": 1})
    assert strategy.choose(one, MEMBERS) == strategy.choose(other, MEMBERS)


@pytest.mark.parametrize("strategy", [Hash(), Hash("room")])
def test_without_a_key_a_sessions_id_is_its_key(strategy: Strategy) -> None:
    who = session()
    number = str(who.id).encode()
    owner = max(ADDRESSES, key=lambda it: rank(number, it))
    assert strategy.choose(who, MEMBERS).address == owner


def test_a_call_without_a_session_goes_to_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "choice", random.Random(7).choice)
    chosen = {Hash().choose(None, MEMBERS).address for _ in range(1000)}
    assert chosen == set(ADDRESSES)


def test_every_process_ranks_alike() -> None:
    program = "from nano.runtime.strategies import rank; print(rank(b'ann', 'a').hex())"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert printed == {rank(b"ann", "a").hex()}
    assert (
        rank(b"ann", "a").hex() == "1399cf978335b8eb"
    )  # of every version of ours, too
