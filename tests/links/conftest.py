"""A linked gate with two backends, for every test that wants one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from .nodes import Story


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    """A gate and two backends; nothing of them is left behind."""
    story = Story()
    await story.start()
    yield story
    await story.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}
