"""Connections that come through a proxy, at real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from nano.protocol.client import Accepted, ClientConnection, ClientEvent, Kicked
from nano.transports.addresses import Proxies
from nano.transports.certificate import Certificate
from nano.transports.context import Terms
from nano.transports.listener import Listener
from nano.transports.proxy import SIGNATURE
from tests.listening import put_certificate
from tests.resets import reset_at_close

from .room import PATIENCE, Hall, until

pytestmark = pytest.mark.process

BEHIND = Terms(proxies=Proxies(["127.0.0.0/8"]), proxy_protocol=True)
LINE = b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n"
BINARY = (
    SIGNATURE
    + b"\x21\x11"
    + struct.pack(">H", 12 + 7)
    + bytes((203, 0, 113, 9, 127, 0, 0, 1))
    + struct.pack(">HH", 4711, 80)
    + b"\x20\0\4vers"
)
SPEAKS_FOR_ITSELF = SIGNATURE + b"\x20\0\0\0"
AUTHORITY = trustme.CA()


def line(host: str) -> bytes:
    return f"PROXY TCP4 {host} 127.0.0.1 4711 80\r\n".encode()


class Caller:
    """A proxy with one client behind it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.core = ClientConnection()
        self.reader = reader
        self.writer = writer

    async def say(self, *parts: bytes) -> None:
        """Send *parts*, each in a packet of its own as far as TCP lets one say so."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(0)

    def greeting(self) -> bytes:
        return self.core.greet() + self.core.acknowledge()

    async def events(self) -> list[ClientEvent]:
        """Return what the next read brings; nothing at the end."""
        async with asyncio.timeout(PATIENCE):
            try:
                return list(self.core.receive(await self.reader.read(65536)))
            except ConnectionError:
                return []

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


class Place:
    def __init__(self, hall: Hall, listener: Listener) -> None:
        self.hall = hall
        self.listener = listener
        self.name = listener.name
        self.callers: list[Caller] = []

    async def caller(self) -> Caller:
        host, _, port = self.listener.address.rpartition(":")
        caller = Caller(*await asyncio.open_connection(host, int(port)))
        self.callers.append(caller)
        return caller

    @property
    def closed(self) -> dict[str, int]:
        return dict(self.hall.counts(self.name).closed)

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.hall.counts(self.name).handshakes)


@contextlib.asynccontextmanager
async def place(
    hall: Hall | None = None,
    terms: Terms = BEHIND,
    certificate: Certificate | None = None,
) -> AsyncIterator[Place]:
    hall = hall or Hall()
    listener = await hall.listener("tcp", terms, certificate)
    here = Place(hall, listener)
    try:
        yield here
    finally:
        async with asyncio.timeout(PATIENCE):
            for caller in here.callers:
                await caller.close()
            await listener.stop()
    assert hall.is_empty()


async def served(caller: Caller, here: Place) -> str:
    """Wait until the caller is greeted; return its address as a handler sees it."""
    (accepted,) = await caller.events()
    assert isinstance(accepted, Accepted)
    (session,) = here.hall.sessions
    return session.remote_address


def cut(data: bytes) -> list[bytes]:
    """Cut *data* at random; the seed is fixed by the data."""
    chance = random.Random(data)
    marks = sorted(chance.sample(range(1, len(data)), 5))
    ends = [0, *marks, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(ends)]


@pytest.mark.parametrize("header", [LINE, BINARY], ids=["version 1", "version 2"])
@pytest.mark.parametrize("how", ["together", "apart", "byte by byte", "at random"])
async def test_a_client_behind_a_proxy_has_its_own_address(
    header: bytes, how: str
) -> None:
    async with place() as here:
        caller = await here.caller()
        data = header + caller.greeting()
        parts = {
            "together": [data],
            "apart": [header, data[len(header) :]],
            "byte by byte": [data[at : at + 1] for at in range(len(data))],
            "at random": cut(data),
        }[how]
        await caller.say(*parts)
        assert await served(caller, here) == "203.0.113.9:4711"
        (session,) = here.hall.sessions
        session.kick("bye")
        assert await caller.events() == [Kicked("bye")]
        await caller.close()
        await until(here.hall.is_empty)
        assert here.closed == {"kicked": 1}
        assert here.counts == {"accepted": 1}


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", SPEAKS_FOR_ITSELF])
async def test_a_proxy_that_speaks_for_itself_has_its_own_address(
    header: bytes,
) -> None:
    async with place(Hall(per_address=1)) as here:
        for _ in range(2):  # its health checks are nobody's connections
            caller = await here.caller()
            await caller.say(header, caller.greeting())
            (accepted,) = await caller.events()
            assert isinstance(accepted, Accepted)
        addresses = {session.remote_address for session in here.hall.sessions}
        assert len(addresses) == 2
        assert all(it.startswith("127.0.0.1:") for it in addresses)


@pytest.mark.parametrize(
    "said", [b"\x01\0\0\0", b"GET / HTTP/1.1\r\n", b"PROXY TCP4 nonsense\r\n"]
)
async def test_a_connection_without_a_good_header_is_closed_and_counted(
    said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with place() as here:
        caller = await here.caller()
        await caller.say(said)
        assert await caller.events() == []
        await until(here.hall.is_empty)
        assert here.closed == here.counts == {"bad-proxy-header": 1}
        await caller.close()
    assert all(record.levelno <= logging.INFO for record in caplog.records)


@pytest.mark.parametrize("said", [b"", LINE[:-1], SIGNATURE])
async def test_a_header_that_does_not_end_is_not_waited_for_longer_than_a_handshake(
    said: bytes,
) -> None:
    async with place(Hall(handshake=3)) as here:
        caller = await here.caller()
        await caller.say(said)
        await until(lambda: len(here.listener._door.open) == 1)
        here.hall.pass_time(2.9)
        assert here.closed == {}
        here.hall.pass_time(0.2)
        assert await caller.events() == []
        await until(here.hall.is_empty)
        assert here.closed == {"handshake-timeout": 1}
        assert here.counts == {"timeout": 1}
        await caller.close()


async def test_only_named_proxies_may_say_whom_they_speak_for() -> None:
    terms = Terms(proxies=Proxies(["10.0.0.0/8"]), proxy_protocol=True)
    async with place(terms=terms) as here:
        caller = await here.caller()
        caller.writer.write(LINE + caller.greeting())
        assert await caller.events() == []
        await until(here.hall.is_empty)
        assert here.closed == here.counts == {"untrusted-proxy": 1}
        await caller.close()


async def test_a_client_that_goes_before_its_header_leaves_nothing_behind() -> None:
    async with place() as here:
        caller = await here.caller()
        await caller.say(LINE[:5])
        await caller.close()
        await until(lambda: here.closed == {"client-closed": 1})
        assert here.hall.is_empty()


async def test_connections_are_limited_by_the_address_that_the_proxy_tells() -> None:
    async with place(Hall(per_address=2)) as here:
        callers = []
        for number in (1, 1, 1, 2):
            caller = await here.caller()
            await caller.say(line(f"203.0.113.{number}"), caller.greeting())
            callers.append((await caller.events(), caller))
        admitted = [bool(events) for events, _ in callers]
        assert admitted == [True, True, False, True]
        assert here.closed == {"too-many-of-address": 1}
        await callers[0][1].close()
        await until(lambda: here.closed.get("client-closed") == 1)
        caller = await here.caller()
        await caller.say(line("203.0.113.1"), caller.greeting())
        assert await caller.events()


async def test_a_whole_ipv6_network_is_one_address() -> None:
    async with place(Hall(per_address=1)) as here:
        answers = []
        for host in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"):
            caller = await here.caller()
            header = f"PROXY TCP6 {host} ::1 4711 80\r\n".encode()
            await caller.say(header, caller.greeting())
            answers.append(bool(await caller.events()))
        assert answers == [True, False, True]


# --------------------------------------------------------- in front of TLS


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate("tcp", *put_certificate(tmp_path, AUTHORITY))


async def encrypted(caller: Caller) -> None:
    """Go on by TLS, as a client does to whom the proxy has handed its bytes."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    await caller.writer.start_tls(context, server_hostname="localhost")


@pytest.mark.parametrize("header", [LINE, BINARY], ids=["version 1", "version 2"])
async def test_the_header_comes_in_front_of_tls(
    certificate: Certificate, header: bytes
) -> None:
    async with place(certificate=certificate) as here:
        caller = await here.caller()
        await caller.say(*cut(header))
        await encrypted(caller)
        await caller.say(caller.greeting())
        assert await served(caller, here) == "203.0.113.9:4711"
        await caller.close()
        await until(here.hall.is_empty)
        assert here.counts == {"accepted": 1}


async def shaken(caller: Caller, prefix: bytes) -> tuple[ssl.SSLObject, ssl.MemoryBIO]:
    """Shake hands by hand, with *prefix* in one packet with the client's hello."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            await caller.say(prefix + outgoing.read())
            prefix = b""
            async with asyncio.timeout(PATIENCE):
                data = await caller.reader.read(65536)
            assert data, "the server has hung up"
            incoming.write(data)
        else:
            return tls, outgoing


async def test_tls_may_begin_in_the_same_read_as_the_header_ends(
    certificate: Certificate,
) -> None:
    async with place(certificate=certificate) as here:
        caller = await here.caller()
        tls, outgoing = await shaken(caller, LINE)
        tls.write(caller.greeting())
        await caller.say(outgoing.read())
        await until(lambda: len(here.hall.sessions) == 1)
        (session,) = here.hall.sessions
        assert session.remote_address == "203.0.113.9:4711"
        await caller.close()
        await until(here.hall.is_empty)


async def test_a_greeting_in_one_packet_with_the_end_of_tls_is_not_lost(
    certificate: Certificate,
) -> None:
    async with place(Hall(), Terms(), certificate) as here:
        caller = await here.caller()
        context = ssl.create_default_context()
        AUTHORITY.configure_trust(context)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        await caller.say(outgoing.read())
        while True:
            async with asyncio.timeout(PATIENCE):
                incoming.write(await caller.reader.read(65536))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                continue
        tls.write(caller.greeting())
        await caller.say(outgoing.read())  # our Finished, and the greeting behind it
        await until(lambda: len(here.hall.sessions) == 1)
        await caller.close()
        await until(here.hall.is_empty)


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
async def test_a_client_that_goes_before_its_header_never_gets_to_tls(
    certificate: Certificate, reset: bool
) -> None:
    async with place(certificate=certificate) as here:
        caller = await here.caller()
        await caller.say(LINE[:5])
        await until(lambda: len(here.listener._door.open) == 1)
        if reset:
            reset_at_close(caller.writer.get_extra_info("socket"))
        await caller.close()
        await until(lambda: here.closed == {"client-closed": 1})
        assert here.hall.is_empty()
        assert here.counts == {}


async def test_a_header_in_front_of_tls_has_the_time_of_a_handshake(
    certificate: Certificate,
) -> None:
    async with place(Hall(handshake=3), certificate=certificate) as here:
        caller = await here.caller()
        await caller.say(LINE[:-1])
        await until(lambda: len(here.listener._door.open) == 1)
        here.hall.pass_time(3.1)
        assert await caller.events() == []
        await until(here.hall.is_empty)
        assert here.closed == {"handshake-timeout": 1}
        await caller.close()


async def test_a_bad_header_in_front_of_tls_costs_no_handshake(
    certificate: Certificate,
) -> None:
    async with place(certificate=certificate) as here:
        caller = await here.caller()
        await caller.say(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03")
        assert await caller.events() == []
        await until(here.hall.is_empty)
        assert here.closed == {"bad-proxy-header": 1}
        await caller.close()
