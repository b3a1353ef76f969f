"""Whose turn it is among the messages of one session.

It stands beside the session for speed: all of it is read with every message, and of a
class that is compiled, compiled code reads an attribute without asking Python.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from nano.protocol.messages import Message

if TYPE_CHECKING:
    from nano.runtime.dispatch import LocalRoute, Queued

__all__ = ["Turns"]


class Turns:
    """What a node has in hand for one session, and what waits behind it.

    Attributes:
        asked: What a handler has in hand while it runs.
        asked_of: Which handler's it is, or was.
        busy: An ``async`` handler runs; the next message waits for its end.
        waiting: What waits, in order; none before the first had to.
    """

    __slots__ = ("asked", "asked_of", "busy", "waiting")

    def __init__(self) -> None:
        self.asked: Message | None = None
        self.asked_of: LocalRoute | None = None
        self.busy = False
        self.waiting: deque[tuple[Queued, Message]] | None = None

    def wait(self, queued: Queued, message: Message) -> int:
        """Have *message* wait for its turn with *queued*; return how many wait."""
        if self.waiting is None:
            self.waiting = deque()
        self.waiting.append((queued, message))
        return len(self.waiting)

    @property
    def over(self) -> bool:
        """Nothing is in hand and nothing waits."""
        return not (self.busy or self.waiting)
