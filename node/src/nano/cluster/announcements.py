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
        """The receiver spoke and was handed the whole list of *version*."""

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
        told: The list that its registration was answered with.
        doubtful: Whom else it may have been told of.
        sure: It knows nobody beyond those.  False: it was there before this master.
    """

    def __init__(
        self,
        address: str,
        told: Iterable[Member] = (),
        *,
        doubtful: Iterable[str] = (),
        sure: bool = True,
    ) -> None:
        self._address = address
        self._held: dict[str, Member | _Unknown | None] = {
            member.address: member for member in told
        }
        self._held.update(dict.fromkeys(doubtful, _UNKNOWN))
        self._default: _Unknown | None = None if sure else _UNKNOWN
        self._out: tuple[str, Member | None] | None = None
        self._resting = False
        self._unproved = set(doubtful)

    @property
    def unproved(self) -> frozenset[str]:
        """Whom it was told of since it was last heard.

        The next life at its address may have heard that instead, before it
        registers: nano serves first and registers then.
        """
        return frozenset(self._unproved)

    def next(self, newest: Change, members: Mapping[str, Member]) -> Change | None:
        """See :class:`Post`.

        What is out of date is deleted first, and so is what may be there: nano
        appends without looking, and deleting what it does not have is harmless.
        """
        if self._out or self._resting:
            return None
        self._out = self._difference(members)
        if self._out is None:
            return None
        address, member = self._out
        self._unproved.add(address)
        if member is None:
            return DelMember(address, newest.epoch, newest.version)
        return NewMember(member, newest.epoch, newest.version)

    def _difference(
        self, members: Mapping[str, Member]
    ) -> tuple[str, Member | None] | None:
        for address, held in self._held.items():
            if held is not None and address not in members:
                return address, None
        for address, member in members.items():
            if address == self._address:
                continue
            held = self._held.get(address, self._default)
            if held is None:
                return address, member
            if held is _UNKNOWN or _go_view(held) != _go_view(member):
                return address, None
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
        """See :class:`Post`; it gets no list, but what it was told it has heard."""
        self._unproved = {self._out[0]} if self._out else set()

    def tick(self) -> None:
        """See :class:`Post`."""
        self._resting = False


def _go_view(member: Member) -> tuple[int, str, tuple[str, ...]]:
    """What a Go node makes of a member; nothing else is worth telling it."""
    return member.incarnation, member.label, member.services
