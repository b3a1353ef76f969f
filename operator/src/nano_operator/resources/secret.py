"""The Secret with the token that opens the nodes' control port.

It is made once and then left alone: a new token would lock the operator out of the
running nodes.  To replace it, delete it; the pods take the new one when they restart.
"""

from __future__ import annotations

from nano_operator.names import secret_name
from nano_operator.objects import Kind, Object
from nano_operator.resources.context import Context, metadata

__all__ = ["TOKEN_BYTES", "TOKEN_KEY", "secret"]

TOKEN_KEY = "token"
TOKEN_BYTES = 32  # 256 bits: not to be guessed


def secret(context: Context, token: str) -> Object:
    """Return the Secret around a fresh *token*."""
    return metadata(context, Kind.SECRET, secret_name(context.name)) | {
        "type": "Opaque",
        "stringData": {TOKEN_KEY: token},
    }
