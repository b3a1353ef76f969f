"""Payloads that nobody here looks into: bytes come in, and bytes go out.

The body of an error is JSON text all the same, the one of
:mod:`nano.serializers.json`: a format that every client can read needs no schema,
and pitaya's clients look for ``code`` and ``msg`` in it.  Only clients that announce
``sys.errors`` get one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nano.errors import RequestError
from nano.serializers.json import JsonSerializer

__all__ = ["RawSerializer"]

_json: Final = JsonSerializer()


class RawSerializer:
    """Bytes as they are."""

    self_describing: Final = False  # to who does not know the flag, bytes like others

    def decoder(self, wanted: Any) -> Callable[[bytes], Any]:
        """Return a function from payload to *wanted*: ``bytes``, ``None`` or ``Any``.

        Raises:
            TypeError: *wanted* is something else.
        """
        if wanted is bytes or wanted is Any:
            return bytes
        if wanted is None or wanted is type(None):
            return _ignore
        name = getattr(wanted, "__qualname__", wanted)
        message = f"a raw payload is bytes and never a {name}; declare bytes"
        raise TypeError(message)

    def quick(self, wanted: Any) -> None:
        """Return nothing: no function is faster than ``bytes``."""

    def encode(self, value: Any) -> bytes:
        """Return *value*, which has to be bytes.

        Raises:
            TypeError: It is something else.
        """
        if type(value) is bytes:
            return value
        message = f"expected bytes for a raw payload, got {type(value).__qualname__}"
        raise TypeError(message)

    def encode_error(self, error: RequestError) -> bytes:
        """Return ``{"code": …, "msg": …, "status": …}``; never raises."""
        return _json.encode_error(error)

    def decode_error(self, payload: bytes) -> RequestError:
        """Return the error in *payload*, whatever shape it has."""
        return _json.decode_error(payload)


def _ignore(_: bytes) -> None:
    return None
