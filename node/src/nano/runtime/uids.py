"""Who is there: sessions by their uids."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nano.runtime.session import Session

__all__ = ["Uids"]


class Uids:
    """A table of sessions by uid; those that are bound to nobody are not in it.

    Attributes:
        watchers: Called with each session that gets a uid, once it is entered.
    """

    def __init__(self) -> None:
        self.watchers: list[Callable[[Session], None]] = []
        # Most uids have one session, and a dict for each would be four times as large.
        self._bound: dict[str, Session | dict[int, Session]] = {}

    def enter(self, session: Session) -> None:
        """Take in a session that has begun."""
        uid = session.uid
        if not uid:
            return
        found = self._bound.get(uid)
        if found is None:
            self._bound[uid] = session
        elif isinstance(found, dict):
            found[session.id] = session
        elif found is not session:
            self._bound[uid] = {found.id: found, session.id: session}
        for watcher in self.watchers:
            watcher(session)

    def leave(self, session: Session, uid: str) -> None:
        """Strike *session*, which was bound to *uid*; it need not be there."""
        found = self._bound.get(uid)
        if found is session:
            del self._bound[uid]
        elif isinstance(found, dict):
            found.pop(session.id, None)
            if not found:
                del self._bound[uid]

    def renamed(self, session: Session, before: str) -> None:
        """Note that *session* was bound to *before*, and is to another uid now."""
        self.leave(session, before)
        self.enter(session)

    def of(self, uid: str) -> list[Session]:
        """Return the sessions of *uid*, in the order in which they were bound."""
        found = self._bound.get(uid)
        if found is None:
            return []
        return list(found.values()) if isinstance(found, dict) else [found]

    def __len__(self) -> int:
        return len(self._bound)
