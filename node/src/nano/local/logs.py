"""What a log line looks like, decided once for every process.

For machines a line is a JSON object, for people a time in UTC, a level, a logger and
a message; on a laptop, where one watches, it is short: the time of day.  Whatever was
the matter of a session has its id and uid, whatever was a route's its name.  Payloads
and secrets are in none.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path
from typing import Final, Literal

import msgspec

from nano.admin.levels import set_level
from nano.errors import UsageError
from nano.runtime.session import Session

__all__ = ["Format", "configure"]

Format = Literal["auto", "json", "human"]
"""*auto* is for people on a terminal, and JSON elsewhere."""

_TIME: Final = "%Y-%m-%dT%H:%M:%S"


class _Lines(logging.Formatter):
    """``2026-11-21T10:15:02.123Z info    nano.node: gate 10.0.0.7:7650 is ready``."""

    default_time_format = _TIME
    default_msec_format = "%s.%03dZ"
    converter = staticmethod(time.gmtime)

    def formatMessage(self, record: logging.LogRecord) -> str:  # logging's
        """Write one record, its level in small letters."""
        before = record.levelname
        record.levelname = before.lower()  # other handlers may want it as it was
        try:
            return super().formatMessage(record)
        finally:
            record.levelname = before


class _ShortLines(_Lines):
    """``11:15:02.123 info    nano.node: gate 127.0.0.1:20001 is ready``."""

    default_time_format = "%H:%M:%S"
    default_msec_format = "%s.%03d"
    converter = staticmethod(time.localtime)


class _Json(logging.Formatter):
    """``{"time":"…","level":"info","logger":"nano.node","message":"…","node":"…"}``.

    Args:
        about: What every line says of the process.
    """

    default_time_format = _TIME
    default_msec_format = "%s.%03dZ"
    converter = staticmethod(time.gmtime)

    def __init__(self, about: Mapping[str, str]) -> None:
        super().__init__()
        self._about = {name: value for name, value in about.items() if value}

    def format(self, record: logging.LogRecord) -> str:
        """Write one record in one line."""
        line = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._about,
            **_matter(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return msgspec.json.encode(line).decode()


def _matter(record: logging.LogRecord) -> dict[str, str]:
    """Return what a record is about, where that is known: session, uid and route."""
    about = {}
    for value in record.args if isinstance(record.args, tuple) else ():
        if isinstance(value, Session):
            about["session"] = str(value.id)
            if value.uid:
                about["uid"] = value.uid
    route = getattr(record, "route", "")
    if route:
        about["route"] = route
    return about


def configure(
    level: str,
    *,
    form: Format = "human",
    short: bool = False,
    about: Mapping[str, str] | None = None,
    file: Path | None = None,
    days: int = 7,
) -> None:
    """Log to standard error from *level* on: debug, info, warning or error.

    Args:
        level: The least important messages that are written.
        form: How.
        short: For people, write lines for somebody who watches them; *auto* is then
            for people.
        about: What every JSON line says of the process.
        file: Write to this file as well, and to a new one each midnight, UTC.
        days: How many of the old ones are kept.

    Raises:
        UsageError: The file cannot be written.
    """
    text = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    people = (_ShortLines if short else _Lines)(text)
    machines = _Json(about or {})
    watched = short or sys.stderr.isatty()
    stderr = logging.StreamHandler(sys.stderr)
    human = form == "human" or (form == "auto" and watched)
    stderr.setFormatter(people if human else machines)
    handlers: list[logging.Handler] = [stderr]
    if file is not None:
        written = _daily(file, days)
        written.setFormatter(_Lines(text) if form == "human" else machines)
        handlers.append(written)
    logging.basicConfig(handlers=handlers, force=True)
    set_level(level)


def _daily(file: Path, days: int) -> logging.Handler:
    try:
        return TimedRotatingFileHandler(
            file, when="midnight", backupCount=days, utc=True, encoding="utf-8"
        )
    except OSError as error:
        message = (
            f"cannot log to {file}: {error.strerror}; choose another --log-file, in a "
            "folder that is there and may be written"
        )
        raise UsageError(message) from error
