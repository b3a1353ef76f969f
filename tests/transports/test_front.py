"""What connections share: deadlines, the doorway, the end of a node."""

from __future__ import annotations

import asyncio
import socket

import pytest

from nano.errors import UsageError
from nano.protocol.client import Kicked
from nano.protocol.messages import Message
from nano.runtime.session import Session
from nano.transports.context import CLOSING_TIME, Doorway
from nano.transports.listener import Listener
from nano.transports.sending import LONGEST_WAIT

from .room import Hall, Wire, turns, until


class Guest:
    """A client that does nothing but note what happens to it."""

    behind = 0
    session: Session | None = None

    def __init__(self) -> None:
        self.happened: list[str] = []

    def late_greeting(self) -> None:
        self.happened.append("late")

    def abort(self) -> None:
        self.happened.append("abort")

    def stop(self) -> None:
        self.happened.append("stop")

    def read_on(self, now: float) -> None:
        self.happened.append(f"read on at {now}")


class BrokenWire(Wire):
    """One that refuses to be written to, as uvloop what is closed."""

    broken = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.broken:
            raise RuntimeError("the handler is closed")
        super().write(data)


async def test_all_who_were_sent_something_are_written_to_when_the_turn_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hall = Hall()
    broken = BrokenWire(hall)
    wires = [Wire(hall), broken, Wire(hall)]
    sessions = [wire.greet() for wire in wires]
    broken.broken = True
    for turn in (1, 2):
        for session in sessions * 2:
            session.push("onTold", {"turn": turn})
        assert not any(wire.writes for wire in wires)
        await asyncio.sleep(0)
        assert [len(wire.writes) for wire in wires] == [1, 0, 1]
        assert [len(wire.events()) for wire in wires] == [2, 0, 2]
        # one broken socket silences nobody else
        assert [bool(record.exc_info) for record in caplog.records] == [True] * turn


async def test_in_a_turn_all_is_read_before_anything_is_written() -> None:
    hall = Hall()
    wires = [Wire(hall) for _ in range(3)]
    for wire in wires:
        wire.greet()
    for _ in range(2):
        for wire in wires * 2:
            _, packet = wire.client.request("Room.Fast", b"1")
            wire.protocol.data_received(packet)
        assert not any(wire.writes for wire in wires)
        await asyncio.sleep(0)
        assert [len(wire.writes) for wire in wires] == [1, 1, 1]
        for wire in wires:
            assert [type(event) for event in wire.events()] == [Message] * 2


async def test_in_a_turn_that_lasts_long_answers_do_not_wait_for_its_end() -> None:
    hall = Hall()
    wires = [Wire(hall) for _ in range(3)]
    for wire in wires:
        wire.greet()
    for wire in wires[:2]:
        _, packet = wire.client.request("Room.Fast", b"1")
        wire.protocol.data_received(packet)
        hall.now += LONGEST_WAIT / 2
    assert not any(wire.writes for wire in wires)
    _, packet = wires[2].client.request("Room.Fast", b"1")
    wires[2].protocol.data_received(packet)
    assert [len(wire.writes) for wire in wires] == [1, 1, 1]


async def test_who_ends_the_stream_behind_a_request_is_answered() -> None:
    wire = Wire(Hall())
    wire.greet()
    _, packet = wire.client.request("Room.Fast", b"1")
    wire.protocol.data_received(packet)
    wire.protocol.eof_received()
    wire.close()  # as the loop does
    assert [type(event) for event in wire.events()] == [Message]
    await turns()


async def test_each_deadline_is_noticed_once_and_in_its_time() -> None:
    hall = Hall(handshake=10)
    early, late, closing, saved = Guest(), Guest(), Guest(), Guest()
    hall.front.greetings.add(early, hall.now)
    hall.front.greetings.add(saved, hall.now)
    hall.pass_time(2)
    hall.front.greetings.add(late, hall.now)
    hall.front.closings.add(closing, hall.now)
    hall.front.greetings.discard(saved)
    hall.pass_time(CLOSING_TIME + 0.1)
    assert [early.happened, late.happened, closing.happened] == [[], [], ["abort"]]
    hall.pass_time(3)
    assert [early.happened, late.happened] == [["late"], []]
    hall.pass_time(100)
    happened = [guest.happened for guest in (early, late, closing, saved)]
    assert happened == [["late"], ["late"], ["abort"], []]


async def test_a_doorway_knows_when_everybody_has_gone() -> None:
    hall = Hall()
    door = Doorway(hall.front, hall.counts("door"))
    guests = [Guest(), Guest()]
    assert door.deserted.is_set()
    for guest in guests:
        door.enter(guest)
    assert not door.deserted.is_set()
    door.leave(guests[0], "kicked")
    assert not door.deserted.is_set()
    door.leave(guests[1], "client-closed")
    assert door.deserted.is_set()
    assert hall.counts("door").closed == {"kicked": 1, "client-closed": 1}
    assert hall.counts("door").open == 0


@pytest.mark.process
async def test_stopping_a_listener_sends_everybody_away_and_waits() -> None:
    hall = Hall()
    listener = await hall.listener("tcp")
    host, _, port = listener.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x01\0\0\0")
    await reader.readexactly(4)
    async with asyncio.timeout(10):
        stopping = asyncio.create_task(listener.stop())
        assert b"the server is going away" in await reader.read()
        assert not stopping.done()
        writer.close()
        await stopping
    assert hall.is_empty()
    assert hall.counts("tcp").closed == {"server-stopping": 1}
    assert listener.address == ""
    with pytest.raises(OSError, match=r"."):
        await asyncio.open_connection(host, int(port))
    await listener.stop()


async def test_a_client_that_does_not_read_its_farewell_does_not_hold_up_the_end() -> (
    None
):
    hall = Hall()
    wire = Wire(hall)
    wire.greet()
    wire.taking = False
    wire.protocol.stop()
    assert wire.events() == [Kicked("the server is going away", reconnect=True)]
    assert not wire.door.deserted.is_set()
    hall.pass_time(CLOSING_TIME + 0.1)
    await turns()
    assert wire.door.deserted.is_set()


async def test_whoever_is_accepted_while_the_listener_stops_is_sent_away() -> None:
    hall = Hall()
    door = Doorway(hall.front, hall.counts("door"))
    door.shut = True
    wire = Wire(hall, door=door)
    assert wire.events() == [Kicked("the server is going away", reconnect=True)]
    await turns()
    assert door.deserted.is_set()
    assert hall.is_empty()


@pytest.mark.process
async def test_an_address_in_use_is_the_users_error_and_says_what_to_do() -> None:
    hall = Hall()
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with taken, pytest.raises(UsageError, match="choose another port"):
        await Listener("ws", "websocket", hall.front).start("127.0.0.1", port)


@pytest.mark.process
async def test_a_listener_accepts_from_a_socket_that_it_inherits() -> None:
    hall = Hall()
    inherited = socket.create_server(("127.0.0.1", 0))
    listener = Listener("tcp", "tcp", hall.front)
    assert listener.address == ""
    await listener.start("", 0, inherited)
    host, port = inherited.getsockname()
    assert listener.address == f"{host}:{port}"
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    await writer.wait_closed()
    await listener.stop()


@pytest.mark.process
async def test_an_ipv6_address_has_brackets() -> None:
    hall = Hall()
    listener = Listener("tcp", "tcp", hall.front)
    try:
        await listener.start("::1", 0)
    except UsageError as error:
        pytest.skip(f"no IPv6 on this machine: {error}; enable it on loopback")
    assert listener.address.startswith("[::1]:")
    _, writer = await asyncio.open_connection("::1", int(listener.address[6:]))
    writer.write(b"\x01\0\0\0\x02\0\0\0")
    await until(lambda: len(hall.sessions) == 1)
    (session,) = hall.sessions
    assert session.remote_address.startswith("[::1]:")
    writer.close()
    await listener.stop()
