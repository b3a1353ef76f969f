"""Errors as sentences and exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

__all__ = ["Failed", "Wrong", "as_sentences"]


class Failed(click.ClickException):
    """Something did not work at run time."""

    exit_code = 1


class Wrong(click.ClickException):
    """Something was asked for that cannot be."""

    exit_code = 2


@contextmanager
def as_sentences() -> Iterator[None]:
    """Turn what we raise on purpose into a message and an exit code.

    Anything else is a fault, of ours or of a component, and keeps its traceback.
    """
    from nano.errors import NanoError, UsageError
    from nano_manifest import ManifestError

    try:
        yield
    except ManifestError as error:
        raise Wrong(str(error)) from error
    except UsageError as error:
        raise Wrong(f"{error}{_where(error.__cause__)}") from error
    except NanoError as error:
        raise Failed(str(error)) from error


def _where(cause: BaseException | None) -> str:
    """Say which line *cause* comes from, where it is a user's module that failed."""
    import traceback

    if isinstance(cause, SyntaxError) and cause.filename:
        return f"\n  at {cause.filename}:{cause.lineno}: {(cause.text or '').strip()}"
    frames = traceback.extract_tb(cause.__traceback__) if cause else None
    if not frames or isinstance(cause, OSError):
        return ""
    ours = (str(Path(__file__).parents[1]), "<")  # what was compiled from no file
    theirs = [frame for frame in frames if not frame.filename.startswith(ours)]
    if not theirs or "importlib" in theirs[-1].filename:
        return ""
    return f"\n  at {theirs[-1].filename}:{theirs[-1].lineno}: {theirs[-1].line}"
