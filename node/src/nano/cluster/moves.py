"""A session on its way from one member to another, for one service.

Pure: no clocks, no links.  :mod:`nano.cluster.mover` feeds it, at the session's gate.

======  ==============================================================================
asked   The old member was asked to finish; the client's messages wait meanwhile.
moved   It has finished, and another member goes on with what it has handed over.
fresh   Another member goes on, without that.
over    The client has gone, and there is nobody to move.
======  ==============================================================================
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from nano.errors import ClusterError

if TYPE_CHECKING:
    from nano.cluster.link import Link
    from nano.metrics import RouteCounts
    from nano.protocol.messages import Message
    from nano.runtime.session import Session

__all__ = [
    "HOLD_AT",
    "LONGEST",
    "MOST_PARKED",
    "TRANSITIONS",
    "Move",
    "MoveEvent",
    "MoveState",
    "Waiting",
]


class Waiting(Protocol):
    """Where a message goes on that waits."""

    @property
    def counts(self) -> RouteCounts:
        """What its route has seen."""

    def deliver(self, session: Session, message: Message) -> None:
        """Take the message; the session has moved."""


LONGEST: Final = 5.0  # seconds from the question to the old member's answer
HOLD_AT: Final = 32  # messages that wait: the client is not read any more
MOST_PARKED: Final = 256  # ... and so many are the most; further ones are refused


class MoveState(Enum):
    """Where a move stands."""

    ASKED = "asked"
    MOVED = "moved"
    FRESH = "fresh"
    OVER = "over"


class MoveEvent(Enum):
    """What can happen to a move; the values are counted."""

    QUIET = "handed-over"  # the old member has finished, and here is the state
    EMPTY = "no-state"  # ... and there is none
    FAILED = "failed"  # ... and could not hand it over
    LATE = "late"  # the old member has not finished in time
    LOST = "member-lost"  # the link to it has ended
    CLOSED = "client-gone"


TRANSITIONS: Final[Mapping[tuple[MoveState, MoveEvent], MoveState]] = MappingProxyType(
    {
        (MoveState.ASKED, MoveEvent.QUIET): MoveState.MOVED,
        (MoveState.ASKED, MoveEvent.EMPTY): MoveState.MOVED,
        (MoveState.ASKED, MoveEvent.FAILED): MoveState.FRESH,
        (MoveState.ASKED, MoveEvent.LATE): MoveState.FRESH,
        (MoveState.ASKED, MoveEvent.LOST): MoveState.FRESH,
        (MoveState.ASKED, MoveEvent.CLOSED): MoveState.OVER,
    }
)
"""A move ends once: what has no cell has no place, and is a mistake of ours."""


class Move:
    """One move.

    Attributes:
        number: The gate's own number of it.
        session: Who moves.
        service: What for.
        source: The link to the old member.
        target: The address to move to; empty: whoever serves best when it ends.
        due: When it has taken too long.
        parked: The messages that wait, each with its route, in order.
        state: Where it stands.
    """

    __slots__ = (
        "due",
        "number",
        "parked",
        "service",
        "session",
        "source",
        "state",
        "target",
    )

    def __init__(
        self,
        number: int,
        session: Session,
        service: str,
        source: Link,
        target: str,
        due: float,
    ) -> None:
        self.number = number
        self.session = session
        self.service = service
        self.source = source
        self.target = target
        self.due = due
        self.parked: deque[tuple[Waiting, Message]] = deque()
        self.state = MoveState.ASKED

    def step(self, event: MoveEvent) -> MoveState:
        """Take one step; return where the move stands then.

        Raises:
            ClusterError: The move is over already.
        """
        try:
            self.state = TRANSITIONS[self.state, event]
        except KeyError:
            message = f"{event.value} of a move that is {self.state.value}"
            raise ClusterError(message) from None
        return self.state

    def park(self, route: Waiting, message: Message) -> bool:
        """Have *message* wait; false if too many do."""
        if len(self.parked) >= MOST_PARKED:
            return False
        self.parked.append((route, message))
        return True
