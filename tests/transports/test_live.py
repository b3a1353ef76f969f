"""Conversations that were recorded with a live Go nano, held with our listeners.

Every byte that nano sent must come from us too, but where nano is wrong: the tables
below say where, and what comes instead.  Time is that of the transcript.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection as WebSocket
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from nano.protocol.dictionary import RouteDictionary
from nano.transports.context import Terms
from nano.transports.listener import Listener

from .protobuf_room import ProtobufRoom
from .room import PATIENCE, Hall, until

pytestmark = pytest.mark.process


class Step(msgspec.Struct):
    """One thing that happened: bytes either way, or what the server did."""

    t_ms: int
    dir: str
    note: str = ""
    bytes_hex: str | None = None

    @property
    def data(self) -> bytes:
        return bytes.fromhex(self.bytes_hex or "")


class Talk(msgspec.Struct):
    description: str
    transcript: list[Step]


VECTORS = Path(__file__).parents[1] / "vectors" / "nano.json"
LIVE: dict[str, Any] = msgspec.json.decode(VECTORS.read_bytes())["live"]
TCP = [
    msgspec.convert(LIVE[name], Talk)
    for name in (
        "handshake_hs30",
        "handshake_hs025",
        "tcp_json",
        "tcp_json_dict",
        "tcp_protobuf",
    )
] + msgspec.convert(LIVE["tcp_negative"], list[Talk])
WEBSOCKET = [
    msgspec.convert(LIVE[name], Talk) for name in ("ws_json", "ws_stream", "ws_text")
]
ELSEWHERE = {
    "ws_http": "no conversations; see the last tests here",
}

KICK: Final = rb"\x05.{3}\{\"reason\":\"%s\"(,\"reconnect\":true)?\}"
FAILED: Final = rb"\x04.{3}\x24\x07\{\"code\":\"NANO-%d\".*\}"

# description: the step that is different, what comes from us, why
DIFFERENT: dict[str, tuple[int, bytes, str]] = {
    "ack without a handshake is enough: the request is served": (
        1,
        KICK % b"handshake-ack while greeting",
        "nobody walks around a validator",
    ),
    "handshake refused by the validator: closed without a response": (
        1,
        rb"\x01.{3}\{\"code\":200,.*\}",
        "our listeners have no validator yet",
    ),
    "route without a dot: NO answer": (4, FAILED % 404, "every request is answered"),
    "handler returns an error: NO answer": (
        4,
        FAILED % 403,
        "every request is answered",
    ),
    "handler panics: recovered, NO answer": (
        4,
        FAILED % 500,
        "every request is answered",
    ),
}
# Besides: where nano closes without a word, ours sends a kick with the reason first,
# and on WebSocket a close frame; "kept for ever" lasts until the handshake's deadline.


def test_every_conversation_is_held_or_listed() -> None:
    held = {"handshake_hs30", "handshake_hs025", "tcp_json", "tcp_negative"}
    held |= {"tcp_json_dict", "tcp_protobuf", "ws_json", "ws_stream", "ws_text"}
    assert held | set(ELSEWHERE) == set(LIVE)
    assert len(TCP) == 29
    assert set(DIFFERENT) <= {talk.description for talk in TCP}


class Stage:
    """A listener of ours, and the clock of a transcript."""

    def __init__(self, talk: Talk) -> None:
        everything = b"".join(step.data for step in talk.transcript)
        interval = re.search(rb'"heartbeat":([\d.]+)', everything)
        heartbeat = float(interval[1]) if interval else 1.0
        if "protobuf" in talk.description:
            self.hall = Hall(
                heartbeat=heartbeat, component=ProtobufRoom(), serializer="protobuf"
            )
        else:
            self.hall = Hall(heartbeat=heartbeat)
        moment = re.search(rb'"servertime":(\d+)', everything)
        if moment:
            self.hall.wall = float(moment[1]) + 0.5
        codes = re.search(rb'"dict":({[^}]*})', everything)
        dictionary = msgspec.json.decode(codes[1]) if codes else None
        self._terms = Terms(dictionary=RouteDictionary(dictionary))
        self._begin = self.hall.now

    async def open(self, transport: str) -> Listener:
        self.listener = await self.hall.listener(transport, self._terms)
        return self.listener

    def at(self, step: Step) -> None:
        """Move the clock to *step*, and by what the wheel may be late."""
        lacking = self._begin + step.t_ms / 1000 + 0.021 - self.hall.now
        if lacking > 0 and step.t_ms:
            self.hall.pass_time(lacking)

    async def heard(self) -> None:
        """Wait until the server has read what the client sent."""
        guests = self.listener._door.open
        await until(lambda: all(guest.heard for guest in guests))  # type: ignore[attr-defined]

    async def close(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.listener.stop()
        assert self.hall.is_empty()


async def read_packet(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE):
        header = await reader.readexactly(4)
        return header + await reader.readexactly(int.from_bytes(header[1:]))


async def is_quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Show that nothing is under way: the next thing to come is this answer."""
    writer.write(bytes.fromhex("0400000f00630a") + b"Room.Hello{}")
    assert await read_packet(reader) == b'\x04\0\0\x19\x04\x63{"name":"hello ","n":1}'


async def hold(
    talk: Talk,
    stage: Stage,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    different = DIFFERENT.get(talk.description)
    for index, step in enumerate(talk.transcript):
        stage.at(step)
        if different and different[0] == index:
            packet = await read_packet(reader)
            assert re.fullmatch(different[1], packet, re.DOTALL), packet
            if packet[0] == 5:
                return
        elif step.dir == "client->server":
            writer.write(step.data)
            await stage.heard()
        elif step.dir == "server->client":
            async with asyncio.timeout(PATIENCE):
                received = await reader.readexactly(len(step.data))
            assert received == step.data
        elif "connection closed" in step.note:
            packet = await read_packet(reader)
            assert re.fullmatch(KICK % b".+", packet, re.DOTALL)
            assert await reader.read() == b""
            return
        elif step is talk.transcript[-1]:
            await is_quiet(reader, writer)


@pytest.mark.parametrize("talk", TCP, ids=lambda talk: talk.description[:60])
async def test_a_tcp_client_hears_what_nano_said(talk: Talk) -> None:
    stage = Stage(talk)
    host, _, port = (await stage.open("tcp")).address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await until(lambda: len(stage.listener._door.open) == 1)
    try:
        await hold(talk, stage, reader, writer)
    finally:
        writer.close()
        await stage.close()


async def hold_by_websocket(talk: Talk, stage: Stage, client: WebSocket) -> None:
    text = "TEXT" in talk.description
    for step in talk.transcript:
        stage.at(step)
        if step.dir == "client->server":
            await client.send(step.data.decode() if text else step.data)
            await stage.heard()
        elif step.dir == "server->client":
            async with asyncio.timeout(PATIENCE):
                assert await client.recv() == step.data
        else:
            kick = await client.recv()
            assert isinstance(kick, bytes)
            assert re.fullmatch(KICK % b".+", kick, re.DOTALL)
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1000  # nano: 1006, no close frame at all


@pytest.mark.parametrize("talk", WEBSOCKET, ids=lambda talk: talk.description[:60])
async def test_a_websocket_client_hears_what_nano_said(talk: Talk) -> None:
    stage = Stage(talk)
    url = f"ws://{(await stage.open('websocket')).address}/nano"
    try:
        async with connect_websocket(
            url, compression=None, ping_interval=None, proxy=None
        ) as client:
            await hold_by_websocket(talk, stage, client)
    finally:
        await stage.close()


# nano's entries in ws_http: what of the listener's terms leads to the same
UPGRADES = {
    "wrong path": Terms(path="/nano"),
    "refused origin (CheckOrigin returns false)": Terms(
        origins=frozenset({"https://here"})
    ),
    "client offers subprotocols pomelo, nano: none is selected": Terms(),
}


@pytest.mark.parametrize("entry", LIVE["ws_http"], ids=lambda it: it["description"])
async def test_an_upgrade_is_answered_as_by_nano(entry: dict[str, Any]) -> None:
    listener = await Hall().listener("websocket", UPGRADES[entry["description"]])
    answered = 101
    try:
        async with connect_websocket(
            f"ws://{listener.address}/any/path?at=all",
            origin="http://elsewhere",  # type: ignore[arg-type]
            subprotocols=[Subprotocol("pomelo"), Subprotocol("nano")],
            proxy=None,
        ):
            pass
    except InvalidStatus as error:
        answered = error.response.status_code
    assert answered == entry["status"]
    await listener.stop()


async def test_any_path_and_origin_may_upgrade_and_no_subprotocol_is_selected() -> None:
    hall = Hall()
    listener = await hall.listener("websocket")
    async with connect_websocket(
        f"ws://{listener.address}/any/path?at=all",
        origin="http://elsewhere",  # type: ignore[arg-type]
        subprotocols=[Subprotocol("pomelo"), Subprotocol("nano")],
        proxy=None,
    ) as client:
        assert client.subprotocol is None
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers
    await listener.stop()
