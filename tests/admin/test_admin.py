from __future__ import annotations

import asyncio
import logging
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

import nano.admin.answers
import nano.admin.server
from nano.admin import AdminServer
from nano.errors import UsageError
from nano.metrics import CONTENT_TYPE

TOKEN = "a long secret"
HEADERS = {"X-Nano-Token": TOKEN}
SESSION = 5_000_000_000_000_000_001


class Node:
    """A subject whose every answer a test can set."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.kicked: list[tuple[int, str]] = []
        self.asked_for = 0
        self.broken = False

    def not_ready(self) -> str | None:
        return self.reason

    def metrics(self) -> bytes:
        return b"nano_sessions 1\n"

    def status(self) -> dict[str, object]:
        if self.broken:
            raise RuntimeError("no status")
        return {"role": "gate"}

    def sessions(self, limit: int) -> list[dict[str, object]]:
        self.asked_for = limit
        return [{"id": str(SESSION)}]

    def drain(self) -> str | None:
        if self.reason not in (None, "draining"):
            return f"it is {self.reason}"
        self.reason = "draining"
        return None

    def kick(self, session_id: int, reason: str) -> bool:
        if session_id != SESSION:
            return False
        self.kicked.append((session_id, reason))
        return True


@asynccontextmanager
async def serving(
    node: Node, control: str = "127.0.0.1:0", token: str | None = TOKEN
) -> AsyncIterator[AdminServer]:
    server = AdminServer(node, observe="127.0.0.1:0", control=control, token=token)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def ask(
    url: str,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[int, object]:
    async with (
        aiohttp.ClientSession() as client,
        client.request(method, url, headers=headers, data=body) as answer,
    ):
        if answer.content_type == "application/json":
            return answer.status, await answer.json()
        return answer.status, await answer.text()


# ---------------------------------------------------------------- observe


async def test_a_living_node_is_alive_even_when_it_is_not_ready() -> None:
    node = Node()
    node.reason = "waits for the master"
    async with serving(node) as server:
        url = f"http://{server.observe_address}"
        assert await ask(f"{url}/healthz") == (200, "ok\n")
        assert await ask(f"{url}/readyz") == (503, "waits for the master\n")
        node.reason = None
        assert await ask(f"{url}/readyz") == (200, "ok\n")


async def test_metrics_come_with_prometheus_own_content_type() -> None:
    async with (
        serving(Node()) as server,
        aiohttp.ClientSession() as client,
        client.get(f"http://{server.observe_address}/metrics") as answer,
    ):
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        assert await answer.read() == b"nano_sessions 1\n"


async def test_observe_has_nothing_of_control() -> None:
    async with serving(Node()) as server:
        status, said = await ask(f"http://{server.observe_address}/status")
    assert status == 404
    assert said == {
        "error": "there is no /status; there is /healthz, /metrics, /readyz"
    }


# ---------------------------------------------------------------- control


async def test_status_is_json() -> None:
    async with serving(Node()) as server:
        url = f"http://{server.control_address}/status"
        assert await ask(url, headers=HEADERS) == (200, {"role": "gate"})


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({}, "no token"),
        ({"X-Nano-Token": "a long guess"}, "wrong token"),
        ({"X-Nano-Token": TOKEN + "x"}, "wrong token"),
        ({"X-Nano-Token": "schlüssel"}, "wrong token"),
    ],
)
@pytest.mark.parametrize("path", ["/status", "/sessions", "/nothing"])
async def test_without_the_token_nobody_learns_anything(
    path: str, headers: dict[str, str], problem: str
) -> None:
    async with serving(Node()) as server:
        url = f"http://{server.control_address}{path}"
        assert await ask(url, headers=headers) == (
            401,
            {"error": f"{problem}; send it in the header X-Nano-Token"},
        )


async def test_without_the_token_nobody_is_kicked() -> None:
    node = Node()
    async with serving(node) as server:
        url = f"http://{server.control_address}/sessions/{SESSION}"
        status, _ = await ask(url, "DELETE")
    assert status == 401
    assert node.kicked == []


async def test_control_over_tcp_without_a_token_does_not_start() -> None:
    server = AdminServer(Node(), control="127.0.0.1:0")
    with pytest.raises(UsageError, match="needs a token: give --token-file"):
        await server.start()


async def test_sessions_are_listed_up_to_a_limit() -> None:
    node = Node()
    async with serving(node) as server:
        url = f"http://{server.control_address}/sessions"
        listed = {"sessions": [{"id": str(SESSION)}]}
        assert await ask(url, headers=HEADERS) == (200, listed)
        assert node.asked_for == 100
        assert await ask(f"{url}?limit=7", headers=HEADERS) == (200, listed)
        assert node.asked_for == 7


@pytest.mark.parametrize("limit", ["0", "-1", "x", "10001", "", "1" * 5000, "٣"])
async def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    async with serving(Node()) as server:
        url = f"http://{server.control_address}/sessions?limit={limit}"
        status, said = await ask(url, headers=HEADERS)
    assert status == 400
    assert "limit must be 1 to 10000" in str(said)


async def test_a_session_is_kicked_with_a_reason_or_without() -> None:
    node = Node()
    async with serving(node) as server:
        url = f"http://{server.control_address}/sessions/{SESSION}"
        answer = (200, {"kicked": str(SESSION)})
        assert await ask(url, "DELETE", HEADERS) == answer
        assert await ask(url, "DELETE", HEADERS, b'{"reason":"spam"}') == answer
    assert node.kicked == [(SESSION, "kicked"), (SESSION, "spam")]


@pytest.fixture
def _level() -> Iterator[None]:
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)
    for name in ("aiohttp", "asyncio", "grpc", "websockets"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.usefixtures("_level")
async def test_the_level_of_logging_is_changed_while_the_node_runs() -> None:
    async with serving(Node()) as server:
        url = f"http://{server.control_address}/log-level"
        for level in ("debug", "error"):
            body = f'{{"level":"{level}"}}'.encode()
            assert await ask(url, "PUT", HEADERS, body) == (200, {"level": level})
            assert await ask(url, "GET", HEADERS) == (200, {"level": level})
        assert logging.getLogger().level == logging.ERROR
        status, _ = await ask(url, "PUT", body=b'{"level":"debug"}')
        assert status == 401
        for wrong in (b"", b'{"level":"loud"}', b'{"level":"info","more":1}', b"[]"):
            status, answer = await ask(url, "PUT", HEADERS, wrong)
            assert status == 400
            assert "debug, info, warning, error" in str(answer)
        assert logging.getLogger().level == logging.ERROR


@pytest.mark.parametrize("number", ["1", "x", "-1", str(2**63), "9" * 400])
async def test_an_unknown_session_is_not_found(number: str) -> None:
    async with serving(Node()) as server:
        url = f"http://{server.control_address}/sessions/{number}"
        status, said = await ask(url, "DELETE", HEADERS)
    assert status == 404
    assert said == {
        "error": f"there is no session {number} here; GET /sessions lists them"
    }


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"reason": 1}', b'{"why": "x"}', b"\xff", b'"x"']
)
async def test_a_body_that_makes_no_sense_is_refused(body: bytes) -> None:
    node = Node()
    async with serving(node) as server:
        url = f"http://{server.control_address}/sessions/{SESSION}"
        status, said = await ask(url, "DELETE", HEADERS, body)
    assert status == 400
    assert "the body must be like" in str(said)
    assert node.kicked == []


async def test_a_long_reason_is_refused() -> None:
    async with serving(Node()) as server:
        url = f"http://{server.control_address}/sessions/{SESSION}"
        body = b'{"reason": "' + b"x" * 201 + b'"}'
        status, said = await ask(url, "DELETE", HEADERS, body)
    assert (status, said) == (400, {"error": "the reason has more than 200 characters"})


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with serving(Node()) as server:
        url = f"http://{server.control_address}/sessions/{SESSION}"
        status, said = await ask(url, "DELETE", HEADERS, b"x" * (64 * 1024 + 1))
    assert (status, said) == (
        413,
        {"error": "the body is too large; 65536 bytes is the most"},
    )


async def test_an_unknown_path_is_told_what_there_is() -> None:
    async with serving(Node()) as server:
        url = f"http://{server.control_address}/metrics"
        assert await ask(url, headers=HEADERS) == (
            404,
            {
                "error": "there is no /metrics; there is /drain, /log-level, "
                "/sessions, /sessions/{id}, /status"
            },
        )


async def test_a_method_that_is_not_allowed_is_told_which_are() -> None:
    async with serving(Node()) as server:
        url = f"http://{server.control_address}/status"
        assert await ask(url, "POST", HEADERS) == (
            405,
            {"error": "POST is not allowed here; use GET, HEAD"},
        )


async def test_a_fault_of_ours_is_answered_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = Node()
    node.broken = True
    async with serving(node) as server:
        url = f"http://{server.control_address}/status"
        assert await ask(url, headers=HEADERS) == (
            500,
            {"error": "this request failed; the node's log says why"},
        )
    assert "GET /status failed" in caplog.text


# ------------------------------------------------------------ unix sockets


async def test_a_unix_socket_is_its_owner_s_alone_and_needs_no_token(
    tmp_path: Path,
) -> None:
    path = tmp_path / "control.sock"
    async with serving(Node(), f"unix:{path}", None) as server:
        assert server.control_address == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        connector = aiohttp.UnixConnector(str(path))
        async with (
            aiohttp.ClientSession(connector=connector) as client,
            client.get("http://node/status") as answer,
        ):
            assert await answer.json() == {"role": "gate"}
    assert not path.exists()


async def test_the_socket_of_a_killed_node_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.exists()
    async with serving(Node(), f"unix:{path}", None):
        assert path.exists()


async def test_the_socket_of_a_living_node_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with serving(Node(), f"unix:{path}", None):
        second = AdminServer(Node(), control=f"unix:{path}")
        with pytest.raises(UsageError, match="Address already in use"):
            await second.start()
        assert path.exists()


async def test_a_file_is_never_taken_for_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(UsageError):
        await AdminServer(Node(), control=f"unix:{path}").start()
    assert path.read_text() == "mine"


async def test_a_path_that_is_too_long_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)
    with pytest.raises(UsageError, match="longer than 107 bytes"):
        await AdminServer(Node(), control=f"unix:{path}").start()


# ---------------------------------------------------------- ports and time


async def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"observe cannot use {address}"):
            await AdminServer(Node(), observe=address).start()


async def test_a_failed_start_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        control = f"127.0.0.1:{taken.getsockname()[1]}"
        server = AdminServer(Node(), observe="127.0.0.1:0", control=control, token="x")
        with pytest.raises(UsageError):
            await server.start()
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(f"http://{server.observe_address}/healthz")


@pytest.mark.parametrize("address", ["7651", "here", "127.0.0.1:x", "127.0.0.1:99999"])
async def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="observe"):
        await AdminServer(Node(), observe=address).start()


async def test_a_server_that_was_not_asked_for_is_not_there() -> None:
    server = AdminServer(Node())
    await server.start()
    assert (server.observe_address, server.control_address) == ("", "")
    await server.stop()


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6; nothing to install")
async def test_an_address_of_ipv6_stands_in_brackets() -> None:
    server = AdminServer(Node(), observe="[::1]:0")
    await server.start()
    try:
        assert server.observe_address.startswith("[::1]:")
        url = f"http://{server.observe_address}/healthz"
        assert await ask(url) == (200, "ok\n")
    finally:
        await server.stop()


async def cut_off(address: str, sent: bytes) -> bytes:
    """Send *sent* and nothing more; return what came until the end."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: "])
async def test_a_client_that_never_finishes_its_head_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(nano.admin.server, "SECONDS_IDLE", 0.3)
    async with serving(Node()) as server:
        assert await cut_off(server.observe_address, sent) == b""


async def test_a_client_that_never_finishes_its_body_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nano.admin.answers, "SECONDS_PER_REQUEST", 0.3)
    monkeypatch.setattr(nano.admin.server, "SECONDS_TO_FINISH", 0.3)
    head = (
        f"DELETE /sessions/{SESSION} HTTP/1.1\r\nHost: x\r\nX-Nano-Token: {TOKEN}\r\n"
        "Connection: close\r\nContent-Length: 10\r\n\r\n{"
    )
    node = Node()
    async with serving(node) as server:
        said = await cut_off(server.control_address, head.encode())
    assert said.startswith(b"HTTP/1.1 408 ")
    assert node.kicked == []


async def test_stopping_does_not_wait_for_idle_clients() -> None:
    server = AdminServer(Node(), observe="127.0.0.1:0")
    await server.start()
    host, _, port = server.observe_address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(5):
        await server.stop()
    writer.close()


async def test_a_node_is_told_to_drain() -> None:
    node = Node()
    async with serving(node) as server:
        url = f"http://{server.control_address}/drain"
        assert (await ask(url, method="POST"))[0] == 401
        for _ in range(2):  # again is harmless
            answer = await ask(url, method="POST", headers=HEADERS)
            assert answer == (200, {"role": "gate"})
        assert node.reason == "draining"
        assert (await ask(f"http://{server.observe_address}/readyz"))[0] == 503


async def test_a_node_that_cannot_drain_says_why() -> None:
    node = Node()
    node.reason = "starting"
    async with serving(node) as server:
        url = f"http://{server.control_address}/drain"
        answer = await ask(url, method="POST", headers=HEADERS)
        assert answer == (409, {"error": "it is starting"})
