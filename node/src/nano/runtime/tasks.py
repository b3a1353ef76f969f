"""How the tasks of a node end when it stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Any, Final

__all__ = ["end_tasks"]

logger = logging.getLogger(__name__)

STOP_TIME: Final = 2.0  # seconds that a cancelled task gets to end


async def end_tasks(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel *tasks* and wait until they have ended, for two seconds at most.

    An application may catch the cancellation and go on; its node stops all the same.
    """
    pending = set(tasks)
    for task in pending:
        task.cancel()
    if pending:
        _, pending = await asyncio.wait(pending, timeout=STOP_TIME)
    for task in pending:
        logger.warning("%s was cancelled and goes on", task.get_name())
