"""The asyncio client: what it gives to programs, whatever the server does."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

import nano.client
from nano.errors import (
    ConnectionClosed,
    NanoError,
    PayloadError,
    RequestError,
    UsageError,
)
from nano.protocol.dictionary import RouteDictionary
from nano.protocol.messages import NOTIFY, encode_response
from nano.protocol.packets import HEARTBEAT_PACKET, PacketType, encode_packet

from .server import PATIENCE, Peer, Server

pytestmark = pytest.mark.process

GONE = "the server closed the connection"


async def stay(peer: Peer) -> None:
    """Be a server that lets everybody in and then only listens."""
    await peer.greet()
    while await peer.receive():
        pass


async def reason_of(client: nano.client.Client) -> str:
    async with asyncio.timeout(PATIENCE):
        return await client.wait_closed()


# -------------------------------------------------------------------- messages


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
        assert client._waiting == {}
        assert await client.request("r", None) == "in time"
        assert client._waiting == {}


async def test_what_cannot_be_encoded_is_not_sent(server: Server) -> None:
    server.behave(stay)
    async with await nano.client.connect(server.url) as client:
        with pytest.raises(TypeError):
            await client.request("r", object())
        with pytest.raises(NanoError, match="255 is the most"):
            await client.request("r" * 256, None)
        with pytest.raises(NanoError, match="255 is the most"):
            await client.notify("r" * 256, None)
        assert client._waiting == {}


# ------------------------------------------------------------------ the end


async def let_in(peer: Peer) -> None:
    await peer.greet()
    await peer.receive()  # the acknowledgement


async def kick(peer: Peer) -> None:
    await let_in(peer)
    await peer.write(peer.core.kick("too loud"))


async def kick_without_a_reason(peer: Peer) -> None:
    await let_in(peer)
    await peer.write(encode_packet(PacketType.KICK))


async def kick_with_a_heartbeat(peer: Peer) -> None:
    await let_in(peer)
    await peer.write(HEARTBEAT_PACKET + peer.core.kick("too loud"))


async def leave(peer: Peer) -> None:
    await let_in(peer)


async def leave_at_once(peer: Peer) -> None:
    await peer.greet()


async def crash(peer: Peer) -> None:
    await let_in(peer)
    peer.reset()


async def crash_after_a_heartbeat(peer: Peer) -> None:
    await let_in(peer)
    await peer.write(HEARTBEAT_PACKET * 100)
    peer.reset()


async def babble(peer: Peer) -> None:
    await let_in(peer)
    await peer.write(bytes.fromhex("09000000"))
    await peer.receive()


ENDS = [
    (kick, "too loud"),
    (kick_without_a_reason, "kicked"),
    (kick_with_a_heartbeat, "too loud"),
    (leave, GONE),
    (leave_at_once, GONE),
    (crash, GONE),
    (crash_after_a_heartbeat, GONE),
    (babble, "the server broke the protocol: packet type 9 does not exist"),
]


@pytest.mark.parametrize(
    ("end", "reason"), ENDS, ids=lambda it: getattr(it, "__name__", "")
)
async def test_every_end_has_a_reason(server: Server, end: object, reason: str) -> None:
    server.behave(end)  # type: ignore[arg-type]
    async with await nano.client.connect(server.url) as client:
        assert await reason_of(client) == reason
        for sending in (client.request("r", None), client.notify("r", None)):
            with pytest.raises(ConnectionClosed, match=f"^{reason}$"):
                await sending
    assert client.closed == reason


async def test_whoever_waits_when_the_end_comes_learns_the_reason(
    server: Server,
) -> None:
    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greet()
        for _ in range(3):
            await peer.message()
        await peer.write(peer.core.kick("restarting"))

    async with await nano.client.connect(server.url) as client:
        requests = [client.request("r", None) for _ in range(3)]
        ends = await asyncio.gather(*requests, return_exceptions=True)
    assert [str(end) for end in ends] == ["restarting"] * 3
    assert {type(end) for end in ends} == {ConnectionClosed}


async def test_closing_ends_what_waits_and_leaves_no_task(server: Server) -> None:
    server.behave(stay)
    client = await nano.client.connect(server.url)
    waiting = asyncio.create_task(client.request("r", None))
    await asyncio.sleep(0)
    await client.close()
    await client.close()
    with pytest.raises(ConnectionClosed, match=r"^closed by this side$"):
        await waiting
    assert await reason_of(client) == "closed by this side"
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert "nano client reader" not in names


# ------------------------------------------------------------- connecting


async def test_a_refusal_is_told_with_its_code(server: Server) -> None:
    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greeting()
        await peer.write(encode_packet(PacketType.HANDSHAKE, b'{"code":501}'))
        await peer.receive()

    with pytest.raises(ConnectionClosed, match="refuses with code 501"):
        await nano.client.connect(server.url)


async def test_a_kick_during_the_greeting_is_a_refusal(server: Server) -> None:
    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greeting()
        await peer.write(HEARTBEAT_PACKET + peer.core.kick("full"))

    with pytest.raises(ConnectionClosed, match=r"^full$"):
        await nano.client.connect(server.url)


async def test_what_comes_right_behind_the_answer_counts(server: Server) -> None:
    answered = asyncio.Event()

    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greeting()
        accepted = encode_packet(PacketType.HANDSHAKE, b'{"code":200}')
        await peer.write(accepted + HEARTBEAT_PACKET)
        while HEARTBEAT_PACKET not in peer.heard:
            assert await peer.receive()
        answered.set()
        await peer.receive()

    async with await nano.client.connect(server.url):
        async with asyncio.timeout(PATIENCE):
            await answered.wait()


async def test_an_end_during_the_greeting_is_told(server: Server) -> None:
    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greeting()

    with pytest.raises(ConnectionClosed, match="closed during the handshake"):
        await nano.client.connect(server.url)


async def test_a_server_that_speaks_something_else_is_told(server: Server) -> None:
    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greeting()
        await peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with pytest.raises(ConnectionClosed, match="broke the protocol"):
        await nano.client.connect(server.url)


async def test_a_server_that_says_nothing_times_out(server: Server) -> None:
    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greeting()
        await peer.receive()

    with pytest.raises(TimeoutError):
        await nano.client.connect(server.url, timeout=0.05)


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
async def test_nobody_there_is_told_with_the_address(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"{scheme}://127.0.0.1:{port}"
    with pytest.raises(ConnectionClosed, match=f"cannot connect to {url}"):
        await nano.client.connect(url)


async def test_a_web_server_is_not_a_nano_server() -> None:
    async def refuse(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    web = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = web.sockets[0].getsockname()[1]
    with pytest.raises(ConnectionClosed, match="HTTP 404"):
        await nano.client.connect(f"ws://127.0.0.1:{port}/")
    web.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "here:3250",
        "http://here:3250/",
        "tcp://here",
        "tcp://:3250",
        "tcp://here:99999",
        "tcp://here:port",
        "ws://",
        "ws://here:99999/",
        "ws://[::1/",
    ],
)
async def test_a_url_of_another_form_is_the_users_error(url: str) -> None:
    with pytest.raises(UsageError, match="tcp://host:port"):
        await nano.client.connect(url)


async def test_debug_logs_hold_no_surprises(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.behave(stay)
    with caplog.at_level(logging.WARNING):
        async with await nano.client.connect(server.url):
            pass
    assert caplog.messages == []
