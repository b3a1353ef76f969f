"""The PROXY protocol, versions 1 and 2, without the socket.

A proxy that forwards bytes can say in front of them who sends them.  The format is
HAProxy's (``doc/proxy-protocol.txt``); every load balancer of note speaks it.  Here a
header is read and nothing else: who may send one is the listener's business.

The reader is strict, as the specification asks of receivers: a header that is not
exactly right ends the connection, for guessing would mean to believe a stranger.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from struct import Struct
from typing import Final

from msgspec import Struct as Record

from nano.errors import NanoError
from nano.transports.addresses import Address, read_address

__all__ = ["LONGEST", "ProxyError", "ProxyHeader", "read_header"]

LONGEST_LINE: Final = 107  # bytes of version 1 with its line's end, section 2.1
SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2, section 2.2
MOST_BYTES: Final = 4096  # of addresses and extensions; those in use need some hundred
LONGEST: Final = len(SIGNATURE) + 4 + MOST_BYTES
VERSION_1: Final = b"PROXY "
VERSION_2: Final = 2
LOCAL: Final = 0
PROXY: Final = 1

_head: Final = Struct(">12sBBH")
_port: Final = Struct(">H")
_LINE: Final = re.compile(
    rb"PROXY (?:(?:TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (\d{1,5}) (\d{1,5}))"
    rb"|UNKNOWN(?: [ -~]*)?)"
)
# By family and transport: bytes of one address, and of all that is fixed.  Sockets
# of files have names and no addresses; datagrams do not come in a stream.
_SHAPES: Final = {0x00: (0, 0), 0x11: (4, 12), 0x21: (16, 36), 0x31: (0, 216)}


class ProxyError(NanoError):
    """What a connection begins with is no header of the PROXY protocol."""


class ProxyHeader(Record, frozen=True):
    """What a proxy says.

    Attributes:
        source: The client's address; ``None`` if the proxy speaks for itself, does
            not know, or was reached by a socket of files.
        port: The client's port; 0 without an address.
        size: How many bytes the header has.
    """

    source: Address | None
    port: int
    size: int


def read_header(data: bytes) -> ProxyHeader | None:
    """Read the header that *data* begins with; ``None`` if it is not all there.

    Feed it everything that has come so far: it decides after at most
    :data:`LONGEST` bytes, and as soon as a byte is wrong.

    Raises:
        ProxyError: It is no header, or one that is not allowed.
    """
    if data.startswith(SIGNATURE):
        return _binary(data)
    if data.startswith(VERSION_1):
        return _line(data)
    if SIGNATURE.startswith(data) or VERSION_1.startswith(data):
        return None
    raise ProxyError("it does not begin with a header of the PROXY protocol")


def _line(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, LONGEST_LINE)
    if end < 0:
        if len(data) >= LONGEST_LINE:
            raise ProxyError(f"its line has more than {LONGEST_LINE} bytes")
        return None
    size = end + 2
    match = _LINE.fullmatch(data, 0, end)
    if match is None:
        raise ProxyError("its line is not of the form 'PROXY TCP4 from to port port'")
    family, *ends = match.groups()
    if family is None:
        return ProxyHeader(None, 0, size)
    source, target = (_address(text, family) for text in ends[:2])
    from_port, to_port = map(int, ends[2:])
    if source is None or target is None or max(from_port, to_port) > 65535:
        raise ProxyError("its line has an address or a port that is none")
    return ProxyHeader(_plain(source), from_port, size)


def _address(text: bytes, family: bytes) -> Address | None:
    kind = IPv4Address if family == b"4" else IPv6Address
    try:
        return kind(text.decode())
    except ValueError:
        return None


def _plain(address: Address) -> Address | None:
    return read_address(str(address))


def _binary(data: bytes) -> ProxyHeader | None:
    if len(data) < _head.size:
        return None
    _, command, shape, length = _head.unpack_from(data)
    version, command = command >> 4, command & 15
    if version != VERSION_2 or command not in (LOCAL, PROXY):
        raise ProxyError(f"version {version} or command {command} does not exist")
    if length > MOST_BYTES:
        raise ProxyError(f"its {length} bytes are more than {MOST_BYTES}")
    size = _head.size + length
    known = _SHAPES.get(shape)
    if command == PROXY and (known is None or length < known[1]):
        raise ProxyError(f"its {length} bytes do not hold addresses of kind {shape:#x}")
    if len(data) < size:
        return None
    if command == LOCAL or known is None or not known[0]:
        return ProxyHeader(None, 0, size)
    width = known[0]
    packed = data[_head.size : _head.size + width]
    source = IPv4Address(packed) if width == 4 else IPv6Address(packed)
    (port,) = _port.unpack_from(data, _head.size + 2 * width)
    return ProxyHeader(_plain(source), port, size)
