"""Payloads in Protocol Buffers: a handler declares the class of its message.

The classes are the application's, made by ``protoc``.  As in nano, nothing on the
wire says which message a payload is; route and direction tell.  An empty payload is
a message whose fields all have their defaults.  The body of an error is a
``nano.Error``, and only clients that announce ``sys.errors`` get one: others would
read it as the message that they wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import DecodeError, EncodeError, Message

from nano.errors import INTERNAL, PayloadError, RequestError
from nano.serializers.pb.error_pb2 import Error

__all__ = ["ProtobufSerializer"]

HTTP: Final = range(100, 1000)


class ProtobufSerializer:
    """Messages of ``google.protobuf``."""

    self_describing: Final = False  # any message of other fields reads it as its own

    def decoder(self, wanted: Any) -> Callable[[bytes], Any]:
        """Return a function from payload to *wanted*: the class of a message.

        ``Any`` gives the bytes as they came, as ``bytes`` does.

        Raises:
            TypeError: *wanted* is something else.
        """
        if wanted is bytes or wanted is Any:
            return bytes
        if wanted is None or wanted is type(None):
            return _ignore
        if not _is_message(wanted):
            name = getattr(wanted, "__qualname__", wanted)
            message = (
                f"a protobuf payload never becomes a {name}; declare the class of a "
                "message, made by protoc, or bytes"
            )
            raise TypeError(message)
        decode: Callable[[bytes], Message] = wanted.FromString

        def decoded(payload: bytes) -> Message:
            try:
                return decode(payload)
            except DecodeError as error:
                why = str(error).rpartition(": ")[2]  # in front of it, the name again
                message = f"expected a protobuf {wanted.DESCRIPTOR.full_name}: {why}"
                raise PayloadError(message) from None

        return decoded

    def quick(self, wanted: Any) -> Callable[[bytes], Any] | None:
        """Return the class's own function, where :meth:`decoder` only wraps it."""
        return wanted.FromString if _is_message(wanted) else None

    def encode(self, value: Any) -> bytes:
        """Return the message *value* as bytes.

        Raises:
            TypeError: It is no message, or lacks a field that it requires.
        """
        if type(value) is bytes:
            return value
        if not isinstance(value, Message):
            name = type(value).__qualname__
            message = f"expected a protobuf message or bytes, got {name}"
            raise TypeError(message)
        try:
            return value.SerializeToString()
        except EncodeError as error:
            name = value.DESCRIPTOR.full_name
            message = f"{name} cannot be encoded: {error}"
            raise TypeError(message) from None

    def encode_error(self, error: RequestError) -> bytes:
        """Return a ``nano.Error``; never raises."""
        try:
            body = Error(code=error.code, msg=error.message, status=error.status)
        except (ValueError, TypeError):  # half a surrogate pair, no text, no int32
            status = error.status if error.status in HTTP else INTERNAL
            body = Error(
                code=ascii(error.code), msg=ascii(error.message), status=status
            )
        return body.SerializeToString()

    def decode_error(self, payload: bytes) -> RequestError:
        """Return the error in *payload*, whatever it has."""
        try:
            body = Error.FromString(payload)
        except DecodeError:
            return RequestError(INTERNAL, payload[:200].decode(errors="replace"))
        return RequestError(body.status or INTERNAL, body.msg, body.code)


def _ignore(_: bytes) -> None:
    return None


def _is_message(wanted: Any) -> bool:
    """Tell whether *wanted* is the class of a message, and not the root of all."""
    return (
        isinstance(wanted, type)
        and issubclass(wanted, Message)
        and wanted.DESCRIPTOR is not None
    )
