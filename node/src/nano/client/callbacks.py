"""Functions that are called by name: with pushes, and with what happens to a client."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any

from nano.errors import UsageError

__all__ = ["Callbacks"]

Callback = Callable[[Any], object]


class Callbacks:
    """Who is called for which name, in the order in which they came.

    Args:
        failed: Is told what a callback raises, and the name that it was called for.
        names: Those that there are; by default any.
        awaited: Those for which coroutine functions are awaited by whoever emits.
    """

    def __init__(
        self,
        failed: Callable[[str, Exception], None],
        names: Collection[str] = (),
        awaited: Collection[str] = (),
    ) -> None:
        self._failed = failed
        self._names = names
        self._awaited = awaited
        self._entries: dict[str, list[tuple[Callback, Callback, bool]]] = {}

    def on(self, name: str, callback: Callback) -> None:
        """Have *callback* called each time; raises as :meth:`add`."""
        self.add(name, callback, callback)

    def once(self, name: str, callback: Callback) -> None:
        """Have *callback* called the next time; raises as :meth:`add`."""
        self.add(name, callback, callback, once=True)

    def add(
        self, name: str, callback: Callback, call: Callback, *, once: bool = False
    ) -> None:
        """Have *call* called, and known as *callback* to :meth:`off`.

        Raises:
            UsageError: Nothing is called that, or *callback* would have to be awaited.
        """
        if self._names and name not in self._names:
            known = ", ".join(self._names)
            raise UsageError(
                f"nothing happens that is called {name!r}; there is: {known}"
            )
        if name not in self._awaited and inspect.iscoroutinefunction(callback):
            raise UsageError(
                f"callbacks of {name} are called and not awaited; make it a plain def"
            )
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
