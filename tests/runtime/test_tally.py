"""Bindings that keep count, whoever writes them."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from nano.runtime.tally import Tally

from .clients import World


def test_each_way_to_write_a_binding_is_counted() -> None:
    tally, session = Tally(), World().client().session
    session.bindings["Room"] = "a:1"  # before anybody counts
    tally.enter(session)
    assert tally.numbers == {("Room", "a:1"): 1}
    session.bindings["Room"] = "b:1"
    session.bindings["Shop"] = "b:1"
    assert tally.numbers == {("Room", "b:1"): 1, ("Shop", "b:1"): 1}
    del session.bindings["Room"]
    assert session.bindings.pop("Shop") == "b:1"
    assert session.bindings.pop("Shop", None) is None
    assert session.bindings == {}
    assert not tally.numbers
    for forget in (session.bindings.pop, session.bindings.__delitem__):
        with pytest.raises(KeyError):
            forget("Room")


def test_who_has_ended_counts_no_more() -> None:
    tally, session = Tally(), World().client().session
    tally.leave(session)  # was never counted
    tally.enter(session)
    session.bindings["Room"] = "a:1"
    tally.leave(session)
    assert session.bindings == {"Room": "a:1"}  # to be read still
    assert not tally.numbers
    session.bindings["Room"] = "b:1"
    del session.bindings["Room"]
    assert not tally.numbers


def test_the_numbers_are_those_of_the_bindings() -> None:
    tally, chance = Tally(), random.Random(11)
    sessions = [World().client().session for _ in range(20)]
    for session in sessions:
        tally.enter(session)
    for _ in range(5000):
        bindings, service = chance.choice(sessions).bindings, chance.choice("RST")
        match chance.randrange(3):
            case 0:
                bindings.pop(service, None)
            case 1 if service in bindings:
                del bindings[service]
            case _:
                bindings[service] = chance.choice("abc")
    assert tally.numbers == Counter(
        item for session in sessions for item in session.bindings.items()
    )
