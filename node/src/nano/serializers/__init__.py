"""Payloads as objects: one serializer a cluster, chosen by name.

A serializer makes decoders for the types that handlers declare, encodes what they
return, and writes the body of an error.  It knows nothing of messages or routes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from nano.errors import RequestError
from nano.serializers.json import JsonSerializer

__all__ = ["JsonSerializer", "Serializer"]


class Serializer(Protocol):
    """What the runtime needs of a payload format."""

    def decoder(self, wanted: Any) -> Callable[[bytes], Any]:
        """Return a function from payload to *wanted*; it raises ``PayloadError``."""

    def encode(self, value: Any) -> bytes:
        """Return *value* as a payload; bytes stay as they are."""

    def encode_error(self, error: RequestError) -> bytes:
        """Return the payload of a failed response."""

    def decode_error(self, payload: bytes) -> RequestError:
        """Return the error that :meth:`encode_error` wrote."""
