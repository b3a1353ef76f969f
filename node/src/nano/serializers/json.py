"""Payloads in JSON, by msgspec.

Handlers may ask for anything that msgspec can validate: Structs, dataclasses,
TypedDicts, lists, plain values.  ``bytes`` means the payload as it came, ``None``
that it does not matter, and an empty payload stands for ``null``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from nano.errors import INTERNAL, PayloadError, RequestError

__all__ = ["JsonSerializer"]


class _ErrorBody(msgspec.Struct):
    """Pitaya's error body; ``status`` is ours."""

    code: str = ""
    msg: str = ""
    status: int = 500


_encoder: Final = msgspec.json.Encoder()
_error_decoder: Final = msgspec.json.Decoder(_ErrorBody)


class JsonSerializer:
    """JSON in UTF-8."""

    def decoder(self, wanted: Any) -> Callable[[bytes], Any]:
        """Return a function from payload to *wanted*.

        Raises:
            TypeError: msgspec cannot validate *wanted*.
        """
        if wanted is bytes:
            return bytes
        if wanted is None or wanted is type(None):
            return _ignore
        decode = msgspec.json.Decoder(wanted).decode

        def decoded(payload: bytes) -> Any:
            try:
                return decode(payload or b"null")
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise PayloadError(str(error)) from None

        return decoded

    def encode(self, value: Any) -> bytes:
        """Return *value* as JSON.

        Raises:
            TypeError: It has no form in JSON.
        """
        if type(value) is bytes:
            return value
        return _encoder.encode(value)

    def encode_error(self, error: RequestError) -> bytes:
        """Return ``{"code": …, "msg": …, "status": …}``; never raises."""
        try:
            return _encoder.encode(_ErrorBody(error.code, error.message, error.status))
        except (UnicodeEncodeError, TypeError):  # half a surrogate pair, no JSON
            status = error.status if isinstance(error.status, int) else INTERNAL
            body = _ErrorBody(ascii(error.code), ascii(error.message), status)
            return _encoder.encode(body)

    def decode_error(self, payload: bytes) -> RequestError:
        """Return the error in *payload*, whatever shape it has."""
        try:
            body = _error_decoder.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return RequestError(500, payload[:200].decode(errors="replace"))
        return RequestError(body.status, body.msg, body.code)


def _ignore(_: bytes) -> None:
    return None
