"""What one member still has to be told of the list.

The registrar owns one *post* for each member and asks it, after every change, what
to send next.  A post has one announcement out at a time and knows how its kind of
receiver learns: it holds no list, reads no clock and sends nothing.

* :class:`NumberedPost`, for ours: a receiver notices by the version that it missed
  something and fetches the list, so only the newest change is ever sent, and a
  failure needs no second attempt.
* :class:`GoPost`, for Go nano: an announcement is all that it ever gets, and
  telling it twice leaves a second entry in its table for ever (nano.md E.2, 26).
  So the post remembers what the receiver holds and goes on until that is the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final, Protocol, TypeAlias

from nano.cluster.members import Member
from nano.cluster.membership import DelMember, NewMember

__all__ = ["Change", "GoPost", "NumberedPost", "Post"]

Change: TypeAlias = NewMember | DelMember


class Post(Protocol):
    """What the registrar needs of either kind."""

    def next(self, newest: Change, members: Mapping[str, Member]) -> Change | None:
        """What to send now; it counts as being out from here on.

        Args:
            newest: The change that led to the list of now.
            members: That list, by address; the receiver may be in it.
        """

    def delivered(self) -> None:
        """What was out arrived."""

    def failed(self, *, refused: bool) -> None:
        """It did not (*refused*), or nobody can say."""

    def holds(self, version: int) -> None:
        """The receiver was handed the whole list of *version*."""

    def tick(self) -> None:
        """Time has passed: try again what failed."""


class NumberedPost:
    """For a member that knows versions; it starts with the list of *version*."""

    def __init__(self, version: int) -> None:
        self._sent = version
        self._out = False

    def next(self, newest: Change, members: Mapping[str, Member]) -> Change | None:
        """See :class:`Post`."""
        if self._out or self._sent >= newest.version:
            return None
        self._out, self._sent = True, newest.version
        return newest

    def delivered(self) -> None:
        """See :class:`Post`."""
        self._out = False

    def failed(self, *, refused: bool) -> None:
        """See :class:`Post`; its next heartbeat brings it the list."""
        self._out = False

    def holds(self, version: int) -> None:
        """See :class:`Post`."""
        self._sent = version

    def tick(self) -> None:
        """See :class:`Post`; there is nothing to try again."""


class _Unknown(Enum):
    """Instead of a member or None: nobody knows whether the receiver has it."""

    UNKNOWN = "unknown"


_UNKNOWN: Final = _Unknown.UNKNOWN


class GoPost:
    """For a Go member.

    Args:
        address: The receiver, who is never told of itself.
        told: The list that its registration was answered with.  None: it was there
            before this master, and may or may not know anybody.
    """

    def __init__(self, address: str, told: Iterable[Member] | None) -> None:
        self._address = address
        self._held: dict[str, Member | _Unknown | None] = {}
        self._default: _Unknown | None = _UNKNOWN if told is None else None
        for member in told or ():
            self._held[member.address] = member
        self._out: tuple[str, Member | None] | None = None
        self._resting = False

    def next(self, newest: Change, members: Mapping[str, Member]) -> Change | None:
        """See :class:`Post`.

        What is out of date is deleted first, and so is what may be there: nano
        appends without looking, and deleting what it does not have is harmless.
        """
        if self._out or self._resting:
            return None
        at = (newest.epoch, newest.version)
        for address, held in self._held.items():
            if held is not None and address not in members:
                self._out = (address, None)
                return DelMember(address, *at)
        for address, member in members.items():
            if address == self._address:
                continue
            held = self._held.get(address, self._default)
            if held is None:
                self._out = (address, member)
                return NewMember(member, *at)
            if held is _UNKNOWN or _go_view(held) != _go_view(member):
                self._out = (address, None)
                return DelMember(address, *at)
        return None

    def delivered(self) -> None:
        """See :class:`Post`."""
        if self._out:
            address, held = self._out
            self._held[address] = held
            self._out = None

    def failed(self, *, refused: bool) -> None:
        """See :class:`Post`; after a time-out it may have arrived all the same."""
        if self._out and not refused:
            self._held[self._out[0]] = _UNKNOWN
        self._out = None
        self._resting = True

    def holds(self, version: int) -> None:
        """See :class:`Post`; a heartbeat's answer is empty for Go nodes."""

    def tick(self) -> None:
        """See :class:`Post`."""
        self._resting = False


def _go_view(member: Member) -> tuple[int, str, tuple[str, ...]]:
    """What a Go node makes of a member; nothing else is worth telling it."""
    return member.incarnation, member.label, member.services
