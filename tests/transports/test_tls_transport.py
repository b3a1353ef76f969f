"""The transport below TLS listeners, between a socket pair."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
import trustme

from nano.transports.tls import MOST_UNREAD, RECORD, TlsTransport

from .room import HIGH_WATER, PATIENCE, turns, until

pytestmark = pytest.mark.process

AUTHORITY = trustme.CA()
SMALL = 8 * 1024  # bytes that a socket may hold: much has to wait


@pytest.fixture(scope="module")
def server() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def context(request: pytest.FixtureRequest) -> ssl.SSLContext:
    """What a client believes, in each version that is spoken."""
    made = ssl.create_default_context()
    made.maximum_version = ssl.TLSVersion[request.param]
    AUTHORITY.configure_trust(made)
    return made


class Owner(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.told: list[str] = []
        self.lost: list[Exception | None] = []
        self.stays = False
        self.fails: Exception | None = None
        self.heard: Callable[[], None] = lambda: None

    def data_received(self, data: bytes) -> None:
        if self.fails is not None:
            raise self.fails
        self.got += data
        self.heard()

    def has(self, size: int) -> bool:
        return len(self.got) == size

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self.stays

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Client:
    """The other end, in steps that the test takes."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_hostname="localhost"
        )

    async def send(self, data: bytes) -> None:
        """Send *data* by TLS, and what TLS itself has to say."""
        if data:
            self.tls.write(data)
        await self.send_raw(self.outgoing.read())

    async def send_raw(self, data: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def hear_raw(self, size: int) -> bytes:
        """Return the next *size* bytes as they lie in the stream."""
        got = b""
        async with asyncio.timeout(PATIENCE):
            while len(got) < size:
                left = size - len(got)
                got += await asyncio.get_running_loop().sock_recv(self.sock, left)
        return got

    async def hear(self) -> bool:
        """Take what one read of the socket brings; false at its end."""
        async with asyncio.timeout(PATIENCE):
            data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        self.incoming.write(data)
        return bool(data)

    async def shake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self.send(b"")
                assert await self.hear(), "the server has hung up"
        await self.send(b"")

    async def read(self, size: int) -> bytes:
        """Return the next *size* bytes, or fewer at the end of TLS."""
        got = bytearray()
        while len(got) < size:
            try:
                more = self.tls.read(size - len(got))
            except ssl.SSLWantReadError:
                assert await self.hear(), "the stream ended before TLS did"
                continue
            except ssl.SSLZeroReturnError:
                break
            if not more:
                break
            got += more
        return bytes(got)

    async def end(self) -> None:
        """Say by TLS that nothing more comes, and end the stream."""
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        with contextlib.suppress(OSError):
            await self.send_raw(self.outgoing.read())
            self.sock.shutdown(socket.SHUT_WR)


class Line:
    def __init__(
        self,
        ours: socket.socket,
        transport: asyncio.Transport,
        server: ssl.SSLContext,
        client: Client,
    ) -> None:
        self.ours = ours
        self.below = transport
        self.owner = Owner()
        self.agreed = 0
        self.client = client
        self.transport = TlsTransport(transport, server, self.owner, self._agree)

    def _agree(self) -> None:
        self.agreed += 1

    def fill(self) -> int:
        """Have the socket take no more; return how many bytes of noise it holds."""
        held = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                held += self.ours.send(bytes(1000))
        return held

    async def lost(self) -> Exception | None:
        """Wait for the end; return what the owner was told of it."""
        await until(lambda: bool(self.owner.lost))
        (error,) = self.owner.lost
        return error


@contextlib.asynccontextmanager
async def line(
    server: ssl.SSLContext, context: ssl.SSLContext, *, shaken: bool = True
) -> AsyncIterator[Line]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
        asyncio.Protocol, ours
    )
    made = Line(ours, transport, server, Client(theirs, context))
    try:
        if shaken:
            await made.client.shake()
            await until(lambda: made.agreed == 1)
        yield made
    finally:
        made.transport.abort()
        await made.lost()
        assert made.transport.is_closing()
        made.client.sock.close()


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def reports() -> list[dict[str, Any]]:
    """Return what the loop is told from now on of exceptions that nobody takes."""
    seen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: seen.append(told))
    return seen


async def test_both_directions_carry_what_they_are_given(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context) as here:
        here.transport.write(b"hello")
        here.transport.write(b"")
        assert await here.client.read(5) == b"hello"
        for size in (1, RECORD - 1, RECORD, RECORD + 1, 100_000):
            data = noise(size)
            here.owner.got.clear()
            sending = asyncio.create_task(here.client.send(data))
            await until(partial(here.owner.has, size))
            await sending
            assert bytes(here.owner.got) == data
        assert here.transport.get_extra_info("ssl_object").version() in (
            "TLSv1.2",
            "TLSv1.3",
        )


async def test_records_may_be_cut_anywhere(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    chance = random.Random(context.maximum_version)
    async with line(server, context) as here:
        wanted = b""
        for _ in range(60):
            for _ in range(chance.choice((1, 1, 1, 2, 5))):
                record = noise(chance.choice((1, 3, 40, 400, 2000, RECORD)))
                here.client.tls.write(record)
                wanted += record
            raw = here.client.outgoing.read()
            while raw:
                cut = chance.choice((1, 4, 5, 6, 30, 500, RECORD, len(raw)))
                await here.client.send_raw(raw[:cut])
                raw = raw[cut:]
                await turns(chance.randrange(3))
            await until(partial(here.owner.has, len(wanted)))
            assert bytes(here.owner.got) == wanted


async def test_what_a_full_socket_does_not_take_comes_later_whole_and_in_order(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context) as here:
        sizes = [1, 100, RECORD, RECORD + 1, 3 * RECORD, 50_000, 7]
        data = [noise(size) for size in itertools.chain(sizes, reversed(sizes))]
        for each in data:
            here.transport.write(each)
        assert here.owner.told == ["pause"]
        assert here.transport.get_write_buffer_size() > HIGH_WATER
        wanted = b"".join(data)
        assert await here.client.read(len(wanted)) == wanted
        await until(lambda: here.owner.told == ["pause", "resume"])
        assert here.transport.get_write_buffer_size() <= HIGH_WATER // 4
        here.transport.write(b"!")
        assert await here.client.read(1) == b"!"
        assert here.transport.get_write_buffer_size() == 0


async def test_nothing_is_read_during_a_pause(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context) as here:
        assert here.transport.is_reading()
        here.transport.pause_reading()
        here.transport.pause_reading()
        assert not here.transport.is_reading()
        await here.client.send(b"later")
        here.transport.write(b"sooner")
        assert await here.client.read(6) == b"sooner"
        assert not here.owner.got
        here.transport.resume_reading()
        here.transport.resume_reading()
        await until(lambda: here.owner.got == b"later")


async def test_a_pause_holds_what_came_in_the_same_read(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context) as here:
        records = [noise(size) for size in (700, 1, 5000, 900, 16)]
        here.owner.heard = here.transport.pause_reading
        for each in records:
            here.client.tls.write(each)
        await here.client.send(b"")
        for number in range(1, len(records) + 1):
            wanted = b"".join(records[:number])
            await until(partial(here.owner.has, len(wanted)))
            await turns()
            assert bytes(here.owner.got) == wanted
            here.transport.resume_reading()
            here.transport.pause_reading()  # counts as well
            here.transport.resume_reading()
        await here.client.send(b"what the socket has comes behind it")
        await until(lambda: here.owner.got.endswith(b"behind it"))


async def test_what_is_left_of_a_pause_is_dropped_behind_a_goodbye(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context) as here:
        here.owner.heard = here.transport.pause_reading
        here.client.tls.write(b"first")
        await here.client.send(b"second")
        await until(lambda: here.owner.got == b"first")
        here.transport.resume_reading()
        here.transport.write_eof()
        assert await here.client.read(1) == b""
        await here.client.end()
        assert await here.lost() is None
        assert here.owner.got == b"first"


async def test_a_protocol_that_fails_behind_a_pause_is_reported_too(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    seen = reports()
    async with line(server, context) as here:
        here.owner.heard = here.transport.pause_reading
        here.client.tls.write(b"first")
        await here.client.send(b"second")
        await until(lambda: here.owner.got == b"first")
        here.owner.fails = ValueError("not today")
        here.transport.resume_reading()
        assert await here.lost() is here.owner.fails
    (told,) = seen
    assert told["exception"] is here.owner.fails


async def test_the_end_of_one_direction_leaves_the_other_open(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context) as here:
        last = noise(10 * RECORD)
        here.transport.write(last)
        here.transport.write_eof()
        here.transport.write(b"too late")
        await here.client.send(b"x" * 1000)
        assert await here.client.read(len(last) + 1) == last
        await here.client.send_raw(b"not even TLS, and nobody minds")
        assert not here.owner.lost
        await here.client.end()
        assert await here.lost() is None


async def test_a_close_comes_behind_all_that_waits(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context) as here:
        last = noise(10 * RECORD)
        here.transport.write(last)
        here.transport.close()
        here.transport.close()
        assert here.transport.is_closing()
        here.transport.write(b"too late")
        assert await here.client.read(len(last) + 1) == last
        assert await here.lost() is None


async def test_a_close_behind_the_end_of_one_direction_waits_for_nobody(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context) as here:
        here.transport.write_eof()
        here.transport.close()
        assert await here.client.read(1) == b""
        assert await here.lost() is None


async def test_a_client_that_ends_its_direction_is_sent_the_rest(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context) as here:
        last = noise(10 * RECORD)
        here.transport.write(last)
        await here.client.end()
        await until(lambda: "eof" in here.owner.told)
        assert not here.owner.lost
        here.client.sock.close()
        assert isinstance(await here.lost(), OSError)


async def test_a_protocol_may_keep_its_direction_open(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context) as here:
        here.owner.stays = True
        await here.client.end()
        await until(lambda: here.owner.told == ["eof"])
        here.transport.write(b"all the same")
        assert await here.client.read(12) == b"all the same"
        here.transport.close()
        assert await here.lost() is None


@pytest.mark.parametrize("way", ["write_eof", "close"])
async def test_a_goodbye_that_does_not_fit_is_said_as_soon_as_it_does(
    server: ssl.SSLContext, context: ssl.SSLContext, way: str
) -> None:
    async with line(server, context) as here:
        here.transport.write(b"!")
        assert await here.client.read(1) == b"!"  # and all that TLS has to say
        held = here.fill()
        getattr(here.transport, way)()
        await asyncio.sleep(0)
        assert await here.client.hear_raw(held) == bytes(held)
        assert await here.client.read(1) == b""
        assert await here.client.hear() is False
        await here.client.end()
        assert await here.lost() is None


async def test_a_handshake_waits_for_a_client_that_does_not_read(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context, shaken=False) as here:
        held = here.fill()
        with pytest.raises(ssl.SSLWantReadError):
            here.client.tls.do_handshake()
        await here.client.send(b"")
        await asyncio.sleep(0)
        assert await here.client.hear_raw(held) == bytes(held)
        await here.client.shake()
        await until(lambda: here.agreed == 1)


async def test_a_cut_is_noticed_by_whatever_comes_next(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context) as here:
        here.client.sock.close()
        here.transport.write(b"anybody?")
        assert isinstance(await here.lost(), OSError)
    async with line(server, context) as here:
        here.client.sock.close()
        here.transport.write_eof()
        assert isinstance(await here.lost(), OSError)
    async with line(server, context) as here:
        here.transport.write_eof()
        here.client.sock.close()  # with our goodbye unread
        assert isinstance(await here.lost(), OSError)


async def test_a_cut_is_told_with_its_error_and_an_abort_without(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context) as here:
        here.transport.write(noise(10 * RECORD))
        here.client.sock.close()
        assert isinstance(await here.lost(), OSError)
    async with line(server, context) as here:
        here.transport.write(noise(10 * RECORD))
        here.transport.abort()
        here.transport.abort()
        assert await here.lost() is None


async def test_bytes_that_are_no_record_end_it(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context) as here:
        await here.client.send_raw(b"\x17\x03\x03\0\x20" + bytes(32))
        assert isinstance(await here.lost(), ssl.SSLError)
        assert not here.owner.got
        with pytest.raises(ssl.SSLError, match="ALERT_BAD_RECORD_MAC"):
            await here.client.read(1)
        here.transport.write(b"nobody is there")
        here.transport.write_eof()
        here.transport.close()


async def test_who_makes_tls_answer_and_does_not_read_is_cut_off(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context, shaken=False) as here:
        here.below.write(bytes(MOST_UNREAD + 100_000))
        with pytest.raises(ssl.SSLWantReadError):
            here.client.tls.do_handshake()
        await here.client.send(b"")
        with pytest.raises(ssl.SSLError, match="does not read"):
            raise await here.lost() or AssertionError


async def test_who_writes_before_tls_is_agreed_upon_has_failed(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context, shaken=False) as here:
        here.transport.write(b"hello?")
        assert isinstance(await here.lost(), ssl.SSLError)


async def test_a_client_that_speaks_no_version_of_ours_is_told(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    newest = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    newest.minimum_version = ssl.TLSVersion.TLSv1_3
    AUTHORITY.issue_cert("localhost").configure_cert(newest)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with line(newest, context, shaken=False) as here:
        with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
            await here.client.shake()
        assert isinstance(await here.lost(), ssl.SSLError)
        assert here.agreed == 0


async def test_a_protocol_that_raises_is_reported_and_loses_its_connection(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    seen = reports()
    async with line(server, context) as here:
        here.owner.fails = ValueError("not today")
        await here.client.send(b"hello")
        assert await here.lost() is here.owner.fails
    (told,) = seen
    assert told["exception"] is here.owner.fails
    assert told["transport"] is here.transport


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02"])
async def test_a_handshake_that_comes_to_nothing_is_an_end_like_any_other(
    server: ssl.SSLContext, context: ssl.SSLContext, said: bytes
) -> None:
    async with line(server, context, shaken=False) as here:
        await here.client.send_raw(said)
        here.client.sock.shutdown(socket.SHUT_WR)
        assert isinstance(await here.lost(), OSError)
        assert here.agreed == 0


async def test_a_handshake_goes_on_byte_by_byte(
    server: ssl.SSLContext, context: ssl.SSLContext
) -> None:
    async with line(server, context, shaken=False) as here:

        async def slowly(data: bytes) -> None:
            for at in range(len(data)):
                await asyncio.get_running_loop().sock_sendall(
                    here.client.sock, data[at : at + 1]
                )
                await asyncio.sleep(0)

        here.client.send_raw = slowly  # type: ignore[method-assign]
        await here.client.shake()
        await here.client.send(b"hello")
        await until(lambda: here.owner.got == b"hello")
        assert here.agreed == 1
