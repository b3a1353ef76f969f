"""The small examples of nano, as their READMEs start them and in memory."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from nano import RequestError
from nano.local.ports import free_ports
from nano.testing import MemoryCluster
from nano_manifest import NanoCluster, load
from tests.js.browser import CURE, browser, find_chromium

from .nanopages import nano_examples, nano_pages
from .running import SECONDS, running

EXAMPLES = Path(__file__).parents[2] / "examples"
CUSTOM = EXAMPLES / "customroute"
DEMO = EXAMPLES / "demo-chat"
LINES = "v.messages.map((it) => [it.name, it.content])"


def request_of(example: Path, port: int) -> tuple[object, object]:
    """The answer to the request that a README shows, and the answer that it shows."""
    asked = re.search(
        r"nanoctl request -s (\S+) (\S+) '(.*)'\n    (.*)\n",
        (example / "README.md").read_text(),
    )
    assert asked is not None
    url, route, payload, answer = asked.groups()
    url = url.replace("3250", str(port))
    done = subprocess.run(
        [sys.executable, "-m", "nano.cli", "request", "-s", url, route, payload],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), json.loads(answer)


# ------------------------------------------------------------------- customroute


@pytest.fixture(scope="module")
def customroute(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The example, running: the port of its gate."""
    (port,) = free_ports(1)
    with running("customroute", tmp_path_factory.mktemp("e"), {3250: port}):
        yield port


@pytest.mark.process
@pytest.mark.timeout(240)
def test_the_request_of_customroutes_readme_is_answered(customroute: int) -> None:
    said, shown = request_of(CUSTOM, customroute)
    assert said == shown


@pytest.mark.peers
@pytest.mark.timeout(240)
async def test_of_four_pages_every_other_hears_each_other(
    customroute: int, tmp_path: Path
) -> None:
    folder = nano_examples() / "customerroute" / "onemaster" / "web"
    async with nano_pages(folder, tmp_path / "p", {34590: customroute}) as pages:
        tabs = []
        for _ in range(4):
            tabs.append(await pages.open())
            await tabs[-1].until("v.messages.length === 1")  # it is in
        for number, tab in enumerate(tabs):
            await tab.evaluate(f"v.inputMessage = 'from {number}'; v.sendMessage()")
        for number, tab in enumerate(tabs):
            await tab.until("v.messages.length === 3")
            texts = {text for _, text in (await tab.evaluate(LINES))[1:]}
            assert texts == {f"from {number % 2}", f"from {number % 2 + 2}"}


async def test_users_are_dealt_out_and_come_together_when_a_room_dies() -> None:
    manifest = load(CUSTOM / "cluster.yaml")
    async with MemoryCluster(manifest, app_dir=str(CUSTOM)) as cluster:
        users = [await cluster.connect() for _ in range(4)]
        for user in users:
            done = await user.request("RegisterService.Login", {"nickname": "u"})
            assert done == {"code": 0}
        say = "ChatRoomService.SyncMessage"
        await users[0].request(say, {"name": "u", "content": "hi"})
        await cluster.clock.settle()
        heard = [len(user.received("onMessage")) for user in users]
        assert heard == [1, 0, 1, 0]
        await cluster.kill(cluster.backends["room"][0])
        await cluster.clock.advance(30)
        for user in users:
            await user.request(say, {"name": "u", "content": "here"})
        await users[0].request(say, {"name": "u", "content": "together"})
        await cluster.clock.settle()
        assert [u.received("onMessage")[-1]["content"] for u in users] == [
            "together"
        ] * 4


async def test_who_has_not_logged_in_says_nothing() -> None:
    manifest = load(CUSTOM / "cluster.yaml")
    async with MemoryCluster(manifest, app_dir=str(CUSTOM)) as cluster:
        user = await cluster.connect()
        with pytest.raises(RequestError, match="NANO-401: log in first"):
            await user.request(
                "ChatRoomService.SyncMessage", {"name": "u", "content": "hi"}
            )


# --------------------------------------------------------------------- demo-chat


class Demo(NamedTuple):
    """The example, running: the ports of its gate and of its page."""

    gate: int
    page: int


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    ports = Demo(*free_ports(2))
    env = {"DEMO_PAGE_PORT": str(ports.page)}
    with running("demo-chat", tmp_path_factory.mktemp("e"), {3250: ports.gate}, env):
        yield ports


@pytest.mark.process
@pytest.mark.timeout(240)
def test_the_request_of_demo_chats_readme_is_answered(demo: Demo) -> None:
    said, shown = request_of(DEMO, demo.gate)
    assert said == shown


@pytest.mark.peers
@pytest.mark.timeout(240)
async def test_nanos_page_and_ours_are_in_one_room(demo: Demo, tmp_path: Path) -> None:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(CURE)
    folder = nano_examples() / "demo" / "chat" / "web"
    lines = "[...document.querySelectorAll('li')].map((it) => it.textContent)"
    async with (
        nano_pages(folder, tmp_path / "nano", {3250: demo.gate}) as pages,
        browser(chromium, tmp_path / "ours") as chrome,
    ):
        ours = await chrome.open(f"http://127.0.0.1:{demo.page}/web/?port={demo.gate}")
        await ours.until(f"({lines}).length === 2")
        assert await ours.evaluate(lines) == [
            "systemmembers: nobody yet",
            "systemsuccess",
        ]
        theirs = await pages.open()
        await theirs.until("v.messages.length === 2")
        (_, members), done = await theirs.evaluate(LINES)
        assert members.startswith("members: ")
        assert done == ["system", "success"]
        await ours.until(f"({lines}).length === 3")
        assert (await ours.evaluate(lines))[2].startswith("systemNew user: ")
        await theirs.evaluate("v.inputMessage = 'hi 😀'; v.sendMessage()")
        await ours.until(f"({lines}).some((it) => it.endsWith('hi 😀'))")
        await ours.evaluate(
            "document.querySelector('#text').value = 'ho';"
            "document.querySelector('#say button').click()"
        )
        await theirs.until("v.messages.some((it) => it.content === 'ho')")


def without_the_page() -> NanoCluster:
    """The manifest of demo-chat, but for what wants real sockets."""
    manifest = load(DEMO / "cluster.yaml")
    gates = msgspec.structs.replace(
        manifest.spec.gates, components=["demo:RoomManager"]
    )
    spec = msgspec.structs.replace(manifest.spec, gates=gates)
    return msgspec.structs.replace(manifest, spec=spec)


async def test_the_room_of_one_node(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "demo")
    async with MemoryCluster(without_the_page(), app_dir=str(DEMO)) as cluster:
        ann, bob = await cluster.connect(), await cluster.connect()
        with pytest.raises(RequestError, match="NANO-403: you are in no room"):
            await ann.request("room.message", {"name": "ann", "content": "hi"})
        joined = {"code": 0, "result": "success"}
        assert await ann.request("room.join", {}) == joined
        assert await ann.next_push("onMembers") == {"members": []}
        assert await bob.request("room.join", {}) == joined
        (uid,) = (await bob.next_push("onMembers"))["members"]
        assert isinstance(uid, str)
        assert (await ann.next_push("onNewUser"))["content"] != f"New user: {uid}"
        await bob.notify("room.message", {"name": "bob", "content": "hi"})
        for client in (ann, bob):
            assert (await client.next_push("onMessage"))["content"] == "hi"
        await bob.close()
        assert (await ann.next_push("onLeave"))["content"].startswith("User left: ")
        await cluster.clock.advance(60)
    assert re.search(r"room 1: 1 users; \d{2,} bytes in, \d{3,} bytes out", caplog.text)
