"""Messages of Protocol Buffers as people write and read them: in protobuf's JSON."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from nano.errors import UsageError

__all__ = ["message_class", "read_message", "show_message"]


def message_class(name: str, found: object) -> type[Message]:
    """Return *found*, which is called *name*.

    Raises:
        UsageError: It is no class of a message.
    """
    if (
        not isinstance(found, type)
        or not issubclass(found, Message)
        or found.DESCRIPTOR is None
    ):
        raise UsageError(f"{name} is no class of a message, as protoc makes them")
    return found


def read_message(kind: Any, text: str) -> bytes:
    """Return the message of class *kind* that *text* describes, as a payload.

    Raises:
        UsageError: It does not describe one.
    """
    try:
        message = json_format.Parse(text or "{}", kind())
        return bytes(message.SerializeToString())
    except (json_format.ParseError, ValueError) as error:
        name = kind.DESCRIPTOR.full_name
        raise UsageError(f"{text!r} is no {name} in protobuf's JSON: {error}") from None


def show_message(kind: Any, payload: bytes) -> str | None:
    """Return *payload* as a line of JSON, or ``None`` if it is no message of *kind*."""
    try:
        message = kind.FromString(payload)
    except DecodeError:
        return None
    return json_format.MessageToJson(
        message, indent=None, preserving_proto_field_name=True, ensure_ascii=False
    )
