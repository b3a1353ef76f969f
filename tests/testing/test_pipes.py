"""Connections in memory behave as those of a socket, where that matters."""

from __future__ import annotations

import asyncio

import pytest

from nano.client.streams import SocketStream
from nano.errors import ConnectionClosed
from nano.protocol.packets import HEARTBEAT_PACKET, PacketType, encode_packet
from nano.testing import Line
from nano.testing.pipes import ROOM, PipeTransport, connect

PATIENCE = 5.0
PACKETS = [encode_packet(PacketType.DATA, bytes([number])) for number in range(4)]


class Recorder(asyncio.Protocol):
    """The accepting end; it notes what happens to it."""

    transport: PipeTransport

    def __init__(self, *, half_open: bool = False) -> None:
        self.heard: list[bytes] = []
        self.notes: list[str] = []
        self.over = asyncio.Event()
        self._half_open = half_open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, PipeTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard.append(data)

    def eof_received(self) -> bool:
        self.notes.append("eof")
        return self._half_open

    def pause_writing(self) -> None:
        self.notes.append("pause")

    def resume_writing(self) -> None:
        self.notes.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.notes.append(f"lost {type(exc).__name__}")
        self.over.set()


def pair(
    line: Line | None = None, *, half_open: bool = False
) -> tuple[Recorder, SocketStream]:
    recorder = Recorder(half_open=half_open)
    return recorder, connect(recorder, line or Line(), ("10.1.1.1", 4711))


def end_of(stream: SocketStream) -> PipeTransport:
    transport = stream._writer.transport
    assert isinstance(transport, PipeTransport)
    return transport


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_bytes_arrive_later_in_order_and_together() -> None:
    recorder, stream = pair()
    stream._writer.write(b"one ")
    stream._writer.write(b"two")
    assert recorder.heard == []
    await turns()
    assert recorder.heard == [b"one two"]
    recorder.transport.write(b"three ")
    recorder.transport.writelines([b"fo", b"ur"])
    assert await stream.read() == b"three four"
    assert recorder.transport.get_extra_info("peername") == ("10.1.1.1", 4711)
    assert recorder.transport.get_extra_info("socket") is None
    await stream.close()


async def test_who_does_not_read_gets_nothing_and_the_writer_is_told() -> None:
    recorder, stream = pair()
    far = recorder.transport
    far.set_write_buffer_limits(high=1000, low=100)
    assert far.get_write_buffer_limits() == (100, 1000)
    near = end_of(stream)
    near.pause_reading()
    assert not near.is_reading()
    far.write(b"x" * ROOM)
    assert (far.get_write_buffer_size(), recorder.notes) == (0, [])
    far.write(b"x" * 1000)
    assert (far.get_write_buffer_size(), recorder.notes) == (1000, [])
    far.write(b"x")
    assert recorder.notes == ["pause"]
    near.resume_reading()
    assert near.is_reading()
    await turns()
    assert recorder.notes == ["pause", "resume"]
    assert far.get_write_buffer_size() == 0
    await stream.close()


async def test_a_reader_that_is_full_pauses_by_itself() -> None:
    recorder, stream = pair()
    for _ in range(20):
        recorder.transport.write(b"x" * 50_000)
        await turns()
    assert recorder.notes == ["pause"]
    heard = 0
    async with asyncio.timeout(PATIENCE):
        while heard < 1_000_000:
            heard += len(await stream.read())
    assert recorder.notes == ["pause", "resume"]
    await stream.close()


async def test_a_stream_that_is_closed_ends_both_sides() -> None:
    recorder, stream = pair()
    await stream.write(b"last")
    await stream.close()
    async with asyncio.timeout(PATIENCE):
        await recorder.over.wait()
    assert recorder.heard == [b"last"]
    assert recorder.notes == ["eof", "lost NoneType"]
    recorder.transport.write(b"nobody reads this")
    recorder.transport.close()
    recorder.transport.abort()
    await turns()


async def test_half_an_end_leaves_the_other_half() -> None:
    recorder, stream = pair(half_open=True)
    recorder.transport.write(b"bye")
    recorder.transport.write_eof()
    recorder.transport.write_eof()
    with pytest.raises(RuntimeError, match="after write_eof"):
        recorder.transport.write(b"more")
    assert await stream.read() == b"bye"
    stream._writer.write(b"still here")
    await turns()
    assert recorder.heard == [b"still here"]
    assert await stream.read() == b""
    await recorder_closes(recorder, stream)


async def recorder_closes(recorder: Recorder, stream: SocketStream) -> None:
    recorder.transport.close()
    await stream.close()
    async with asyncio.timeout(PATIENCE):
        await recorder.over.wait()


async def test_an_abort_loses_what_waits_and_keeps_what_is_on_its_way() -> None:
    for size, arrives in ((1000, 1000), (ROOM + 1, 0)):
        recorder, stream = pair()
        recorder.transport.write(b"x" * size)
        recorder.transport.abort()
        assert recorder.transport.is_closing()
        heard = b""
        while data := await stream.read():
            heard += data
        assert len(heard) == arrives
        assert recorder.notes == ["lost NoneType"]
        await stream.close()


async def test_a_close_waits_for_what_is_written() -> None:
    recorder, stream = pair()
    near = end_of(stream)
    near.pause_reading()
    recorder.transport.write(b"x" * (ROOM + 100_000))
    recorder.transport.close()
    await turns()
    assert recorder.notes == ["pause"]
    near.resume_reading()
    await turns()
    assert recorder.notes == ["pause", "resume", "lost NoneType"]
    await stream.close()


async def test_a_reset_is_noticed_on_both_sides() -> None:
    line = Line()
    recorder, stream = pair(line)
    await stream.write(b"lost")
    line.cut()
    assert await stream.read() == b""
    with pytest.raises(ConnectionClosed):
        await stream.write(b"x")
    await stream.close()
    assert recorder.heard == []
    assert recorder.notes == ["lost ConnectionResetError"]
    line.cut()  # nothing is left of it there
    assert line.up._pumps == line.down._pumps == line._cuts == []


async def test_a_writer_whose_reader_has_gone_learns_it() -> None:
    recorder, stream = pair(half_open=True)
    end_of(stream).pause_reading()
    recorder.transport.write(b"x" * (ROOM + 100_000))
    assert recorder.notes == ["pause"]
    end_of(stream).abort()
    async with asyncio.timeout(PATIENCE):
        await recorder.over.wait()
    assert recorder.notes[-1] == "lost BrokenPipeError"
    await stream.close()


@pytest.mark.parametrize(
    ("written", "arrives"),
    [
        (b"".join(PACKETS), b"".join(PACKETS[1:])),
        (PACKETS[0], b""),
        (HEARTBEAT_PACKET * 2, HEARTBEAT_PACKET),
        (PACKETS[0] + b"\x04\x00", b""),  # no packets: one thing
        (b"GET / HTTP/1.1\r\n\r\n", b""),
        (PACKETS[0][:3], b""),
    ],
)
async def test_what_is_lost_is_a_packet_or_what_is_none_at_all(
    written: bytes, arrives: bytes
) -> None:
    line = Line()
    recorder, stream = pair(line)
    line.up.drop()
    await stream.write(written)
    await turns()
    assert b"".join(recorder.heard) == arrives
    await stream.write(b"end")
    await turns()
    assert recorder.heard[-1].endswith(b"end")
    await stream.close()
