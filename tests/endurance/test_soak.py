"""The short form of the soak: in 2,000 cycles memory says nothing, but counts do."""

from __future__ import annotations

import pytest

from .census import slope
from .gate import running_gate
from .manners import MANNERS, REASONS, SETTINGS
from .soak import soak

CYCLES = 2000


@pytest.mark.process
@pytest.mark.slow
async def test_nothing_stays_of_clients_that_left_in_every_manner() -> None:
    with running_gate(**SETTINGS) as gate:
        seen = await soak(gate, CYCLES)
        assert seen.failures == []
        assert seen.left == {}
        assert seen.cycles.total() == CYCLES
        assert len(seen.cycles) == len(set(MANNERS))
        assert set(seen.reasons) == REASONS
        assert gate.log == ""


def test_the_slope_is_that_of_the_line() -> None:
    assert slope([(x, 3 * x + 7) for x in range(10)]) == pytest.approx(3)
    assert slope([(0, 1), (1, 5), (2, 1)]) == pytest.approx(0)
    assert slope([(1, 5)]) == 0
