"""A neighbourhood of real cluster servers, cleaned up afterwards."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from .neighbourhood import Neighbourhood


@pytest.fixture
async def neighbourhood() -> AsyncGenerator[Neighbourhood]:
    made = Neighbourhood()
    yield made
    await made.close()
