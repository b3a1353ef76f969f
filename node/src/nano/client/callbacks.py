"""Functions that are called by name: with pushes, and with what happens to a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Callbacks"]

Callback = Callable[[Any], object]


class Callbacks:
    """Who is called for which name, in the order in which they came.

    Args:
        failed: Is told what a callback raises, and the name that it was called for.
    """

    def __init__(self, failed: Callable[[str, Exception], None]) -> None:
        self._failed = failed
        self._entries: dict[str, list[tuple[Callback, Callback, bool]]] = {}

    def on(self, name: str, callback: Callback) -> None:
        """Have *callback* called each time."""
        self.add(name, callback, callback)

    def once(self, name: str, callback: Callback) -> None:
        """Have *callback* called the next time."""
        self.add(name, callback, callback, once=True)

    def add(
        self, name: str, callback: Callback, call: Callback, *, once: bool = False
    ) -> None:
        """Have *call* called, and known as *callback* to :meth:`off`."""
        self._entries.setdefault(name, []).append((callback, call, once))

    def off(self, name: str, callback: Callback | None = None) -> None:
        """Forget *callback*, wherever it stands; without one all of *name*."""
        kept = [
            entry
            for entry in self._entries.pop(name, ())
            if callback is not None and entry[0] != callback
        ]
        if kept:
            self._entries[name] = kept

    def emit(self, name: str, value: object) -> list[object]:
        """Call all of *name* with *value*; return what they return."""
        entries = self._entries.get(name)
        if entries is None:
            return []
        returned: list[object] = []
        for entry in tuple(entries):
            if entry[2] and entry in entries:
                entries.remove(entry)
            try:
                returned.append(entry[1](value))
            except Exception as error:
                self._failed(name, error)
        return returned

    def __contains__(self, name: object) -> bool:
        return bool(self._entries.get(name))  # type: ignore[call-overload]
