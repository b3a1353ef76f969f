"""Calls and notifies of nodes, to handlers of this node."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Any

import msgspec
import pytest

from nano import Component, NodeInfo, RequestError, Session, handler
from nano.errors import EncodeError, UsageError
from nano.protocol.messages import Message
from nano.protocol.packets import LARGEST_BODY
from nano.runtime import calls as calls_module
from nano.runtime.calls import Calls
from nano.runtime.component import collect_handlers
from nano.runtime.dispatch import Dispatcher

from .clients import Client, World, until


class Order(msgspec.Struct):
    amount: Annotated[int, msgspec.Meta(ge=1)]


NO_MONEY = RequestError(402, "no money", "SHOP-1")


class Wallet(Component):
    """What is called."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.seen: list[tuple[str, int]] = []
        self.free = asyncio.Event()
        self.ended: list[str] = []

    @handler(internal=True)
    def charge(self, order: Order) -> dict[str, int]:
        return {"left": 10 - order.amount}

    @handler(internal=True)
    async def charge_async(self, order: Order) -> dict[str, int]:
        await asyncio.sleep(0)
        return {"left": 10 - order.amount}

    @handler(internal=True)
    def nothing(self, payload: None) -> None: ...

    @handler(internal=True)
    def refuse(self, payload: None) -> None:
        raise NO_MONEY

    @handler(internal=True)
    async def refuse_async(self, payload: None) -> None:
        raise NO_MONEY

    @handler(internal=True)
    def fail(self, payload: None) -> None:
        raise LookupError("the secret word")

    @handler(internal=True)
    async def fail_async(self, payload: None) -> None:
        raise LookupError("the secret word")

    @handler(internal=True)
    def odd(self, payload: None) -> object:
        return object()

    @handler(internal=True)
    async def wait(self, payload: Any) -> str:
        try:
            await self.free.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        return "done"

    @handler(internal=True)
    async def ask_the_dead(self, payload: None) -> str:
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone
        return "never"

    @handler(internal=True)
    def ask_the_dead_at_once(self, payload: None) -> str:
        gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        gone.cancel()
        return gone.result()

    @handler(internal=True)
    def whose(self, session: Session | None, payload: Any) -> str:
        return session.uid if session else "nobody's"

    @handler(internal=True)
    def must(self, session: Session, payload: Any) -> str:
        return session.uid

    @handler(internal=True)
    def respond(self, session: Session, payload: Any) -> str:
        try:
            session.respond("out of turn")
        except UsageError as error:
            return str(error)
        return "answered"

    @handler
    def both(self, session: Session, payload: Any) -> dict[str, Any]:
        self.seen.append((session.origin, session.last_id))
        return {"origin": session.origin, "id": session.last_id, "payload": payload}

    @handler
    async def both_async(self, session: Session, payload: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"origin": session.origin, "id": session.last_id, "payload": payload}

    @handler(internal=True)
    def tell(self, session: Session | None, payload: Any) -> None:
        self.told.append((payload, session.origin if session else "no session"))

    @handler(internal=True)
    async def tell_slowly(self, session: Session, payload: Any) -> None:
        self.told.append(payload)
        await asyncio.sleep(0)
        self.told.append((payload, session.origin))


class Shop(Component):
    """What clients ask, and what calls."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.checked: list[str] = []

    def before_handler(self, session: Session, message: Message) -> None:
        self.checked.append(message.route)

    @handler
    async def buy(self, session: Session, payload: int) -> Any:
        return await self.node.call("Wallet.charge", {"amount": payload})

    @handler
    async def ask(self, session: Session, route: str) -> Any:
        """Call for the session whose own request is in hand."""
        answer = await self.node.call(route, "called", session=session)
        return [answer, session.origin, session.last_id]

    @handler
    def tell(self, session: Session, payload: str) -> str:
        self.node.notify("Shop.note", payload, session=session)
        self.lines.append("told")
        return "told"

    @handler(internal=True)
    def note(self, session: Session | None, payload: str) -> None:
        self.lines.append(payload)


@pytest.fixture
def wallet() -> Wallet:
    return Wallet()


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def world(wallet: Wallet, shop: Shop) -> World:
    return World(wallet, shop)


@pytest.fixture
def client(world: World) -> Client:
    client = world.client()
    client.session.bind("ann")
    return client


BOTH = pytest.mark.parametrize("suffix", ["", "_async"])

# ------------------------------------------------------------ clients do not reach


@pytest.mark.parametrize("route", ["Wallet.charge", "Wallet.must", "Wallet.tell"])
async def test_a_client_is_told_of_an_internal_handler_what_it_is_told_of_none(
    world: World, client: Client, wallet: Wallet, route: str
) -> None:
    there = await client.request(route, {"amount": 1})
    missing = await client.request("Wallet.nobody", {"amount": 1})
    assert there.status == missing.status == 404
    assert there.value["msg"] == missing.value["msg"].replace("Wallet.nobody", route)
    client.notify(route, {"amount": 1})
    await asyncio.sleep(0)
    assert wallet.told == []
    assert world.metrics.dropped["client", "internal-route"] == 2
    assert world.metrics.route("unknown").requests == 2


async def test_what_another_node_forwards_for_a_client_does_not_reach_them_either(
    world: World, client: Client
) -> None:
    message = Message(0, 7, "Wallet.nothing", b"")
    world.dispatcher.dispatch_here(client.session, message)
    assert client.answers[7][0].status == 404
    assert world.metrics.dropped["client", "internal-route"] == 1


# ----------------------------------------------------------------------- results


@BOTH
async def test_a_call_returns_what_the_handler_returns(
    world: World, suffix: str
) -> None:
    result = await world.info.call(f"Wallet.charge{suffix}", {"amount": 3})
    assert result == {"left": 7}
    assert world.metrics.calls == {("in", "ok"): 1, ("out", "ok"): 1}


async def test_a_client_handler_calls_an_internal_one(client: Client) -> None:
    assert (await client.request("Shop.buy", 4)).value == {"left": 6}


async def test_the_caller_says_what_it_wants(world: World) -> None:
    class Left(msgspec.Struct):
        left: int

    result = await world.info.call("Wallet.charge", Order(3), wanted=Left)
    assert result.left == 7
    raw = await world.info.call("Wallet.charge", Order(3), wanted=bytes)
    assert raw == b'{"left":7}'
    unhashable = Annotated[list[int], msgspec.Meta(examples=[[]])]
    for wanted in (str, unhashable):
        with pytest.raises(RequestError, match="something else than") as failed:
            await world.info.call("Wallet.charge", Order(3), wanted=wanted)
        assert failed.value.status == 500
        assert "Expected" in str(failed.value.__cause__)


async def test_nothing_returned_is_none(world: World) -> None:
    assert await world.info.call("Wallet.nothing") is None


@BOTH
async def test_a_request_error_reaches_the_caller_and_says_on_what_way(
    world: World, suffix: str
) -> None:
    for _ in range(2):
        with pytest.raises(RequestError, match="no money") as refused:
            await world.info.call(f"Wallet.refuse{suffix}")
        error = refused.value
        assert (error.status, error.code) == (402, "SHOP-1")
        assert error.__notes__ == [f"in a call of Wallet.refuse{suffix}"]
    assert not hasattr(NO_MONEY, "__notes__")
    assert world.metrics.calls["in", "402"] == world.metrics.calls["out", "402"] == 2


@BOTH
async def test_an_exception_is_a_500_without_its_text_or_the_route_and_logged(
    world: World, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RequestError) as failed:
        await world.info.call(f"Wallet.fail{suffix}")
    assert failed.value.status == 500
    assert failed.value.message == "what was asked failed"
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert f"Wallet.fail{suffix} failed for a node" in record.getMessage()
    assert record.exc_info


@pytest.mark.parametrize(
    ("route", "payload", "status"),
    [
        ("Wallet.charge", {"amount": 0}, 400),
        ("Wallet.charge_async", {"amount": "1"}, 400),
        ("Wallet.must", None, 400),
        ("Wallet.both", None, 400),
        ("Wallet.odd", None, 500),
        ("Wallet.ask_the_dead", None, 500),
        ("Wallet.ask_the_dead_at_once", None, 500),
        ("Wallet.nobody", None, 404),
        ("nonsense", None, 404),
    ],
)
async def test_what_goes_wrong_has_a_status(
    world: World, route: str, payload: object, status: int
) -> None:
    with pytest.raises(RequestError) as refused:
        await world.info.call(route, payload)
    assert refused.value.status == status
    assert route not in refused.value.message  # it may travel on to a client


async def test_what_cannot_be_sent_is_refused_where_it_is_made(world: World) -> None:
    with pytest.raises(TypeError):
        await world.info.call("Wallet.tell", object())
    with pytest.raises(EncodeError, match="is the most"):
        await world.info.call("Wallet.tell", bytes(LARGEST_BODY + 1))
    with pytest.raises(UsageError, match="more than 0 s"):
        await world.info.call("Wallet.tell", timeout=0.0)
    with pytest.raises(TypeError):
        world.info.notify("Wallet.tell", object())


async def test_without_a_node_the_error_says_what_to_do() -> None:
    nowhere = NodeInfo("a:1", "gate", "", "c")
    with pytest.raises(UsageError, match=r"nano\.testing\.MemoryNode"):
        await nowhere.call("Wallet.charge")
    with pytest.raises(UsageError, match=r"nano\.testing\.MemoryNode"):
        nowhere.notify("Wallet.charge")


class Undecodable(Component):
    @handler(internal=True)
    def join(self, payload: World) -> None: ...


def test_an_internal_handler_that_cannot_be_decoded_is_refused_at_once(
    world: World,
) -> None:
    dispatcher: Dispatcher = world.dispatcher
    with pytest.raises(UsageError, match=r"Undecodable\.join: cannot decode"):
        Calls(dispatcher).add(collect_handlers([Undecodable()]))


# ---------------------------------------------------------------------- sessions


async def test_a_session_goes_with_the_call_if_one_is_given(
    world: World, client: Client
) -> None:
    call = world.info.call
    assert await call("Wallet.whose") == "nobody's"
    assert await call("Wallet.whose", session=client.session) == "ann"
    assert await call("Wallet.must", session=client.session) == "ann"


@BOTH
async def test_a_handler_that_serves_both_knows_where_its_message_is_from(
    world: World, client: Client, suffix: str
) -> None:
    route = f"Wallet.both{suffix}"
    by_client = await client.request(route, 1)
    assert by_client.value["origin"] == "client"
    assert by_client.value["id"] > 0
    by_node = await world.info.call(route, 1, session=client.session)
    assert by_node == {"origin": "node", "id": 0, "payload": 1}
    assert client.session.origin == ""


@BOTH
async def test_a_call_for_the_session_in_hand_does_not_wait_for_it(
    client: Client, suffix: str
) -> None:
    answer = await client.request("Shop.ask", f"Wallet.both{suffix}")
    result, origin, number = answer.value
    assert result["origin"] == "node"
    assert (origin, number > 0) == ("client", True)


async def test_who_is_called_does_not_answer_the_request_in_hand(
    client: Client,
) -> None:
    answer = await client.request("Shop.ask", "Wallet.respond")
    assert answer.value[0].endswith("a call is answered by return")


async def test_a_call_about_a_session_that_has_ended_is_refused(
    world: World, client: Client
) -> None:
    world.sessions.close(client.session, "gone")
    with pytest.raises(RequestError, match="the session has ended") as refused:
        await world.info.call("Wallet.whose", session=client.session)
    assert refused.value.status == 404


async def test_filters_are_for_clients(
    world: World, client: Client, shop: Shop
) -> None:
    await client.request("Shop.buy", 1)
    await world.info.call("Wallet.both", session=client.session)
    world.info.notify("Wallet.tell", session=client.session)
    await asyncio.sleep(0)
    assert shop.checked == ["Shop.buy"]


# ---------------------------------------------------------------------- notifies


async def test_a_notify_is_delivered_in_order_after_the_handler_that_sends_it(
    client: Client, shop: Shop
) -> None:
    for word in ("one", "two"):
        client.send("Shop.tell", word)
    await until(lambda: len(shop.lines) == 4)
    assert shop.lines == ["told", "told", "one", "two"]
    assert [len(it) for it in client.answers.values()] == [1, 1]


async def test_a_notify_for_a_session_waits_its_turn(
    world: World, client: Client, wallet: Wallet
) -> None:
    for number in range(3):
        world.info.notify("Wallet.tell_slowly", number, session=client.session)
    world.info.notify("Wallet.tell", "last", session=client.session)
    await until(lambda: len(wallet.told) == 7)
    assert wallet.told == [
        *(it for number in range(3) for it in (number, (number, "node"))),
        ("last", "node"),
    ]
    assert world.metrics.calls == {("out", "notify"): 4, ("in", "notify"): 4}
    assert world.metrics.route("Wallet.tell").notifies == 0  # those are clients'


async def test_a_notify_needs_no_session(world: World, wallet: Wallet) -> None:
    world.info.notify("Wallet.tell", 1)
    await until(lambda: wallet.told)
    assert wallet.told == [(1, "no session")]


async def test_a_notify_that_comes_to_nothing_is_logged_and_counted(
    world: World, client: Client, wallet: Wallet, caplog: pytest.LogCaptureFixture
) -> None:
    world.info.notify("Wallet.nobody")
    world.info.notify("Wallet.must")
    world.info.notify("Wallet.refuse")
    world.info.notify("Wallet.tell", session=client.session)
    world.sessions.close(client.session, "gone")
    await until(lambda: world.metrics.dropped.total() == 4)
    assert world.metrics.dropped == {
        ("notify", "400"): 1,
        ("notify", "402"): 1,
        ("notify", "404"): 2,
    }
    for _ in range(3):
        world.info.notify("Wallet.nobody")
    assert caplog.text.count("a notify to Wallet.nobody came to nothing") == 1
    assert wallet.told == []


# ------------------------------------------------------------- limits, and the end


async def test_a_call_that_takes_too_long_is_a_504_and_its_late_result_is_counted(
    world: World, wallet: Wallet
) -> None:
    world.calls.tick(100.0)
    slow = asyncio.create_task(world.info.call("Wallet.wait", timeout=1.0))
    slower = asyncio.create_task(world.info.call("Wallet.wait", timeout=2.0))
    await asyncio.sleep(0)
    world.calls.tick(100.9)
    world.calls.tick(101.1)
    with pytest.raises(RequestError, match="took too long") as late:
        await slow
    assert late.value.status == 504
    assert not slower.done()
    wallet.free.set()
    assert await slower == "done"
    assert world.metrics.dropped == {("call", "late"): 1}


async def test_a_handler_ends_with_the_time_of_its_node(wallet: Wallet) -> None:
    world = World(wallet, timeout=0.01)
    with pytest.raises(RequestError) as late:
        await world.info.call("Wallet.wait", timeout=100.0)
    assert late.value.status == 504
    assert wallet.ended == ["cancelled"]


async def test_a_caller_that_is_cancelled_leaves_nothing_open(
    world: World, wallet: Wallet
) -> None:
    calling = asyncio.create_task(world.info.call("Wallet.wait"))
    await until(lambda: world.dispatcher.tasks)
    assert b"nano_open_calls 1.0" in world.metrics.render()
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    assert b"nano_open_calls 0.0" in world.metrics.render()
    wallet.free.set()
    await until(lambda: not world.dispatcher.tasks)
    assert world.metrics.dropped == {("call", "late"): 1}


async def test_open_calls_are_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls_module, "MOST_OPEN", 2)
    waiting = [
        asyncio.create_task(world.info.call("Wallet.wait", number))
        for number in range(2)
    ]
    await until(lambda: len(world.dispatcher.tasks) == 2)
    with pytest.raises(RequestError, match="overloaded") as refused:
        await world.info.call("Wallet.wait")
    assert refused.value.status == 503
    outcomes: list[object] = []
    world.calls.serve("Wallet.wait", None, b"", outcomes.append)
    assert isinstance(outcomes[0], RequestError)
    assert world.metrics.dropped == {("call", "too-many"): 2}
    for number in range(3):
        world.info.notify("Wallet.tell", number)
    assert world.metrics.dropped["notify", "503"] == 1
    await world.dispatcher.stop()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_node_that_stops_serves_no_calls(world: World, client: Client) -> None:
    world.info.notify("Wallet.tell", session=client.session)
    await world.dispatcher.stop()
    await asyncio.sleep(0)
    with pytest.raises(RequestError) as refused:
        await world.info.call("Wallet.charge", {"amount": 1})
    assert refused.value.status == 503
    assert world.metrics.dropped["notify", "503"] == 1
