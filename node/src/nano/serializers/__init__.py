"""Payloads as objects: one serializer a cluster, chosen by name.

A serializer makes decoders for the types that handlers declare, encodes what they
return, and writes the body of an error.  It knows nothing of messages or routes.

Two declarations mean the same to all of them: ``bytes`` is the payload as it came,
and ``None`` says that it does not matter.  What is encoded as ``bytes`` is sent as
it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

from nano.errors import RequestError, UsageError
from nano.serializers.json import JsonSerializer

__all__ = ["JsonSerializer", "Serializer", "SerializerName", "by_name"]

SerializerName: TypeAlias = Literal["json", "protobuf", "raw"]


class Serializer(Protocol):
    """What the runtime needs of a payload format."""

    @property
    def self_describing(self) -> bool:
        """Whether the body of an error can be taken for nothing else.

        If it can, errors go only to clients that have announced to know the flag of
        a failed response.
        """

    def decoder(self, wanted: Any) -> Callable[[bytes], Any]:
        """Return a function from payload to *wanted*; it raises ``PayloadError``.

        Raises:
            TypeError: No payload can become *wanted*; the text says what can.
        """

    def quick(self, wanted: Any) -> Callable[[bytes], Any] | None:
        """Return a faster function for payloads that are right, if there is one.

        It raises whatever it likes; :meth:`decoder`'s is asked then, which repairs what
        can be repaired and else says what is wrong.  *wanted* has passed that already.
        """

    def encode(self, value: Any) -> bytes:
        """Return *value* as a payload; bytes stay as they are.

        Raises:
            TypeError: It has no form in this format; the text says what has.
        """

    def encode_error(self, error: RequestError) -> bytes:
        """Return the payload of a failed response; never raises."""

    def decode_error(self, payload: bytes) -> RequestError:
        """Return the error that :meth:`encode_error` wrote; never raises."""


def by_name(name: SerializerName) -> Serializer:
    """Return the serializer that the node setting ``serializer`` names.

    Protocol Buffers are imported only where they are used: it takes a while.

    Raises:
        UsageError: There is none of that name.
    """
    match name:
        case "json":
            return JsonSerializer()
        case "protobuf":
            from nano.serializers.protobuf import ProtobufSerializer

            return ProtobufSerializer()
        case "raw":
            from nano.serializers.raw import RawSerializer

            return RawSerializer()
    message = f"there is no serializer {name!r}; take json, protobuf or raw"
    raise UsageError(message)
