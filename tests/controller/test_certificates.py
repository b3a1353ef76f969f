"""Certificates of a cluster, told as stories: what is done, step by step, and when."""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from nano_operator.certificates.machine import (
    AUTHORITY,
    LEAF,
    Move,
    Owner,
    Phase,
    Step,
    decide,
)
from nano_operator.certificates.reading import mark_of

from .certifying import DAY, START, TERMS, Desk

ISSUED = ["issue nodes", "issue master"]
BELIEVED = ["believe nodes", "believe master"]
NODES, MASTER = Owner.NODES, Owner.MASTER


@pytest.fixture
def desk() -> Desk:
    """A cluster that has its certificates."""
    desk = Desk()
    assert desk.rest() == ["found", *ISSUED]
    return desk


def certs(desk: Desk, owner: Owner | None, key: str) -> list[x509.Certificate]:
    data = desk.kept.authority if owner is None else desk.kept.leaves[owner]
    return x509.load_pem_x509_certificates(data[key])


def signed_by(desk: Desk) -> set[str]:
    return {leaf.signer for leaf in desk.situation.leaves.values()}


def rotate(desk: Desk, *, restarting: bool = False) -> list[str]:
    """Let time pass until it rests in the steady phase; return every step."""
    begun = len(desk.told)
    for _ in range(20):
        desk.rest(restarting)
        if desk.phase() is Phase.STEADY:
            return desk.told[begun:]
        desk.wait(TERMS.settle / 2)
    raise AssertionError(f"no end of it: {desk.told[begun:]}")


WHOLE = ["prepare", *BELIEVED, "promote", *ISSUED, "forget", *BELIEVED]
"""A rotation from one authority to the next."""


# ------------------------------------------------ what is made


def test_a_certificate_says_who_its_node_is(desk: Desk) -> None:
    for owner, uris in ((NODES, []), (MASTER, ["nano://node.arena.demo/master"])):
        (leaf,) = certs(desk, owner, "tls.crt")
        names = leaf.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
        assert names.get_values_for_type(x509.DNSName) == ["node.arena.demo"]
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == uris
        assert leaf.not_valid_before_utc == START - timedelta(hours=1)
        assert leaf.not_valid_after_utc == START + TERMS.certificate
        (authority,) = certs(desk, owner, "ca.crt")
        leaf.verify_directly_issued_by(authority)
        assert [authority] == certs(desk, None, "ca.crt")


def test_the_key_of_the_authority_is_in_no_secret_that_a_pod_mounts(
    desk: Desk,
) -> None:
    desk.wish = "now"
    steps = ["", *rotate(desk)]
    assert len(steps) > 5
    for data in desk.kept.leaves.values():
        assert set(data) == {"tls.crt", "tls.key", "ca.crt"}
        key = load_pem_private_key(data["tls.key"], None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        (authority,) = x509.load_pem_x509_certificates(data["ca.crt"])
        assert authority.public_key() != key.public_key()


def test_a_certificate_never_outlives_its_authority() -> None:
    desk = Desk()
    desk.rest()
    desk.now = START + TERMS.authority - 20 * DAY
    data = desk.kept.after(Step(Move.ISSUE, NODES), TERMS, desk.now)
    (leaf,) = x509.load_pem_x509_certificates(data["tls.crt"])
    assert leaf.not_valid_after_utc == START + TERMS.authority


def test_every_row_of_the_tables_is_another_case() -> None:
    assert len({row[0] for row in (*AUTHORITY, *LEAF)}) == len(AUTHORITY) + len(LEAF)
    moves = {move for _, move in AUTHORITY} | {move for _, move in LEAF}
    assert moves == set(Move)


# ------------------------------------------------ renewal


def test_there_is_nothing_to_do_until_two_thirds_of_a_life(desk: Desk) -> None:
    decision = decide(desk.situation)
    assert decision.steps == ()
    leaf = desk.situation.leaves[NODES].span
    assert decision.wake == (leaf.due - desk.now).total_seconds()
    desk.wait(decision.wake - 1)
    assert desk.rest() == []
    desk.wait(1)
    assert desk.rest() == ISSUED
    assert desk.phase() is Phase.STEADY


def test_an_authority_is_followed_by_another_in_two_phases(desk: Desk) -> None:
    old = mark_of(certs(desk, None, "ca.crt")[0])
    desk.wait((desk.situation.current.span.due - desk.now).total_seconds())
    assert desk.rest() == ["prepare", *ISSUED]  # they were due as well
    new = mark_of(certs(desk, None, "next.crt")[0])
    assert desk.phase() is Phase.SPREADING
    assert desk.situation.leaves[NODES].bundle == (old, new)
    assert signed_by(desk) == {old}
    assert decide(desk.situation).wake == TERMS.settle

    desk.wait(TERMS.settle)
    assert desk.rest() == ["promote", *ISSUED]
    assert desk.phase() is Phase.SIGNING
    assert desk.situation.leaves[NODES].bundle == (new, old)
    assert signed_by(desk) == {new}

    desk.wait(TERMS.settle)
    assert desk.rest() == ["forget", *BELIEVED]
    assert desk.phase() is Phase.STEADY
    assert desk.situation.leaves[MASTER].bundle == (new,)
    assert not desk.kept.authority["previous.crt"]
    assert desk.rest() == []


def test_somebody_may_wish_for_a_rotation_once_for_each_word(desk: Desk) -> None:
    desk.wish = "monday"
    assert rotate(desk) == WHOLE
    assert rotate(desk) == []
    desk.wish = "tuesday"
    assert rotate(desk) == WHOLE


def test_a_wish_in_a_rotation_waits_for_its_end(desk: Desk) -> None:
    desk.wish = "monday"
    desk.rest()
    desk.wish = "tuesday"
    assert rotate(desk) == [*WHOLE[3:-2], *WHOLE]


def test_a_wish_before_there_was_anything_asks_for_nothing() -> None:
    desk = Desk()
    desk.wish = "monday"
    desk.rest()
    assert rotate(desk) == []


# ------------------------------------------------ operators come and go


def test_a_restart_between_any_two_steps_changes_nothing() -> None:
    """A restart costs at most another wait, and never skips one."""
    plain = Desk()
    plain.rest()
    plain.wish = "now"
    rotate(plain)
    for breaks in range(len(WHOLE)):
        desk = Desk()
        desk.rest()
        desk.wish = "now"
        taken: list[str] = []
        for _ in range(60):
            if len(taken) >= breaks:
                desk.restart()
                breaks = 99
            taken += rotate_once(desk)
        assert taken == WHOLE


def rotate_once(desk: Desk) -> list[str]:
    begun = len(desk.told)
    if not desk.look().steps:
        desk.wait(TERMS.settle / 4)
    return desk.told[begun:]


def test_the_wait_begins_anew_with_each_operator(desk: Desk) -> None:
    desk.wish = "now"
    desk.rest()
    for _ in range(5):
        desk.wait(TERMS.settle - 1)
        desk.restart()
        assert desk.rest() == []
    desk.wait(TERMS.settle)
    assert desk.rest() == ["promote", *ISSUED]


def test_half_of_what_a_step_writes_is_completed_by_the_next_operator(
    desk: Desk,
) -> None:
    desk.wish = "now"
    assert [step.move for step in desk.look().steps] == [Move.PREPARE]
    desk.restart()
    before = desk.kept.leaves[MASTER]
    assert [step.owner for step in desk.look().steps] == [NODES, MASTER]
    desk.put(MASTER, "ca.crt", before["ca.crt"])  # it ended before this write
    desk.restart()
    desk.wait(TERMS.settle)
    assert desk.rest() == ["believe master"]
    assert desk.phase() is Phase.SPREADING
    desk.wait(TERMS.settle - 1)
    assert desk.rest() == []
    desk.wait(1)
    assert desk.rest() == ["promote", *ISSUED]


# ------------------------------------------------ clocks


@pytest.mark.parametrize("jump", [DAY * 4000, -DAY * 4000, DAY, -DAY])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_no_wall_clock_shortens_the_wait(
    desk: Desk, jump: timedelta, after: int
) -> None:
    desk.wish = "now"
    for _ in range(after):
        desk.look()
    desk.now += jump
    promoted = [step for step in desk.rest() if step == "promote"]
    expired = jump > TERMS.authority  # then there is nothing to lose
    assert promoted == (["promote"] if expired else [])
    assert not any(desk.situation.lacks(owner) for owner in Owner)


@pytest.mark.parametrize("jump", [DAY * 4000, -DAY * 4000])
def test_after_a_wild_clock_all_is_well_again(desk: Desk, jump: timedelta) -> None:
    desk.now += jump
    rotate(desk)
    desk.now -= jump
    rotate(desk)
    situation = desk.situation
    assert situation.current.usable(desk.now)
    assert signed_by(desk) == {situation.current.mark}
    assert all(situation.serves(owner) for owner in Owner)
    assert desk.rest() == []


# ------------------------------------------------ lost and damaged


@pytest.mark.parametrize("owner", [NODES, MASTER])
def test_a_lost_certificate_is_made_again_by_the_same_authority(
    desk: Desk, owner: Owner
) -> None:
    marks = signed_by(desk)
    desk.lose(owner)
    assert desk.rest() == [f"issue {owner.value}"]
    assert signed_by(desk) == marks


@pytest.mark.parametrize("value", [b"", b"-----BEGIN", b"\xff\x00"])
@pytest.mark.parametrize(
    ("key", "steps"),
    [
        ("tls.crt", ["issue nodes"]),
        ("tls.key", ["issue nodes"]),
        ("ca.crt", ["believe nodes"]),
    ],
)
def test_a_damaged_certificate_is_repaired(
    desk: Desk, key: str, value: bytes, steps: list[str]
) -> None:
    before = copy.copy(desk.kept.leaves[NODES])
    desk.put(NODES, key, value)
    assert desk.rest() == steps
    assert desk.kept.leaves[NODES]["ca.crt"] == before["ca.crt"]
    if key == "ca.crt":
        assert desk.kept.leaves[NODES] == before


def test_the_certificate_of_another_is_none(desk: Desk) -> None:
    other = Desk("hall")
    other.rest()
    for key, value in other.kept.leaves[NODES].items():
        desk.put(NODES, key, value)
    assert desk.rest() == ["issue nodes"]
    for key, value in desk.kept.leaves[MASTER].items():
        desk.put(NODES, key, value)
    assert desk.rest() == ["issue nodes"]  # the nodes must not be masters


def test_a_lost_authority_is_followed_without_a_break(desk: Desk) -> None:
    (old,) = signed_by(desk)
    desk.lose()
    assert desk.rest() == ["recover", *BELIEVED]
    assert desk.phase() is Phase.SPREADING
    assert signed_by(desk) == {old}
    assert desk.situation.leaves[NODES].bundle[0] == old
    assert not desk.kept.authority["ca.key"]
    assert rotate(desk) == WHOLE[3:]
    assert signed_by(desk) != {old}


@pytest.mark.parametrize("value", [b"", b"-----BEGIN", b"\xff\x00"])
@pytest.mark.parametrize("key", ["ca.crt", "ca.key"])
def test_a_damaged_authority_is_followed_without_a_break(
    desk: Desk, key: str, value: bytes
) -> None:
    (old,) = signed_by(desk)
    desk.put(None, key, value)
    first = "recover" if key == "ca.crt" else "prepare"
    assert desk.rest() == [first, *BELIEVED]
    assert signed_by(desk) == {old}
    assert rotate(desk) == WHOLE[3:]


@pytest.mark.parametrize("key", ["next.crt", "next.key"])
def test_a_coming_authority_that_is_damaged_is_made_anew(desk: Desk, key: str) -> None:
    desk.wish = "now"
    desk.rest()
    desk.put(None, key, b"gone")
    desk.wish = "again"  # that it was wished for is written down
    assert desk.rest() == ["prepare", *BELIEVED]
    assert rotate(desk) == WHOLE[3:]


def test_an_authority_lost_in_each_phase_is_followed(desk: Desk) -> None:
    for waits in range(2):
        desk.wish = f"wish {waits}"
        desk.rest()
        if waits:
            desk.wait(TERMS.settle)
            desk.rest()
        marks = signed_by(desk)
        desk.lose()
        assert desk.rest()[0] == "recover"
        assert signed_by(desk) == marks  # nobody got one that others do not know
        rotate(desk)
        assert desk.rest() == []


def test_who_cannot_sign_is_replaced_at_once_when_somebody_has_nothing(
    desk: Desk,
) -> None:
    desk.lose()
    desk.lose(MASTER)
    assert desk.rest() == ["recover", "promote", *ISSUED]
    rotate(desk)
    assert desk.rest() == []


def test_when_all_is_lost_all_is_made(desk: Desk) -> None:
    desk.lose()
    desk.lose(NODES)
    desk.lose(MASTER)
    assert desk.rest() == ["found", *ISSUED]
