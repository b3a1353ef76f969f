"""When a watch that says nothing is quiet, and when it is dead."""

from __future__ import annotations

from nano_operator.hearing import Hearing


def test_a_quiet_watch_is_as_good_as_a_busy_one() -> None:
    hearing = Hearing[str]()
    hearing.heard("arena", "1")
    hearing.listed({"arena": "1"}, 10.0)
    hearing.listed({"arena": "1"}, 9000.0)
    assert hearing.age(9000.0) == 0.0


def test_a_change_that_is_not_told_of_grows_old() -> None:
    hearing = Hearing[str]()
    hearing.heard("arena", "1")
    hearing.listed({"arena": "2"}, 10.0)
    hearing.listed({"arena": "3"}, 70.0)
    assert hearing.age(75.0) == 65.0
    hearing.heard("arena", "3")
    assert hearing.age(75.0) == 0.0


def test_a_new_cluster_that_nobody_tells_of_grows_old_too() -> None:
    hearing = Hearing[str]()
    hearing.listed({"arena": "1"}, 10.0)
    assert hearing.age(20.0) == 10.0


def test_a_listing_that_is_older_than_the_watch_is_forgiven() -> None:
    hearing = Hearing[str]()
    hearing.heard("arena", "2")
    hearing.listed({"arena": "1"}, 10.0)
    hearing.listed({"arena": "2"}, 70.0)
    assert hearing.age(80.0) == 0.0


def test_what_is_gone_is_not_waited_for() -> None:
    hearing = Hearing[str]()
    hearing.listed({"arena": "1"}, 10.0)
    hearing.listed({}, 70.0)
    assert hearing.age(80.0) == 0.0
