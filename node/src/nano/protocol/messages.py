"""The inner layer of the wire: what a data packet holds.

::

    flag      bit 0 route compressed · bits 1-3 type · bit 5 error (ours, pitaya's)
    id        request and response: unsigned varint, low seven bits first
    route     request, notify and push: length byte and name, or two bytes of code
    payload   the rest

nano ignores the upper four bits of the flag, so bit 5 may say that a response is
an error; old clients do not notice it, and are told by the body alone.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from msgspec import Struct as Record

from nano.errors import EncodeError, ProtocolError
from nano.protocol.dictionary import EMPTY, RouteDictionary
from nano.protocol.packets import HEADER, LARGEST_BODY, PacketType

__all__ = [
    "DATA_TYPE",
    "LONGEST_ROUTE",
    "NOTIFY",
    "PUSH",
    "REQUEST",
    "RESPONSE",
    "FromNode",
    "Message",
    "decode_message",
    "encode_message",
    "encode_push",
    "encode_response",
    "head_of_push",
    "read_plain",
]

REQUEST: Final = 0
NOTIFY: Final = 1
RESPONSE: Final = 2
PUSH: Final = 3

LONGEST_ROUTE: Final = 255  # one length byte; nano wraps beyond it
LARGEST_ID: Final = (1 << 64) - 1

COMPRESSED: Final = 0x01
ERROR: Final = 0x20

DATA_TYPE: Final = int(PacketType.DATA)  # which compares faster
DATA: Final = DATA_TYPE << 24
# header, flag and id of a response, whose ids are short for the first two million
ONE_BYTE_ID: Final = Struct(">IBB")
TWO_BYTE_ID: Final = Struct(">IBBB")
THREE_BYTE_ID: Final = Struct(">IBBBB")
ROOM: Final = LARGEST_BODY - 11  # for a payload, behind the longest flag and id
DATA_3: Final = DATA + 3  # a header, of three bytes and a payload
ANSWER: Final = RESPONSE << 1
FAILED_ANSWER: Final = ANSWER | ERROR

BEGINNING: Final = 9  # bytes: header, flag and the four behind it, whatever they are
PLAIN_REQUEST: Final = REQUEST << 1  # the flags of messages to routes by name
PLAIN_NOTIFY: Final = NOTIFY << 1


class Message(Record, gc=False):
    """One message, whichever way it goes.

    Attributes:
        type: :data:`REQUEST`, :data:`NOTIFY`, :data:`RESPONSE` or :data:`PUSH`.
        id: Which request this is, or answers; 0 where a message has none.
        route: Where it goes; empty in a response.
        payload: The rest of the bytes, meaningful to the serializer alone.
        failed: A response that is an error.
    """

    type: int
    id: int
    route: str
    payload: bytes
    failed: bool = False


class FromNode(Message, gc=False):
    """A notify that a node has sent for a session; it waits its turn as a client's.

    It stands here because compiled code knows the subclasses beside a class only.
    """


def decode_message(
    data: bytes, start: int, stop: int, dictionary: RouteDictionary = EMPTY
) -> Message:
    """Read the message that fills ``data[start:stop]``.

    The payload is a copy: it stays what it is when the buffer moves on (nano's
    raw handlers see the bytes of later messages).

    Raises:
        ProtocolError: The bytes are no message.
    """
    if stop - start < 2:
        raise ProtocolError("a message has at least two bytes")
    flag = data[start]
    kind = flag >> 1 & 0x07
    if kind > PUSH:
        message = f"message type {kind} does not exist"
        raise ProtocolError(message)
    offset = start + 1
    number = 0
    if not kind & 1:  # requests (0) and responses (2) carry an id
        number = data[offset]
        offset += 1
        if number > 0x7F:
            if offset < stop and data[offset] < 0x80:  # two bytes: the usual case
                number = number & 0x7F | data[offset] << 7
                offset += 1
            else:
                number, offset = _long_id(data, offset - 1, stop)
        if kind == RESPONSE:
            failed = flag & ERROR != 0
            return Message(kind, number, "", data[offset:stop], failed)
    if flag & COMPRESSED:
        if stop - offset < 2:
            raise ProtocolError("a compressed route has two bytes")
        code = data[offset] << 8 | data[offset + 1]
        offset += 2
        route = dictionary.route(code)
        if route is None:
            message = f"route code {code} is not in the dictionary"
            raise ProtocolError(message)
        return Message(kind, number, route, data[offset:stop])
    if offset == stop:
        raise ProtocolError("a message ends where its route should begin")
    end = offset + 1 + data[offset]
    if end > stop:
        raise ProtocolError("a route is longer than its message")
    try:
        route = data[offset + 1 : end].decode()
    except UnicodeDecodeError:
        raise ProtocolError("a route is not valid UTF-8") from None
    return Message(kind, number, route, data[end:stop])


def read_plain(data: bytes, limit: int, messages: list[Any]) -> int:
    """Take the messages of the commonest form off the front of *data*.

    That form is a whole data packet with a request or a notify to a route by name, its
    id less than two million.  At anything else, right or wrong, this stops: it is for
    :func:`decode_message`, which it equals and costs half of.

    Args:
        data: Bytes that begin with a packet.
        limit: The longest packet body that is accepted, in bytes.
        messages: Where they are added.

    Returns:
        The offset of the first packet that was not taken.
    """
    offset = 0
    total = len(data)
    room = total - BEGINNING
    while offset <= room and data[offset] == DATA_TYPE:
        # compiled, this costs less than a Struct, which makes an object of each
        size = data[offset + 1] << 16 | data[offset + 2] << 8 | data[offset + 3]
        if size > limit:
            break
        flag = data[offset + 4]
        first = data[offset + 5]
        if flag == PLAIN_REQUEST:
            second = data[offset + 6]
            if first < 0x80:
                number, name = first, offset + 7
                end = name + second
            elif second < 0x80:
                number, name = first & 0x7F | second << 7, offset + 8
                end = name + data[offset + 7]
            else:
                third = data[offset + 7]
                if third >= 0x80:
                    break
                number = first & 0x7F | (second & 0x7F) << 7 | third << 14
                name = offset + 9
                end = name + data[offset + 8]
        elif flag == PLAIN_NOTIFY:
            number, name = 0, offset + 6
            end = name + first
        else:
            break
        stop = offset + 4 + size
        if end > stop or stop > total:
            break
        try:
            route = data[name:end].decode()
        except UnicodeDecodeError:
            break
        messages.append(Message(flag >> 1, number, route, data[end:stop]))
        offset = stop
    return offset


def _long_id(data: bytes, offset: int, stop: int) -> tuple[int, int]:
    """Read a varint of up to ten bytes; return it and the offset behind it."""
    number = 0
    for shift in range(0, 70, 7):
        if offset == stop:
            raise ProtocolError("a message ends inside its id")
        byte = data[offset]
        offset += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number > LARGEST_ID:
                break
            return number, offset
    raise ProtocolError("a message id has at most 64 bits")


def encode_response(number: int, payload: bytes, failed: bool = False) -> bytes:
    """Return the data packet that answers request *number*.

    Raises:
        EncodeError: The packet would be longer than the wire can say.
    """
    size = len(payload)
    flag = FAILED_ANSWER if failed else ANSWER
    if size <= ROOM:
        if 0x80 <= number < 0x4000:  # the usual case
            low = number & 0x7F | 0x80
            return TWO_BYTE_ID.pack(DATA_3 + size, flag, low, number >> 7) + payload
        if 0 <= number < 0x80:
            return ONE_BYTE_ID.pack(DATA + size + 2, flag, number) + payload
        if 0x4000 <= number < 0x20_0000:
            low, middle = number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80
            head = THREE_BYTE_ID.pack(DATA + size + 4, flag, low, middle, number >> 14)
            return head + payload
    return _packet(bytes((flag,)) + _varint(number), payload)


def head_of_push(route: str, dictionary: RouteDictionary = EMPTY) -> bytes:
    """Return what precedes the payload in every push to *route*.

    Raises:
        EncodeError: *route* has no form in UTF-8 of at most 255 bytes.
    """
    return _head(PUSH, 0, route, dictionary)


def encode_push(head: bytes, payload: bytes) -> bytes:
    """Return the data packet of a push; *head* is from :func:`head_of_push`.

    Raises:
        EncodeError: The packet would be longer than the wire can say.
    """
    return _packet(head, payload)


def encode_message(message: Message, dictionary: RouteDictionary = EMPTY) -> bytes:
    """Return the data packet that carries *message*.

    Raises:
        EncodeError: The type, the route, the id or the whole does not fit the wire.
    """
    if message.type == RESPONSE:
        return encode_response(message.id, message.payload, message.failed)
    if not 0 <= message.type <= PUSH:
        text = f"message type {message.type} does not exist"
        raise EncodeError(text)
    head = _head(message.type, message.id, message.route, dictionary)
    return _packet(head, message.payload)


def _head(kind: int, number: int, route: str, dictionary: RouteDictionary) -> bytes:
    flag = kind << 1
    prefix = _varint(number) if kind == REQUEST else b""
    code = dictionary.code(route)
    if code is not None:
        return bytes((flag | COMPRESSED,)) + prefix + code.to_bytes(2)
    try:
        name = route.encode()
    except UnicodeEncodeError:
        message = f"route {route[:32]!r} has no form in UTF-8"
        raise EncodeError(message) from None
    if len(name) > LONGEST_ROUTE:
        message = f"route {route[:32]!r}… has {len(name)} bytes; 255 is the most"
        raise EncodeError(message)
    return bytes((flag,)) + prefix + bytes((len(name),)) + name


def _varint(number: int) -> bytes:
    if not 0 <= number <= LARGEST_ID:
        message = f"a message id has at most 64 bits: {number}"
        raise EncodeError(message)
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _packet(head: bytes, payload: bytes) -> bytes:
    size = len(head) + len(payload)
    if size > LARGEST_BODY:
        message = f"a message of {size} bytes; a packet holds {LARGEST_BODY}"
        raise EncodeError(message)
    return HEADER.pack(DATA | size) + head + payload
