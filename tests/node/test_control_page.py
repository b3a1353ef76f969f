"""What docs/control.md shows is what the control port says."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shlex
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from nano.client import Client, connect
from nano.node import Node, Role
from nano_manifest import Backend, Gates, Listener, Metadata, NanoCluster, Spec

from .clusters import PATIENCE, options, until

pytestmark = pytest.mark.process

PAGE = (Path(__file__).parents[2] / "docs" / "control.md").read_text()
HALL = NanoCluster(
    metadata=Metadata(name="page"),
    spec=Spec(
        gates=Gates(listeners=[Listener(name="ws", transport="websocket", port=3250)]),
        backends=[Backend(name="hall", components=["nodeapp:Hall"])],
    ),
)
PLACES = ("127.0.0.1:7651", "127.0.0.1:7652")  # as the page calls the gates


def shown() -> list[tuple[str, str]]:
    """The commands of the page, and the answers below them."""
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    found = []
    for command in "\n".join(blocks).split("$ ")[1:]:
        line, _, answer = command.partition("\n")
        found.append((line, answer.strip()))
    return found


async def curl(line: str, folder: Path) -> tuple[int, str]:
    """Do what ``curl`` does with the few options that the page uses."""
    program, option, path, url, *more = shlex.split(line)
    assert (program, option) == ("curl", "--unix-socket")
    body = more[1].encode() if more[:1] == ["-d"] else None
    connector = aiohttp.UnixConnector(str(folder / path))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.request("POST" if body else "GET", url, data=body) as answer,
    ):
        return answer.status, (await answer.text()).strip()


class Town:
    """A master, two gates and a backend; the first gate has a control socket."""

    def __init__(self, gates: list[Node], urls: list[str]) -> None:
        self.gates = gates
        self.urls = urls

    def in_words_of_the_page(self, answer: str) -> Any:
        for gate, place in zip(self.gates, PLACES, strict=True):
            answer = answer.replace(gate.address, place)
        return json.loads(answer)


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:

        async def start(role: Role, master: str | None = None, **more: object) -> Node:
            node = Node(options(role, master, manifest=HALL, **more))
            stack.push_async_callback(node.stop)
            await node.start()
            return node

        master = (await start(Role.MASTER)).address
        gates, urls = [], []
        for name in ("gate", "other"):
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            urls.append(f"ws://127.0.0.1:{listening.getsockname()[1]}")
            given = {"ws": os.dup(listening.fileno())}
            control = f"unix:{folder / name}.sock"
            gates.append(
                await start(Role.GATE, master=master, listen_fds=given, control=control)
            )
        backend = await start(Role.BACKEND, master=master, backend="hall")
        nodes = {*(it.address for it in gates), backend.address}
        await until(
            lambda: all(
                node.linked == nodes - {node.address} for node in [*gates, backend]
            )
        )
        yield Town(gates, urls)


async def test_the_page_tells_what_is_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nano.admin.answers")
    heard: list[tuple[str, str, Any]] = []

    def listen(name: str, client: Client) -> None:
        client.on("onMail", lambda it: heard.append((name, "onMail", it)))
        client.on("onNews", lambda it: heard.append((name, "onNews", it)))

    async with (
        asyncio.timeout(3 * PATIENCE),
        town(tmp_path) as here,
        await connect(here.urls[0]) as ann,
        await connect(here.urls[1]) as bob,
        await connect(here.urls[0]) as nobody,
    ):
        for name, client in (("ann", ann), ("bob", bob), ("nobody", nobody)):
            listen(name, client)
            if client is not nobody:
                await client.request("Hall.enter", name)
        answers = {}
        for line, answer in shown():
            status, said = await curl(line, tmp_path)
            if answer:
                assert here.in_words_of_the_page(said) == json.loads(answer), line
                assert status == (400 if "error" in answer else 200), line
            answers[line] = said
        assert await bob.wait_closed() == "spam"
        (listed,) = json.loads(answers[shown()[7][0]])["sessions"]
        assert listed.keys() == {"id", "uid", "address", "home"}
        assert "notReady" in answers[shown()[8][0]]
        await until(lambda: len(heard) == 8)
        assert sorted(heard, key=str) == [
            ("ann", "onMail", None),
            ("ann", "onMail", {"text": "hello"}),
            ("ann", "onNews", "closing"),
            ("ann", "onNews", "soon"),
            ("bob", "onMail", None),
            ("bob", "onNews", "closing"),
            ("bob", "onNews", "soon"),
            ("nobody", "onNews", "closing"),
        ]
    lines = [it.getMessage() for it in caplog.records if "control" in it.getMessage()]
    assert lines == [
        "control, unix socket: push 'onMail' to 1 uids: reached 1, failed 0, silent 0",
        "control, unix socket: push 'onMail' to 3 uids: reached 2, failed 1, silent 0",
        "control, unix socket: push 'onNews' to the group 'lobby': members 2",
        (
            "control, unix socket: push 'onNews' to everybody: clients 3, gates 2, "
            "silent 0"
        ),
        "control, unix socket: kick 1 uids, 'spam': reached 1, failed 0, silent 0",
    ]


async def test_the_master_has_no_users(tmp_path: Path) -> None:
    node = Node(options(Role.MASTER, control=f"unix:{tmp_path / 'master.sock'}"))
    await node.start()
    try:
        line = "curl --unix-socket master.sock http://node/counts"
        status, said = await curl(line, tmp_path)
    finally:
        await node.stop()
    assert status == 404
    assert "there is /drain, /log-level, /sessions, /sessions/{id}, /status" in said
