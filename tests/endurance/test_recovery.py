"""The short form of the outages: what is wrong shows, how long it takes does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.node.towns import Town

from .recovery import Figure, Recovery


@pytest.mark.process
@pytest.mark.slow
async def test_clients_are_owed_nothing_in_any_outage(tmp_path: Path) -> None:
    town = Town(tmp_path, 5)
    recovery = Recovery(town)
    try:
        await recovery.run(rounds=2, away=1, crowd=3)
    finally:
        town.stop()
    assert recovery.faults == []
    assert len(recovery.figures) == 9
    assert [len(figure.seconds) for figure in recovery.figures[:3]] == [2, 2, 2]


def test_a_figure_says_what_is_asked_of_it() -> None:
    assert str(Figure("back", [0.5, 1.25], 2)).endswith("0.50 to  1.25 s, must 2: met")
    assert str(Figure("back", [0.5, 2.25], 2)).endswith("must 2: short")
    assert str(Figure("back", [0.5], None)).endswith("0.50 to  0.50 s")
