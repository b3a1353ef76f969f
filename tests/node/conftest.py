"""A town of processes for every test that wants one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from .towns import Make, Town, until, whole


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Give a function that starts a town and waits until it is whole."""
    towns: list[Town] = []

    async def begin(
        backends: int = 1, builds: dict[str, Path] | None = None, **settings: Any
    ) -> Town:
        town = Town(tmp_path, backends, **settings)
        towns.append(town)
        names = ["master", "gate", *(f"backend{n}" for n in range(backends))]
        for name in names:
            town.start(name, (builds or {}).get(name))
        await until(lambda: all(town.ready(name) for name in names))
        await whole(town, names)
        return town

    yield begin
    for town in towns:
        town.stop()
