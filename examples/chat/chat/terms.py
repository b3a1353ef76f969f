"""What may be said, by whom and where: the chat's limits and payloads.

Pure: no node, no clock.  Whatever a client sends passes here, and what does not fit
is refused with an error that names the field and says what to do.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from msgspec import Struct

from nano import RequestError

__all__ = [
    "EVERYBODY",
    "GUEST",
    "LONGEST_NAME",
    "LONGEST_TEXT",
    "ROOMS",
    "START_BALANCE",
    "Entered",
    "Line",
    "Traffic",
    "check_id",
    "check_name",
    "check_room",
    "check_text",
    "group_of",
]

ROOMS: Final = ("lobby", "kitchen", "garden", "workshop")  # all that there are
EVERYBODY: Final = "chat"  # the group of all users, whatever their room
GUEST: Final = "guest"  # what the names of those without a ticket begin with
LONGEST_NAME: Final = 24  # characters
LONGEST_TEXT: Final = 500  # characters
LONGEST_ID: Final = 40  # characters of the id that a client gives its message
START_BALANCE: Final = 1000  # messages that a session may count down; nano's number


class Line(Struct, frozen=True, omit_defaults=True):
    """One message, as ``onMessage`` pushes it; nano's has the first two members.

    Attributes:
        name: Who said it.
        content: What.
        room: Where.
        id: Unique in its room, chosen by the client or by the node.
        at: When, in milliseconds since 1970.
        node: The room backend that took it.
    """

    name: str
    content: str
    room: str
    id: str
    at: int
    node: str


class Entered(Struct):
    """The answer to a login and to a change of room; nano's is ``code`` alone.

    Attributes:
        code: 0.
        name: Who the client is.
        room: Where it is now.
        rooms: Where it could be.
        members: Who is there, itself included.
        history: What was said there, the oldest first.
        balance: How many more messages its account pays for.
        gate: The gate that holds the client.
    """

    code: int = 0
    name: str = ""
    room: str = ""
    rooms: tuple[str, ...] = ROOMS
    members: list[str] = []
    history: list[Line] = []
    balance: int = START_BALANCE
    gate: str = ""


class Traffic(Struct, frozen=True):
    """What goes on at one gate, by its own metrics.

    Attributes:
        users: Its clients, as they are now.
        came: Messages that they sent to their rooms in the last minute.
        went: How often one was passed on to a client in the last minute.
    """

    users: int
    came: int
    went: int


def group_of(room: str) -> str:
    """Return the name of the group of those who are in *room*."""
    return f"room:{room}"


def check_name(name: str) -> str:
    """Return *name* as it will be shown.

    Raises:
        RequestError: 400: it is empty, too long or has characters that do not print.
    """
    shown = " ".join(unicodedata.normalize("NFC", name[: 4 * LONGEST_NAME]).split())
    if not 1 <= len(shown) <= LONGEST_NAME:
        message = f"nickname: 1 to {LONGEST_NAME} characters, please"
        raise RequestError(400, message)
    if not shown.isprintable():
        message = "nickname: letters, digits, spaces and signs that can be seen, please"
        raise RequestError(400, message)
    return shown


def check_room(room: str) -> str:
    """Return *room*.

    Raises:
        RequestError: 404: there is no such room.
    """
    if room not in ROOMS:
        known = ", ".join(ROOMS)
        raise RequestError(404, f"room: there is none of this name, but {known}")
    return room


def check_text(text: str) -> str:
    """Return *text* as it will be shown.

    Raises:
        RequestError: 400: it is empty, or has control characters; 413: it is too long.
    """
    if len(text) > LONGEST_TEXT:
        message = (
            f"content: {len(text)} characters, and {LONGEST_TEXT} is the most; send it "
            "in parts"
        )
        raise RequestError(413, message)
    shown = text.strip()
    if not shown:
        raise RequestError(400, "content: there is nothing in it; write something")
    if any(unicodedata.category(it) == "Cc" and it not in "\n\t" for it in shown):
        raise RequestError(400, "content: it has control characters; send plain text")
    return shown


def check_id(text: str) -> str:
    """Return the id that a client gives its message; it may be empty.

    Raises:
        RequestError: 400: it is too long or no plain word.
    """
    if len(text) > LONGEST_ID or not (text.isascii() and text.isprintable()):
        message = f"id: up to {LONGEST_ID} plain characters, or none"
        raise RequestError(400, message)
    return text
