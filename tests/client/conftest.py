"""Everything here runs by TCP and by WebSocket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .server import Server, serving


@pytest_asyncio.fixture(params=["tcp", "ws"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    async with serving(request.param) as made:
        yield made
