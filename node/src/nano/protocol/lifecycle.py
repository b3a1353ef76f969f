"""The life of one client connection, written as a table.

A connection greets, is accepted, works and ends.  This module knows in which
order, and nothing else: :mod:`nano.protocol.connection` feeds it and decides what
goes on the wire.  The table is the specification: ``tests/protocol`` visits every
cell of it.

Where nano differs: there an acknowledgement alone is enough to work, so any
handshake validator can be walked around.  Here nobody works who was not accepted.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from nano.errors import ProtocolError

__all__ = ["TRANSITIONS", "Input", "State", "next_state"]


class State(Enum):
    """Where a connection stands."""

    GREETING = "greeting"  # connected; the client has not introduced itself
    ASKING = "asking"  # it has; whether it may come in is being decided
    GREETED = "greeted"  # it may; its acknowledgement is awaited
    WORKING = "working"  # messages flow in both directions
    CLOSED = "closed"  # over; no input means anything any more


class Input(Enum):
    """What can happen to a connection."""

    HANDSHAKE = "handshake"
    ACCEPT = "accept"  # we decide that the client may come in
    ACK = "handshake-ack"
    HEARTBEAT = "heartbeat"
    DATA = "data"
    KICK = "kick"  # sent by a client: without meaning, and ignored as nano does
    CLOSE = "close"  # whoever began it: kick, end of stream, protocol error


TRANSITIONS: Final[dict[tuple[State, Input], State]] = {
    (State.GREETING, Input.HANDSHAKE): State.ASKING,
    (State.GREETING, Input.HEARTBEAT): State.GREETING,
    (State.GREETING, Input.KICK): State.GREETING,
    (State.GREETING, Input.CLOSE): State.CLOSED,
    (State.ASKING, Input.ACCEPT): State.GREETED,
    (State.ASKING, Input.CLOSE): State.CLOSED,
    (State.GREETED, Input.HANDSHAKE): State.ASKING,
    (State.GREETED, Input.ACK): State.WORKING,
    (State.GREETED, Input.HEARTBEAT): State.GREETED,
    (State.GREETED, Input.KICK): State.GREETED,
    (State.GREETED, Input.CLOSE): State.CLOSED,
    (State.WORKING, Input.HANDSHAKE): State.ASKING,  # nano: greeted anew, ack again
    (State.WORKING, Input.ACK): State.WORKING,
    (State.WORKING, Input.HEARTBEAT): State.WORKING,
    (State.WORKING, Input.DATA): State.WORKING,
    (State.WORKING, Input.KICK): State.WORKING,
    (State.WORKING, Input.CLOSE): State.CLOSED,
    (State.CLOSED, Input.CLOSE): State.CLOSED,  # closing twice is harmless
}


def next_state(state: State, happened: Input) -> State:
    """Return where *happened* leads from *state*.

    Raises:
        ProtocolError: It has no place there.
    """
    try:
        return TRANSITIONS[state, happened]
    except KeyError:
        message = f"{happened.value} while {state.value}"
        raise ProtocolError(message) from None
