"""Calls to a Go node: in order per session, side by side, bounded, and with an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from nano.cluster.lanes import MOST_WAITING, PAUSE_AT, RESUME_AT, Errand, Lanes
from nano.cluster.outbox import CAPACITY
from nano.cluster.peer import PeerError


class Receiver:
    """Stands for the Go node: takes what is said, when it is let."""

    def __init__(self) -> None:
        self.now = 0.0
        self.taken: list[int] = []
        self.failures: list[str] = []
        self.eased: list[int] = []
        self.out = 0
        self.most = 0
        self.full = 0  # times that the next call finds the client's buffer full
        self.open = asyncio.Event()
        self.open.set()
        self.lanes = Lanes("go:1", lambda: self.now, self.eased.append)

    def errand(self, number: int, *, size: int = 0, patient: bool = False) -> Errand:
        async def call(left: float) -> None:
            assert 0 < left <= 5.0
            self.out += 1
            self.most = max(self.most, self.out)
            await self.open.wait()
            await asyncio.sleep(0)
            self.out -= 1
            if self.full:
                self.full -= 1
                status, text = grpc.StatusCode.UNKNOWN, "session send buffer exceed"
                raise PeerError("go:1", "HandlePush", status, text)
            self.taken.append(number)

        def failed(error: PeerError) -> None:
            self.failures.append(f"{number} {error.details}")

        return Errand("HandlePush", call, failed, size, patient=patient)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver; nothing of its lanes is left behind."""
    made = Receiver()
    yield made
    made.lanes.close("the test is over")
    await made.lanes.flush(1)
    assert made.lanes.waiting == 0
    assert len(made.lanes) == 0


async def test_what_one_session_says_arrives_in_its_order(receiver: Receiver) -> None:
    for number in range(2000):
        receiver.lanes.put(7, receiver.errand(number))
    await receiver.lanes.flush(5)
    assert receiver.taken == list(range(2000))
    assert receiver.most == 1
    assert receiver.lanes.waiting == 0


async def test_sessions_do_not_wait_for_each_other(receiver: Receiver) -> None:
    receiver.open.clear()
    for session in range(10):
        receiver.lanes.put(session, receiver.errand(session))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert receiver.out == 10
    receiver.open.set()
    await receiver.lanes.flush(5)
    assert sorted(receiver.taken) == list(range(10))


async def test_who_waits_too_long_is_told_and_not_sent(receiver: Receiver) -> None:
    receiver.open.clear()
    receiver.lanes.put(7, receiver.errand(1))
    await asyncio.sleep(0)
    receiver.lanes.put(7, receiver.errand(2))
    await asyncio.sleep(0)
    receiver.now = 6.0
    receiver.lanes.put(7, receiver.errand(3))
    receiver.open.set()
    await receiver.lanes.flush(5)
    assert receiver.taken == [1, 3]
    assert receiver.failures == ["2 waited for too long"]


async def test_a_full_buffer_is_waited_for_in_order(receiver: Receiver) -> None:
    receiver.full = 3
    receiver.lanes.put(7, receiver.errand(1, patient=True))
    receiver.lanes.put(7, receiver.errand(2, patient=True))
    await receiver.lanes.flush(5)
    assert receiver.taken == [1, 2]
    assert not receiver.failures


async def test_what_need_not_arrive_is_not_repeated(receiver: Receiver) -> None:
    receiver.full = 1
    receiver.lanes.put(7, receiver.errand(1))
    receiver.lanes.put(7, receiver.errand(2))
    await receiver.lanes.flush(5)
    assert receiver.taken == [2]
    assert receiver.failures == ["1 session send buffer exceed"]


async def test_lanes_are_bounded_per_session_and_in_bytes(receiver: Receiver) -> None:
    receiver.open.clear()
    for number in range(MOST_WAITING):
        assert receiver.lanes.takes(7)
        receiver.lanes.put(7, receiver.errand(number))
    assert not receiver.lanes.takes(7)
    assert receiver.lanes.takes(8)
    assert receiver.lanes.takes(8, "drop")
    receiver.lanes.put(8, receiver.errand(0, size=CAPACITY))
    assert not receiver.lanes.takes(9, "drop")
    assert receiver.lanes.takes(9, "must")
    receiver.lanes.put(8, receiver.errand(0, size=CAPACITY))
    assert not receiver.lanes.takes(9, "must")


async def test_who_was_paused_is_told_when_little_waits(receiver: Receiver) -> None:
    receiver.open.clear()
    depths = [receiver.lanes.put(7, receiver.errand(it)) for it in range(PAUSE_AT)]
    assert depths == list(range(1, PAUSE_AT + 1))
    receiver.open.set()
    for _ in range(1000):
        if receiver.eased:
            break
        await asyncio.sleep(0)
    assert len(receiver.taken) >= PAUSE_AT - RESUME_AT - 1
    assert receiver.eased[0] == 7


async def test_the_end_of_the_node_fails_what_waits_and_what_is_out(
    receiver: Receiver,
) -> None:
    receiver.open.clear()
    receiver.lanes.put(7, receiver.errand(1))
    await asyncio.sleep(0)
    receiver.lanes.put(7, receiver.errand(2))
    receiver.lanes.close("not a member any more")
    await receiver.lanes.flush(5)
    receiver.lanes.put(7, receiver.errand(3))
    assert sorted(receiver.failures) == [
        f"{number} not a member any more" for number in (1, 2, 3)
    ]
    assert not receiver.taken


async def test_a_callback_that_fails_holds_up_nobody(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("a mistake")

    first = receiver.errand(1)
    first.done = fail
    receiver.lanes.put(7, first)
    receiver.lanes.put(7, receiver.errand(2))
    await receiver.lanes.flush(5)
    assert receiver.taken == [1, 2]
    assert "HandlePush to go:1 failed" in caplog.text
