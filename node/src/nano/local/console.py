"""What the person at the terminal reads: every line with the name of its process.

Colours tell processes apart on a terminal and are left out anywhere else.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, TextIO

from nano.local.record import Record

__all__ = ["OURS", "Console", "coloured", "is_colourful"]

OURS: Final = "nanoctl"
_COLOURS: Final = (36, 32, 35, 33, 34, 96, 92, 95, 93, 94)  # none that means danger


class Console:
    """Writes lines of many processes to one stream, and into their record.

    Args:
        out: The stream; ``None``: nobody watches.
        names: Of all processes that will speak, for the width of the first column.
        record: Where the lines are kept, if anywhere.
    """

    def __init__(
        self, out: TextIO | None, names: list[str], record: Record | None = None
    ) -> None:
        self._out = out
        self._record = record
        self._width = len(OURS)
        self._colourful = out is not None and is_colourful(out)
        self._colours: dict[str, int] = {OURS: 1}  # bold
        self.expect(names)

    def expect(self, names: Iterable[str]) -> None:
        """Make room for processes of these names."""
        for name in names:
            self._width = max(self._width, len(name))
            count = len(self._colours) - 1
            self._colours.setdefault(name, _COLOURS[count % len(_COLOURS)])

    def say(self, text: str) -> None:
        """Write something of the supervisor's own, in as many lines as it has."""
        for line in text.splitlines():
            self.line(OURS, line)

    def line(self, name: str, text: str) -> None:
        """Write one line of the process *name*."""
        if self._record is not None:
            self._record.line(name, text)
        if self._out is None:
            return
        label = f"{name:<{self._width}} |"
        if self._colourful and name in self._colours:
            label = coloured(label, self._colours[name])
        try:
            print(f"{label} {text}", file=self._out, flush=True)
        except (BrokenPipeError, UnicodeEncodeError):
            return  # nobody reads; the processes matter more


def is_colourful(out: TextIO) -> bool:
    """Return whether colours help whoever reads *out*."""
    return out.isatty() and not os.environ.get("NO_COLOR")


def coloured(text: str, colour: int) -> str:
    """Return *text* in one of a terminal's colours, by its SGR number."""
    return f"\x1b[{colour}m{text}\x1b[0m"
