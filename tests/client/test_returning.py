"""A client that comes back: by the manual clock, on a line that is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nano import Component, HandshakeRefused, Session, handler
from nano.client import Backoff, Client, Closed, Greeting, Kicked, Reconnecting, State
from nano.client.streams import Stream
from nano.errors import ConnectionClosed, ConnectionRefused, OutboxFull, UsageError
from nano.runtime.greeting import Handshake
from nano.testing import MemoryClient, MemoryNode


class Desk(Component):
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.users: list[Any] = []

    def handshake(self, session: Session, handshake: Handshake) -> None:
        self.users.append(handshake.user)
        if handshake.user == "stranger":
            raise HandshakeRefused(403, {"why": "nobody knows you"})

    @handler
    def say(self, session: Session, word: str) -> str:
        self.seen.append(word)
        return word

    @handler
    def kick(self, session: Session, reconnect: bool) -> None:
        session.kick("out", reconnect=reconnect)

    @handler
    def promise(self, session: Session, _: None) -> None:
        session.defer()

    @handler
    def push(self, session: Session, number: int) -> None:
        for item in range(number):
            session.push("onItem", item)


@pytest.fixture
async def node() -> AsyncIterator[MemoryNode]:
    async with MemoryNode(Desk) as node:
        yield node
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def lose(node: MemoryNode, client: MemoryClient) -> None:
    """Cut the client's connection and let it notice."""
    client.line.cut()
    await node.clock.settle()


async def test_without_the_option_a_cut_is_the_end(node: MemoryNode) -> None:
    client = await node.connect()
    closed: list[Closed] = []
    client.events.on("close", closed.append)
    await lose(node, client)
    assert client.state is State.CLOSED
    assert closed == [Closed("the server closed the connection", 1006)]
    assert (client.closed, client.close_code) == (closed[0].reason, 1006)
    with pytest.raises(ConnectionClosed):
        await client.request("Desk.say", "hello")


async def test_it_comes_back_and_tells_what_happens(node: MemoryNode) -> None:
    client = await node.connect(reconnect=True)
    told: list[tuple[str, object]] = []

    def listen(name: str) -> None:
        client.events.on(name, lambda it: told.append((name, it)))

    for name in ("open", "reconnecting", "reconnected", "kick", "close"):
        listen(name)
    await lose(node, client)
    assert client.state is State.WAITING
    assert await client.request("Desk.say", "back") == "back"
    (reconnecting, opened, reconnected) = told
    event = reconnecting[1]
    assert isinstance(event, Reconnecting)
    assert (event.attempt, event.reason) == (1, "the server closed the connection")
    assert 0 <= event.delay <= 0.5
    assert opened == ("open", client.greeting)
    assert reconnected == ("reconnected", client.greeting)


async def test_what_waits_goes_out_in_order_behind_the_log_in(
    node: MemoryNode,
) -> None:
    client = await node.connect(reconnect=True)
    desk = node.component(Desk)

    async def log_in(_: Greeting) -> None:
        await client.request("Desk.say", "log in")
        await asyncio.gather(  # tasks of the callback may send, too
            client.request("Desk.say", "enter"), client.notify("Desk.say", "greet")
        )

    client.events.on("open", log_in)
    await lose(node, client)
    waiting = [
        asyncio.create_task(client.request("Desk.say", str(number)))
        for number in range(5)
    ]
    await asyncio.sleep(0)
    assert client.unanswered == 5
    await asyncio.gather(*waiting)
    assert desk.seen == ["log in", "enter", "greet", *"01234"]


async def test_what_is_on_its_way_when_the_line_is_cut_fails(node: MemoryNode) -> None:
    client = await node.connect(reconnect=True)
    waiting = asyncio.create_task(client.request("Desk.promise"))
    await node.clock.settle()
    await lose(node, client)
    with pytest.raises(ConnectionClosed) as caught:
        await waiting
    assert caught.value.sent
    assert client.unanswered == 0


async def test_who_waits_does_so_within_the_time_out(node: MemoryNode) -> None:
    client = await node.connect(reconnect=Backoff(base=100, cap=100))
    await lose(node, client)
    begun = node.clock.now
    client.line.freeze()
    with pytest.raises(TimeoutError):
        await client.request("Desk.say", "hello", timeout=3)
    assert node.clock.now - begun == pytest.approx(3)
    assert client.unanswered == 0


async def test_not_too_much_may_wait(node: MemoryNode) -> None:
    client = await node.connect(reconnect=True, outbox_bytes=1000)
    await lose(node, client)
    waiting = [
        asyncio.create_task(client.notify("Desk.say", "x" * 100)) for _ in range(8)
    ]
    await asyncio.sleep(0)
    with pytest.raises(OutboxFull, match="1000 is the most"):
        await client.notify("Desk.say", "x" * 300)
    await asyncio.gather(*waiting)
    await client.notify("Desk.say", "x" * 3000)  # connected, nothing is kept


async def test_it_gives_up_after_so_many_attempts(node: MemoryNode) -> None:
    client = await node.connect(reconnect=Backoff(attempts=4), timeout=1)
    attempts: list[Reconnecting] = []
    client.events.on("reconnecting", attempts.append)
    await lose(node, client)
    client.line.freeze()
    waiting = asyncio.create_task(client.request("Desk.say", "hello", timeout=60))
    assert await client.wait_closed() == "no greeting came in 1 s"
    assert client.close_code == 4009
    assert [it.attempt for it in attempts] == [1, 2, 3, 4]
    assert all(it.delay <= 0.5 * 2 ** (it.attempt - 1) for it in attempts)
    with pytest.raises(ConnectionClosed) as caught:
        await waiting
    assert not caught.value.sent


async def test_only_a_connection_that_has_lasted_makes_the_waits_short_again(
    node: MemoryNode,
) -> None:
    client = await node.connect(reconnect=Backoff(base=0.5, cap=20))
    attempts: list[int] = []
    client.events.on("reconnecting", lambda it: attempts.append(it.attempt))
    for lasting in (1, 1, 21, 1):
        await node.clock.advance(lasting)
        await lose(node, client)
        await client.request("Desk.say", "back")
    assert attempts == [1, 2, 1, 2]


@pytest.mark.parametrize("reconnect", [True, False])
async def test_a_kick_says_whether_to_come_back(
    node: MemoryNode, reconnect: bool
) -> None:
    client = await node.connect(reconnect=True)
    kicks: list[Kicked] = []
    client.events.on("kick", kicks.append)
    await client.notify("Desk.kick", reconnect)
    await node.clock.settle()
    assert kicks == [Kicked("out", reconnect)] == [client.kick]
    if reconnect:
        assert await client.request("Desk.say", "back") == "back"
    else:
        assert (client.state, client.closed) == (State.CLOSED, "out")


async def test_the_application_may_decide_after_a_kick(node: MemoryNode) -> None:
    asked: list[tuple[str, int]] = []

    def decide(kick: Kicked, code: int) -> bool:
        asked.append((kick.reason, code))
        return len(asked) < 2

    client = await node.connect(reconnect=True, reconnect_after_kick=decide)
    for _ in range(2):
        await client.notify("Desk.kick", False)
        await node.clock.advance(1)
    assert asked == [("out", 1006)] * 2
    assert client.closed == "out"


async def test_the_user_is_asked_for_before_every_greeting(node: MemoryNode) -> None:
    numbers = iter(range(10))

    async def token() -> int:
        await asyncio.sleep(0.01)
        return next(numbers)

    client = await node.connect(user=token, reconnect=True)
    for _ in range(2):
        await lose(node, client)
        await node.clock.advance(5)
    assert node.component(Desk).users == [0, 1, 2]
    assert client.state is State.WORKING


@pytest.mark.parametrize("resume", [True, False])
async def test_a_session_is_taken_up_again_if_both_sides_want_it(resume: bool) -> None:
    async with MemoryNode(Desk, resume_seconds=20) as node:
        client = await node.connect(reconnect=True, resume=resume)
        assert client.greeting is not None
        assert bool(client.greeting.resume) is resume
        (before,) = node.node.sessions(9)
        for _ in range(2):
            await lose(node, client)
            await node.clock.advance(5)
            assert client.greeting.resumed is resume
            (after,) = node.node.sessions(9)
            assert (after["id"] == before["id"]) is resume
        client.line.freeze()
        await lose(node, client)
        await node.clock.advance(30)
        client.line.thaw()
        await node.clock.advance(30)
        assert (client.state, client.greeting.resumed) == (State.WORKING, False)


async def test_who_does_not_come_back_asks_for_no_token() -> None:
    async with MemoryNode(Desk, resume_seconds=20) as node:
        client = await node.connect()
        assert client.greeting is not None
        assert client.greeting.resume == ""


async def test_who_is_refused_stays_away_and_reads_why(node: MemoryNode) -> None:
    with pytest.raises(ConnectionRefused) as caught:
        await node.connect(user="stranger", reconnect=Backoff(first=True))
    assert caught.value.code == 403
    assert caught.value.answer == {"code": 403, "why": "nobody knows you"}
    assert node.component(Desk).users == ["stranger"]


async def test_the_first_connection_is_tried_again_if_wanted(node: MemoryNode) -> None:
    tries: list[int] = []

    async def opener() -> Stream:
        tries.append(len(tries))
        if len(tries) < 3:
            raise ConnectionClosed("nobody there")
        return node.stream()

    with pytest.raises(ConnectionClosed, match="nobody there"):
        await Client(opener, reconnect=True).open()
    client = Client(opener, reconnect=Backoff(first=True))
    async with await client.open():
        assert await client.request("Desk.say", "hello") == "hello"
    assert len(tries) == 3


async def test_a_log_in_that_fails_is_the_end(node: MemoryNode) -> None:
    async def log_in(_: Greeting) -> None:
        raise LookupError("no password")

    async def opener() -> Stream:
        return node.stream()

    client = Client(opener, reconnect=True)
    client.events.on("open", log_in)
    with pytest.raises(LookupError, match="no password"):
        await client.open()
    assert (client.state, client.closed) == (State.CLOSED, "no password")
    client = await node.connect(reconnect=True)
    client.events.on("open", log_in)
    await lose(node, client)
    assert await client.wait_closed() == "no password"


async def test_a_log_in_ends_with_its_connection(node: MemoryNode) -> None:
    client = await node.connect(reconnect=True)
    begun: list[int] = []

    async def log_in(_: Greeting) -> None:
        begun.append(len(begun))
        if len(begun) == 1:
            await asyncio.Event().wait()

    client.events.on("open", log_in)
    await lose(node, client)
    await node.clock.advance(1)
    assert begun == [0]
    await lose(node, client)
    assert await client.request("Desk.say", "back") == "back"
    assert begun == [0, 1]


async def test_a_callback_may_close_the_client(node: MemoryNode) -> None:
    async def opener() -> Stream:
        return node.stream()

    client = Client(opener, reconnect=True)

    async def close(_: Greeting) -> None:
        await client.close()

    client.events.on("open", close)
    with pytest.raises(ConnectionClosed, match="closed by this side"):
        await client.open()
    assert client.state is State.CLOSED


async def test_callbacks_that_would_never_be_called_are_refused(
    node: MemoryNode,
) -> None:
    client = await node.connect()

    async def callback(_: object) -> None:
        pytest.fail("nobody awaits this")

    with pytest.raises(UsageError, match="open, reconnecting, reconnected, kick"):
        client.events.on("opened", print)
    with pytest.raises(UsageError, match="make it a plain def"):
        client.events.on("close", callback)
    with pytest.raises(UsageError, match="make it a plain def"):
        client.on("onItem", callback)  # type: ignore[arg-type]


async def test_closing_while_it_waits_leaves_nothing(node: MemoryNode) -> None:
    client = await node.connect(reconnect=True)
    await lose(node, client)
    waiting = asyncio.create_task(client.request("Desk.say", "hello"))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(ConnectionClosed, match="closed by this side"):
        await waiting
    assert (client.state, client.close_code) == (State.CLOSED, 1000)
    assert node.count("nano_connections") == 0


async def test_a_cancelled_request_leaves_nothing(node: MemoryNode) -> None:
    client = await node.connect(reconnect=True)
    waiting = asyncio.create_task(client.request("Desk.promise"))
    await node.clock.settle()
    assert client.unanswered == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert client.unanswered == 0
    await lose(node, client)
    waiting = asyncio.create_task(client.request("Desk.say", "hello"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert client.unanswered == 0


async def test_a_client_is_opened_once_and_before_it_is_used(node: MemoryNode) -> None:
    async def opener() -> Stream:
        return node.stream()

    client = Client(opener)
    with pytest.raises(UsageError, match="await its open"):
        await client.request("Desk.say", "hello")
    async with await client.open():
        with pytest.raises(UsageError, match="while the client is working"):
            await client.open()


# ----------------------------------------------------------------------- pushes


async def test_pushes_can_be_awaited_one_by_one(node: MemoryNode) -> None:
    client = await node.connect()
    with client.pushes("onItem", wanted=int) as items:
        await client.notify("Desk.push", 3)
        assert [await items.next() for _ in range(3)] == [0, 1, 2]
        with pytest.raises(TimeoutError):
            await items.next(timeout=5)
    with pytest.raises(ConnectionClosed, match="these pushes are closed"):
        await items.next()


async def test_pushes_can_be_iterated_until_the_client_is_closed(
    node: MemoryNode,
) -> None:
    client = await node.connect()
    items = client.pushes("onItem")
    await client.notify("Desk.push", 3)
    await client.notify("Desk.kick", False)
    assert [item async for item in items] == [0, 1, 2]
    assert [item async for item in client.pushes("onItem")] == []
    with pytest.raises(ConnectionClosed, match="out"):
        await items.next()


async def test_of_too_many_pushes_the_oldest_are_dropped_and_counted(
    node: MemoryNode,
) -> None:
    client = await node.connect()
    items = client.pushes("onItem", limit=10)
    await client.notify("Desk.push", 25)
    await node.clock.settle()
    assert (len(items), items.dropped) == (10, 15)
    assert items.take() == list(range(15, 25))


async def test_once_and_off_end_callbacks(node: MemoryNode) -> None:
    client = await node.connect()
    once: list[int] = []
    always: list[int] = []
    client.once("onItem", once.append)
    client.on("onItem", always.append)
    await client.notify("Desk.push", 3)
    await node.clock.settle()
    client.off("onItem", always.append)
    client.off("onItem")
    await client.notify("Desk.push", 3)
    await node.clock.settle()
    assert (once, always) == ([0], [0, 1, 2])


async def test_an_error_callback_is_told_in_place_of_the_log(
    node: MemoryNode, caplog: pytest.LogCaptureFixture
) -> None:
    client = await node.connect()
    errors: list[Exception] = []
    client.events.on("error", errors.append)
    client.on("onItem", lambda it: it["no number has this"])
    await client.notify("Desk.push", 1)
    await node.clock.settle()
    assert [type(error) for error in errors] == [TypeError]
    assert "a callback" not in caplog.text
