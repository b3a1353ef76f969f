"""Linked nodes with groups, for every test that wants them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from .houses import Houses


@pytest.fixture
async def houses() -> AsyncIterator[Houses]:
    """Two gates and two backends; nothing of them is left behind."""
    houses = Houses()
    await houses.start()
    yield houses
    await houses.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}
