"""The operator's HTTP endpoint, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from nano_operator.controller import Controller, Key
from nano_operator.errors import SetupError
from nano_operator.health import endpoint, serving
from nano_operator.metrics import Metrics


class Clock:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def operator(clock: Clock) -> AsyncIterator[tuple[Controller, str]]:
    async def nothing(key: Key) -> None:
        return None

    async def no_keys() -> list[Key]:
        return []

    metrics = Metrics()
    controller = Controller(nothing, no_keys, metrics, clock)
    async with serving(("127.0.0.1", 0), controller, metrics) as (host, port):
        yield controller, f"http://{host}:{port}"


async def ask(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_it_is_alive_until_only_a_restart_helps() -> None:
    clock = Clock()
    async with operator(clock) as (controller, url):
        assert await ask(f"{url}/healthz") == (200, "ok\n")
        clock.now = 5.0
        await controller.add(Key("demo", "arena"))
        clock.now = 400.0
        status, text = await ask(f"{url}/healthz")
        assert status == 503
        assert "stood still" in text


async def test_it_is_ready_when_all_clusters_have_been_listed() -> None:
    async with operator(Clock()) as (controller, url):
        assert (await ask(f"{url}/readyz"))[0] == 503
        await controller.resync()
        assert await ask(f"{url}/readyz") == (200, "ok\n")


async def test_it_tells_prometheus_how_long_the_oldest_cluster_waits() -> None:
    clock = Clock()
    async with operator(clock) as (controller, url):
        await controller.add(Key("demo", "arena"))
        clock.now = 3.2
        status, text = await ask(f"{url}/metrics")
        assert status == 200
        assert "nanocluster_operator_queue_depth 1.0" in text
        assert "nanocluster_operator_queue_oldest_seconds 3.0" in text


async def test_a_taken_port_is_explained() -> None:
    taken = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    async with taken:
        with pytest.raises(SetupError, match=f"{port}.*choose another --health"):
            async with serving(("127.0.0.1", port), *_idle()):
                pass


def _idle() -> tuple[Controller, Metrics]:
    async def nothing(key: Key) -> None:
        return None

    async def no_keys() -> list[Key]:
        return []

    metrics = Metrics()
    return Controller(nothing, no_keys, metrics), metrics


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0:8080", ("0.0.0.0", 8080)),
        ("[::]:80", ("::", 80)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_an_address_has_a_host_and_a_port(text: str, expected: tuple[str, int]) -> None:
    assert endpoint(text) == expected


@pytest.mark.parametrize("text", ["8080", ":8080", "host:", "host:http", "host:70000"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        endpoint(text)


async def test_it_is_not_alive_when_the_watch_is_deaf() -> None:
    async def nothing(key: Key) -> None:
        return None

    async def no_keys() -> list[Key]:
        return []

    age = 119.0
    controller = Controller(nothing, no_keys, Metrics(), Clock(), lambda: age)
    assert controller.trouble() is None
    age = 121.0
    assert controller.trouble() == "the watch has missed changes for 121 s"
    controller.standby = True
    assert controller.trouble() is None
