"""How much a process logs, from the start and changed while it runs.

The libraries below us speak only from *warning* on, unless everything is asked for.
"""

from __future__ import annotations

import logging
from typing import Final

__all__ = ["LEVELS", "level", "set_level"]

LEVELS: Final = ("debug", "info", "warning", "error")

_LIBRARIES: Final = ("aiohttp", "asyncio", "grpc", "websockets")


def set_level(wanted: str) -> None:
    """Write messages from *wanted* on, one of :data:`LEVELS`."""
    number = logging.getLevelNamesMapping()[wanted.upper()]
    logging.getLogger().setLevel(number)
    quiet = number if wanted == "debug" else max(number, logging.WARNING)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(quiet)


def level() -> str:
    """Return from which level on messages are written."""
    return logging.getLevelName(logging.getLogger().level).lower()
