"""One client's presence, as handlers see it.

A session lives at its *home*, the gate that holds the client's connection.  A
backend that serves the client holds a *mirror*: the same id, a copy of uid and
data, and a :class:`Home` that leads back to the gate.  Handlers cannot tell the
two apart, and need not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    NamedTuple,
    Protocol,
    TypeAlias,
)

import msgspec

from nano.errors import EncodeError, UsageError
from nano.protocol.messages import FromNode, Message
from nano.runtime.routing import NOWHERE, Router, Routing
from nano.runtime.turns import Turns

if TYPE_CHECKING:
    from nano.runtime.answers import Deferred
    from nano.runtime.dispatch import LocalRoute
    from nano.serializers import Serializer

__all__ = [
    "CALLED",
    "DELIVERIES",
    "LARGEST_DATA",
    "LONGEST_UID",
    "SPARE",
    "Change",
    "Delivery",
    "Home",
    "Session",
    "too_large",
    "unnoticed",
]

Delivery: TypeAlias = Literal["must", "latest", "drop"]
"""What may happen to a push while its client reads more slowly than it is sent to.

``must``: it waits; the client is closed when too much does.  ``latest``: it replaces
one of the same route that still waits.  ``drop``: it may be dropped.
"""
SPARE: Final = 2  # what need not arrive gets one part in so many of a backlog
DELIVERIES: Final[tuple[Delivery, ...]] = ("must", "latest", "drop")

LARGEST_DATA: Final = 16 * 1024  # bytes of JSON; it travels with the session
LONGEST_UID: Final = 256  # bytes in UTF-8; it travels, too

CALLED: Final[ContextVar[Session | None]] = ContextVar("CALLED", default=None)
"""For whom the handler that runs was called by a node; none if a client asks."""


class Change(NamedTuple):
    """What a handler has changed about a session.

    Attributes:
        uid: The uid.
        keys: These keys of the data.
        cleared: Everything there was before.
    """

    uid: bool = False
    keys: tuple[str, ...] = ()
    cleared: bool = False


class Home(Protocol):
    """Whatever leads from a session to its client; nothing here ever waits."""

    def respond(self, number: int, payload: bytes, failed: bool) -> None:
        """Answer request *number*; dropped if the client has gone."""

    def push(self, route: str, payload: bytes, delivery: Delivery = "must") -> None:
        """Send a message that nobody asked for; dropped if the client has gone."""

    def kick(self, reason: str, reconnect: bool = False) -> None:
        """Tell the client to go, why and whether to come back, and close."""

    def pause(self) -> None:
        """Take no more messages from the client for now."""

    def resume(self) -> None:
        """Go on taking them."""

    def changed(self, session: Session) -> None:
        """Pass on that what travels with the session was changed here."""


class Session:
    """One client, for as long as it is connected.

    Attributes:
        id: Unique in the cluster, the same on every node; random in
            [2**62, 2**63), so send it to JavaScript as a string.
        remote_address: The client's address, ``host:port``; the host alone where a
            proxy's header tells no port, ``local`` at a unix socket.
        local: Objects of this node only; they do not travel.
        closed: Why the session ended; empty while it lives.
        epoch: How many connections it has had, this one counted; known at its gate.
    """

    __slots__ = (
        "__weakref__",
        "_data",
        "_holders",
        "_serializer",
        "_uid",
        "bindings",
        "change",
        "closed",
        "epoch",
        "home",
        "id",
        "local",
        "mirrors",
        "named",
        "remote_address",
        "routing",
        "turns",
        "version",
    )

    def __init__(
        self, number: int, home: Home, serializer: Serializer, remote_address: str
    ) -> None:
        self.id = number
        self.remote_address = remote_address
        self.closed = ""
        self.local: dict[str, Any] = {}
        self.home = home  # the way to the client; for the runtime and the cluster
        self._serializer = serializer
        self._uid = ""
        self._data: Mapping[str, Any] = {}
        self._holders: set[str] | None = None  # who wants the client not to be read
        self.epoch = 1
        # for the runtime and the cluster, not for handlers:
        self.version = 1  # of uid and data, counted at the home
        self.bindings: dict[str, str] = {}  # service to the member that serves it
        self.mirrors: dict[str, int] = {}  # member to the version it knows
        self.change = _NOTHING  # the last one
        self.routing: Routing = NOWHERE
        self.named: Callable[[Session, str], None] = unnoticed
        self.turns = Turns()  # its messages

    @property
    def uid(self) -> str:
        """Who the client is, as the application sees it; empty until bound."""
        return self._uid

    def bind(self, uid: str | int) -> None:
        """Say who the client is; known on every node from its next message on.

        A session may be bound again, and several may be bound to one uid.

        Raises:
            ValueError: *uid* is empty, longer than 256 bytes or no text in UTF-8.
        """
        name = str(uid)
        if not name:
            raise ValueError("a session is bound to a uid that is not empty")
        size = len(name.encode())  # raises ValueError, too
        if size > LONGEST_UID:
            message = f"a uid of {size} bytes; {LONGEST_UID} is the most"
            raise ValueError(message)
        self._name(name)
        self._changed(_THE_UID)

    @property
    def data(self) -> Mapping[str, Any]:
        """What :meth:`set` has stored, on whichever node.

        Nodes that write different keys at once do not disturb each other; of one key,
        the home keeps what reaches it last.
        """
        return self._data

    def set(self, key: str, value: Any) -> None:
        """Store *value*, JSON-able, under *key*; it follows the session.

        What is stored is what JSON makes of *value*, here as on every other node: a
        tuple becomes a list, a Struct a dict, and later changes to it do not count.

        Raises:
            ValueError: The session's data would exceed 16 KiB of JSON.
            TypeError: *value* has no form in JSON.
        """
        self.update({key: value})

    def update(self, values: Mapping[str, Any]) -> None:
        """Store several values at once; as :meth:`set` does one.

        Raises:
            ValueError: The session's data would exceed 16 KiB of JSON.
            TypeError: A value has no form in JSON, or a key is no text.
        """
        for key in values:
            if not isinstance(key, str):
                raise TypeError(f"a key of session data is text, not {key!r}")
        stored = msgspec.json.decode(msgspec.json.encode(dict(values)))
        data = {**self._data, **stored}
        size = len(msgspec.json.encode(data))
        if size > LARGEST_DATA:
            message = f"session data would be {size} bytes; {LARGEST_DATA} is the most"
            raise ValueError(message)
        self._data = data
        self._changed(Change(keys=tuple(values)))

    def remove(self, key: str) -> None:
        """Store nothing under *key* any more; it need not be there."""
        self._data = {it: value for it, value in self._data.items() if it != key}
        self._changed(Change(keys=(key,)))  # it may be at the home alone

    def clear(self) -> None:
        """Forget who the client is, and all data, as when a user logs out.

        Its groups, its bindings and ``local`` stay.
        """
        self._name("")
        self._data = {}
        self._changed(_EVERYTHING)

    def _changed(self, change: Change) -> None:
        self.change = change
        self.home.changed(self)

    def restore(self, uid: str, data: Mapping[str, Any], version: int) -> None:
        """Take uid and data from another node; for the cluster."""
        self._data = data
        self.version = version
        self._name(uid)

    def _name(self, uid: str) -> None:
        before, self._uid = self._uid, uid
        if uid != before:
            self.named(self, before)

    def push(self, route: str, value: Any, *, delivery: Delivery = "must") -> None:
        """Send *value* to the client; never waits.

        Args:
            route: What the client listens to.
            value: What the serializer can encode, or bytes.
            delivery: What may happen to it while the client reads too slowly:
                ``must`` (the client is closed when more than ``backlogBytes`` wait),
                ``latest`` (only the newest of its route is sent once the client has
                caught up) or ``drop`` (dropped when half of them wait).

        Raises:
            TypeError: *value* cannot be encoded.
            EncodeError: *route* or the encoded value do not fit a packet.
            ValueError: There is no such *delivery*.
        """
        if delivery not in DELIVERIES:
            raise ValueError(unknown_delivery(delivery))
        self.home.push(route, self._serializer.encode(value), delivery)

    def respond(self, value: Any) -> None:
        """Answer the request that a handler of this session has in hand.

        The same as returning *value*, only that the handler goes on afterwards: an
        ``async`` handler may answer first and work then.  A notify wants no answer, so
        nothing happens then.

        Raises:
            UsageError: No handler of this session runs; see :meth:`defer`.
            TypeError: *value* cannot be encoded.
            EncodeError: *value* is too long for the client.
        """
        route, message = self._in_hand("respond")
        route.respond(self, message, value)

    def defer(self) -> Deferred:
        """Promise to answer the request in hand later, from anywhere on this node.

        ::

            @handler
            def play(self, session: Session, move: Move) -> None:
                self.waiting.append(session.defer())  # .respond(value), in a while

        The handler then returns ``None``, and the session's next message is served.

        Raises:
            UsageError: No handler of this session runs.
            RequestError: 100,000 promises are open on this node.
        """
        route, message = self._in_hand("defer")
        return route.defer(self, message)

    def _in_hand(self, what: str) -> tuple[LocalRoute, Message]:
        if CALLED.get() is self:
            message = f"{what}() is for clients' requests; a call is answered by return"
            raise UsageError(message)
        turns = self.turns
        if turns.asked is None or turns.asked_of is None:
            message = (
                f"{what}() is for a handler while it runs; to answer later, call "
                "defer() in the handler and keep what it returns"
            )
            raise UsageError(message)
        return turns.asked_of, turns.asked

    @property
    def origin(self) -> Literal["client", "node", ""]:
        """Who has sent what a handler of this session has in hand.

        ``node`` if it came by ``node.call`` or ``node.notify``, ``client`` if the
        client itself has sent it; empty while no handler of this session runs.
        """
        if CALLED.get() is self:
            return "node"
        asked = self.turns.asked
        if asked is None:
            return ""
        return "node" if type(asked) is FromNode else "client"

    @property
    def last_id(self) -> int:
        """The id of the request in hand; 0 for a notify, and once it is answered.

        Unlike others of this session on this node, but on a backend not the client's
        own number.
        """
        asked = self.turns.asked
        if asked is None or CALLED.get() is self:
            return 0
        return asked.id

    @property
    def router(self) -> Router:
        """Which members serve the session; it can be changed."""
        return Router(self, self.routing)

    def close(self, reason: str = "closed") -> None:
        """End the session: close the client's connection and tell it why.

        Where :meth:`kick` sends a client away, this says nothing against its coming
        back: it is ``kick(reason, reconnect=True)``, instead of nano's
        ``Session.Close``, which drops the connection without a word.  What was sent
        before still arrives; a handler that has a request in hand answers first.
        """
        self.home.kick(reason, True)

    def kick(self, reason: str = "kicked", *, reconnect: bool = False) -> None:
        """Tell the client to go, and why, and close its connection.

        Args:
            reason: What it is told, and may show to a person.
            reconnect: It may come back at once; ``nano.client`` leaves that to its
                user, the JavaScript client does it, nano's clients do not know of it.
        """
        self.home.kick(reason, reconnect)

    def hold(self, holder: str) -> None:
        """Read the client no further until *holder* lets go; for the runtime."""
        if self._holders is None:
            self._holders = set()
        if not self._holders:
            self.home.pause()
        self._holders.add(holder)

    @property
    def held(self) -> bool:
        """Somebody wants the client not to be read; for the runtime."""
        return bool(self._holders)

    def release(self, holder: str) -> None:
        """Let go of the client; read on when nobody holds it; for the runtime."""
        if self._holders and holder in self._holders:
            self._holders.discard(holder)
            if not self._holders:
                self.home.resume()

    def __repr__(self) -> str:
        who = f" uid={self._uid!r}" if self._uid else ""
        return f"<Session {self.id}{who} {self.remote_address}>"


def too_large(size: int, largest: int) -> EncodeError:
    """Return what to say of a payload of *size* bytes where *largest* is the most."""
    message = (
        f"a payload of {size} bytes; maxSendBytes is {largest}: send less, or raise "
        "that"
    )
    return EncodeError(message)


def unknown_delivery(delivery: object) -> str:
    """Return what to say of a *delivery* that there is not."""
    return f"delivery is must, latest or drop, not {delivery!r}"


def unnoticed(session: Session, before: str) -> None:
    """Do nothing about a new uid: the session is in no table."""


_NOTHING: Final = Change()
_THE_UID: Final = Change(uid=True)
_EVERYTHING: Final = Change(cleared=True)
