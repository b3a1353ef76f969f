"""Words of the command line as values."""

from __future__ import annotations

from pathlib import Path

import msgspec

from nano.errors import UsageError

__all__ = ["read_descriptors", "read_json", "read_token"]


def read_token(path: Path | None) -> str | None:
    """Read the token in the file *path*.

    Raises:
        UsageError: The file cannot be read, or is empty.
    """
    if path is None:
        return None
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        message = f"--token-file {path} cannot be read: {error}"
        raise UsageError(message) from error
    if not token:
        raise UsageError(f"--token-file {path} is empty; write a secret into it")
    return token


def read_descriptors(text: str) -> dict[str, int]:
    """Read ``ws=5,tcp=6``.

    Raises:
        UsageError: It is not of that form.
    """
    found: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        if not name or not (number.isascii() and number.isdecimal()):
            message = f"--listen-fds needs NAME=FD,…, as ws=5,tcp=6, not {text!r}"
            raise UsageError(message)
        found[name] = int(number)
    return found


def read_json(text: str) -> object:
    """Read *text*.

    Raises:
        UsageError: It is no JSON.
    """
    try:
        value: object = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        message = (
            f"{text!r} is no JSON ({error}); quote it for the shell: '{{\"a\": 1}}'"
        )
        raise UsageError(message) from error
    return value
