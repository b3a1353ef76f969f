"""``nanoctl reload`` under two hundred clients: nothing is left without an answer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from nano.client import Client, connect
from nano.errors import ConnectionClosed

from .test_remote import Cluster, make  # noqa: F401  # a fixture
from .test_up import SECONDS

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]

CLIENTS = 200
PAUSE = 0.5  # seconds of each client between two requests


class Load:
    """Clients that ask one numbered question after the other."""

    def __init__(self, cluster: Cluster, stack: AsyncExitStack) -> None:
        self._url = f"tcp://127.0.0.1:{cluster.tcp}"
        self._stack = stack
        self._over = asyncio.Event()
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []
        self.answered = 0
        self.told = 0  # that the connection ended under a request
        self.pids: set[int] = set()

    async def start(self, *, reconnect: bool) -> None:
        for _ in range(CLIENTS):
            client = await connect(self._url, reconnect=reconnect)
            await self._stack.enter_async_context(client)
            self._tasks.append(asyncio.create_task(self._ask(client, reconnect)))

    async def _ask(self, client: Client, reconnect: bool) -> None:
        while not self._over.is_set():
            text = f"number {next(self._numbers)}"
            try:
                answer = await client.request(
                    "EchoService.echo", {"text": text}, timeout=SECONDS
                )
            except ConnectionClosed:
                if not reconnect:
                    raise
                self.told += 1
            else:
                assert answer["text"] == text
                self.answered += 1
                self.pids.add(answer["pid"])
            await asyncio.sleep(PAUSE)

    async def until(self, condition: Callable[[], object]) -> None:
        """Go on until this is so; a client that fails ends it at once."""
        while not condition():
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(PAUSE)

    async def stop(self) -> int:
        """End it; return how many questions there were."""
        self._over.set()
        await asyncio.gather(*self._tasks)
        return next(self._numbers)


async def test_backends_are_replaced_and_no_client_notices(
    make: Callable[..., Cluster],  # noqa: F811  # the fixture
) -> None:
    cluster = make(gates=2, backends=2)
    await asyncio.to_thread(cluster.ctl, "up", "-d")
    before = await asyncio.to_thread(cluster.pids)
    async with AsyncExitStack() as stack:
        load = Load(cluster, stack)
        await load.start(reconnect=False)  # a connection that ends is a failure
        cluster.change(('"pid"', '"new": 1, "pid"'), file="echo.py")
        said = await asyncio.to_thread(cluster.ctl, "reload")
        assert "replaced: echo-1, echo-2; kept: master, gate-1, gate-2" in said
        after = await asyncio.to_thread(cluster.pids)
        await load.until(lambda: {after["echo-1"], after["echo-2"]} <= load.pids)
        asked = await load.stop()
    assert load.answered == asked
    assert load.told == 0
    assert {before["echo-1"], before["echo-2"]} <= load.pids


async def test_every_node_is_replaced_and_every_request_is_answered_or_told(
    make: Callable[..., Cluster],  # noqa: F811  # the fixture
) -> None:
    cluster = make(gates=2, backends=2)
    await asyncio.to_thread(cluster.ctl, "up", "-d")
    before = await asyncio.to_thread(cluster.pids)
    async with AsyncExitStack() as stack:
        load = Load(cluster, stack)
        await load.start(reconnect=True)
        said = await asyncio.to_thread(cluster.ctl, "reload", "--all")
        assert "gate-1, gate-2: the old one has stopped" in said
        after = await asyncio.to_thread(cluster.pids)
        assert not set(before.values()) & set(after.values())
        seen = load.answered
        await load.until(lambda: load.answered >= seen + 2 * CLIENTS)  # they go on
        asked = await load.stop()
    assert load.answered + load.told == asked
    assert load.told <= CLIENTS  # one of each client at most: there was one kick
