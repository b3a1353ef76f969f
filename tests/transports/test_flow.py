"""What flows over a connection: writes, kicks, pauses; nothing lost or overtaken."""

from __future__ import annotations

import pytest

from nano import Session
from nano.errors import EncodeError
from nano.protocol.client import Accepted, Kicked
from nano.protocol.messages import PUSH, Message
from nano.transports.context import CLOSING_TIME

from .room import ACK, HANDSHAKE, Hall, Wire, notify, turns, until

# --------------------------------------------------------------------- writing


async def test_pushes_of_one_turn_leave_in_one_write_and_in_order() -> None:
    wire = Wire(Hall())
    session = wire.greet()
    for number in range(100):
        session.push("onNumber", number)
    assert wire.writes == []
    await turns()
    assert len(wire.writes) == 1
    expected = [Message(PUSH, 0, "onNumber", b"%d" % number) for number in range(100)]
    assert wire.events() == expected


async def test_what_handlers_send_leaves_when_the_read_is_done() -> None:
    wire = Wire(Hall())
    wire.greet()
    _, hello = wire.client.request("Room.Hello", b"{}")
    wire.deliver(notify("Room.Poke", b"{}") + hello + notify("Room.Poke", b"{}"))
    assert len(wire.writes) == 1
    routes = [event.route for event in wire.events() if isinstance(event, Message)]
    assert routes == ["onPoke", "", "onPoke"]


async def test_a_push_that_cannot_be_sent_is_the_handlers_error() -> None:
    wire = Wire(Hall())
    session = wire.greet()
    for route in ("r" * 256, "\ud800"):
        with pytest.raises(EncodeError):
            session.push(route, 1)
    await turns()
    assert wire.writes == []


async def test_push_heads_are_kept_for_a_bounded_number_of_routes() -> None:
    wire = Wire(Hall())
    session = wire.greet()
    for number in range(600):
        session.push(f"route.{number}", None)
    await turns()
    assert len(wire.events()) == 600


async def test_a_client_that_does_not_read_is_cut_at_its_backlog() -> None:
    hall = Hall(backlog=200_000)
    slow, other = Wire(hall), Wire(hall)
    session, _ = slow.greet(), other.greet()
    slow.taking = False
    sent = 0
    while not slow.ended:
        session.push("onNoise", "x" * 1000)
        await turns()
        sent += 1
        assert sent < 300
    assert slow.ended == "lost"
    assert 190 <= sent <= 210
    assert session.closed == "slow-client"
    other.request("Room.Hello")
    assert len(other.events()) == 1


async def test_one_turns_output_may_exceed_the_backlog() -> None:
    hall = Hall(backlog=200_000)
    wire = Wire(hall)
    session = wire.greet()
    wire.taking = False
    session.push("onMap", "x" * 1_000_000)
    await turns()
    assert wire.ended == ""
    wire.catch_up()
    session.push("onMap", "x" * 1_000_000)
    await turns()
    assert len(wire.events()) == 2
    wire.taking = False
    session.push("onMap", "x" * 1_000_000)
    await turns()
    session.push("onMap", "x")
    await turns()
    assert session.closed == "slow-client"


async def test_a_client_that_catches_up_is_not_cut() -> None:
    hall = Hall(backlog=200_000)
    wire = Wire(hall)
    session = wire.greet()
    for _ in range(5):
        wire.taking = False
        for _ in range(150):
            session.push("onNoise", "x" * 1000)
            await turns()
        wire.catch_up()
    assert wire.ended == ""
    assert len(wire.events()) == 750


async def test_what_is_sent_to_somebody_who_has_gone_is_counted() -> None:
    hall = Hall()
    wire = Wire(hall)
    session = wire.greet()
    wire.lose()
    session.push("onNoise", 1)
    session.home.respond(1, b"", False)
    session.kick("again")
    session.home.pause()
    session.home.resume()
    wire.protocol.abort()
    wire.protocol.stop()
    await turns()
    assert wire.writes == []
    assert hall.metrics.dropped["client", "closed"] == 2
    assert wire.protocol.peer == "gone"


# -------------------------------------------------------------------- the kick


async def test_a_kick_says_why_and_closes() -> None:
    hall = Hall()
    wire = Wire(hall)
    session = wire.greet()
    session.push("onNoise", 1)
    session.kick("too loud")
    push, kicked = wire.events()
    assert isinstance(push, Message)
    assert kicked == Kicked("too loud")
    assert wire.ended == "close"
    await turns()
    assert session.closed == "kicked"
    assert hall.counts("wire").closed == {"kicked": 1}


async def test_a_kick_within_a_handler_stops_what_was_read_with_it() -> None:
    hall = Hall()
    wire = Wire(hall)
    wire.greet()
    fast = [notify("Room.Fast", b"%d" % number) for number in range(4)]
    wire.deliver(fast[0] + fast[1] + notify("Room.Close", b"") + fast[2] + fast[3])
    assert hall.room.seen == [0, 1]
    assert wire.events() == [Kicked("closed by the handler")]
    await turns()
    assert hall.room.seen == [0, 1]
    assert hall.is_empty()


async def test_whoever_does_not_read_a_farewell_is_cut_off_in_the_end() -> None:
    hall = Hall(heartbeat=100)
    wire = Wire(hall)
    session = wire.greet()
    wire.taking = False
    session.kick("bye")
    hall.pass_time(CLOSING_TIME - 0.1)
    assert wire.ended == "close"
    hall.pass_time(0.2)
    assert wire.ended == "abort"
    await turns()
    assert session.closed == "kicked"
    assert hall.is_empty()


async def test_a_client_that_was_quicker_than_its_kick_is_forgotten() -> None:
    class Gone(Wire):
        def write_eof(self) -> None:
            raise OSError(107, "not connected")  # as asyncio's selector transport does

    hall = Hall()
    wire = Gone(hall)
    session = wire.greet()
    session.kick("bye")
    assert wire.ended == "abort"
    await turns()
    assert session.closed == "kicked"
    assert hall.is_empty()


async def test_only_the_first_reason_counts() -> None:
    hall = Hall()
    wire = Wire(hall)
    session = wire.greet()
    session.kick("first")
    session.kick("second")
    wire.protocol.stop()
    wire.protocol.lose()
    assert wire.events() == [Kicked("first")]
    await turns()
    assert session.closed == "kicked"


async def test_a_session_learns_why_it_ended() -> None:
    for error, reason in ((None, "client-closed"), (OSError(), "connection-lost")):
        hall = Hall()
        wire = Wire(hall)
        session = wire.greet()
        ended: list[Session] = []
        hall.sessions.on_closed(ended.append)
        wire.lose(error)
        assert ended == [session]
        assert session.closed == reason
        assert hall.counts("wire").closed == {reason: 1}
        assert hall.counts("wire").open == 0


# ------------------------------------------------------------ pause and resume


async def test_slow_handlers_pause_the_client_and_nothing_is_lost_or_overtakes() -> (
    None
):
    hall = Hall()
    wire = Wire(hall)
    wire.greet()
    numbers = list(range(6000))
    routes = ["Room.Slow" if number % 3 else "Room.Fast" for number in numbers]
    data = b"".join(
        notify(route, b"%d" % number)
        for route, number in zip(routes, numbers, strict=True)
    )
    wire.deliver(data[:5000])
    assert not wire.reading
    wire.deliver(data[5000:])
    await turns(20)
    assert hall.room.waits == 1
    assert hall.room.seen == [0]
    hall.room.gate.set()
    await until(lambda: len(hall.room.seen) == 6000)
    assert hall.room.seen == numbers
    assert wire.reading


async def test_a_client_that_goes_while_paused_leaves_nothing_behind() -> None:
    hall = Hall()
    wire = Wire(hall)
    wire.greet()
    wire.deliver(b"".join(notify("Room.Slow", b"%d" % it) for it in range(100)))
    assert not wire.reading
    await turns()
    wire.lose(ConnectionResetError())
    hall.room.gate.set()
    await turns(10)
    assert hall.room.seen == [0]  # it was running already
    assert hall.is_empty()
    assert not hall.dispatcher.tasks


async def test_a_kick_while_paused_stops_what_waits() -> None:
    hall = Hall()
    wire = Wire(hall)
    session = wire.greet()
    wire.deliver(b"".join(notify("Room.Slow", b"%d" % it) for it in range(100)))
    await turns()
    session.kick("enough")
    hall.room.gate.set()
    await turns(10)
    assert hall.room.seen == [0]
    assert wire.events() == [Kicked("enough")]


async def test_an_error_behind_a_pause_ends_the_connection_in_its_turn() -> None:
    hall = Hall()
    wire = Wire(hall)
    wire.greet()
    slow = b"".join(notify("Room.Slow", b"%d" % it) for it in range(100))
    wire.deliver(slow + bytes.fromhex("09000000"))
    await turns()
    assert wire.ended == ""
    hall.room.gate.set()
    await until(lambda: bool(wire.ended))
    (kicked,) = wire.events()
    assert isinstance(kicked, Kicked)
    assert "packet type 9" in kicked.reason


async def test_a_greeting_behind_a_pause_is_answered_in_its_turn() -> None:
    hall = Hall()
    wire = Wire(hall)
    wire.greet()
    slow = b"".join(notify("Room.Slow", b"%d" % it) for it in range(50))
    wire.deliver(slow + HANDSHAKE + ACK + notify("Room.Fast", b"50"))
    await turns()
    assert wire.writes == []
    hall.room.gate.set()
    await until(lambda: len(hall.room.seen) == 51)
    assert hall.room.seen == list(range(51))
    await turns()
    assert [type(event) for event in wire.events()] == [Accepted]


async def test_what_is_read_in_spite_of_a_pause_waits_its_turn() -> None:
    """TLS may hand on what it has already decrypted."""
    hall = Hall()
    wire = Wire(hall)
    session = wire.greet()
    session.home.pause()
    for number in range(3):
        wire.protocol.data_received(notify("Room.Fast", b"%d" % number))
    assert hall.room.seen == []
    session.home.resume()
    assert hall.room.seen == [0, 1, 2]


async def test_pausing_and_resuming_twice_is_harmless() -> None:
    wire = Wire(Hall())
    session = wire.greet()
    session.home.resume()
    session.home.pause()
    session.home.pause()
    assert not wire.reading
    session.home.resume()
    session.home.resume()
    assert wire.reading


async def test_a_change_of_a_session_counts_its_version() -> None:
    session = Wire(Hall()).greet()
    before = session.version
    session.bind("ann")
    session.set("level", 3)
    assert session.version == before + 2
