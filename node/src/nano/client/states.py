"""The life of a client, written as a table.

It knows in which order things happen and nothing else; :mod:`nano.client.client` feeds
it.  The JavaScript client has the same table.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["TRANSITIONS", "Input", "State", "next_state"]


class State(Enum):
    """Where a client stands."""

    IDLE = "idle"  # nobody has called open()
    OPENING = "opening"  # the stream is being opened
    GREETING = "greeting"  # we introduce ourselves
    WORKING = "working"  # messages flow in both directions
    WAITING = "waiting"  # the connection was lost; the next attempt comes in a while
    CLOSED = "closed"  # over, for good


class Input(Enum):
    """What can happen to a client."""

    OPEN = "open"  # an attempt begins
    OPENED = "opened"  # the stream is open
    ACCEPTED = "accepted"  # the server lets us in
    LOST = "lost"  # the connection has gone, and we shall try again
    OVER = "over"  # the connection has gone, and we shall not


TRANSITIONS: Final[dict[tuple[State, Input], State]] = {
    (State.IDLE, Input.OPEN): State.OPENING,
    (State.IDLE, Input.OVER): State.CLOSED,
    (State.OPENING, Input.OPENED): State.GREETING,
    (State.OPENING, Input.LOST): State.WAITING,
    (State.OPENING, Input.OVER): State.CLOSED,
    (State.GREETING, Input.ACCEPTED): State.WORKING,
    (State.GREETING, Input.LOST): State.WAITING,
    (State.GREETING, Input.OVER): State.CLOSED,
    (State.WORKING, Input.LOST): State.WAITING,
    (State.WORKING, Input.OVER): State.CLOSED,
    (State.WAITING, Input.OPEN): State.OPENING,
    (State.WAITING, Input.OVER): State.CLOSED,
    (State.CLOSED, Input.OVER): State.CLOSED,  # closing twice is harmless
}


def next_state(state: State, happened: Input) -> State:
    """Return where *happened* leads from *state*.

    Raises:
        RuntimeError: It has no place there.
    """
    try:
        return TRANSITIONS[state, happened]
    except KeyError:
        message = f"{happened.value} while {state.value}"
        raise RuntimeError(message) from None
