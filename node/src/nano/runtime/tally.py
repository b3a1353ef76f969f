"""How many sessions are bound to whom, for what service.

The sessions that are at home here have bindings that count themselves, whoever writes
them; so that the number is exact, and costs nothing where bindings are only read.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nano.runtime.session import Session

__all__ = ["Counted", "Tally"]

_NOBODY: Final = ""  # no address


class Counted(dict[str, str]):
    """Bindings that keep count; written by item and :meth:`pop`, as all bindings are.

    Args:
        numbers: The sessions that are bound, by service and member.
    """

    __slots__ = ("_numbers",)

    def __init__(self, numbers: Counter[tuple[str, str]]) -> None:
        super().__init__()
        self._numbers: Counter[tuple[str, str]] | None = numbers

    def __setitem__(self, service: str, member: str) -> None:
        self._less(service)
        super().__setitem__(service, member)
        if self._numbers is not None:
            self._numbers[service, member] += 1

    def __delitem__(self, service: str) -> None:
        self._less(service)
        super().__delitem__(service)

    def pop(self, service: str, *default: Any) -> Any:
        """Bind to nobody; return who was bound, or *default*."""
        self._less(service)
        return super().pop(service, *default)

    def _less(self, service: str) -> None:
        numbers, member = self._numbers, self.get(service, _NOBODY)
        if numbers is None or not member:
            return
        numbers[service, member] -= 1
        if not numbers[service, member]:
            del numbers[service, member]

    def stop(self) -> None:
        """Count no more, and be counted no more: the session has ended."""
        for service in self:
            self._less(service)
        self._numbers = None


class Tally:
    """The numbers of one node.

    Attributes:
        numbers: The sessions that are bound, by service and member; never 0.
    """

    def __init__(self) -> None:
        self.numbers: Counter[tuple[str, str]] = Counter()

    def enter(self, session: Session) -> None:
        """Count the bindings of *session*, which is at home here."""
        counted = Counted(self.numbers)
        for service, member in session.bindings.items():
            counted[service] = member
        session.bindings = counted

    def leave(self, session: Session) -> None:
        """Count *session* no more; harmless for one that was never counted."""
        if isinstance(session.bindings, Counted):
            session.bindings.stop()
