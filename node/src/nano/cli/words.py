"""The lines of ``nanoctl repl``: what they mean, and what could come next.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import msgspec

from nano.errors import UsageError

__all__ = ["HELP", "Line", "completions", "read_line"]

Verb: TypeAlias = Literal["request", "notify", "wait", "routes", "help", "quit", ""]

WORDS: Final = ("request", "notify", "wait", "routes", "help", "quit")
HELP: Final = """\
  ROUTE [PAYLOAD]         ask, and show the answer; also: request ROUTE [PAYLOAD]
  notify ROUTE [PAYLOAD]  say, and expect no answer
  wait ROUTE [SECONDS]    wait for a push to ROUTE that has not been waited for (10)
  routes                  what is known to be there, or was used
  help                    this
  quit                    or the end of the input
Pushes are shown as they come. A line that begins with # is a remark."""


@dataclass(frozen=True)
class Line:
    """A line that was understood.

    Attributes:
        verb: What is to be done; empty: nothing.
        route: With what.
        payload: What is sent, as it was typed.
        seconds: How long is waited.
    """

    verb: Verb
    route: str = ""
    payload: str = ""
    seconds: float = 10.0


def read_line(text: str) -> Line:
    """Understand one line.

    Raises:
        UsageError: It means nothing; the text says what would.
    """
    text = text.strip()
    if not text or text.startswith("#"):
        return Line("")
    first, _, rest = text.partition(" ")
    if first not in WORDS:
        if "." not in first:
            raise UsageError(f"{first!r} is no command and no route; try: help")
        first, rest = "request", text
    route, _, more = rest.strip().partition(" ")
    more = more.strip()
    match first:
        case "request" | "notify" as verb:
            if not route:
                raise UsageError(
                    f"{verb} needs a route: {verb} Service.method [PAYLOAD]"
                )
            return Line(verb, route, more)
        case "wait":
            if not route:
                raise UsageError("wait needs a route: wait onNews [SECONDS]")
            return Line("wait", route, seconds=_seconds(more) if more else 10.0)
        case "routes" | "help" | "quit" as verb:
            if route:
                raise UsageError(f"{verb} stands alone, not before {route!r}")
            return Line(verb)
    raise AssertionError(first)  # WORDS and the cases are the same


def _seconds(text: str) -> float:
    try:
        seconds = msgspec.json.decode(text, type=float)
    except msgspec.DecodeError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise UsageError(f"seconds are a number above 0, up to 3600, not {text!r}")
    return seconds


def completions(text: str, routes: Iterable[str]) -> list[str]:
    """Return what the last word of *text*, up to the cursor, may become.

    Commands and routes come first in a line; behind ``request`` and ``notify``, routes.
    Payloads are not completed.
    """
    words = text.split(" ")
    if len(words) == 1:
        known = [*sorted(routes), *WORDS]
    elif len(words) == 2 and words[0] in {"request", "notify", "wait"}:
        known = sorted(routes)
    else:
        return []
    return [it for it in known if it.startswith(words[-1])]
