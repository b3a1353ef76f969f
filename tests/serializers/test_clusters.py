"""Whole clusters whose payloads are not JSON: client, gate, link and backend."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

import pytest
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue

import nano.client
from nano.errors import PayloadError, RequestError, UsageError
from nano.node import Node, NodeOptions, Role
from nano.protocol.messages import REQUEST, encode_message
from nano.protocol.messages import Message as Wired
from nano.protocol.packets import PacketReader, PacketType, encode_packet
from nano.serializers import SerializerName
from nano.testing import LocalCluster
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
)

pytestmark = pytest.mark.process

APP: Final = str(Path(__file__).parent / "app")
PATIENCE: Final = 10.0


def manifest(serializer: SerializerName, component: str) -> NanoCluster:
    """Return a cluster of one gate and one backend."""
    return NanoCluster(
        metadata=Metadata(name="strings"),
        spec=Spec(
            settings=Settings(serializer=serializer),
            gates=Gates(
                replicas=1,
                listeners=[
                    Listener(name="tcp", transport="tcp", port=3251),
                    Listener(name="ws", transport="websocket", port=3250),
                ],
            ),
            backends=[Backend(name="words", components=[f"stringapp:{component}"])],
        ),
    )


def count(node: Node, sample: str) -> float:
    """Return a sample of *node*'s metrics; 0 if there is none."""
    found = re.search(rf"^{re.escape(sample)} (\S+)$", node.metrics().decode(), re.M)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("listener", ["tcp", "ws"])
async def test_messages_of_protobuf_go_through_gate_and_backend(listener: str) -> None:
    async with (
        LocalCluster(manifest("protobuf", "Words"), app_dir=APP) as cluster,
        await nano.client.connect(
            cluster.url(listener), serializer="protobuf"
        ) as client,
    ):
        pushed: asyncio.Queue[Message] = asyncio.Queue()
        client.on("onLater", pushed.put_nowait, wanted=StringValue)
        said = StringValue(value="héllo")
        answer = await client.request("Words.upper", said, wanted=StringValue)
        assert answer == StringValue(value="HÉLLO")
        assert await client.request("Words.later", said) == b"\x0a\x06h\xc3\xa9llo"
        async with asyncio.timeout(PATIENCE):
            assert await pushed.get() == said
        empty = await client.request("Words.upper", b"", wanted=StringValue)
        assert empty == StringValue()


async def test_errors_under_protobuf_reach_the_client_from_wherever_they_are() -> None:
    async with (
        LocalCluster(manifest("protobuf", "Words"), app_dir=APP) as cluster,
        await nano.client.connect(cluster.url("ws"), serializer="protobuf") as client,
    ):
        for route, payload, status, text in (
            ("Words.refuse", StringValue(value="you"), 403, "not you"),
            ("Words.upper", b"\xff", 400, r"google\.protobuf\.StringValue"),
            ("Words.wrong", StringValue(), 500, "failed"),
            ("Nobody.here", StringValue(), 404, "nobody serves"),
        ):
            with pytest.raises(RequestError, match=text) as caught:
                await client.request(route, payload)
            assert caught.value.status == status
        with pytest.raises(PayloadError, match=r"google\.protobuf\.StringValue"):
            await client.request("Words.garble", b"", wanted=StringValue)
        with pytest.raises(TypeError, match="message or bytes, got dict"):
            await client.request("Words.upper", {"value": "no"})
        with pytest.raises(TypeError, match="declare the class of a message"):
            await client.request("Words.upper", b"", wanted=dict)


class OldClient:
    """A client that has never heard of errors, as nano's own."""

    def __init__(self, url: str) -> None:
        self._host, _, port = url.removeprefix("tcp://").rpartition(":")
        self._port = int(port)
        self._packets = PacketReader((1 << 24) - 1)

    async def greet(self) -> None:
        streams = await asyncio.open_connection(self._host, self._port)
        self._reader, self.writer = streams
        self.writer.write(encode_packet(PacketType.HANDSHAKE, b"{}"))
        await self.packet(PacketType.HANDSHAKE)
        self.writer.write(encode_packet(PacketType.HANDSHAKE_ACK))

    def ask(self, number: int, route: str, payload: bytes) -> None:
        self.writer.write(encode_message(Wired(REQUEST, number, route, payload)))

    async def packet(self, kind: PacketType) -> bytes:
        """Return the body of the next packet, which has to be of *kind*."""
        while True:
            data = await self._reader.read(65536)
            assert data, "the server has closed the connection"
            for packet in self._packets.receive(data):
                assert packet.type is kind
                return packet.body


async def test_an_old_client_under_protobuf_gets_answers_and_no_errors() -> None:
    said = StringValue(value="ann").SerializeToString()
    async with LocalCluster(manifest("protobuf", "Words"), app_dir=APP) as cluster:
        client = OldClient(cluster.url("tcp"))
        async with asyncio.timeout(PATIENCE):
            await client.greet()
            client.ask(1, "Words.refuse", said)
            client.ask(2, "Words.upper", said)
            assert await client.packet(PacketType.DATA) == b"\x04\x02\x0a\x03ANN"
        (gate,), (backend,) = cluster.gates, cluster.backends["words"]
        of = 'namespace="default",nanocluster="strings"'
        silent = 'reason="errors-not-announced",stage="answer"'
        assert count(gate, f"nano_dropped_total{{{of},{silent}}}") == 1
        assert count(backend, f'nano_failures_total{{{of},status="403"}}') == 1
        client.writer.close()
        await client.writer.wait_closed()


async def test_an_emoji_of_nanos_browser_client_comes_back_as_it_can_read_it() -> None:
    async with LocalCluster(manifest("json", "Plain"), app_dir=APP) as cluster:
        client = OldClient(cluster.url("tcp"))
        async with asyncio.timeout(PATIENCE):
            await client.greet()
            client.ask(1, "Plain.echo", b'{"text":"\xed\xa0\xbd\xed\xb8\x80"}')
            answer = await client.packet(PacketType.DATA)
            assert answer == b"\x04\x01" + rb'{"text":"\ud83d\ude00"}'
        client.writer.close()
        await client.writer.wait_closed()


async def test_raw_bytes_go_through_gate_and_backend() -> None:
    async with (
        LocalCluster(manifest("raw", "Octets"), app_dir=APP) as cluster,
        await nano.client.connect(cluster.url("ws"), serializer="raw") as client,
    ):
        assert await client.request("Octets.reverse", b"\x00\xff{") == b"{\xff\x00"
        with pytest.raises(RequestError, match="not you") as caught:
            await client.request("Octets.refuse", b"")
        assert caught.value.status == 403


# ------------------------------------------------------------------ at the start


@pytest.mark.parametrize(
    ("serializer", "component", "complaint"),
    [
        ("protobuf", "Plain", r"Plain\.echo: .* Said; declare the class of a message"),
        ("raw", "Plain", r"Plain\.echo: .* a Said; declare bytes"),
        ("raw", "Words", r"Words\.\w+: .* a StringValue; declare bytes"),
        ("json", "Words", r"Words\.\w+: .* a StringValue; declare a Struct"),
    ],
)
async def test_a_handler_that_the_serializer_cannot_serve_is_refused_by_name(
    serializer: SerializerName, component: str, complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        Node(
            NodeOptions(
                role=Role.BACKEND,
                backend="words",
                manifest=manifest(serializer, component),
                address="127.0.0.1:0",
                master="127.0.0.1:1",
                app_dir=APP,
            )
        )
