"""Payloads as they are typed and shown, for each serializer."""

from __future__ import annotations

import base64
import binascii
import importlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias

import msgspec

from nano.errors import PayloadError, UsageError
from nano.serializers import JsonSerializer, SerializerName

__all__ = ["JSON", "Form", "RawWay", "form_of"]

RawWay: TypeAlias = Literal["text", "hex", "base64"]

_json: Final = JsonSerializer()
_any: Final = _json.decoder(Any)


class Form(Protocol):
    """How payloads are written on a command line."""

    @property
    def serializer(self) -> SerializerName:
        """The cluster's."""

    def read(self, route: str, text: str) -> bytes:
        """Return what *text* is, as a payload for *route*; empty: nothing in it.

        Raises:
            UsageError: It is nothing of that form.
        """

    def show(self, route: str, payload: bytes) -> str:
        """Return a line for *payload*, an answer or a push; never raises."""


class _Json:
    serializer: Final = "json"

    def read(self, route: str, text: str) -> bytes:
        from nano.cli.values import read_json

        return _json.encode(read_json(text or "{}"))

    def show(self, route: str, payload: bytes) -> str:
        try:
            return msgspec.json.encode(_any(payload)).decode()
        except PayloadError:
            return payload.decode(errors="replace")


JSON: Final[Form] = _Json()


@dataclass(frozen=True)
class _Raw:
    way: RawWay
    serializer: Final = "raw"

    def read(self, route: str, text: str) -> bytes:
        try:
            match self.way:
                case "hex":
                    return bytes.fromhex(text)
                case "base64":
                    return base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error) as error:
            raise UsageError(f"{text!r} is no {self.way}: {error}") from None
        return text.encode("utf-8", "surrogateescape")  # as the shell gave it

    def show(self, route: str, payload: bytes) -> str:
        match self.way:
            case "hex":
                return payload.hex(" ")
            case "base64":
                return base64.b64encode(payload).decode()
        return payload.decode(errors="backslashreplace")


@dataclass(frozen=True)
class _Protobuf:
    """Messages by their route; the empty one stands for all others."""

    sent: dict[str, Any] = field(default_factory=dict)
    received: dict[str, Any] = field(default_factory=dict)
    serializer: Final = "protobuf"

    def read(self, route: str, text: str) -> bytes:
        from nano.serializers.written import read_message

        kind = self.sent.get(route, self.sent.get(""))
        if kind is None and text not in ("", "{}"):
            raise UsageError(
                f"{route}: say what is sent by --send MODULE:MESSAGE, the class that "
                "protoc has made"
            )
        return b"" if kind is None else read_message(kind, text)

    def show(self, route: str, payload: bytes) -> str:
        from nano.serializers.written import show_message

        kind = self.received.get(route, self.received.get(""))
        if kind is None:
            return (
                f"{payload.hex(' ')} (hexadecimal; --receive MODULE:MESSAGE reads it)"
            )
        line = show_message(kind, payload)
        if line is None:
            return f"{payload.hex(' ')} (hexadecimal; no {kind.DESCRIPTOR.full_name})"
        return line


def form_of(
    serializer: SerializerName,
    sent: Iterable[str] = (),
    received: Iterable[str] = (),
    way: RawWay | None = None,
    folder: Path | None = None,
) -> Form:
    """Return the form that the options of a command name.

    Args:
        serializer: The cluster's.
        sent: ``[ROUTE=]MODULE:MESSAGE`` of what is sent.
        received: The same of answers, and of pushes by their own route.
        way: How raw payloads are written; text by default.
        folder: Where modules are looked for, too; by default the one we are in.

    Raises:
        UsageError: An option is not for this serializer, or names nothing.
    """
    sent, received = list(sent), list(received)
    if serializer != "protobuf" and (sent or received):
        raise UsageError("--send and --receive are for the serializer protobuf")
    if serializer != "raw" and way:
        raise UsageError("--raw is for the serializer raw")
    if serializer == "raw":
        return _Raw(way or "text")
    if serializer == "json":
        return JSON
    here = str(folder or Path.cwd())
    return _Protobuf(
        _classes("--send", sent, here), _classes("--receive", received, here)
    )


def _classes(option: str, names: list[str], here: str) -> dict[str, Any]:
    from nano.serializers.written import message_class

    found: dict[str, Any] = {}
    for given in names:
        route, _, name = given.rpartition("=")
        if route in found:
            which = f"for {route}" if route else "without a route"
            raise UsageError(f"{option} is given twice {which}")
        module, _, inside = name.partition(":")
        if not module or not inside:
            text = f"{option} needs [ROUTE=]MODULE:MESSAGE, as chat_pb2:Hello"
            raise UsageError(f"{text}, not {given!r}")
        found[route] = message_class(
            f"{option} {name}", _object(option, module, inside, here)
        )
    return found


def _object(option: str, module: str, inside: str, here: str) -> object:
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = importlib.import_module(module)
    except Exception as error:
        text = f"{option}: module {module} cannot be imported "
        text += f"({type(error).__name__}: {error}); it is looked for in {here}, too"
        raise UsageError(text) from error
    for part in inside.split("."):  # messages may be inside of messages
        if not hasattr(found, part):
            raise UsageError(f"{option}: {module} has no {inside}")
        found = getattr(found, part)
    return found
