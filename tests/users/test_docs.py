"""The components of docs/users.md work as they stand there."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import nano.client
from nano import RequestError
from nano.testing import LocalCluster, MemoryCluster
from nano_manifest import (
    Backend,
    Gates,
    Listener,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
)

PAGE = (Path(__file__).parents[2] / "docs" / "users.md").read_text()


PATIENCE = 20.0


def manifest(**settings: Any) -> NanoCluster:
    components = ["users_page:MailService", "users_page:LoginService"]
    return NanoCluster(
        metadata=Metadata(name="page"),
        spec=Spec(
            settings=Settings(**settings),
            gates=Gates(
                replicas=2,
                listeners=[Listener(name="ws", transport="websocket", port=3250)],
            ),
            backends=[Backend(name="mail", components=components)],
        ),
    )


async def test_the_pages_components_reach_users_at_both_gates(tmp_path: Path) -> None:
    (source,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "users_page.py").write_text(source)
    async with MemoryCluster(manifest(), app_dir=str(tmp_path)) as cluster:
        ann, bob = await cluster.connect(0), await cluster.connect(1)
        for client, name in ((ann, "ann"), (bob, "bob")):
            await client.request("MailService.login", name)
        mail = {"to": ["ann", "bob", "eve"], "text": "hello"}
        assert await ann.request("MailService.send", mail) == {"kept for": ["eve"]}
        for client in (ann, bob):
            assert await client.next_push("onMail") == "hello"
        status = await ann.request("MailService.status", "bob")
        assert status == {"online": True, "clients": 2}
        url = await ann.request("LoginService.gate")
        assert url.startswith("ws://")
        assert await ann.request("MailService.ban", "bob") == 1
        await cluster.clock.settle()
        assert bob.closed == "banned"
        status = await ann.request("MailService.status", "bob")
        assert status == {"online": False, "clients": 1}


async def test_a_gate_that_is_frozen_is_unknown_and_one_that_is_gone_is_not(
    tmp_path: Path,
) -> None:
    (source,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "users_page.py").write_text(source)
    async with MemoryCluster(manifest(), app_dir=str(tmp_path)) as cluster:
        ann, bob = await cluster.connect(0), await cluster.connect(1)
        await bob.request("MailService.login", "bob")
        (mail,), second = cluster.backends["mail"], cluster.gates[1]
        cluster.line(mail, second).freeze()
        with pytest.raises(RequestError, match="did not answer"):
            await ann.request("MailService.status", "bob")
        await cluster.kill(second)
        status = await ann.request("MailService.status", "bob")
        assert status == {"online": False, "clients": 1}
        assert cluster.count(mail, "nano_open_questions") == 0
        dropped = {"stage": "users", "reason": "silent"}
        assert cluster.count(mail, "nano_dropped_total", **dropped) >= 1


@pytest.mark.process
async def test_real_nodes_reach_users_and_let_the_newer_of_two_stay(
    tmp_path: Path,
) -> None:
    (source,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "users_page.py").write_text(source)
    one = manifest(one_session_per_uid=True)
    async with (
        asyncio.timeout(PATIENCE),
        LocalCluster(one, app_dir=str(tmp_path)) as cluster,
        AsyncExitStack() as stack,
    ):
        url = cluster.url("ws")
        heard: asyncio.Queue[str] = asyncio.Queue()
        names = [f"u{number}" for number in range(20)]
        clients = {}
        for name in names:
            client = await stack.enter_async_context(await nano.client.connect(url))
            client.on("onMail", heard.put_nowait)
            await client.request("MailService.login", name)
            clients[name] = client
        first = clients["u0"]
        mail = {"to": [*names, "eve"], "text": "hello"}
        assert await first.request("MailService.send", mail) == {"kept for": ["eve"]}
        assert [await heard.get() for _ in names] == ["hello"] * 20
        for _ in range(4):  # at one gate or the other
            again = await stack.enter_async_context(await nano.client.connect(url))
            await again.request("MailService.login", "u1")
            await clients["u1"].wait_closed()
            assert clients["u1"].closed == "signed in elsewhere"
            clients["u1"] = again
        status = await first.request("MailService.status", "u1")
        assert status["online"] is True
        assert status["clients"] in range(20, 25)  # who was kicked may not be gone yet
        assert await first.request("LoginService.gate") == "ws://127.0.0.1:3250"
