"""The member list, as the master keeps it.

The registrar takes registrations, farewells and heartbeats and says what to answer
and whom to tell.  It does no input or output and reads no clock
(:mod:`nano.cluster.membership` explains the two machines,
:mod:`nano.cluster.announcements` how each member learns of a change).

What it does otherwise than Go nano, by the numbers of nano.md part E.2: changes are
taken one after the other (20, 21); a member that cannot be reached keeps nobody
else from joining, leaving or being dropped (22, 23); whoever comes by heartbeat is
announced like whoever registers (24, 25); the same address twice is a replacement
(26).  What it does equally: the master is the first of the list and never dropped,
and a member dies by four silent intervals.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from nano.cluster.announcements import Change, GoPost, NumberedPost, Post
from nano.cluster.members import Member
from nano.cluster.membership import (
    GO_INTERVAL,
    SILENCE,
    Action,
    Announce,
    Delivered,
    DelMember,
    Heartbeat,
    Listing,
    MemberAdded,
    MemberChanged,
    MemberRemoved,
    NewMember,
    Refused,
    Registering,
    RegistrarEvent,
    SelfChanged,
    Undelivered,
    Unregistering,
)

__all__ = ["Registrar"]

OVERDUE: Final = 1.5
"""Silent intervals after which a refused connection is believed.

A heartbeat was due and is half an interval late by then.  Earlier, a member that
still speaks to us but cannot be reached from here would be dropped.
"""

GAPS: Final = 3
"""Heartbeats of a Go member whose longest gap is taken for its interval."""

SHORTEST: Final = 0.1
LONGEST: Final = 300.0
"""The bounds, in seconds, of an interval that a member may promise.

Those of the setting ``memberHeartbeatSeconds``; beyond them a mistake, or a stranger,
would be dropped between two ticks or never.
"""

MOST_MEMBERS: Final = 10_000
"""Members of one cluster; a list that a stranger can fill has an end."""

ABSENT: Final = 64
"""Go members that fell silent and of which we still know what they were told."""

FULL: Final = Refused(f"the cluster has {MOST_MEMBERS} members already")


class _Entry:
    """One member of the list, its master apart: what we know of it ourselves."""

    def __init__(self, member: Member, post: Post, now: float) -> None:
        self.member = member
        self.post = post
        self.silent = 0.0
        self.refused = False
        self._heard_at = now
        self._gaps: deque[float] = deque(maxlen=GAPS)

    @property
    def interval(self) -> float:
        """Seconds between its heartbeats: promised, learnt or nano's default."""
        if self.member.heartbeat:
            return min(max(self.member.heartbeat, SHORTEST), LONGEST)
        return max(self._gaps) if len(self._gaps) == GAPS else GO_INTERVAL

    @property
    def is_go(self) -> bool:
        return isinstance(self.post, GoPost)

    @property
    def is_dead(self) -> bool:
        enough = OVERDUE if self.refused else SILENCE
        return self.silent > enough * self.interval

    def beat(self, now: float) -> None:
        self._gaps.append(now - self._heard_at)
        self._hear(now)

    def greet(self, now: float) -> None:
        """It shows up, which says nothing about its interval."""
        self._gaps.clear()
        self._hear(now)

    def _hear(self, now: float) -> None:
        self._heard_at = now
        self.silent = 0.0
        self.refused = False


class Registrar:
    """The list of one life of a master process.

    Owned by the master node; not safe to share between threads.  Each registration
    and each heartbeat yields exactly one answer, a ``Listing`` or a ``Refused``.
    Time counts in :meth:`tick` only, and at most one interval of a member a tick:
    a master that was frozen itself does not take that for the others' silence.

    Args:
        me: The master, first of the list.
        epoch: This life's number; never 0.

    Attributes:
        me: What the master says about itself.
        epoch: This life's number.
        version: Which list this is; it starts at 1.
    """

    def __init__(self, me: Member, *, epoch: int) -> None:
        self.me = me
        self.epoch = epoch
        self.version = 1
        self._members = {me.address: me}
        self._entries: dict[str, _Entry] = {}
        self._absent: dict[str, _Entry] = {}
        self._newest: Change = NewMember(me, epoch, self.version)
        self._ticked_at: float | None = None

    @property
    def members(self) -> Mapping[str, Member]:
        """By address, the master first."""
        return MappingProxyType(self._members)

    def tick(self, now: float) -> list[Action]:
        """Let time pass: drop the dead and try again what failed."""
        elapsed = 0.0 if self._ticked_at is None else now - self._ticked_at
        self._ticked_at = now
        actions: list[Action] = []
        for address, entry in list(self._entries.items()):
            entry.silent += min(elapsed, entry.interval)
            entry.post.tick()
            if entry.is_dead:
                actions += self._remove(address)
                if entry.is_go:
                    self._remember(entry)
        return actions + self._announce(self._entries)

    def feed(self, event: RegistrarEvent, now: float) -> list[Action]:
        """Take in what happened at *now* and say what to do about it."""
        version = self.version
        match event:
            case Registering(member):
                actions = self._registering(member, now)
            case Unregistering():
                actions = self._unregistering(event)
            case Heartbeat():
                actions = self._heartbeat(event, now)
            case SelfChanged(member):
                actions = self._self_changed(member)
            case Delivered() | Undelivered():
                return self._reported(event)
        if self.version != version:
            actions += self._announce(self._entries)
        return actions

    # Joining and leaving

    def _registering(self, member: Member, now: float) -> list[Action]:
        address = member.address
        if not address or address == self.me.address:
            return [Refused("invalid register request")]
        entry = self._entries.get(address)
        if entry is None and self._is_full:
            return [FULL]
        if entry and not entry.is_go and self._is_same_life(entry, member):
            entry.greet(now)
            return [*self._update(entry, member), self._hand_over(entry)]
        # A replacement is one change: the new life stands for the end of the old.
        actions: list[Action] = [MemberRemoved(entry.member)] if entry else []
        before = entry or self._absent.pop(address, None)
        if member.incarnation:
            self._add(entry := _Entry(member, NumberedPost(self.version), now))
            answer = self._hand_over(entry)
        else:
            entry, answer = self._go_registering(member, before, now)
        return [*actions, MemberAdded(entry.member), answer]

    def _go_registering(
        self, member: Member, before: _Entry | None, now: float
    ) -> tuple[_Entry, Listing]:
        """Take in a Go node: another life of it, since it registers once in its life.

        It appends our answer to what it has been told, even if that was meant for
        the life before.  So the answer leaves out what it may have been told, and
        the post puts that in order.
        """
        member = dataclasses.replace(member, incarnation=self._new_life())
        post = before.post if before else None
        doubtful = post.unproved if isinstance(post, GoPost) else frozenset[str]()
        left_out = doubtful | {member.address}
        listed = [it for it in self._members.values() if it.address not in left_out]
        post = GoPost(member.address, listed, doubtful=doubtful)
        entry = _Entry(member, post, now)
        self._add(entry)
        return entry, Listing(self.epoch, self.version, tuple(listed))

    def _unregistering(self, event: Unregistering) -> list[Action]:
        if not event.address:
            return [Refused("invalid register request")]
        entry = self._entries.get(event.address)
        if not entry or event.incarnation not in (0, entry.member.incarnation):
            return [Refused(f"address {event.address} has not registered")]
        return self._remove(event.address)

    def _heartbeat(self, event: Heartbeat, now: float) -> list[Action]:
        address, member = event.member.address, event.member
        if not address or address == self.me.address:
            return [Refused("invalid register request")]
        actions: list[Action] = []
        entry = self._entries.get(address)
        if entry is None:
            if self._is_full:
                return [FULL]
            entry = self._returning(member, now)
            self._add(entry)
            actions.append(MemberAdded(entry.member))
        elif not self._is_same_life(entry, member):
            # Somebody else registered at this address.  The list says so, and if
            # the one who asks is not a ghost it registers again.
            return [self._listing()]
        else:
            entry.beat(now)
        if entry.is_go:
            member = dataclasses.replace(member, incarnation=entry.member.incarnation)
        actions += self._update(entry, member)
        if (event.epoch, event.version) == (self.epoch, self.version):
            return [*actions, Listing(self.epoch, self.version)]
        return [*actions, self._hand_over(entry)]

    def _returning(self, member: Member, now: float) -> _Entry:
        """Who comes by heartbeat: was dropped, or lived here before this master."""
        entry = self._absent.pop(member.address, None)
        if member.incarnation:
            return _Entry(member, NumberedPost(0), now)
        if entry is None:
            return _Entry(member, GoPost(member.address, sure=False), now)
        entry.greet(now)
        return entry

    def _self_changed(self, member: Member) -> list[Action]:
        before, self.me = self.me, member
        if before == member:
            return []
        self._list(member)
        return [MemberChanged(before, member)]

    def _reported(self, event: Delivered | Undelivered) -> list[Action]:
        """An announcement is back, so its receiver can be told the next thing."""
        entry = self._entries.get(event.to)
        if not entry or entry.member.incarnation != event.incarnation:
            return []
        if isinstance(event, Delivered):
            entry.post.delivered()
        else:
            entry.refused |= event.refused
            entry.post.failed(refused=event.refused)
        return self._announce([event.to])

    # The list and its versions

    @property
    def _is_full(self) -> bool:
        """Nobody new is taken in any more."""
        return len(self._entries) >= MOST_MEMBERS

    def _add(self, entry: _Entry) -> None:
        self._entries[entry.member.address] = entry
        self._list(entry.member)

    def _update(self, entry: _Entry, member: Member) -> list[Action]:
        before, entry.member = entry.member, member
        if before == member:
            return []
        self._list(member)
        return [MemberChanged(before, member)]

    def _remove(self, address: str) -> list[Action]:
        del self._members[address]
        self.version += 1
        self._newest = DelMember(address, self.epoch, self.version)
        return [MemberRemoved(self._entries.pop(address).member)]

    def _list(self, member: Member) -> None:
        self._members[member.address] = member
        self.version += 1
        self._newest = NewMember(member, self.epoch, self.version)

    def _announce(self, addresses: Iterable[str]) -> list[Action]:
        """What can be sent to these members now."""
        actions: list[Action] = []
        for address in addresses:
            entry = self._entries[address]
            if change := entry.post.next(self._newest, self._members):
                actions.append(Announce(address, entry.member.incarnation, change))
        return actions

    def _remember(self, entry: _Entry) -> None:
        """Keep what a silent Go member was told; it may only be frozen."""
        entry.post.failed(refused=False)
        self._absent[entry.member.address] = entry
        if len(self._absent) > ABSENT:
            del self._absent[next(iter(self._absent))]

    def _hand_over(self, entry: _Entry) -> Listing:
        """Answer with the whole list; the receiver holds it from here on."""
        entry.post.holds(self.version)
        return self._listing()

    def _listing(self) -> Listing:
        return Listing(self.epoch, self.version, tuple(self._members.values()))

    def _is_same_life(self, entry: _Entry, member: Member) -> bool:
        if entry.is_go:
            return not member.incarnation
        return entry.member.incarnation == member.incarnation

    def _new_life(self) -> int:
        """For a Go member: unlike any other in this epoch, and fit for the wire."""
        return (self.epoch + self.version) % 2**64 or 1
