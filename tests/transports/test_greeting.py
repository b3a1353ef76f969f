"""Who may come in: what an application says to handshakes, seen from the wire."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from typing import Any

import pytest

from nano import Component, Handshake, HandshakeRefused, RequestError, Session
from nano.errors import UsageError
from nano.protocol.client import Accepted, ClientEvent, Kicked
from nano.protocol.packets import PacketType, encode_packet
from nano.runtime.component import collect_handlers
from nano.runtime.greeting import Greeter

from .room import ACK, Hall, Wire, turns

Judge = Callable[[Session, Handshake], Any]


class Door(Component):
    """Lets a test decide."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.seen: list[Handshake] = []

    def handshake(self, session: Session, handshake: Handshake) -> Any:
        self.seen.append(handshake)
        return self.judge(session, handshake)


def hall_with(judge: Judge, **limits: Any) -> tuple[Hall, Door]:
    door = Door(judge)
    return Hall(greeter=Greeter([door]), **limits), door


def answer(events: list[ClientEvent]) -> dict[str, Any]:
    """The body of the handshake's answer, the only thing that came."""
    (event,) = events
    assert isinstance(event, Accepted)
    body: dict[str, Any] = json.loads(event.body)
    return body


def refuse(error: Exception) -> Judge:
    def judge(_: Session, __: Handshake) -> None:
        raise error

    return judge


async def test_the_hook_sees_what_the_client_says_and_answers_it() -> None:
    def judge(session: Session, handshake: Handshake) -> dict[str, object]:
        session.bind(handshake.user["name"])
        session.set("team", "red")
        return {"room": 5}

    hall, door = hall_with(judge)
    wire = Wire(hall)
    body = b'{"sys":{"type":"js","version":"1.2"},"user":{"name":"ann"}}'
    wire.deliver(encode_packet(PacketType.HANDSHAKE, body))
    told = answer(wire.events())
    assert (told["code"], told["user"]) == (200, {"room": 5})
    session = wire.protocol.session
    assert session is not None
    assert (session.uid, session.data) == ("ann", {"team": "red"})
    (seen,) = door.seen
    assert (seen.body, seen.client, seen.version) == (body, "js", "1.2")


async def test_a_session_is_known_once_it_was_let_in_and_has_its_uid() -> None:
    opened: list[str] = []
    hall, _ = hall_with(lambda session, _: session.bind("ann"))
    hall.sessions.on_opened(lambda session: opened.append(session.uid))
    Wire(hall).greet()
    assert opened == ["ann"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (HandshakeRefused(501, {"msg": "too old"}), {"code": 501, "msg": "too old"}),
        (HandshakeRefused(), {"code": 403}),
        (
            RequestError(401, "no ticket", "TICKET"),
            {"code": 401, "error": "TICKET", "msg": "no ticket"},
        ),
        (HandshakeRefused(500, {"what": object()}), {"code": 500}),
    ],
)
async def test_a_refusal_is_told_with_code_and_body_and_ends_the_connection(
    error: Exception, told: dict[str, Any]
) -> None:
    hall, _ = hall_with(refuse(error))
    wire = Wire(hall)
    wire.deliver(wire.client.greet() + wire.client.acknowledge())
    assert answer(wire.events()) == told
    await turns()
    assert wire.ended == "lost"
    assert wire.door.counts.handshakes == {"refused": 1}
    assert wire.door.counts.closed == {"refused": 1}
    assert hall.is_empty()


@pytest.mark.parametrize("judge", [refuse(ValueError("broken")), lambda *_: object()])
async def test_a_hook_that_fails_lets_nobody_in_and_is_logged(
    judge: Judge, caplog: pytest.LogCaptureFixture
) -> None:
    hall, _ = hall_with(judge)
    wire = Wire(hall)
    wire.deliver(wire.client.greet())
    assert answer(wire.events())["code"] == 500
    assert "the handshake hook failed" in caplog.text


class Later:
    """A hook that decides when the test says so."""

    def __init__(self) -> None:
        self.decided: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.cancelled = False

    async def judge(self, _: Session, __: Handshake) -> Any:
        try:
            return await self.decided
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def test_nothing_is_read_while_the_hook_decides() -> None:
    later = Later()
    hall, _ = hall_with(later.judge)
    wire = Wire(hall)
    _, hello = wire.client.request("Room.Hello", b"{}")
    wire.deliver(wire.client.greet() + wire.client.acknowledge() + hello)
    await turns()
    assert wire.events() == []
    assert len(hall.sessions) == 0
    later.decided.set_result({"hi": True})
    await turns()
    accepted, response = wire.events()
    assert isinstance(accepted, Accepted)
    assert json.loads(accepted.body)["user"] == {"hi": True}
    assert len(hall.sessions) == 1
    assert response


async def test_a_hook_may_refuse_later() -> None:
    later = Later()
    hall, _ = hall_with(later.judge)
    wire = Wire(hall)
    wire.deliver(wire.client.greet())
    await turns()
    later.decided.set_exception(HandshakeRefused(403))
    await turns()
    assert answer(wire.events()) == {"code": 403}
    await turns()
    assert hall.is_empty()


async def test_a_hook_that_waits_for_something_cancelled_has_failed() -> None:
    later = Later()
    hall, _ = hall_with(later.judge)
    wire = Wire(hall)
    wire.deliver(wire.client.greet())
    await turns()
    later.decided.cancel()
    await turns()
    assert answer(wire.events())["code"] == 500


async def test_the_handshakes_deadline_bounds_the_hook() -> None:
    later = Later()
    hall, _ = hall_with(later.judge, handshake=5.0, heartbeat=30.0)
    wire = Wire(hall)
    wire.deliver(wire.client.greet())
    await turns()
    hall.pass_time(5.1)
    (kicked,) = wire.events()
    assert isinstance(kicked, Kicked)
    await turns()
    assert later.cancelled
    assert wire.door.counts.handshakes == {"timeout": 1}
    assert hall.is_empty()


async def test_a_second_handshake_is_judged_and_bounded_as_the_first() -> None:
    verdicts: list[Any] = [None]
    hall, door = hall_with(lambda *_: verdicts[-1], handshake=5.0, heartbeat=30.0)
    wire = Wire(hall)
    session = wire.greet()
    wire.deliver(wire.client.greet() + ACK)
    assert len(door.seen) == 2
    assert wire.protocol.session is session
    later = Later()
    verdicts.append(later.judge(session, Handshake()))
    wire.events()
    wire.deliver(wire.client.greet())
    await turns()
    hall.pass_time(5.1)
    await turns()
    assert session.closed == "handshake-timeout"
    assert later.cancelled


async def test_the_hook_is_cancelled_when_the_client_goes() -> None:
    later = Later()
    hall, _ = hall_with(later.judge)
    wire = Wire(hall)
    wire.deliver(wire.client.greet())
    await turns()
    wire.lose()
    await turns()
    assert later.cancelled
    assert hall.is_empty()


async def test_a_client_may_go_in_the_moment_in_which_the_hook_is_asked() -> None:
    later = Later()
    hall, _ = hall_with(later.judge)
    wire = Wire(hall)
    wire.deliver(wire.client.greet())
    wire.lose()
    await turns()
    gc.collect()  # a coroutine that was never begun would complain: an error here
    assert hall.is_empty()
    assert not hall.front._tasks


async def test_a_verdict_that_comes_behind_the_end_changes_nothing() -> None:
    hall, _ = hall_with(lambda *_: None)

    class Gone(Component):
        def handshake(self, session: Session, _: Handshake) -> None:
            session.kick("not today")

    hall.front.greeter = Greeter([Gone()])
    wire = Wire(hall)
    wire.deliver(wire.client.greet())
    (kicked,) = wire.events()
    assert kicked == Kicked("not today")
    await turns()
    assert hall.is_empty()


async def test_nothing_is_pushed_in_front_of_the_answer() -> None:
    hall, _ = hall_with(lambda session, _: session.push("onEarly", 1))
    wire = Wire(hall)
    wire.deliver(wire.client.greet())
    assert answer(wire.events())["code"] == 200
    assert hall.metrics.dropped == {("push", "not-greeted"): 1}


def test_one_component_decides_and_it_needs_no_handler() -> None:
    door = Door(lambda *_: None)
    assert collect_handlers([door]) == []
    with pytest.raises(UsageError, match="second component with handshake"):
        Greeter([door, Component(), Door(lambda *_: None)])


def test_200_is_no_refusal() -> None:
    with pytest.raises(ValueError, match="200 lets a client in"):
        HandshakeRefused(200)
