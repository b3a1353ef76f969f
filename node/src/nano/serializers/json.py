"""Payloads in JSON, by msgspec.

Handlers may ask for anything that msgspec can validate: Structs, dataclasses,
TypedDicts, lists, plain values.  ``bytes`` and ``msgspec.Raw`` mean the payload as it
came, ``None`` that it does not matter, and an empty payload stands for ``null``.

What leaves can be read, and what comes is understood, also where nano's browser
client treats characters beyond U+FFFF in its own way: :mod:`nano.serializers.utf8`.
Other bytes that are no UTF-8 are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import inspect

from nano.errors import INTERNAL, PayloadError, RequestError
from nano.serializers.utf8 import escape_astral, join_surrogates

__all__ = ["JsonSerializer"]


class _ErrorBody(msgspec.Struct):
    """Pitaya's error body; ``status`` is ours."""

    code: str = ""
    msg: str = ""
    status: int = 500


_encode: Final = msgspec.json.Encoder().encode
_decode_error: Final = msgspec.json.Decoder(_ErrorBody).decode
_VALUES: Final[tuple[object, ...]] = (
    None,
    True,
    1,
    1.5,
    "",
    [],
    {},
)  # one of each that JSON knows
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class JsonSerializer:
    """JSON in UTF-8."""

    self_describing: Final = True  # an object with a status: what else may it be

    def decoder(self, wanted: Any) -> Callable[[bytes], Any]:
        """Return a function from payload to *wanted*.

        Raises:
            TypeError: msgspec cannot validate *wanted*.
        """
        if wanted is bytes:
            return bytes
        if wanted is None or wanted is type(None):
            return _ignore
        try:
            _refuse_foreign(wanted)
            decode = msgspec.json.Decoder(wanted).decode
        except NameError as error:  # a field's annotation is a name of nothing
            raise TypeError(str(error)) from error

        def decoded(payload: bytes) -> Any:
            try:
                return decode(payload or b"null")
            except _UNREADABLE as error:
                repaired = join_surrogates(payload)
                if repaired == payload:
                    raise PayloadError(_sentence(error)) from None
            try:
                return decode(repaired)
            except _UNREADABLE as error:
                raise PayloadError(_sentence(error)) from None

        return decoded

    def quick(self, wanted: Any) -> Callable[[bytes], Any] | None:
        """Return msgspec's own function, where :meth:`decoder` only wraps it."""
        if wanted is bytes or wanted is None or wanted is type(None):
            return None
        return msgspec.json.Decoder(wanted).decode

    def encode(self, value: Any) -> bytes:
        """Return *value* as JSON.

        Raises:
            TypeError: It has no form in JSON.
        """
        if type(value) is bytes:
            return value
        try:
            data = _encode(value)
        except UnicodeEncodeError:
            message = "a text with half a surrogate pair has no form in JSON"
            raise TypeError(message) from None
        return data if data.isascii() else escape_astral(data)

    def encode_error(self, error: RequestError) -> bytes:
        """Return ``{"code": …, "msg": …, "status": …}``; never raises."""
        try:
            body = _encode(_ErrorBody(error.code, error.message, error.status))
        except (UnicodeEncodeError, TypeError):  # half a surrogate pair, no JSON
            status = error.status if isinstance(error.status, int) else INTERNAL
            body = _encode(_ErrorBody(ascii(error.code), ascii(error.message), status))
        return escape_astral(body)

    def decode_error(self, payload: bytes) -> RequestError:
        """Return the error in *payload*, whatever shape it has."""
        try:
            body = _decode_error(payload)
        except _UNREADABLE:
            return RequestError(500, payload[:200].decode(errors="replace"))
        return RequestError(body.status, body.msg, body.code)


def _ignore(_: bytes) -> None:
    return None


def _sentence(error: Exception) -> str:
    """Say what is wrong with a payload, to whoever sent it."""
    if isinstance(error, UnicodeDecodeError):
        return f"expected JSON in UTF-8: {error.reason} at byte {error.start} of a text"
    if isinstance(error, RecursionError):
        return "expected JSON, got more levels of it than can be read"
    return str(error)


def _refuse_foreign(wanted: Any) -> None:
    """Refuse a class that msgspec would take and then never find in any payload."""
    kind = inspect.type_info(wanted)
    if isinstance(kind, inspect.CustomType) and not any(
        isinstance(value, kind.cls) for value in _VALUES
    ):
        message = (
            f"JSON never becomes a {kind.cls.__qualname__}; declare a Struct, a "
            "dataclass, a TypedDict, dict, list or a plain value"
        )
        raise TypeError(message)
