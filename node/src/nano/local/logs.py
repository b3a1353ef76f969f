"""What a log line looks like, decided once for every process.

A line is a time in UTC, a level, a logger and a message.  On a laptop, where one
watches, it is short: the time of day.  The libraries below us speak only from
*warning* on, unless everything is asked for.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Final

__all__ = ["configure"]

_LIBRARIES: Final = ("aiohttp", "asyncio", "grpc", "websockets")


class _Lines(logging.Formatter):
    """``2026-11-21T10:15:02.123Z info    nano.node: gate 10.0.0.7:7650 is ready``."""

    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"
    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """Write one record, its level in small letters."""
        record.levelname = record.levelname.lower()
        return super().format(record)


class _ShortLines(_Lines):
    """``11:15:02.123 info    nano.node: gate 127.0.0.1:20001 is ready``."""

    default_time_format = "%H:%M:%S"
    default_msec_format = "%s.%03d"
    converter = staticmethod(time.localtime)


def configure(level: str, *, short: bool = False) -> None:
    """Log to standard error from *level* on: debug, info, warning or error.

    Args:
        level: The least important messages that are written.
        short: Write lines for somebody who watches them.
    """
    lines = _ShortLines if short else _Lines
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(lines("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=number, handlers=[handler], force=True)
    quiet = number if level == "debug" else max(number, logging.WARNING)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(quiet)
