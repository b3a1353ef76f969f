"""One node's view of the cluster, and its standing with the master.

The roster says when to register and when to send heartbeats, and follows the list
in between.  It does no input or output and reads no clock
(:mod:`nano.cluster.membership` explains the two machines).

Its states are a table, :data:`TRANSITIONS`; what has no cell has no place in that
state and is forgotten.  Losing the master loses nobody: members are removed on the
word of a master only.  A master that comes back (another epoch) begins with an
empty list that heartbeats refill, so whom it does not list yet is *carried* for
two of their heartbeat intervals, counted from our first word with it and again
from each heartbeat that it misses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from nano.cluster.members import Member
from nano.cluster.membership import (
    CARRY,
    GO_INTERVAL,
    SILENCE,
    Action,
    DelMember,
    HeartbeatAnswered,
    HeartbeatFailed,
    Leaving,
    MasterCut,
    MemberAdded,
    MemberChanged,
    MemberRemoved,
    NewMember,
    Register,
    Registered,
    RegisterFailed,
    RosterEvent,
    SelfChanged,
    SendHeartbeat,
    Unregister,
)

__all__ = ["TRANSITIONS", "Happened", "Roster", "Standing"]

FIRST_RETRY: Final = 0.1
"""Seconds until the second attempt to register; it doubles from there."""

LAST_RETRY: Final = 1.0
"""The longest wait, in seconds, for a master that does not answer, or was cut off."""


class Standing(Enum):
    """How this node stands with the master."""

    JOINING = "joining"  # not in its list, as far as we know; asks to be
    JOINED = "joined"  # in its list, and it answered last time
    LOST = "lost"  # it did not answer last time; everything else goes on
    LEFT = "left"  # this node stops; nothing matters any more


class Happened(Enum):
    """What changes the standing."""

    REGISTERED = "registered"
    REFUSED = "refused"  # or not reached
    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    FORGOTTEN = "forgotten"  # the master answered with a list that we are not in
    LEAVING = "leaving"


TRANSITIONS: Final[Mapping[tuple[Standing, Happened], Standing]] = MappingProxyType(
    {
        (Standing.JOINING, Happened.REGISTERED): Standing.JOINED,
        (Standing.JOINING, Happened.REFUSED): Standing.JOINING,
        (Standing.JOINING, Happened.LEAVING): Standing.LEFT,
        (Standing.JOINED, Happened.ANSWERED): Standing.JOINED,
        (Standing.JOINED, Happened.UNANSWERED): Standing.LOST,
        (Standing.JOINED, Happened.FORGOTTEN): Standing.JOINING,
        (Standing.JOINED, Happened.LEAVING): Standing.LEFT,
        (Standing.LOST, Happened.ANSWERED): Standing.JOINED,
        (Standing.LOST, Happened.UNANSWERED): Standing.LOST,
        (Standing.LOST, Happened.FORGOTTEN): Standing.JOINING,
        (Standing.LOST, Happened.LEAVING): Standing.LEFT,
    }
)


class Roster:
    """Who belongs to the cluster, as one node that is not the master knows it.

    Owned by one node for its whole life; not safe to share between threads.  Feed
    it everything that happens, call :meth:`tick` a few times an interval, and do
    what it says: at most one registration and one heartbeat are out at a time.

    Args:
        me: This node; its ``heartbeat`` is the interval, and must not be 0.
        jitter: Gives a factor in (0, 1] that spreads out repeated registrations.

    Attributes:
        me: What this node says about itself.
        standing: How it stands with the master.
        epoch: The master's life whose list this is; 0: none, or a Go master's.
        version: Which list of that life.
    """

    def __init__(self, me: Member, *, jitter: Callable[[], float]) -> None:
        self.me = me
        self.standing = Standing.JOINING
        self.epoch = 0
        self.version = 0
        self._members = {me.address: me}
        self._jitter = jitter
        self._registering = self._has_tried = False
        self._register_at = float("-inf")
        self._retry = FIRST_RETRY
        self._asking = False  # a heartbeat is out
        self._again = False  # ... and its answer may be too old
        self._beat_at = 0.0
        self._answered_at = 0.0
        self._master_was_down = False
        self._carried: dict[str, float] = {}
        self._early: set[str] = set()
        self._has_list = False

    @property
    def members(self) -> Mapping[str, Member]:
        """By address, this node included."""
        return MappingProxyType(self._members)

    def tick(self, now: float) -> list[Action]:
        """Let time pass: what is due at *now* (seconds, any origin)?"""
        if self.standing is Standing.JOINING:
            if self._registering or now < self._register_at:
                return []
            self._registering = self._has_tried = True
            return [Register()]
        actions: list[Action] = []
        if self.standing is Standing.JOINED:
            actions += self._drop_carried(now)
        if self.standing is not Standing.LEFT and now >= self._beat_at:
            actions += self._ask(now)
        return actions

    def feed(self, event: RosterEvent, now: float) -> list[Action]:
        """Take in what happened at *now* and say what to do about it."""
        if self.standing is Standing.LEFT:
            return []
        match event:
            case Registered():
                return self._registered(event, now)
            case RegisterFailed():
                return self._refused(now)
            case HeartbeatAnswered():
                return self._answered(event, now)
            case HeartbeatFailed():
                return self._unanswered(event, now)
            case MasterCut():
                return self._cut(now)
            case NewMember() | DelMember():
                return self._announced(event, now)
            case SelfChanged(member):
                return self._changed(member, now)
            case Leaving():
                self._step(Happened.LEAVING)
                return [Unregister()] if self._has_tried else []

    # Registration and heartbeats

    def _registered(self, event: Registered, now: float) -> list[Action]:
        self._registering = False
        if not self._step(Happened.REGISTERED):
            return []
        self._retry = FIRST_RETRY
        self._answered_at = now
        self._beat_at = now + self.me.heartbeat
        actions = self._adopt(event.epoch, event.version, event.members, now)
        self._early.clear()
        return actions + self._ask_again(now)

    def _refused(self, now: float) -> list[Action]:
        self._registering = False
        if self._step(Happened.REFUSED):
            self._register_at = now + self._retry * self._jitter()
            self._retry = min(2 * self._retry, LAST_RETRY)
        return []

    def _answered(self, event: HeartbeatAnswered, now: float) -> list[Action]:
        self._asking = False
        if self.standing is Standing.JOINING:
            return []  # we were forgotten since; registering tells more
        silent = now - self._answered_at
        was_down, self._master_was_down = self._master_was_down, False
        self._answered_at = now
        if event.members:
            actions = self._adopt(event.epoch, event.version, event.members, now)
            if not self._is_in(event.members):
                return actions + self._forgotten(now)
            self._step(Happened.ANSWERED)
            return actions + self._ask_again(now)
        if not event.epoch:
            self.epoch = self.version = 0
            if silent > SILENCE * self.me.heartbeat and not was_down:
                # A Go master that lived on has dropped us, and takes us back by
                # this heartbeat without a word to the others (nano.md E.2, 24).
                return self._forgotten(now)
        self._step(Happened.ANSWERED)
        return self._ask_again(now)

    def _unanswered(self, event: HeartbeatFailed, now: float) -> list[Action]:
        self._asking = False
        if self._step(Happened.UNANSWERED):
            self._again = False  # the next one asks again anyway
            self._master_was_down |= event.refused
            self._carry(list(self._carried), now)  # they cannot reach it either
            self._beat_at = now + min(self.me.heartbeat, LAST_RETRY)
        return []

    def _cut(self, now: float) -> list[Action]:
        """Be there soon if it is another master that comes: it knows nobody yet."""
        if self.standing is Standing.JOINED:
            soon = now + LAST_RETRY * self._jitter()
            self._beat_at = min(self._beat_at, soon)
        return []

    def _changed(self, member: Member, now: float) -> list[Action]:
        before, self.me = self.me, member
        if before == member:
            return []
        self._members[member.address] = member
        actions: list[Action] = [MemberChanged(before, member)]
        if self.standing is Standing.JOINING:
            self._again = True
            return actions
        return actions + self._ask(now)

    def _forgotten(self, now: float) -> list[Action]:
        """Register again, at once."""
        if not self._step(Happened.FORGOTTEN):
            return []
        self._register_at = now
        return self.tick(now)

    def _ask(self, now: float) -> list[Action]:
        """Send a heartbeat, or another one when the one that is out is answered."""
        if self._asking:
            self._again = True
            self._beat_at = now + self.me.heartbeat
            return []
        self._asking = True
        self._beat_at = now + self.me.heartbeat
        return [SendHeartbeat(self.epoch, self.version)]

    def _ask_again(self, now: float) -> list[Action]:
        again, self._again = self._again, False
        return self._ask(now) if again else []

    def _step(self, happened: Happened) -> bool:
        """Move through the table; false: *happened* has no place here."""
        after = TRANSITIONS.get((self.standing, happened))
        if after is None:
            return False
        self.standing = after
        return True

    # The list

    def _announced(self, event: NewMember | DelMember, now: float) -> list[Action]:
        if self.standing is Standing.JOINING and event.epoch:
            self._again = True  # the list that we are waiting for may be older
            return []
        if not event.epoch:
            # A Go master's word counts unless ours, who numbers its words, is there.
            return [] if self.epoch else self._apply(event, now)
        if event.epoch != self.epoch or event.version > self.version + 1:
            return self._ask(now)
        if event.version <= self.version:
            return []
        self.version = event.version
        return self._apply(event, now)

    def _apply(self, event: NewMember | DelMember, now: float) -> list[Action]:
        if isinstance(event, NewMember):
            if event.member.address == self.me.address:
                return []
            if self.standing is Standing.JOINING:
                self._early.add(event.member.address)
            return self._set(event.member)
        if event.address == self.me.address:
            return self._forgotten(now)
        return self._remove(event.address)

    def _adopt(
        self, epoch: int, version: int, members: tuple[Member, ...], now: float
    ) -> list[Action]:
        """Follow the master's whole list; older ones of this epoch are forgotten."""
        if epoch == self.epoch and version < self.version:
            return []
        came_back = self._has_list and epoch != self.epoch
        self.epoch, self.version, self._has_list = epoch, version, True
        actions: list[Action] = []
        for member in members:
            if member.address != self.me.address:
                actions += self._set(member)
        listed = {member.address for member in members} | {self.me.address}
        missing = [address for address in self._members if address not in listed]
        if came_back:
            self._carry(missing, now)
            return actions
        for address in missing:
            # A Go master tells the others of us before it answers us, so what we
            # heard in the meantime is newer than its list.
            if address not in self._carried and (epoch or address not in self._early):
                actions += self._remove(address)
        return actions

    def _carry(self, addresses: list[str], now: float) -> None:
        for address in addresses:
            interval = self._members[address].heartbeat or GO_INTERVAL
            self._carried[address] = now + CARRY * interval

    def _set(self, member: Member) -> list[Action]:
        self._carried.pop(member.address, None)
        before = self._members.get(member.address)
        if before is not None and not member.incarnation:
            # A Go node, known to the master by its heartbeats only: no news of a
            # restart, so what we know about its life stands.
            member = dataclasses.replace(member, incarnation=before.incarnation)
        if before == member:
            return []
        self._members[member.address] = member
        if before is None:
            return [MemberAdded(member)]
        if before.incarnation != member.incarnation:
            return [MemberRemoved(before), MemberAdded(member)]
        return [MemberChanged(before, member)]

    def _remove(self, address: str) -> list[Action]:
        self._carried.pop(address, None)
        self._early.discard(address)
        member = self._members.pop(address, None)
        return [] if member is None else [MemberRemoved(member)]

    def _drop_carried(self, now: float) -> list[Action]:
        over = [address for address, until in self._carried.items() if now >= until]
        return [action for address in over for action in self._remove(address)]

    def _is_in(self, members: tuple[Member, ...]) -> bool:
        me = (self.me.address, self.me.incarnation)
        return any((it.address, it.incarnation) == me for it in members)
