"""Whom a call is for: anyone who serves its route, one of a kind, or one member."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

from nano.errors import RequestError, UsageError

__all__ = ["ANYONE", "Replies", "Target", "target_of"]

T = TypeVar("T")


class Target(NamedTuple):
    """What is asked of the member that a call goes to; besides that it serves it.

    Attributes:
        member: Its address; any, if empty.
        kind: Its entry of ``spec.backends``, or ``gate``; any, if empty.
    """

    member: str = ""
    kind: str = ""


ANYONE: Final = Target()


def target_of(member: str | None, kind: str | None) -> Target:
    """Return what a caller means by *member* and *kind*.

    Raises:
        UsageError: It means both, or an empty one.
    """
    if member is None and kind is None:
        return ANYONE
    if member is not None and kind is not None:
        raise UsageError("a call is for a member or for a kind of them; leave one out")
    if not member and not kind:
        text = "member is an address, and kind an entry of spec.backends or 'gate'"
        raise UsageError(f"{text}; neither is empty")
    return Target(member or "", kind or "")


@dataclass(frozen=True, slots=True)
class Replies(Generic[T]):
    """What a call to all members came to; by their addresses.

    Attributes:
        results: What handlers have returned.
        failures: Why there is no result of these.
    """

    results: dict[str, T] = field(default_factory=dict)
    failures: dict[str, RequestError] = field(default_factory=dict)
