"""The client protocol of pomelo and nano, as values and state machines.

Bytes go in, events come out, and the other way round; there is no socket, clock,
task or log below this package, so every rule of the wire can be tested as a
function.  :mod:`nano.transports` owns the sockets and calls
:class:`~nano.protocol.connection.Connection`; :mod:`nano.client` does the same
from the other end with :class:`~nano.protocol.client.ClientConnection`.

The byte layouts are those of nano's ``internal/packet`` and ``internal/message``.
"""

from __future__ import annotations

from nano.protocol.client import ClientConnection
from nano.protocol.connection import Connection, HandshakeRequested
from nano.protocol.lifecycle import Input, State
from nano.protocol.messages import NOTIFY, PUSH, REQUEST, RESPONSE, Message
from nano.protocol.packets import Packet, PacketType

__all__ = [
    "NOTIFY",
    "PUSH",
    "REQUEST",
    "RESPONSE",
    "ClientConnection",
    "Connection",
    "HandshakeRequested",
    "Input",
    "Message",
    "Packet",
    "PacketType",
    "State",
]
