"""The asyncio client: what it gives to programs, whatever the server does."""

from __future__ import annotations

import asyncio

import pytest

import nano.client
from nano.errors import (
    NanoError,
    PayloadError,
    RequestError,
)
from nano.protocol.dictionary import RouteDictionary
from nano.protocol.messages import NOTIFY, encode_response
from nano.protocol.packets import HEARTBEAT_PACKET

from .server import PATIENCE, Peer, Server, stay

pytestmark = pytest.mark.process


async def test_answers_find_their_requests_in_whatever_order_they_come(
    server: Server,
) -> None:
    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greet()
        asked = [await peer.message() for _ in range(20)]
        for message in reversed(asked):
            await peer.answer(message.id, message.payload)
        await peer.receive()

    async with await nano.client.connect(server.url) as client:
        requests = [client.request("r", {"n": number}) for number in range(20)]
        answers = await asyncio.gather(*requests)
    assert answers == [{"n": number} for number in range(20)]


async def test_of_two_answers_to_one_request_the_first_counts(server: Server) -> None:
    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greet()
        number = (await peer.message()).id
        both = encode_response(number, b"1") + encode_response(number, b"2")
        await peer.write(both)
        await peer.answer((await peer.message()).id, b"3")
        await peer.receive()

    async with await nano.client.connect(server.url) as client:
        assert await client.request("r", None) == 1
        assert await client.request("r", None) == 3


async def test_an_empty_answer_is_none(server: Server) -> None:
    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greet()
        await peer.answer((await peer.message()).id, b"")
        await peer.receive()

    async with await nano.client.connect(server.url) as client:
        assert await client.request("r", None) is None


async def test_an_error_is_raised_with_all_that_it_says(server: Server) -> None:
    bodies = [
        b'{"code":"GAME-7","msg":"not your turn","status":409}',
        b'{"msg":"no"}',
        b"oops",
        b"\xff",
    ]

    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greet()
        for body in bodies:
            await peer.answer((await peer.message()).id, body, failed=True)
        await peer.receive()

    seen: list[tuple[int, str, str]] = []
    async with await nano.client.connect(server.url) as client:
        while len(seen) < len(bodies):
            with pytest.raises(RequestError) as caught:
                await client.request("r", None)
            seen.append((caught.value.status, caught.value.code, caught.value.message))
    assert seen == [
        (409, "GAME-7", "not your turn"),
        (500, "NANO-500", "no"),
        (500, "NANO-500", "oops"),
        (500, "NANO-500", "\ufffd"),
    ]


async def test_an_answer_that_is_not_json_is_a_payload_error(server: Server) -> None:
    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greet()
        await peer.answer((await peer.message()).id, b"{")
        await peer.receive()

    async with await nano.client.connect(server.url) as client:
        with pytest.raises(PayloadError):
            await client.request("r", None)
        assert client.closed == ""


async def test_pushes_reach_every_callback_of_their_route_and_no_other(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    begin = asyncio.Event()

    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greet()
        await peer.message()
        await peer.push("onNumber", b"1")
        await peer.push("onOther", b"2")
        await peer.push("onNumber", b"{")
        await peer.push("onNumber", b"")
        await peer.push("onEnd", b"3")
        await peer.receive()

    numbers: list[object] = []

    def broken(_: object) -> None:
        raise ValueError("the callback is broken")

    async with await nano.client.connect(server.url) as client:
        client.on("onNumber", broken)
        client.on("onNumber", numbers.append)
        client.on("onEnd", lambda _: begin.set())
        await client.notify("begin", None)
        async with asyncio.timeout(PATIENCE):
            await begin.wait()
    assert numbers == [1, None]
    assert caplog.messages.count("a callback of onNumber failed") == 4


async def test_a_notify_arrives_and_asks_for_nothing(server: Server) -> None:
    arrived: asyncio.Future[tuple[int, int, str, bytes]]
    arrived = asyncio.get_running_loop().create_future()

    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greet()
        message = await peer.message()
        arrived.set_result((message.type, message.id, message.route, message.payload))
        await peer.receive()

    async with await nano.client.connect(server.url) as client:
        await client.notify("Room.say", {"text": "hi"})
        async with asyncio.timeout(PATIENCE):
            assert await arrived == (NOTIFY, 0, "Room.say", b'{"text":"hi"}')


async def test_the_servers_dictionary_is_used(server: Server) -> None:
    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greet(codes=RouteDictionary({"Room.say": 258}))
        message = await peer.message()
        await peer.answer(message.id, b'"%s"' % message.route.encode())
        assert b"Room.say" not in peer.heard
        await peer.receive()

    async with await nano.client.connect(server.url) as client:
        assert await client.request("Room.say", None) == "Room.say"


async def test_heartbeats_are_answered(server: Server) -> None:
    answered = asyncio.Event()

    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greet()
        await peer.write(HEARTBEAT_PACKET * 3)
        while peer.heard.count(HEARTBEAT_PACKET) < 3:
            assert await peer.receive()
        answered.set()

    async with await nano.client.connect(server.url):
        async with asyncio.timeout(PATIENCE):
            await answered.wait()


async def test_the_user_is_announced(server: Server) -> None:
    users: list[object] = []

    @server.behave
    async def _(peer: Peer) -> None:
        users.append((await peer.greet()).hello.user)
        await peer.receive()

    for user in ({"name": "ann"}, None):
        async with await nano.client.connect(server.url, user=user):
            pass
    assert users == [{"name": "ann"}, None]


async def test_a_request_without_an_answer_times_out_and_is_forgotten(
    server: Server,
) -> None:
    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greet()
        late = await peer.message()
        message = await peer.message()
        await peer.answer(late.id, b'"too late"')
        await peer.answer(999, b'"never asked"')
        await peer.answer(message.id, b'"in time"')
        await peer.receive()

    async with await nano.client.connect(server.url) as client:
        with pytest.raises(TimeoutError):
            await client.request("r", None, timeout=0.01)
        assert client.unanswered == 0
        assert await client.request("r", None) == "in time"
        assert client.unanswered == 0


async def test_what_cannot_be_encoded_is_not_sent(server: Server) -> None:
    server.behave(stay)
    async with await nano.client.connect(server.url) as client:
        with pytest.raises(TypeError):
            await client.request("r", object())
        with pytest.raises(NanoError, match="255 is the most"):
            await client.request("r" * 256, None)
        with pytest.raises(NanoError, match="255 is the most"):
            await client.notify("r" * 256, None)
        assert client.unanswered == 0
