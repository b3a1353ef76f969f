"""What the person at the terminal reads: every line with the name of its process.

Colours tell processes apart on a terminal and are left out anywhere else.
"""

from __future__ import annotations

import os
from typing import Final, TextIO

__all__ = ["Console"]

OURS: Final = "nanoctl"
_COLOURS: Final = (36, 32, 35, 33, 34, 96, 92, 95, 93, 94)  # none that means danger


class Console:
    """Writes lines of many processes to one stream.

    Args:
        out: The stream.
        names: Of all processes that will speak, for the width of the first column.
    """

    def __init__(self, out: TextIO, names: list[str]) -> None:
        self._out = out
        self._width = max(len(name) for name in [OURS, *names])
        colourful = out.isatty() and not os.environ.get("NO_COLOR")
        self._colours = {
            name: _COLOURS[index % len(_COLOURS)]
            for index, name in enumerate(names)
            if colourful
        }
        self._bold = colourful

    def say(self, text: str) -> None:
        """Write something of the supervisor's own, in as many lines as it has."""
        for line in text.splitlines():
            self.line(OURS, line)

    def line(self, name: str, text: str) -> None:
        """Write one line of the process *name*."""
        label = f"{name:<{self._width}} |"
        if name in self._colours:
            label = f"\x1b[{self._colours[name]}m{label}\x1b[0m"
        elif self._bold:
            label = f"\x1b[1m{label}\x1b[0m"
        try:
            print(f"{label} {text}", file=self._out, flush=True)
        except (BrokenPipeError, UnicodeEncodeError):
            return  # nobody reads; the processes matter more
