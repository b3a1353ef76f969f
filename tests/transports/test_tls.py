"""TLS: clients that verify, strangers that do not even try, and new certificates."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed as WebSocketClosed

import nano.client
from nano.errors import ConnectionClosed, UsageError
from nano.transports.addresses import Proxies
from nano.transports.certificate import LOOK_AFTER, Certificate
from nano.transports.connection import ClientTransport
from nano.transports.context import Terms
from nano.transports.entry import Entry
from nano.transports.listener import Listener
from tests.cluster.certificates import Authority
from tests.resets import reset_at_close

from .room import ACK, HANDSHAKE, PATIENCE, Hall, until

both_transports = pytest.mark.parametrize("transport", ["tcp", "websocket"])
process = pytest.mark.process

AUTHORITY = trustme.CA()
SCHEMES = {"tcp": "tls", "websocket": "wss"}


class Files:
    """A certificate and its key on disk, as a Secret in a pod has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.link = folder / "..data"
        self.cert, self.key = folder / "tls.crt", folder / "tls.key"
        self._number = 0
        for file in (self.cert, self.key):
            file.symlink_to(Path("..data", file.name))

    def put(self, cert: bytes, key: bytes) -> None:
        """Bring new content, as the kubelet does: all of it at one moment."""
        self._number += 1
        there = self.folder / f"..{self._number}"
        there.mkdir()
        (there / "tls.crt").write_bytes(cert)
        (there / "tls.key").write_bytes(key)
        new = self.folder / "..data_tmp"
        new.symlink_to(there.name)
        new.rename(self.link)

    def issue(self) -> bytes:
        """Put a new certificate in; return it as clients see it."""
        made = AUTHORITY.issue_cert("127.0.0.1", "localhost")
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        self.put(chain, made.private_key_pem.bytes())
        return ssl.PEM_cert_to_DER_cert(made.cert_chain_pems[0].bytes().decode())


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path)
    made.issue()
    return made


@pytest.fixture
def context() -> ssl.SSLContext:
    """Return what a client believes."""
    made = ssl.create_default_context()
    AUTHORITY.configure_trust(made)
    return made


class Place:
    """A listener that speaks TLS."""

    def __init__(self, hall: Hall, listener: Listener, files: Files) -> None:
        self.hall = hall
        self.listener = listener
        self.files = files
        host, _, port = listener.address.rpartition(":")
        self.at = (host, int(port))
        self.url = f"{SCHEMES[listener.name]}://{listener.address}"

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.hall.counts(self.listener.name).handshakes)

    @property
    def closed(self) -> dict[str, int]:
        return dict(self.hall.counts(self.listener.name).closed)


@contextlib.asynccontextmanager
async def place(
    files: Files, transport: str, hall: Hall | None = None, terms: Terms | None = None
) -> AsyncIterator[Place]:
    hall = hall or Hall()
    counts = hall.counts(transport).certificates
    certificate = Certificate(transport, files.cert, files.key, counts)
    listener = await hall.listener(transport, terms, certificate)
    try:
        yield Place(hall, listener, files)
    finally:
        async with asyncio.timeout(PATIENCE):
            await listener.stop()
    assert hall.is_empty()


# ------------------------------------------------------------------- clients


@process
@both_transports
async def test_a_client_verifies_the_server_and_is_served(
    files: Files, context: ssl.SSLContext, transport: str
) -> None:
    async with place(files, transport) as here:
        async with await nano.client.connect(here.url, ssl=context) as client:
            assert await client.request("Room.Hello", {"name": "ann", "n": 1}) == {
                "name": "hello ann",
                "n": 2,
            }
            (session,) = here.hall.sessions
            assert session.remote_address.startswith("127.0.0.1:")
        await until(here.hall.is_empty)
        assert here.counts == {"accepted": 1}
        assert here.closed == {"client-closed": 1}


@process
async def test_another_websocket_library_is_served(
    files: Files, context: ssl.SSLContext
) -> None:
    async with (
        place(files, "websocket") as here,
        connect_websocket(here.url, ssl=context, proxy=None) as browser,
    ):
        await browser.send(HANDSHAKE + ACK)
        answer = await browser.recv(decode=False)
        assert answer[:1] == HANDSHAKE[:1]
        await browser.close()
        assert browser.close_code == 1000


@process
@both_transports
async def test_large_messages_go_through_both_ways(
    files: Files, context: ssl.SSLContext, transport: str
) -> None:
    large = b"x" * 500_000
    hall = Hall(packet=1 << 20, backlog=8 << 20)
    async with (
        place(files, transport, hall) as here,
        await nano.client.connect(here.url, ssl=context, serializer="raw") as client,
    ):
        assert await client.request("Room.Raw", large) == b"raw:" + large


@process
@both_transports
async def test_a_client_that_does_not_know_the_authority_refuses(
    files: Files, transport: str
) -> None:
    async with place(files, transport) as here:
        with pytest.raises(ConnectionClosed, match="certificate verify failed"):
            await nano.client.connect(here.url)
        await until(here.hall.is_empty)
        assert here.counts == {"no-tls": 1}
        assert here.closed == {"no-tls": 1}


@process
@both_transports
async def test_the_reason_of_a_kick_reaches_a_client_that_is_still_sending(
    files: Files, context: ssl.SSLContext, transport: str
) -> None:
    async with (
        place(files, transport) as here,
        await nano.client.connect(here.url, ssl=context) as client,
    ):
        (session,) = here.hall.sessions
        for _ in range(200):
            await client.notify("Room.Raw", "x" * 1000)
        session.kick("you are too loud")
        with contextlib.suppress(ConnectionClosed):
            for _ in range(2000):
                await client.notify("Room.Raw", "x" * 1000)
        async with asyncio.timeout(PATIENCE):
            assert await client.wait_closed() == "you are too loud"
        await until(here.hall.is_empty)
        assert here.closed == {"kicked": 1}


@process
async def test_a_kicked_websocket_gets_its_close_code(
    files: Files, context: ssl.SSLContext
) -> None:
    async with (
        place(files, "websocket") as here,
        connect_websocket(here.url, ssl=context, proxy=None) as browser,
    ):
        await browser.send(bytes.fromhex("06000000"))
        assert b"packet type 6" in await browser.recv(decode=False)
        with pytest.raises(WebSocketClosed):
            await browser.recv()
        assert browser.close_code == 1002


@process
@both_transports
async def test_stopping_says_so_to_everybody(
    files: Files, context: ssl.SSLContext, transport: str
) -> None:
    async with place(files, transport) as here:
        client = await nano.client.connect(here.url, ssl=context)
        await here.listener.stop()
        async with asyncio.timeout(PATIENCE):
            assert await client.wait_closed() == "the server is going away"
        await client.close()


@process
async def test_a_client_that_never_reads_its_farewell_is_cut_off(
    files: Files, context: ssl.SSLContext
) -> None:
    hall = Hall(backlog=64 << 20)
    async with place(files, "tcp", hall) as here:
        reader, writer = await asyncio.open_connection(*here.at, ssl=context)
        writer.write(HANDSHAKE + ACK)
        await until(lambda: len(hall.sessions) == 1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        (session,) = hall.sessions
        for _ in range(256):
            session.push("onNoise", "x" * 65_000)
        await asyncio.sleep(0)
        session.kick("bye")
        assert len(here.listener._door.open) == 1
        hall.pass_time(5.1)
        await until(hall.is_empty)
        writer.transport.abort()
        del reader


@process
async def test_a_client_that_reads_too_slowly_costs_no_more_than_its_backlog(
    files: Files, context: ssl.SSLContext
) -> None:
    backlog = 128 * 1024
    hall = Hall(backlog=backlog)
    async with place(files, "tcp", hall) as here:
        _, writer = await asyncio.open_connection(*here.at, ssl=context)
        writer.write(HANDSHAKE + ACK)
        await until(lambda: len(hall.sessions) == 1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        (session,) = hall.sessions
        (client,) = here.listener._door.open
        waiting = 0
        async with asyncio.timeout(PATIENCE):
            while not session.closed:
                session.push("onNoise", "x" * 16_000)
                await asyncio.sleep(0)
                transport = client._transport  # type: ignore[attr-defined]
                if transport is not None:
                    waiting = max(waiting, transport.get_write_buffer_size())
        assert session.closed == "slow-client"
        assert waiting < backlog + 2 * 65536
        writer.transport.abort()


@process
async def test_whoever_has_gone_leaves_no_object_behind(
    files: Files, context: ssl.SSLContext
) -> None:
    def alive() -> list[object]:
        gc.collect()
        kinds = (Entry, ClientTransport, Certificate)
        return [it for it in gc.get_objects() if isinstance(it, kinds)]

    async with place(files, "tcp") as here:
        before = len(alive())
        for number in range(30):
            if number % 2:
                async with await nano.client.connect(here.url, ssl=context):
                    pass
                continue
            with socket.create_connection(here.at) as stranger:
                stranger.send(b"\0" * 100)
        await until(lambda: sum(here.closed.values()) == 30 and here.hall.is_empty())
        await asyncio.sleep(0)
        assert len(alive()) <= before


@process
async def test_a_proxy_that_speaks_tls_to_us_tells_whose_the_connection_is(
    files: Files, context: ssl.SSLContext
) -> None:
    terms = Terms(proxies=Proxies(["127.0.0.1"]))
    hall = Hall(per_address=1)
    async with place(files, "websocket", hall, terms) as here:
        for host in ("203.0.113.9", "203.0.113.10"):
            browser = await connect_websocket(
                here.url,
                ssl=context,
                proxy=None,
                additional_headers={"X-Forwarded-For": f"10.0.0.1, {host}"},
            )
            await browser.send(HANDSHAKE + ACK)
            await browser.recv()
            assert host in {session.remote_address for session in hall.sessions}
        assert len(hall.front.admission._addresses) == 2
        await here.listener.stop()


# ----------------------------------------------------------------- strangers


@process
@both_transports
@pytest.mark.parametrize(
    "said",
    [
        HANDSHAKE + ACK,
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        b"\0" * 5000,
        os.urandom(300),
    ],
    ids=["our own protocol", "HTTP", "zeros", "noise"],
)
async def test_what_is_no_tls_is_closed_counted_and_no_alarm(
    files: Files, transport: str, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with place(files, transport) as here:
        reader, writer = await asyncio.open_connection(*here.at)
        writer.write(said)
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                await reader.read()  # an alert, maybe
        await until(here.hall.is_empty)
        assert here.counts == {"no-tls": 1}
        assert here.closed == {"no-tls": 1}
        writer.close()
    assert all(record.levelno <= logging.INFO for record in caplog.records)


@process
async def test_old_versions_of_tls_are_refused(
    files: Files, context: ssl.SSLContext
) -> None:
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with place(files, "tcp") as here:
        with pytest.raises(ConnectionClosed, match="cannot connect"):
            await nano.client.connect(here.url, ssl=context)
        await until(here.hall.is_empty)
        assert here.counts == {"no-tls": 1}


@process
@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\0\x01"])
async def test_a_handshake_that_does_not_go_on_ends_in_time(
    files: Files, said: bytes
) -> None:
    async with place(files, "tcp", Hall(handshake=3)) as here:
        reader, writer = await asyncio.open_connection(*here.at)
        writer.write(said)
        await until(lambda: len(here.listener._door.open) == 1)
        here.hall.pass_time(3.1)
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        await until(here.hall.is_empty)
        assert here.counts == {"timeout": 1}
        assert here.closed == {"handshake-timeout": 1}
        writer.close()


@process
async def test_who_connects_and_goes_leaves_nothing_behind(files: Files) -> None:
    async with place(files, "tcp") as here:
        for _ in range(20):
            with socket.create_connection(here.at):
                pass
        await until(lambda: sum(here.closed.values()) == 20 and here.hall.is_empty())
        assert set(here.closed) <= {"client-closed", "no-tls"}


@process
async def test_who_has_gone_before_we_look_is_counted_and_no_alarm(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    async with place(files, "tcp") as here:
        for _ in range(20):
            with socket.create_connection(here.at) as gone:
                reset_at_close(gone)
        await until(lambda: sum(here.closed.values()) == 20 and here.hall.is_empty())
        assert set(here.closed) <= {"client-closed", "no-tls"}
    assert all(record.levelno <= logging.INFO for record in caplog.records)


@process
async def test_connections_over_a_limit_do_not_get_as_far_as_tls(
    files: Files, context: ssl.SSLContext
) -> None:
    hall = Hall(connections=1)
    async with place(files, "tcp", hall) as here:
        async with await nano.client.connect(here.url, ssl=context):
            with pytest.raises(ConnectionClosed):
                await nano.client.connect(here.url, ssl=context)
            assert here.closed == {"too-many-connections": 1}
            assert here.counts == {"accepted": 1}
        await until(hall.is_empty)


@process
async def test_a_stop_ends_handshakes_that_are_under_way(files: Files) -> None:
    async with place(files, "tcp") as here:
        reader, writer = await asyncio.open_connection(*here.at)
        await until(lambda: len(here.listener._door.open) == 1)
        async with asyncio.timeout(PATIENCE):
            await here.listener.stop()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        assert here.closed == {"server-stopping": 1}
        writer.close()


# -------------------------------------------------------- new certificates


async def shown(here: Place, context: ssl.SSLContext) -> bytes:
    """Return the certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection(
        *here.at, ssl=context, server_hostname="localhost"
    )
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    await writer.wait_closed()
    return found


@process
async def test_a_new_certificate_is_for_new_connections_and_disturbs_no_old_one(
    files: Files, context: ssl.SSLContext
) -> None:
    first = files.issue()
    async with (
        place(files, "tcp") as here,
        await nano.client.connect(here.url, ssl=context) as old,
    ):
        assert await shown(here, context) == first
        second = files.issue()
        here.listener.tick(0)
        here.listener.tick(LOOK_AFTER)
        assert await shown(here, context) == second
        async with await nano.client.connect(here.url, ssl=context) as new:
            for client in (old, new):
                assert await client.request("Room.Fast", 7) == 7
        assert here.hall.counts("tcp").certificates == {"taken": 1}
        assert b'nano_certificates_total{listener="tcp",outcome="taken"} 1.0' in (
            here.hall.metrics.render()
        )


@process
async def test_a_broken_certificate_is_reported_once_and_the_old_one_stays(
    files: Files, context: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    first = files.issue()
    times = itertools.count(0.0, LOOK_AFTER)
    async with place(files, "tcp") as here:
        here.listener.tick(next(times))
        for content in (b"no certificate", AUTHORITY.cert_pem.bytes()):
            files.put(content, files.key.read_bytes())
            for _ in range(3):
                here.listener.tick(next(times))
        assert await shown(here, context) == first
        assert here.hall.counts("tcp").certificates == {"refused": 2}
        one, two = (it for it in caplog.records if it.levelno == logging.ERROR)
        assert "keeps its certificate" in one.getMessage()
        assert "is no good PEM" in one.getMessage()
        assert "the key belongs to another certificate" in two.getMessage()
        assert not one.exc_info
        third = files.issue()
        here.listener.tick(next(times))
        assert await shown(here, context) == third


@pytest.mark.parametrize("days", [90, -1], ids=["good", "over"])
def test_its_term_is_told_whoever_made_it(files: Files, days: int) -> None:
    before = int(time.time())
    files.put(*Authority().issue(names=[x509.DNSName("localhost")], days=days))
    certificate = Certificate("tls", files.cert, files.key)
    assert certificate.term is not None
    assert 0 <= certificate.term.ends - before - days * 86_400 < 60
    life = timedelta(days=30 + days).total_seconds()
    assert certificate.term.ends - certificate.term.begins == life
    files.issue()
    certificate.refresh()
    assert certificate.term.ends - certificate.term.begins > life


def test_one_for_clients_only_is_used_but_its_term_is_not_known(files: Files) -> None:
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    files.put(*Authority().issue(usages=usages))
    assert Certificate("tls", files.cert, files.key).term is None


def test_files_that_vanish_for_a_while_change_nothing(files: Files) -> None:
    certificate = Certificate("tls", files.cert, files.key)
    context = certificate.context
    files.link.unlink()
    certificate.refresh()
    certificate.refresh()
    assert certificate.context is context
    assert certificate._counts == {"refused": 1}
    files.issue()
    certificate.refresh()
    assert certificate.context is not context


@pytest.mark.parametrize(
    ("cert", "key", "says"),
    [
        (None, b"", "No such file or directory"),
        (b"nothing", b"", "it is no good PEM"),
        (b"", None, "No such file or directory"),
    ],
)
def test_a_certificate_that_cannot_be_used_ends_the_start(
    files: Files, cert: bytes | None, key: bytes | None, says: str
) -> None:
    for file, content in ((files.cert, cert), (files.key, key)):
        if content is None:
            file.unlink()
        elif content:
            file.write_bytes(content)
    with pytest.raises(UsageError, match=f"listener tls cannot use .*{says}"):
        Certificate("tls", files.cert, files.key)


def test_a_key_with_a_password_is_refused_without_asking_for_it(files: Files) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"sesame"),
    )
    files.key.write_bytes(secret)
    with pytest.raises(UsageError, match="the key is encrypted"):
        Certificate("tls", files.cert, files.key)
