"""What pomelo's libraries and nano's chat demo put on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from nano.errors import EncodeError, ProtocolError
from nano.protocol.client import Accepted, ClientConnection, Heartbeat, Kicked
from nano.protocol.connection import Connection, HandshakeRequested
from nano.protocol.dictionary import RouteDictionary
from nano.protocol.handshake import ServerHello, write_hello
from nano.protocol.lifecycle import State
from nano.protocol.messages import (
    PUSH,
    Message,
    decode_message,
    encode_message,
    encode_push,
    encode_response,
    head_of_push,
)
from nano.protocol.packets import HEADER_SIZE, PacketReader, PacketType, encode_packet

from .vectors import POMELO, PomeloSample, group
from .wire import HELLO, connection_in, feed, ways

# id of the vector: why ours differs; each has a line in its group's test
EXCEPTIONS = {
    "pp-007": "the length wraps; we refuse",
    "pp-011": "half a header is no packet yet",
    "pp-012": "pomelo hands on a type that does not exist; we close, as nano does",
    "pp-019": "a response has no route to compress; we read the bit and never set it",
    "pp-033": "pomelo truncates ids from 2^31 on",
    "pp-039": "which routes are codes is the dictionary's business, not the caller's",
    "pp-049": "pomelo reads ids from 2^31 on as negative",
    "pp-051": "pomelo's own RangeError; ours says what is wrong",
    "pp-052": "pomelo's own RangeError; ours says what is wrong",
    "pp-071": "pomelo drops a message whose code nobody knows; nano closes, and we",
    "pp-072": "payloads are not the protocol's; ours answers 400 (tests/transports)",
    "chat-023": "nano gives no answer; ours is a 404 (tests/transports)",
}
CODES = RouteDictionary({"code.258": 258, "code.65535": 65535})
PUSHES = RouteDictionary({"onAdd": 6})


def route_of(sample: PomeloSample) -> str:
    route = sample.input["route"]
    return f"code.{route}" if isinstance(route, int) else route or ""


def check_package(sample: PomeloSample) -> None:
    if sample.id == "pp-007":
        with pytest.raises(EncodeError):
            encode_packet(PacketType.DATA, bytes(1 << 24))
        return
    body = (sample.input["body"] or "").encode()
    assert encode_packet(PacketType(sample.input["type"]), body) == sample.bytes


def check_package_decode(sample: PomeloSample) -> None:
    wire = bytes.fromhex(sample.input["hex"])
    decoded = sample.result["decoded"]
    expected = [
        (item["type"], bytes.fromhex(item["body_hex"] or ""))
        for item in (decoded if isinstance(decoded, list) else [decoded])
    ]
    for chunks in ways(wire, [1, 3]):
        reader = PacketReader()
        if sample.id == "pp-012":
            with pytest.raises(ProtocolError):
                [reader.receive(chunk) for chunk in chunks]
            continue
        packets = [packet for chunk in chunks for packet in reader.receive(chunk)]
        assert packets == ([] if sample.id == "pp-011" else expected)


def check_message(sample: PomeloSample) -> None:
    given = sample.input
    if sample.id == "pp-040":
        with pytest.raises(ValueError, match="codes are 0 to 65535"):
            RouteDictionary({"r": given["route"]})
        return
    route, body = route_of(sample), given["body"].encode()
    message = Message(given["type"], given["id"], route, body)
    if sample.id == "pp-039":
        assert encode_message(message, CODES)[HEADER_SIZE] == 0x02
    elif "error" in sample.result:
        with pytest.raises(EncodeError):
            encode_message(message, CODES)
    elif sample.id == "pp-019":
        assert encode_message(message, CODES)[HEADER_SIZE:].hex() == "04077b7d"
        assert decode_message(sample.bytes, 0, 4, CODES).payload == b"{}"
    elif sample.id == "pp-033":
        data = encode_message(message, CODES)[HEADER_SIZE:]
        assert decode_message(data, 0, len(data), CODES).id == 2147483648
    else:
        assert encode_message(message, CODES)[HEADER_SIZE:] == sample.bytes


def check_message_decode(sample: PomeloSample) -> None:
    wire = bytes.fromhex(sample.input["hex"])
    if "error" in sample.result:
        with pytest.raises(ProtocolError):
            decode_message(wire, 0, len(wire), CODES)
        return
    decoded = sample.result["decoded"]
    route = decoded["route"]
    number = 2147483648 if sample.id == "pp-049" else decoded["id"]
    assert decode_message(wire, 0, len(wire), CODES) == Message(
        decoded["type"],
        number,
        f"code.{route}" if isinstance(route, int) else route,
        bytes.fromhex(decoded["body_hex"]),
    )


def check_dictionary(sample: PomeloSample) -> None:
    codes = RouteDictionary(sample.result["dict"])
    for code, route in sample.result["abbrs"].items():
        assert codes.route(int(code)) == route
        assert codes.code(route) == int(code)
    assert dict(codes) == sample.result["dict"]


def check_handshake(sample: PomeloSample) -> None:
    """Our client understands whatever a pomelo server says to its greeting."""
    answer = sample.result["json"]
    sys = answer.get("sys", {})
    body = sample.bytes[HEADER_SIZE:]
    assert json.loads(body) == answer
    for chunks in ways(sample.bytes, [5, 30]):
        client = ClientConnection()
        events = [event for chunk in chunks for event in client.receive(chunk)]
        assert events == [Accepted(answer["code"], sys.get("heartbeat", 0), body)]
        assert client.accepted is (answer["code"] == 200)
    for route, code in sys.get("dict", {}).items():
        assert client.notify(route, b"")[HEADER_SIZE:] == b"\x03" + code.to_bytes(2)


def check_coder(sample: PomeloSample) -> None:
    if sample.id == "pp-071":
        wire = bytes.fromhex(sample.input["hex"])
        with pytest.raises(ProtocolError, match="not in the dictionary"):
            decode_message(wire, 0, len(wire), PUSHES)
    elif sample.id != "pp-072":
        payload = json.dumps(sample.input["msg"], separators=(",", ":")).encode()
        if "id" in sample.input:
            packet = encode_response(sample.input["id"], payload)
        else:
            packet = encode_push(head_of_push(sample.input["route"], PUSHES), payload)
        assert packet[HEADER_SIZE:] == sample.bytes


def check_session(sample: PomeloSample) -> None:
    frames = sample.result["frames"]
    sent = [bytes.fromhex(it["hex"]) for it in frames if it["who"] == "client"]
    answers = [bytes.fromhex(it["hex"]) for it in frames if it["who"] == "server"]
    codes = RouteDictionary({"chat.chatHandler.send": 1, "onChat": 5})
    connection = Connection(codes)
    (greeting,) = connection.receive(sent[0])
    assert isinstance(greeting, HandshakeRequested)
    assert greeting.hello.type == "js-websocket"
    connection.accept(HELLO)
    (request,) = feed(connection, sent[1:])
    assert isinstance(request, Message)
    assert (request.id, request.route) == (1, "chat.chatHandler.send")
    client = ClientConnection()
    hello = write_hello(ServerHello(30, 0, codes))
    client.receive(encode_packet(PacketType.HANDSHAKE, hello))
    heartbeat, response, push, kick = client.receive(b"".join(answers))
    assert heartbeat == Heartbeat()
    assert isinstance(response, Message)
    assert response.id == 1
    assert isinstance(push, Message)
    assert (push.type, push.route) == (PUSH, "onChat")
    assert kick == Kicked("kick")


def check_chat(sample: PomeloSample) -> None:
    """Our server reads what the demo's page sends, our client what nano answers."""
    if sample.id == "chat-023":
        return
    (packet,) = PacketReader().receive(sample.bytes)
    decoded = sample.result["decoded"]
    assert packet.type == decoded["pkg"]
    if packet.type is not PacketType.DATA:
        assert packet.body == decoded.get("body", "").encode()
        return
    said: dict[str, Any] = decoded["msg"]
    message = Message(
        said["type"], said["id"], said["route"] or "", said["body"].encode()
    )
    assert encode_message(message) == sample.bytes
    for chunks in ways(sample.bytes, [2, 9]):
        if sample.input["direction"] == "C->S":
            assert feed(connection_in(State.WORKING), chunks) == [message]
        else:
            client = ClientConnection()
            events = [event for chunk in chunks for event in client.receive(chunk)]
            assert events == [message]


GROUPS: dict[str, Callable[[PomeloSample], None]] = {
    "pomelo-package": check_package,
    "pomelo-package-decode": check_package_decode,
    "pomelo-message": check_message,
    "pomelo-message-decode": check_message_decode,
    "pomelo-dictionary": check_dictionary,
    "pomelo-handshake": check_handshake,
    "pomelo-coder": check_coder,
    "pomelo-session": check_session,
    "starx-chat-demo": check_chat,
}


@pytest.mark.parametrize("sample", POMELO, ids=lambda it: f"{it.id} {it.description}")
def test_ours_agrees_with_pomelo(sample: PomeloSample) -> None:
    GROUPS[sample.group](sample)


def test_what_a_pomelo_client_announces_is_understood() -> None:
    for sample in group("pomelo-handshake"):
        body = json.dumps(sample.input["msg"]).encode()
        (event,) = Connection().receive(encode_packet(PacketType.HANDSHAKE, body))
        assert isinstance(event, HandshakeRequested)
        assert event.hello.type == sample.input["msg"]["sys"]["type"]
        assert event.hello.user == sample.input["msg"].get("user")
