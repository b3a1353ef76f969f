"""Tickets: who somebody is, until when, signed.

``PageService`` gives them and ``BindService`` of the gates believes them, so both
know one secret: ``CHAT_SECRET``, which the pods get from a Secret of Kubernetes.  On
a laptop a file beside the example takes its place, made by whoever needs it first.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

__all__ = ["LIFETIME", "TicketError", "find_secret", "read", "sign"]

LIFETIME: Final = 24 * 3600.0  # seconds
LONGEST: Final = 1024  # characters; a ticket for the longest name has fewer
SHORTEST_SECRET: Final = 16  # characters
SECRET: Final = "CHAT_SECRET"
LOOPBACK: Final = ("127.", "localhost", "[::1]")


class TicketError(Exception):
    """A ticket is not to be believed; the text says why and what to do."""


class Ticket(Struct, frozen=True):
    """What is signed.

    Attributes:
        name: Whom it is for.
        until: Seconds since 1970.
    """

    name: str
    until: float


def sign(name: str, secret: bytes, now: float) -> str:
    """Return a ticket for *name* that is good from *now* on for :data:`LIFETIME`.

    Its form is ``base64(JSON).base64(HMAC-SHA256)``, both without padding and safe in
    URLs.
    """
    body = _packed(msgspec.json.encode(Ticket(name, now + LIFETIME)))
    return f"{body}.{_signature(body, secret)}"


def read(ticket: object, secret: bytes, now: float) -> str:
    """Return the name that *ticket* is for.

    Raises:
        TicketError: It is none of ours, or too old.
    """
    if not isinstance(ticket, str) or len(ticket) > LONGEST or not ticket.isascii():
        raise TicketError("ticket: this is none; log in to get one")
    body, _, signature = ticket.partition(".")
    if not hmac.compare_digest(_signature(body, secret), signature):
        raise TicketError("ticket: we did not sign this; log in again")
    try:
        found = msgspec.json.decode(_unpacked(body), type=Ticket)
    except (binascii.Error, msgspec.DecodeError):  # signed by an older program
        raise TicketError("ticket: its form is unknown; log in again") from None
    if found.until < now:
        raise TicketError("ticket: it is too old; log in again")
    return found.name


def _signature(body: str, secret: bytes) -> str:
    return _packed(hmac.new(secret, body.encode(), hashlib.sha256).digest())


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def find_secret(node: str, file: Path) -> bytes:
    """Return what tickets are signed with.

    Args:
        node: The node's address: on loopback, a secret may be made.
        file: Where it is kept then, readable by its owner only.

    Raises:
        RuntimeError: There is none, or it is too short to be one.
    """
    given = os.environ.get(SECRET, "")
    if not given and node.startswith(LOOPBACK):
        given = _kept(file)
    if len(given) < SHORTEST_SECRET:
        message = (
            f"{SECRET} has to be a secret of {SHORTEST_SECRET} characters or more; in "
            "Kubernetes it comes from a Secret, see README.md"
        )
        raise RuntimeError(message)
    return given.encode()


def _kept(file: Path) -> str:
    """Return the secret in *file*, made by whichever process was the first."""
    if not file.exists():
        place = file.parent
        with tempfile.NamedTemporaryFile("w", dir=place, prefix=".secret-") as new:
            new.write(secrets.token_urlsafe(32))
            new.flush()
            with contextlib.suppress(FileExistsError):
                os.link(new.name, file)  # whole or not at all, and never over another
    return file.read_text(encoding="ascii")
