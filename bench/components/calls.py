"""Counts every call that a node makes, for ``python -m bench --calls``."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from nano import Component, Session, handler


class Calls(Component):
    """Counts from the end of the start to the beginning of the stop.

    Only what the thread of the event loop calls, which is everything on a message's
    way.  The counts are written into the folder that ``BENCH_CALLS`` names.
    """

    async def started(self) -> None:
        """Begin."""
        self.python: Counter[CodeType] = Counter()
        self.native: Counter[tuple[str, CodeType, int]] = Counter()
        sys.setprofile(self._called)

    async def stopping(self) -> None:
        """End, and write what was counted."""
        sys.setprofile(None)
        counts = {
            f"{_place(code, code.co_firstlineno)} {code.co_qualname}": count
            for code, count in self.python.items()
        } | {
            f"{_place(code, line)} → {name}": count
            for (name, code, line), count in self.native.items()
        }
        folder = Path(os.environ["BENCH_CALLS"])
        (folder / f"calls.{os.getpid()}").write_text(json.dumps(counts))

    @handler
    def forget(self, session: Session, _: None) -> None:
        """Begin again."""
        self.python.clear()
        self.native.clear()

    def _called(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            self.python[frame.f_code] += 1
        elif event == "c_call":
            name = getattr(argument, "__qualname__", repr(argument))
            self.native[name, frame.f_code, frame.f_lineno] += 1


def _place(code: CodeType, line: int) -> str:
    parts = Path(code.co_filename).parts
    return f"{'/'.join(parts[-3:])}:{line}"
