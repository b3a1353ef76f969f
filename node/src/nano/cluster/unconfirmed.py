"""Changes that a peer may not have taken when a link ends.

What is sent on a link arrives in order, and so does what comes back: the answer to a
ping says that everything sent before that ping has been taken.  Whatever was sent
since is kept here, and what is to be sent while there is no link, until the next one
takes it along.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from nano.cluster.pb import link_pb2 as pb

__all__ = ["MOST", "Unconfirmed"]

MOST: Final = 10_000
"""Changes that are kept for one peer; the oldest, most likely taken, go first."""


class Unconfirmed:
    """The changes that one link leaves to the next.

    Args:
        most: How many are kept.

    Attributes:
        forgotten: How many were not, for want of room.
    """

    __slots__ = ("_changes", "_closed", "_most", "forgotten")

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._changes: deque[tuple[int, pb.Envelope]] = deque()
        self._closed = False
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._changes)

    def add(self, envelope: pb.Envelope, ping: int) -> bool:
        """Keep *envelope*, sent after *ping*; false if nobody will ever take it."""
        if self._closed:
            return False
        self._changes.append((ping, envelope))
        if len(self._changes) > self._most:
            self._changes.popleft()
            self.forgotten += 1
        return True

    def confirm(self, ping: int) -> None:
        """Forget what was sent before *ping*: the peer has answered that."""
        changes = self._changes
        while changes and changes[0][0] < ping:
            changes.popleft()

    def take(self) -> list[pb.Envelope]:
        """Hand everything over, in order, to the link that is there now."""
        changes = [envelope for _, envelope in self._changes]
        self._changes.clear()
        return changes

    def close(self) -> None:
        """Forget everything, and take nothing more: the peer is gone."""
        self._changes.clear()
        self._closed = True
