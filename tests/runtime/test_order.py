"""Messages of one session are served one after the other, and a queue is bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nano import Component, Session, handler

from .clients import Client, World, until


class Log(Component):
    """Writes down who begins and who ends."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.gates: deque[asyncio.Event] = deque()
        self.running = 0

    @handler
    def now(self, session: Session, payload: int) -> int:
        assert not self.running
        self.lines.append(payload)
        return payload

    @handler
    async def later(self, session: Session, payload: int) -> int:
        assert not self.running
        self.running += 1
        for _ in range(payload % 3):
            await asyncio.sleep(0)
        self.running -= 1
        self.lines.append(payload)
        return payload

    @handler
    async def wait(self, session: Session, payload: int) -> int:
        gate = asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        self.lines.append(payload)
        return payload

    @handler
    async def fail(self, session: Session, payload: int) -> int:
        self.lines.append(payload)
        raise ValueError("on purpose")


def busy_world() -> tuple[World, Log, Client]:
    """Return a client of which one request is being served and does not end."""
    log = Log()
    world = World(log)
    client = world.client()
    client.send("Log.wait", 0)
    return world, log, client


@given(st.lists(st.sampled_from(["now", "later"]), max_size=60))
def test_answers_come_in_the_order_of_the_requests(methods: list[str]) -> None:
    async def story() -> None:
        log = Log()
        client = World(log).client()
        sent = [client.send(f"Log.{name}", at) for at, name in enumerate(methods)]
        await until(lambda: len(client.order) == len(sent))
        assert client.order == sent
        assert log.lines == list(range(len(methods)))

    asyncio.run(story())


async def test_another_session_does_not_wait() -> None:
    world, log, client = busy_world()
    client.send("Log.now", 1)
    assert (await world.client().request("Log.now", 2)).value == 2
    assert log.lines == [2]
    await world.dispatcher.stop()


async def test_after_a_failed_handler_the_next_message_is_served() -> None:
    log = Log()
    client = World(log).client()
    client.send("Log.fail", 1)
    client.send("Log.fail", 2)
    assert (await client.request("Log.now", 3)).value == 3
    assert log.lines == [1, 2, 3]


async def test_a_client_is_paused_at_32_waiting_messages_and_read_again_at_8() -> None:
    world, log, client = busy_world()
    for number in range(31):
        client.send("Log.wait", number)
    assert not client.paused
    client.send("Log.wait", 31)
    assert client.paused
    left = []
    client.on_resume = lambda: left.append(len(client.session.turns.waiting or ()))
    for _ in range(33):
        await until(lambda: log.gates)
        log.gates.popleft().set()
    await until(lambda: len(client.order) == 33)
    assert left == [8]
    assert client.pauses == 1
    await world.dispatcher.stop()


async def test_what_comes_with_the_resumption_is_served_after_what_waits() -> None:
    world, log, client = busy_world()
    for number in range(1, 33):
        client.send("Log.now", number)
    assert client.paused

    # as a transport: it hands on at once what it had read before the pause
    def hand_on() -> None:
        for number in (33, 34):
            client.send("Log.now", number)

    client.on_resume = hand_on
    await until(lambda: log.gates)
    log.gates.popleft().set()
    await until(lambda: len(client.order) == 35)
    assert log.lines == list(range(35))
    await world.dispatcher.stop()


async def test_what_exceeds_the_queue_is_answered_429() -> None:
    world, log, client = busy_world()
    numbers = [client.send("Log.now", number) for number in range(4097)]
    (refusal,) = client.answers[numbers[-1]]
    assert refusal.status == 429
    assert numbers[-2] not in client.answers
    assert world.metrics.dropped == {("session", "queue-full"): 1}
    assert world.metrics.failures == {429: 1}
    log.gates.clear()
    await world.dispatcher.stop()


async def test_what_waits_is_dropped_when_the_session_ends() -> None:
    world, log, client = busy_world()
    client.send("Log.now", 1)
    await until(lambda: log.gates)
    world.sessions.close(client.session, "client-closed")
    log.gates.popleft().set()
    await until(lambda: not world.dispatcher.tasks)
    assert log.lines == [0]  # the handler that ran came to its end
    assert client.session.turns.waiting is None
