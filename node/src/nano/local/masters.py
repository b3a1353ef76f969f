"""Replacing a master, as seen from outside: whom does it know, and who is missing?

A new master begins with an empty list, which the members fill within a second or two
(:class:`nano.cluster.roster.Roster`).  Whoever joins before that hears of the others
late, and an old node that is stopped meanwhile would leave a gap behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from nano.local.probe import status_of

__all__ = ["members_of", "missing_after"]

PAUSE: Final = 0.05  # seconds between two looks


async def members_of(control: str) -> set[str]:
    """Return the addresses of all members but the master itself.

    Args:
        control: The master's control socket.

    Returns:
        None of them if it does not answer.
    """
    told = await status_of(control)
    if told is None:
        return set()
    return {it["address"] for it in told["members"]} - {told["address"]}


async def missing_after(seconds: float, control: str, known: set[str]) -> set[str]:
    """Wait until a master knows all of *known*; return whom it does not know by then.

    Args:
        seconds: How long to wait at most.
        control: The master's control socket.
        known: Addresses.
    """
    missing = set(known)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while missing:
                missing = known - await members_of(control)
                if missing:
                    await asyncio.sleep(PAUSE)
    return missing
