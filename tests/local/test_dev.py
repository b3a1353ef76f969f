"""``nanoctl dev``: what is saved is taken up, and the page is served."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from nano.client import connect
from nano.local.pages import Pages
from nano.local.ports import free_ports

from .test_up import SECONDS, Folder, Up, folder  # noqa: F401  # a fixture

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

HOLD = """
    @handler
    async def hold(self, session: Session, _: None) -> str:
        while not Path("go").exists():
            await asyncio.sleep(0.02)
        return "held"
"""
PAGE = "<!doctype html><title>one</title>"
EVENTS = aiohttp.ClientTimeout(total=None, sock_read=SECONDS)


def begun(project: Folder, *args: str) -> Up:
    dev = project.up(*args, verb="dev")
    dev.until("saved files are taken up")
    return dev


def address(dev: Up) -> str:
    found = re.search(r"page: (http://127\.0\.0\.1:\d+/)", dev.said)
    assert found, dev.said
    return found[1]


def save(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


async def test_a_save_is_taken_up_and_waiting_clients_are_answered(
    folder: Folder,  # noqa: F811  # the fixture
) -> None:
    echo = folder.path / "echo.py"
    go = folder.path / "go"
    held = HOLD.replace('"go"', repr(str(go)))
    echo.write_text(
        f"import asyncio\nfrom pathlib import Path\n{echo.read_text()}{held}"
    )
    dev = await asyncio.to_thread(begun, folder)
    url = f"ws://127.0.0.1:{folder.ws}/"
    async with await connect(url, reconnect=False) as client:
        waiting = asyncio.create_task(
            client.request("EchoService.hold", None, timeout=SECONDS)
        )
        await client.request("EchoService.echo", {"text": "?"})  # behind it, or not
        save(echo, '"text": words', '"text": "new " + words')
        await asyncio.to_thread(dev.until, "saved: echo.py")
        await asyncio.to_thread(dev.until, "echo-1: ready")
        go.touch()
        assert await waiting == "held"
        await asyncio.to_thread(dev.until, "echo-1: the old one has stopped")
        answer = await client.request("EchoService.echo", {"text": "one"})
        assert answer["text"] == "new one"
    assert await asyncio.to_thread(dev.end, signal.SIGINT) == 0
    assert folder.left_behind == []


def test_a_broken_save_keeps_the_old_one_and_shows_the_line(
    folder: Folder,  # noqa: F811  # the fixture
) -> None:
    dev = begun(folder)
    echo = folder.path / "echo.py"
    good = echo.read_text()
    echo.write_text(good + "\n    def oh no:\n")
    dev.until("reload failed")
    line = good.count("\n") + 2
    dev.until(f"at {echo}:{line}: def oh no:")
    assert folder.ask("old")["text"] == "old"
    manifest = folder.path / "cluster.yaml"
    sound = manifest.read_text()
    save(manifest, "replicas: 1", "replicas: one")
    dev.until("spec.gates.replicas")
    assert folder.ask("old")["text"] == "old"
    manifest.write_text(sound)
    echo.write_text(good.replace('words["text"]', '"mended"'))
    dev.until("echo-1: the old one has stopped")
    assert folder.ask()["text"] == "mended"
    assert dev.end(signal.SIGINT) == 0


async def test_the_page_is_served_and_loaded_again(
    folder: Folder,  # noqa: F811  # the fixture
) -> None:
    page = folder.path / "public"
    page.mkdir()
    (page / "index.html").write_text(PAGE)
    (page / "page.js").write_text("let one;")
    dev = await asyncio.to_thread(begun, folder, "--page-port", "0")
    url = address(dev)
    async with aiohttp.ClientSession(timeout=EVENTS) as browser:
        async with browser.get(url) as answer:
            assert (await answer.text()).startswith(PAGE + "\n<script>new EventSource")
            assert answer.headers["Cache-Control"] == "no-store"
        async with browser.get(url + "server.json") as answer:
            assert await answer.json() == {"url": f"ws://127.0.0.1:{folder.ws}/"}
        for path in ("../cluster.yaml", "%2e%2e/cluster.yaml", "nothing"):
            async with browser.get(url + path) as answer:
                assert answer.status == 404
        async with browser.get(url + "_dev/saved") as events:
            (page / "page.js").write_text("let two;")
            assert await events.content.readline() == b"data: saved\n"
            assert "saved: public/page.js; the page is loaded again" in dev.said
            assert "reloading" not in dev.said
            # a browser that listens keeps nothing from ending
            assert await asyncio.to_thread(dev.end, signal.SIGINT) == 0


def test_a_port_that_is_taken_is_named(
    folder: Folder,  # noqa: F811  # the fixture
) -> None:
    (folder.path / "public").mkdir()
    (folder.path / "public" / "index.html").write_text(PAGE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        dev = folder.up("--page-port", port, verb="dev")
        assert dev.end() == 2
    assert f"the page cannot have port {port} of 127.0.0.1" in dev.said
    assert "--page-port" in dev.said


async def test_the_first_port_that_is_free_is_taken(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(PAGE)
    (free,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = (taken.getsockname()[1], free)
        pages = Pages(tmp_path, "127.0.0.1", ports, dict)
        assert await pages.start() == f"http://127.0.0.1:{free}/"
        await pages.stop()


def test_a_page_that_is_none_is_refused(
    folder: Folder,  # noqa: F811  # the fixture
) -> None:
    dev = folder.up("--page", "tmp", verb="dev")
    assert dev.end() == 2
    assert "--page tmp: there is no index.html in it" in dev.said


@pytest.mark.parametrize(
    ("urls", "expected"),
    [
        ({"tcp": "tcp://127.0.0.1:1"}, 404),
        ({"unix": "unix:///a", "ws": "wss://127.0.0.1:1/a"}, "wss://127.0.0.1:1/a"),
    ],
)
async def test_the_page_is_told_of_a_listener_that_it_can_reach(
    tmp_path: Path, urls: dict[str, str], expected: object
) -> None:
    pages = Pages(tmp_path, "127.0.0.1", (0,), lambda: urls)
    url = await pages.start()
    try:
        async with (
            aiohttp.ClientSession() as browser,
            browser.get(url + "server.json") as answer,
        ):
            if answer.status == 200:
                assert await answer.json() == {"url": expected}
            else:
                assert answer.status == expected
    finally:
        await pages.stop()
