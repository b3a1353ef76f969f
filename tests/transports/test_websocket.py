"""What WebSocket adds to a connection: the upgrade, pings, closes."""

from __future__ import annotations

import struct

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from nano import Session
from nano.protocol.client import Accepted, ClientEvent, Kicked
from nano.protocol.messages import Message, encode_response
from nano.protocol.packets import PacketType, encode_packet
from nano.transports.context import Doorway
from nano.transports.frames import data_frame
from nano.transports.websocket import LARGEST_UPGRADE, WebSocketTransport

from .room import Hall, Wire, turns, until

PLAIN_GET = b"GET / HTTP/1.1\r\nHost: here\r\nUser-Agent: curl\r\n\r\n"
NOISE = encode_packet(PacketType.DATA, b"\x02\x09Room.Fast1")


class WebSocketWire(Wire):
    """A wire with the websockets library's client at the other end."""

    def __init__(self, hall: Hall, door: Doorway | None = None) -> None:
        super().__init__(hall, WebSocketTransport, door)
        self.browser = ClientProtocol(parse_uri("ws://here/any/path"), max_size=None)
        self.frames: list[Frame] = []

    def flush(self) -> None:
        """Deliver what the library wants to send."""
        for data in self.browser.data_to_send():
            if data:
                self.deliver(data)

    def upgrade(self) -> None:
        self.browser.send_request(self.browser.connect())
        self.flush()
        self.take()
        assert self.browser.state is State.OPEN

    def take(self) -> list[Frame]:
        """Give the library what was written, and return the frames it found."""
        for data in self.writes:
            self.browser.receive_data(data)
        self.writes.clear()
        events = self.browser.events_received()
        return [event for event in events if isinstance(event, Frame)]

    def say(self, packet: bytes) -> None:
        self.browser.send_binary(packet)
        self.flush()

    def greet(self) -> Session:
        if self.browser.state is State.CONNECTING:
            self.upgrade()
        self.say(self.client.greet() + self.client.acknowledge())
        assert self.protocol.session is not None
        (accepted,) = self.events()
        assert isinstance(accepted, Accepted)
        return self.protocol.session

    def events(self) -> list[ClientEvent]:
        found: list[ClientEvent] = []
        for frame in self.take():
            self.frames.append(frame)
            if frame.opcode is Opcode.BINARY:
                (event,) = self.client.receive(bytes(frame.data))  # one packet each
                found.append(event)
        return found


def request_head(size: int) -> bytes:
    """Return the beginning of a request whose headers have *size* bytes."""
    head = b"GET / HTTP/1.1\r\nHost: here\r\n"
    line = b"X-Filler: " + b"x" * 100 + b"\r\n"
    return head + line * ((size - len(head)) // len(line) + 1)


async def test_after_the_upgrade_packets_lie_in_binary_frames_one_each() -> None:
    wire = WebSocketWire(Hall())
    wire.greet()
    for _ in range(3):
        _, packet = wire.client.request("Room.Hello", b"{}")
        wire.browser.send_binary(packet)
    wire.deliver(b"".join(wire.browser.data_to_send()))
    assert len(wire.writes) == 1
    events = wire.events()
    assert [event.id for event in events if isinstance(event, Message)] == [1, 2, 3]
    assert {frame.opcode for frame in wire.frames} == {Opcode.BINARY}


async def test_frames_behind_the_upgrade_in_the_same_read_are_not_lost() -> None:
    wire = WebSocketWire(Hall())
    wire.browser.send_request(wire.browser.connect())
    (upgrade,) = wire.browser.data_to_send()
    greeting = wire.client.greet() + wire.client.acknowledge()
    mask = b"\1\2\3\4"
    scrambled = bytes(byte ^ mask[at % 4] for at, byte in enumerate(greeting))
    wire.deliver(upgrade + b"\x82" + bytes((0x80 | len(greeting),)) + mask + scrambled)
    (accepted,) = wire.events()
    assert isinstance(accepted, Accepted)


async def test_an_upgrade_may_come_byte_by_byte() -> None:
    wire = WebSocketWire(Hall())
    wire.browser.send_request(wire.browser.connect())
    (upgrade,) = wire.browser.data_to_send()
    for at in range(len(upgrade)):
        assert wire.writes == []
        wire.deliver(upgrade[at : at + 1])
    wire.take()
    assert wire.browser.state is State.OPEN


async def test_messages_are_a_stream_and_text_counts_as_well() -> None:
    hall = Hall()
    wire = WebSocketWire(hall)
    wire.greet()
    wire.browser.send_binary(NOISE[:3])
    wire.browser.send_text(NOISE[3:] + NOISE[:7])
    wire.browser.send_binary(NOISE[7:])
    wire.flush()
    assert hall.room.seen == [1, 1]


async def test_a_plain_request_is_told_to_upgrade() -> None:
    hall = Hall()
    wire = WebSocketWire(hall)
    wire.deliver(PLAIN_GET)
    answer = b"".join(wire.writes)
    assert answer.startswith(b"HTTP/1.1 426 Upgrade Required\r\n")
    assert b"You need a WebSocket client" in answer
    assert wire.ended == "close"
    await turns()
    assert hall.counts("wire").closed == {"no-upgrade": 1}
    assert hall.counts("wire").handshakes == {"no-upgrade": 1}
    assert hall.is_empty()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (request_head(LARGEST_UPGRADE + 1), b"431"),
        (b"GET / HTTP/1.1\r\n" + (b"X: " + b"y" * 150 + b"\r\n") * 110, b"400"),
        (b"GET /" + b"x" * LARGEST_UPGRADE, b"414"),
        (request_head(1000) + b"x" * 9000 + b"\r\n\r\n", b"431"),
        (b"\x01\0\0\0\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b"400"),
    ],
)
async def test_what_is_no_upgrade_is_answered_and_closed(
    head: bytes, status: bytes
) -> None:
    hall = Hall()
    wire = WebSocketWire(hall)
    wire.deliver(head)
    answer = b"".join(wire.writes)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert status != b"400" or b"speaks WebSocket" in answer
    assert wire.ended == "close"
    await turns()
    assert hall.counts("wire").closed == {"no-upgrade": 1}
    assert hall.is_empty()


async def test_headers_that_never_end_are_not_kept() -> None:
    wire = WebSocketWire(Hall())
    for _ in range(200):
        wire.deliver(b"x" * 100)
    assert wire.ended
    assert len(wire.writes) == 1


async def test_an_upgrade_that_comes_too_late_is_cut_off_without_a_word() -> None:
    hall = Hall(heartbeat=2, handshake=5)
    wire = WebSocketWire(hall)
    wire.deliver(PLAIN_GET[:10])
    hall.pass_time(2.5)
    await turns()
    assert wire.writes == []  # no heartbeat into the middle of an upgrade
    wire.deliver(b"x")
    hall.pass_time(3)
    await turns()
    assert b"".join(wire.writes) == b""
    assert hall.counts("wire").closed == {"handshake-timeout": 1}
    assert hall.is_empty()


async def test_no_extension_and_no_subprotocol_is_agreed_upon() -> None:
    wire = WebSocketWire(Hall())
    request = wire.browser.connect()
    request.headers["Sec-WebSocket-Extensions"] = "permessage-deflate"
    request.headers["Sec-WebSocket-Protocol"] = "pomelo, nano"
    wire.browser.send_request(request)
    wire.flush()
    answer = b"".join(wire.writes)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Extensions" not in answer
    assert b"Sec-WebSocket-Protocol" not in answer


async def test_a_ping_is_answered_and_is_a_sign_of_life() -> None:
    hall = Hall(heartbeat=1)
    wire = WebSocketWire(hall)
    wire.greet()
    for _ in range(5):
        hall.pass_time(1.9)
        await turns()
        wire.browser.send_ping(b"there?")
        wire.flush()
        pongs = [frame for frame in wire.take() if frame.opcode is Opcode.PONG]
        assert [bytes(pong.data) for pong in pongs] == [b"there?"]
    assert wire.ended == ""


async def test_pings_of_a_client_that_does_not_read_are_cut_at_its_backlog() -> None:
    hall = Hall(backlog=100_000)
    wire = WebSocketWire(hall)
    session = wire.greet()
    wire.taking = False
    sent = 0
    while not wire.ended:
        wire.browser.send_ping(bytes(125))
        wire.flush()
        sent += 1
        assert sent < 1000
    await turns()
    assert session.closed == "slow-client"


@pytest.mark.parametrize(
    ("code", "answered", "reason"),
    [
        (1000, 1000, "client-closed"),
        (1001, 1001, "client-closed"),
        (4321, 4321, "client-broke-off"),
        (None, 1000, "client-closed"),
    ],
)
async def test_a_close_is_answered_with_its_code(
    code: int | None, answered: int, reason: str
) -> None:
    hall = Hall()
    wire = WebSocketWire(hall)
    session = wire.greet()
    wire.browser.send_close(code)
    wire.flush()
    (close,) = wire.take()
    assert close.opcode is Opcode.CLOSE
    assert Close.parse(bytes(close.data)).code == answered
    await turns()
    assert session.closed == reason
    assert hall.counts("wire").closed == {reason: 1}


@pytest.mark.parametrize("number", [0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, 1 << 40])
@pytest.mark.parametrize("size", [0, 1, 118, 119, 200, 70_000])
def test_an_answer_is_the_frame_of_its_packet(number: int, size: int) -> None:
    payload = b"x" * size
    frame = data_frame(encode_response(number, payload))
    assert WebSocketTransport._answer(number, payload) == frame


async def test_what_came_in_front_of_a_close_is_answered() -> None:
    wire = WebSocketWire(Hall())
    wire.greet()
    _, packet = wire.client.request("Room.Hello", b"{}")
    wire.browser.send_binary(packet)
    wire.browser.send_close(1000)
    wire.deliver(b"".join(wire.browser.data_to_send()))
    response, close = wire.take()
    assert (response.opcode, close.opcode) == (Opcode.BINARY, Opcode.CLOSE)


async def test_what_came_in_front_of_a_broken_frame_is_answered() -> None:
    hall = Hall()
    wire = WebSocketWire(hall)
    session = wire.greet()
    _, packet = wire.client.request("Room.Hello", b"{}")
    wire.browser.send_binary(packet)
    wire.deliver(b"".join(wire.browser.data_to_send()) + b"\x82\x00")
    response, close = wire.take()
    assert response.opcode is Opcode.BINARY
    assert Close.parse(bytes(close.data)).code == 1002
    await turns()
    assert session.closed == "protocol-error"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (b"\x82\x05hello", 1002),  # not masked
        (b"\x83\x80\0\0\0\0", 1002),
        (b"\x81\x81\0\0\0\0\xff", 1007),
        (b"\x82\xff" + struct.pack(">Q", 1 << 20) + bytes(4), 1009),
        (b"\x88\x82\0\0\0\0\x03\xed", 1002),
        (b"\x88\x83\0\0\0\0\x03\xe8\xff", 1007),
    ],
)
async def test_a_broken_frame_is_told_by_a_close_with_its_code(
    wrong: bytes, code: int
) -> None:
    hall = Hall()
    wire = WebSocketWire(hall)
    wire.greet()
    wire.deliver(wrong)
    (close,) = wire.take()
    parsed = Close.parse(bytes(close.data))
    assert parsed.code == code
    assert parsed.reason
    await turns()
    assert hall.counts("wire").closed == {"protocol-error": 1}
    assert hall.is_empty()


@pytest.mark.parametrize(
    ("packet", "code", "reason"),
    [
        ("00000000", 1002, "packet type 0 does not exist"),
        ("04010001", 1009, "a packet of 65537 bytes, and at most 65536 are accepted"),
    ],
)
async def test_a_broken_packet_is_told_by_a_kick_and_a_close(
    packet: str, code: int, reason: str
) -> None:
    wire = WebSocketWire(Hall())
    wire.greet()
    wire.say(bytes.fromhex(packet))
    assert wire.events() == [Kicked(reason)]
    assert Close.parse(bytes(wire.frames[-1].data)) == Close(code, reason)


@pytest.mark.parametrize(
    ("ending", "code"),
    [("kick", 1000), ("stop", 1001), ("lose", 1008), ("late_greeting", 1008)],
)
async def test_a_farewell_is_a_kick_and_a_close_with_the_same_reason(
    ending: str, code: int
) -> None:
    hall = Hall()
    wire = WebSocketWire(hall)
    session = wire.greet()
    if ending == "kick":
        session.kick("bye")
    else:
        getattr(wire.protocol, ending)()
    (kicked,) = wire.events()
    assert isinstance(kicked, Kicked)
    assert Close.parse(bytes(wire.frames[-1].data)) == Close(code, kicked.reason)
    await turns()
    assert hall.is_empty()


async def test_a_kick_within_a_handler_comes_before_a_close_in_the_same_read() -> None:
    hall = Hall()
    wire = WebSocketWire(hall)
    session = wire.greet()
    wire.browser.send_binary(wire.client.notify("Room.Close", b""))
    wire.browser.send_ping(b"")
    wire.browser.send_close(1001)
    wire.deliver(b"".join(wire.browser.data_to_send()))
    opcodes = [frame.opcode for frame in wire.take()]
    assert opcodes == [Opcode.PONG, Opcode.BINARY, Opcode.CLOSE]
    await turns()
    assert session.closed == "kicked"


async def test_nothing_is_written_behind_the_end() -> None:
    wire = WebSocketWire(Hall())
    session = wire.greet()
    session.kick("bye")
    wire.writes.clear()
    wire.browser.send_ping(b"")
    wire.protocol.data_received(b"".join(wire.browser.data_to_send()))
    wire.protocol.beat()
    session.push("onNoise", 1)
    await turns()
    assert wire.writes == []


async def test_a_close_of_a_client_that_does_not_read_its_answers_cuts_it_off() -> None:
    wire = WebSocketWire(Hall(backlog=100_000))
    session = wire.greet()
    wire.taking = False
    session.push("onMap", "x" * 200_000)
    await turns()
    wire.browser.send_binary(wire.client.request("Room.Hello", b"{}")[1])
    wire.browser.send_close(1000)
    wire.deliver(b"".join(wire.browser.data_to_send()))
    await turns()
    assert session.closed == "slow-client"


async def test_a_long_reason_is_cut_in_the_close_and_whole_in_the_kick() -> None:
    wire = WebSocketWire(Hall())
    session = wire.greet()
    session.kick("ü" * 100)
    assert wire.events() == [Kicked("ü" * 100)]
    close = Close.parse(bytes(wire.frames[-1].data))
    assert close.reason == "ü" * 61


async def test_slow_handlers_lose_nothing_and_keep_the_order() -> None:
    hall = Hall()
    wire = WebSocketWire(hall)
    wire.greet()
    for number in range(300):
        wire.browser.send_binary(wire.client.notify("Room.Slow", b"%d" % number))
    wire.deliver(b"".join(wire.browser.data_to_send()))
    await turns()
    assert not wire.reading
    hall.room.gate.set()
    await until(lambda: len(hall.room.seen) == 300)
    assert hall.room.seen == list(range(300))
    assert wire.reading


async def test_a_close_of_a_paused_client_ends_it_at_once() -> None:
    hall = Hall()
    wire = WebSocketWire(hall)
    session = wire.greet()
    for number in range(100):
        wire.browser.send_binary(wire.client.notify("Room.Slow", b"%d" % number))
    wire.browser.send_close(1000)
    wire.deliver(b"".join(wire.browser.data_to_send()))
    await turns()
    hall.room.gate.set()
    await turns(10)
    assert session.closed == "client-closed"
    assert hall.room.seen == [0]
    assert hall.is_empty()
