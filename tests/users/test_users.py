"""Users on a single node, and what cannot be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from nano import Delivery, NodeInfo, Session
from nano.errors import EncodeError, UsageError
from nano.metrics import Metrics
from nano.runtime.sessions import Sessions
from nano.runtime.users import Online, Reached, SessionCounts, Users
from nano.serializers import JsonSerializer
from tests.runtime.clients import Client, World


class Single:
    """A node alone, some of whose clients take nothing."""

    def __init__(self) -> None:
        self.world = World()
        self.sessions = Sessions()
        self.full: set[int] = set()
        self.users = Users(
            self.sessions, JsonSerializer(), Metrics(), self.deliver, largest=100
        )
        self.info = NodeInfo("here", "gate", "", "default/demo", users=self.users)

    def deliver(
        self, sessions: Sequence[Session], route: str, data: bytes, how: Delivery
    ) -> int:
        taking = [it for it in sessions if it.id not in self.full]
        for session in taking:
            session.home.push(route, data, how)
        return len(taking)

    def client(self, uid: str) -> Client:
        client = Client(self.world.dispatcher)
        self.sessions.add(client.session)
        client.session.bind(uid)
        return client


@pytest.fixture
def single() -> Single:
    return Single()


async def test_a_node_alone_reaches_its_own_clients(single: Single) -> None:
    ann = single.client("ann")
    assert await single.info.push("ann", "onNews", 1) == Reached(("ann",))
    assert ann.pushes == [("onNews", 1)]
    assert await single.info.online("ann") == Online({"": 1})
    assert (await single.info.count_sessions()).total == 1
    assert single.info.gates() == []
    assert SessionCounts().total == 0


async def test_who_takes_nothing_has_failed(single: Single) -> None:
    first, second, bob = (single.client(it) for it in ("ann", "ann", "bob"))
    single.full = {first.session.id, bob.session.id}
    reached = await single.info.push(["ann", "bob"], "onNews", 1)
    assert reached == Reached(("ann",), ("bob",))
    assert second.pushes == [("onNews", 1)]


@pytest.mark.parametrize(
    ("uids", "error", "complaint"),
    [
        ([str(it) for it in range(1001)], UsageError, "publish to a group"),
        ("", ValueError, "is no uid"),
        (["ann", "x" * 257], ValueError, "256 bytes"),
        ("\ud800", ValueError, "surrogates"),
    ],
)
async def test_uids_that_cannot_be_are_refused(
    single: Single, uids: Any, error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        await single.info.push(uids, "onNews", 1)
    with pytest.raises(error, match=complaint):
        await single.info.kick(uids)


async def test_what_cannot_be_sent_is_refused(single: Single) -> None:
    with pytest.raises(ValueError, match="must, latest or drop"):
        await single.info.push("ann", "onNews", 1, delivery="now")  # type: ignore[arg-type]
    with pytest.raises(EncodeError, match="maxSendBytes"):
        await single.info.push("ann", "onNews", "x" * 100)
    with pytest.raises(TypeError):
        await single.info.push("ann", "onNews", object())
    for timeout in (0, -1, float("nan")):
        with pytest.raises(UsageError, match="more than 0 s"):
            await single.info.online("ann", timeout=timeout)
    with pytest.raises(UsageError, match="on no node"):
        await NodeInfo("", "", "", "").push("ann", "onNews", 1)
