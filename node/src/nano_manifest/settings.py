"""The node settings: one table for flags, environment, manifest, CRD and manual.

A *node setting* is one field of :class:`Settings`.  It can be given as a flag
(``--client-heartbeat-seconds``), as an environment variable
(``NANO_CLIENT_HEARTBEAT_SECONDS``) and as a field of the manifest
(``spec.settings.clientHeartbeatSeconds``); the first of these that is given
wins.  Everything that lists settings reads :data:`SETTINGS`, which is derived
from the types here, so a new field is all that a new setting needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, inspect

from nano_manifest._base import Object

__all__ = ["SETTINGS", "Setting", "Settings", "overridden"]


class Settings(Object, frozen=True, kw_only=True):
    """How the nodes behave; each field is a flag and an environment variable too."""

    client_heartbeat_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=3600,
            description="Interval of the heartbeats between a gate and its clients; "
            "a client that is silent for two of them is disconnected.",
        ),
    ] = 30.0
    member_heartbeat_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=300,
            description="Interval of the heartbeats that a node sends to the master.",
        ),
    ] = 5.0
    peer_grace_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="How long a node keeps the sessions and bindings of another "
            "one that it has no link with; after that, the other is gone.",
        ),
    ] = 10.0
    drain_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="How long a node that is told to leave by SIGTERM may take to "
            "send its clients or sessions elsewhere and to finish what it has in hand; "
            "0: it leaves at once, as by SIGINT.",
        ),
    ] = 60.0
    settle_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=300,
            description="How long a gate that drains still lets clients in: load "
            "balancers take a while to notice that it is not ready.",
        ),
    ] = 3.0
    moves_per_second: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="How many clients a second a gate that drains tells to come "
            "back elsewhere; more if drainSeconds would be over before the last.",
        ),
    ] = 200
    request_timeout_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=600,
            description="How long a gate waits for a backend's answer before it "
            "answers the client 504.",
        ),
    ] = 10.0
    go_nodes: Annotated[
        Literal["untrusted", "trusted"],
        Meta(
            description="Whether Go nano nodes reach internal handlers: what a client "
            "of theirs asks cannot be told from what they ask themselves.",
        ),
    ] = "untrusted"
    handshake_timeout_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=600,
            description="How long a new connection may take to complete its handshake.",
        ),
    ] = 10.0
    max_packet_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=16_777_215,  # the length field of a packet has 24 bits
            description="Largest packet that a client may send.",
        ),
    ] = 65_536
    max_send_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=16_777_215,
            description="Largest payload of an answer, a push or a publish to a "
            "client; whoever sends a larger one gets an error.",
        ),
    ] = 262_144  # an emoji in JSON is 4 bytes long on its way in, 12 on its way out
    backlog_bytes: Annotated[
        int,
        Meta(
            ge=65_536,
            le=67_108_864,
            description="How much may wait for a slow client before messages are "
            "dropped or the client is closed.",
        ),
    ] = 1_048_576
    max_connections: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Connections of clients to one gate; more are refused with the "
            'kick "too many connections", WebSockets with HTTP 503.',
        ),
    ] = 50_000
    max_connections_per_address: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Connections to one gate from one IP address; 0: any number. "
            "An IPv6 client counts with all of its /64. Behind a proxy all clients "
            "have its address, unless the listener's trustedProxies name it.",
        ),
    ] = 0
    connections_per_second: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="New connections that one gate takes of all clients, two "
            "seconds' worth at once; 0: any number. Others are closed before they cost "
            "a TLS handshake.",
        ),
    ] = 0
    connections_per_second_per_address: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="The same of one IP address, counted as by "
            "maxConnectionsPerAddress.",
        ),
    ] = 0
    messages_per_second: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Messages that one client may send, two seconds' worth at "
            "once; 0: any number. Who sends more is not read for a while, and kicked "
            "after 10 seconds of it.",
        ),
    ] = 0
    handshakes_per_second: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Handshakes that one gate accepts of all clients, two "
            "seconds' worth at once; 0: any number. Others are kicked, to come back "
            "later.",
        ),
    ] = 0
    resume_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="How long a session waits for a client whose connection broke "
            "and that knows how to come back; 0: not at all.",
        ),
    ] = 0.0
    one_session_per_uid: Annotated[
        bool,
        Meta(
            description="A session that is bound to a uid ends all others of that uid, "
            'at whichever gate, with the kick "signed in elsewhere".',
        ),
    ] = False
    serializer: Annotated[
        Literal["json", "protobuf", "raw"],
        Meta(
            description="The format of payloads, the same on all nodes. Under protobuf "
            "handlers declare classes made by protoc, under raw they declare bytes.",
        ),
    ] = "json"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="The least important messages that are logged."),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "human"],
        Meta(
            description="How log lines look: a JSON object each, or for people; auto "
            "is for people on a terminal and under nanoctl up, and JSON elsewhere.",
        ),
    ] = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table of settings.

    Attributes:
        name: The attribute of :class:`Settings`, as in ``max_packet_bytes``.
        field: The key in the manifest, as in ``maxPacketBytes``.
        kind: ``float``, ``int``, ``bool`` or ``str``.
        default: What holds when nobody says anything.
        minimum: Smallest value, of numbers.
        maximum: Largest value, of numbers.
        choices: The possible values, of words.
        unit: ``seconds``, ``bytes`` or nothing.
        sentence: What it does.
    """

    name: str
    field: str
    kind: type[float] | type[int] | type[bool] | type[str]
    default: float | int | bool | str
    minimum: float | int | None
    maximum: float | int | None
    choices: tuple[str, ...]
    unit: str
    sentence: str

    @property
    def flag(self) -> str:
        """The option of ``nanoctl node``, as in ``--max-packet-bytes``."""
        return "--" + self.name.replace("_", "-")

    @property
    def env(self) -> str:
        """The environment variable, as in ``NANO_MAX_PACKET_BYTES``."""
        return "NANO_" + self.name.upper()

    @property
    def path(self) -> str:
        """The manifest's field, as in ``spec.settings.maxPacketBytes``."""
        return f"spec.settings.{self.field}"


# By the last word of a setting's name.
_UNITS: Final = {
    "seconds": "seconds",
    "bytes": "bytes",
    "connections": "connections",
    "address": "connections",
    "second": "per-second",
}


def _setting(field: inspect.Field) -> Setting:
    described = field.type
    assert isinstance(described, inspect.Metadata), "every setting has its sentence"
    kind, schema = described.type, described.extra_json_schema or {}
    python: type[float] | type[int] | type[bool] | type[str] = str
    minimum = maximum = None
    choices: tuple[str, ...] = ()
    if isinstance(kind, (inspect.IntType, inspect.FloatType)):
        python = int if isinstance(kind, inspect.IntType) else float
        minimum, maximum = kind.ge, kind.le
    elif isinstance(kind, inspect.BoolType):
        python, choices = bool, ("true", "false")
    elif isinstance(kind, inspect.LiteralType):
        choices = tuple(str(value) for value in kind.values)
    unit = field.name.rpartition("_")[2]
    return Setting(
        name=field.name,
        field=field.encode_name,
        kind=python,
        default=field.default,
        minimum=minimum,
        maximum=maximum,
        choices=choices,
        unit=_UNITS.get(unit, ""),
        sentence=schema["description"],
    )


def _table() -> tuple[Setting, ...]:
    described = inspect.type_info(Settings)
    assert isinstance(described, inspect.StructType)
    return tuple(_setting(field) for field in described.fields)


SETTINGS: Final = _table()


def overridden(settings: Settings, given: dict[str, object]) -> Settings:
    """Return *settings* with the attributes in *given* replaced, and checked.

    Raises:
        msgspec.ValidationError: A value breaks the setting's type or bounds.
    """
    merged = msgspec.structs.asdict(settings) | given
    by_field = {row.field: merged[row.name] for row in SETTINGS}
    return msgspec.convert(by_field, Settings)
