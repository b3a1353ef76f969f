"""What a gate must make of a case, told from the protocol alone.

The protocol's own objects are driven here as a transport drives them.  What comes of
it is compared with what a gate did, so the two must not share the part that is tried:
reading from sockets, dispatching, writing and closing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from nano.errors import ProtocolError
from nano.protocol.connection import Connection, HandshakeRequested
from nano.protocol.handshake import ServerHello
from nano.protocol.lifecycle import State
from nano.protocol.messages import Message
from nano.protocol.packets import DEFAULT_LIMIT
from nano.transports.connection import MOST_OF_A_STRANGER
from nano.transports.context import LONGEST_GREETING
from nano.transports.frames import MESSAGE_TOO_BIG, FrameReader
from nano.transports.websocket import FRAME_ROOM

from .transcripts import DICTIONARY, Case

__all__ = ["FRAME_LIMIT", "Foretold", "foretell"]

FRAME_LIMIT: Final = DEFAULT_LIMIT + FRAME_ROOM  # of a client that was greeted
HELLO: Final = ServerHello(30, 0, DICTIONARY)
LEAVE: Final = "Yard.leave"
LATE: Final = frozenset({"Yard.late"})  # answered if there is time


@dataclass(slots=True)
class Foretold:
    """What is to be expected of one connection.

    Attributes:
        working: It comes to the state in which messages count.
        greetings: How many handshakes are answered.
        answers: The ids of the requests that are answered, in order.
        certain: All of them are; else some wait behind an ``async`` handler, and may
            find the connection ended when their turn comes.
        kick: The reason that it is kicked for; empty if it is not.
        close: The code of our close frame; 0 if the stream just ends.
    """

    working: bool = False
    greetings: int = 0
    answers: list[int] = field(default_factory=list)
    certain: bool = True
    kick: str = ""
    close: int = 0


def _connection() -> Connection:
    return Connection(DICTIONARY, LONGEST_GREETING)


def _packets(connection: Connection, data: bytes, told: Foretold) -> None:
    events = connection.receive(data)
    while events and not told.kick:
        more = False
        for event in events:
            if isinstance(event, Message):
                told.working = True
                if event.route == LEAVE and told.certain:
                    told.kick = "you wanted to go"
                    break
                told.certain &= event.route not in LATE
                if event.id:
                    told.answers.append(event.id)
            elif isinstance(event, HandshakeRequested):
                connection.accept(HELLO)
                connection.allow(DEFAULT_LIMIT)
                told.greetings += 1
                more = True
            elif isinstance(event, ProtocolError):
                told.kick = str(event)
        events = connection.receive(b"") if more else []
        told.working |= connection.state is State.WORKING


def foretell(case: Case) -> Foretold:
    """Tell what a gate makes of *case*, whose upgrade is intact."""
    told = _told(case)
    if not told.greetings and len(case.wire) > MOST_OF_A_STRANGER:
        told.certain = False  # how much of it means nothing depends on how it is read
    return told


def _told(case: Case) -> Foretold:
    told = Foretold()
    if case.transport == "tcp":
        _packets(_connection(), case.wire, told)
        return told
    connection, reader = _connection(), FrameReader(LONGEST_GREETING + FRAME_ROOM)
    frames = reader.receive(case.wire)
    _packets(connection, frames.data, told)
    if frames.error and frames.error.code == MESSAGE_TOO_BIG and told.greetings:
        reader.limit = FRAME_LIMIT
        frames = reader.receive(b"")
        _packets(connection, frames.data, told)
    if told.kick:
        told.close = 1000 if told.kick == "you wanted to go" else 1002
        if told.kick.startswith("a packet of"):
            told.close = 1009
    elif frames.close is not None:
        told.close = frames.close if frames.close != 1005 else 1000
    elif frames.error is not None:
        told.close = frames.error.code
    return told
