"""What an application's functions may raise, and how its tasks end with the node."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Collection, Coroutine
from typing import Any, Final

__all__ = ["FAILURES", "end_tasks", "task_for"]

logger = logging.getLogger(__name__)

FAILURES: Final = (Exception, asyncio.CancelledError)
"""What is caught around plain functions of an application.

One that asks a cancelled future for its result raises ``CancelledError``, which is no
``Exception``: uncaught, it would end the connection, link or timer that it runs in.
"""

STOP_TIME: Final = 2.0  # seconds that a cancelled task gets to end


def task_for(
    result: Awaitable[Any], work: Coroutine[Any, Any, None], name: str
) -> asyncio.Task[None]:
    """Return a task that does *work*, which awaits *result* of an application.

    A task that is cancelled before its first step awaits nothing; *result*, if it is a
    coroutine, is closed then, or Python would complain that nobody ever awaited it.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    if inspect.iscoroutine(result):
        task.add_done_callback(lambda _: result.close())
    return task


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
