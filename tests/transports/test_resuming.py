"""Sessions that outlive their connection, seen from both sides of the wire."""

from __future__ import annotations

import pytest

from nano import Session
from nano.errors import EncodeError
from nano.protocol.client import ClientEvent, Kicked
from nano.protocol.messages import Message
from nano.protocol.packets import LARGEST_BODY
from nano.transports.broadcast import broadcast
from nano.transports.websocket import WebSocketTransport

from .room import UPGRADE, Hall, Wire, masked, notify, turns

LIFE = 20.0
BACKLOG = 100_000


class Town:
    """A gate that lets sessions wait."""

    def __init__(
        self, connections: int = 100, messages: int = 0, largest: int = LARGEST_BODY
    ) -> None:
        self.hall = Hall(
            resume=LIFE,
            backlog=BACKLOG,
            heartbeat=30.0,
            connections=connections,
            messages=messages,
            largest=largest,
        )
        self.ended: list[str] = []
        self.hall.sessions.on_closed(lambda session: self.ended.append(session.closed))

    def arrive(self, token: str | None = "") -> tuple[Wire, Session, str]:
        """Connect; return the wire, its session, and the token."""
        wire = Wire(self.hall)
        accepted = wire.shake(token)
        assert wire.protocol.session is not None
        return wire, wire.protocol.session, accepted.resume


def messages(events: list[ClientEvent]) -> list[tuple[str, bytes]]:
    return [(it.route, it.payload) for it in events if isinstance(it, Message)]


async def test_only_who_asks_is_told_of_it() -> None:
    town = Town()
    assert Wire(town.hall).shake(None).resume == ""
    wire = Wire(town.hall)
    first = wire.shake("")
    assert len(first.resume) >= 20
    assert first.epoch == 1
    assert b'"epoch":1' in first.body
    off = Wire(Hall())
    assert off.shake("").resume == ""


async def test_a_session_goes_on_with_all_it_has() -> None:
    town = Town()
    wire, session, token = town.arrive()
    session.bind("ann")
    session.set("team", "red")
    wire.lose()
    assert not session.closed
    assert town.hall.waiting() == 1
    again = Wire(town.hall)
    accepted = again.shake(token)
    assert (accepted.epoch, session.epoch) == (2, 2)
    assert accepted.resume not in ("", token)
    assert again.protocol.session is session
    assert (session.uid, session.data) == ("ann", {"team": "red"})
    again.request("Room.Hello")
    assert len(again.events()) == 1
    assert again.door.counts.handshakes == {"accepted": 1, "resumed": 1}
    assert town.ended == []


async def test_what_was_sent_meanwhile_comes_in_order() -> None:
    town = Town()
    wire, session, token = town.arrive()
    wire.lose(ConnectionResetError())
    session.push("onNews", 1)
    session.home.respond(7, b"late", False)
    session.push("onMove", 1, delivery="latest")
    session.push("onNews", 2)
    session.push("onMove", 2, delivery="latest")
    again = Wire(town.hall)
    again.shake(token)
    assert messages(again.early) == [
        ("onNews", b"1"),
        ("", b"late"),
        ("onNews", b"2"),
        ("onMove", b"2"),
    ]
    assert town.hall.metrics.dropped == {("push", "superseded"): 1}


async def test_a_publish_is_kept_too() -> None:
    town = Town()
    wire, session, token = town.arrive()
    wire.lose()
    metrics = town.hall.metrics
    assert broadcast(metrics, [session], "onNews", b"1") == 1
    assert broadcast(metrics, [session], "onMap", bytes(BACKLOG), "drop") == 0
    again = Wire(town.hall)
    again.shake(token)
    assert messages(again.early) == [("onNews", b"1")]


async def test_nobody_waits_for_ever() -> None:
    town = Town()
    wire, session, token = town.arrive()
    wire.lose(ConnectionResetError())
    town.hall.pass_time(LIFE - 1)
    assert town.ended == []
    town.hall.pass_time(1.2)
    assert town.ended == ["connection-lost"]
    late, other, _ = town.arrive(token)
    assert other is not session
    assert other.epoch == 1
    late.lose()
    town.hall.front.stop()
    assert town.ended == ["connection-lost", "client-closed"]
    assert town.hall.is_empty()


async def test_a_client_that_is_back_before_it_was_missed_replaces_itself() -> None:
    town = Town()
    wire, session, token = town.arrive()
    again = Wire(town.hall)
    again.shake(token)
    assert wire.events() == [Kicked("the session goes on by another connection")]
    wire.lose()
    await turns()
    assert not session.closed
    session.push("onNews", 1)
    await turns()
    assert messages(again.events()) == [("onNews", b"1")]
    assert again.protocol.session is session
    assert town.ended == []


async def test_a_silent_client_may_come_back() -> None:
    town = Town()
    _, session, token = town.arrive()
    town.hall.pass_time(95)
    await turns()
    assert town.hall.waiting() == 1
    again = Wire(town.hall)
    assert again.shake(token).epoch == 2
    assert not session.closed


@pytest.mark.parametrize("token", ["", "unknown"])
async def test_a_token_is_good_once_and_nothing_else_is(token: str) -> None:
    town = Town()
    wire, session, first = town.arrive()
    wire.lose()
    again, _, second = town.arrive(first)
    again.lose()
    for bad in (first, token):
        _, other, _ = town.arrive(bad)
        assert other is not session
    _, same, _ = town.arrive(second)
    assert same is session


async def test_who_is_sent_away_is_not_waited_for() -> None:
    town = Town()
    wire, session, token = town.arrive()
    session.kick("enough")
    await turns()
    wire.lose()
    assert town.ended == ["kicked"]
    slow, session, token = town.arrive()
    slow.taking = False
    while not slow.ended:
        session.push("onNoise", "x" * 1000)
        await turns()
    assert town.ended == ["kicked", "slow-client"]
    broken, _, token = town.arrive()
    broken.deliver(b"\xff\xff\xff\xff")
    await turns()
    assert town.ended[-1] == "protocol-error"
    _, other, _ = town.arrive(token)
    assert other.epoch == 1


async def test_what_is_kept_is_bounded() -> None:
    town = Town()
    wire, session, _ = town.arrive()
    wire.lose()
    for _ in range(100):
        session.push("onNoise", "x" * 1000, delivery="drop")
    assert 50 <= town.hall.metrics.dropped["push", "slow-client"] <= 60
    assert not session.closed
    for _ in range(100):
        session.push("onNews", "x" * 1000)
    assert town.ended == ["slow-client"]
    assert town.hall.waiting() == 0


async def test_what_no_client_may_be_sent_fails_at_once_and_not_when_it_is_back() -> (
    None
):
    town = Town(largest=1000)
    wire, session, token = town.arrive()
    for away in (False, True):
        if away:
            wire.lose()
            wire.writes.clear()
        with pytest.raises(EncodeError, match="maxSendBytes is 1000"):
            session.push("onNews", "x" * 1000)
        session.push("onNews", "x" * 998)
    again = Wire(town.hall)
    again.shake(token)
    assert messages(again.early) == [("onNews", b'"' + b"x" * 998 + b'"')]
    assert not town.hall.metrics.dropped
    assert not session.closed


async def test_who_waits_can_be_kicked_held_and_changed() -> None:
    town = Town()
    wire, session, token = town.arrive()
    wire.lose()
    version = session.version
    session.bind("ann")
    assert session.version == version + 1
    session.hold("a node")
    session.release("a node")
    session.hold("another")
    again = Wire(town.hall)
    again.shake(token)
    assert not again.reading
    session.release("another")
    assert again.reading
    again.lose()
    session.kick("enough")
    assert session.closed == "kicked"


async def test_no_more_wait_than_may_be_connected() -> None:
    town = Town(connections=2)
    for _ in range(3):
        wire, _, _ = town.arrive()
        wire.lose()
    assert town.hall.waiting() == 2
    assert town.ended == ["client-closed"]


async def test_messages_are_limited_after_a_resumption_too() -> None:
    town = Town(messages=5)
    wire, _, token = town.arrive()
    wire.lose()
    again, _, _ = town.arrive(token)
    again.deliver(notify("Room.Fast", b"1") * 20)
    assert not again.reading


@pytest.mark.parametrize(
    ("code", "ended"),
    [(1000, ["client-closed"]), (1001, ["client-closed"]), (4008, []), (1002, [])],
)
async def test_a_websocket_that_is_closed_as_one_goes_is_not_waited_for(
    code: int, ended: list[str]
) -> None:
    town = Town()
    wire = Wire(town.hall, WebSocketTransport)
    wire.deliver(UPGRADE)
    hello = wire.client.greet(resume="") + wire.client.acknowledge()
    wire.deliver(masked(hello))
    assert wire.protocol.session is not None
    wire.deliver(masked(code.to_bytes(2), 0x88))
    await turns()
    assert town.ended == ended
    town.hall.front.stop()
    assert town.ended == (ended or ["client-broke-off"])
    assert town.hall.is_empty()
