"""The short form of the storm; ``NANO_STORMS`` says how many there are."""

from __future__ import annotations

import os

import pytest

from nano.cluster.link import Link
from nano.cluster.routes import Forwarder

from .storm import weather

STORMS = int(os.environ.get("NANO_STORMS", "40"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(STORMS))
def test_a_cluster_is_whole_after_a_storm(seed: int) -> None:
    storm = weather(seed)
    assert storm.answered > 0
    assert storm.faults


def test_the_same_seed_gives_the_same_faults() -> None:
    assert weather(4711).faults == weather(4711).faults


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "name", "trouble"),
    [
        (Forwarder, "_on_held", "holds a ghost of"),
        (Link, "_is_old", "was taken twice"),
    ],
)
def test_a_storm_finds_what_is_wrong(
    where: type, name: str, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some_storms() -> None:
        for seed in range(30):
            weather(seed)

    monkeypatch.setattr(where, name, lambda *_: False)
    with pytest.raises(AssertionError, match=trouble) as found:
        some_storms()
    assert "seed " in str(found.value)
