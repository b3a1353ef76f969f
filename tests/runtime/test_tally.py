"""Numbers of bindings: as told, and counted anew."""

from __future__ import annotations

from nano.runtime.tally import INTERVAL, Tally


def test_who_is_bound_is_counted_as_told() -> None:
    tally = Tally()
    assert tally.number("Room", "a:1") == 0
    tally.more("Room", "a:1")
    tally.more("Room", "a:1")
    tally.more("Shop", "a:1")
    assert (tally.number("Room", "a:1"), tally.number("Shop", "a:1")) == (2, 1)
    tally.less("Room", "a:1")
    tally.less("Shop", "a:1")
    tally.less("Shop", "a:1")  # of one that was never told of
    assert (tally.number("Room", "a:1"), tally.number("Shop", "a:1")) == (1, 0)


def test_a_count_puts_right_what_was_not_told() -> None:
    tally = Tally()
    tally.more("Room", "gone:1")
    tally.recount([{"Room": "a:1", "Shop": "b:1"}, {"Room": "a:1"}, {}])
    numbers = [tally.number("Room", it) for it in ("a:1", "b:1", "gone:1")]
    assert numbers == [2, 0, 0]
    assert tally.number("Shop", "b:1") == 1


def test_it_is_counted_once_a_second_and_only_if_somebody_asks() -> None:
    tally = Tally()
    assert not tally.is_due(100.0)
    tally.number("Room", "a:1")
    assert tally.is_due(100.0)
    assert not tally.is_due(100.0 + INTERVAL)
    tally.number("Room", "a:1")
    assert not tally.is_due(100.0 + INTERVAL / 2)
    assert tally.is_due(100.0 + INTERVAL)
