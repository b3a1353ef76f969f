"""How a client's connection begins and ends, and what the program is told."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl

import pytest

import nano.client
from nano.errors import (
    ConnectionClosed,
    UsageError,
)
from nano.protocol.packets import HEARTBEAT_PACKET, PacketType, encode_packet

from .server import PATIENCE, Peer, Server, stay

pytestmark = pytest.mark.process

GONE = "the server closed the connection"


async def reason_of(client: nano.client.Client) -> str:
    async with asyncio.timeout(PATIENCE):
        return await client.wait_closed()


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


async def test_the_close_code_is_the_sockets_where_it_has_one(server: Server) -> None:
    server.behave(kick)
    async with await nano.client.connect(server.url) as client:
        await reason_of(client)
        assert client.close_code == (1000 if server.scheme == "ws" else 1006)
        assert client.kick == nano.client.Kicked("too loud")


async def test_a_server_that_falls_silent_is_given_up(server: Server) -> None:
    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greet(heartbeat=0.05)
        while await peer.receive():
            pass

    async with await nano.client.connect(server.url) as client:
        reason = "heartbeat timeout: the server was silent for 0.1 s"
        assert await reason_of(client) == reason
        assert client.close_code == 4008


async def test_a_kick_that_no_close_follows_is_the_end_all_the_same(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nano.client.connection.CLOSING_TIME", 0.05)

    @server.behave
    async def _(peer: Peer) -> None:
        await let_in(peer)
        await peer.write(peer.core.kick("too loud"))
        while await peer.receive():
            pass

    async with await nano.client.connect(server.url) as client:
        assert await reason_of(client) == "too loud"


async def test_a_client_comes_back_to_the_same_server(server: Server) -> None:
    @server.behave
    async def _(peer: Peer) -> None:
        await peer.greet()
        message = await peer.message()
        if message.route == "Room.answer":
            await peer.answer(message.id, b"42")
            await peer.receive()

    backoff = nano.client.Backoff(base=0.01)
    async with await nano.client.connect(server.url, reconnect=backoff) as client:
        with pytest.raises(ConnectionClosed):
            await client.request("Room.leave")
        assert client.state is nano.client.State.WAITING
        assert await client.request("Room.answer") == 42


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


async def test_closing_does_not_wait_for_pushes_that_nobody_takes(
    server: Server,
) -> None:
    begun = asyncio.Event()

    @server.behave
    async def _(peer: Peer) -> None:
        await let_in(peer)
        begun.set()
        for _ in range(2000):
            await peer.push("onNoise", b"1")
        await peer.receive()

    client = await nano.client.connect(server.url)
    async with asyncio.timeout(PATIENCE):
        await begun.wait()
    async with asyncio.timeout(5):  # the library gives up after ten
        await client.close()
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert "closing" not in names


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
        "tls://here",
        "unix://here/nano.sock",
        "unix://",
    ],
)
async def test_a_url_of_another_form_is_the_users_error(url: str) -> None:
    with pytest.raises(UsageError, match="tcp://host:port"):
        await nano.client.connect(url)


async def test_what_does_not_go_with_a_url_is_the_users_error() -> None:
    context = ssl.create_default_context()
    with pytest.raises(UsageError, match="tcp:// speaks no TLS; use tls:// or wss://"):
        await nano.client.connect("tcp://here:3250", ssl=context)
    with pytest.raises(UsageError, match="exclude each other"):
        await nano.client.connect("tls://here:3250", ssl=context, ca="ca.pem")
    with pytest.raises(UsageError, match=r"ca='nowhere\.pem' cannot be used: No such"):
        await nano.client.connect("tls://here:3250", ca="nowhere.pem")


async def test_debug_logs_hold_no_surprises(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.behave(stay)
    with caplog.at_level(logging.WARNING):
        async with await nano.client.connect(server.url):
            pass
    assert caplog.messages == []
