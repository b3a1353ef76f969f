"""The module in Chromium, on pages served on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import pytest_asyncio
from aiohttp import web

from nano.node import Role
from nano.testing import LocalCluster

from .browser import CURE, Browser, Tab, browser, find_chromium

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

HERE = Path(__file__).parent
CLIENT = HERE.parents[1] / "clients" / "js"
TEXT = "naïve — 日本語 😀👩‍🚀"
ITEMS = "[...document.querySelectorAll('li')].map((item) => item.textContent)"
WRONG = "[...document.querySelectorAll('li.wrong')].map((item) => item.textContent)"


@pytest.fixture(scope="session")
def chromium() -> str:
    found = find_chromium()
    if found is None:
        pytest.skip(CURE)
    return found


@pytest_asyncio.fixture
async def pages() -> AsyncIterator[str]:
    """The address of the pages, with the module beside them."""
    app = web.Application()
    app.router.add_static("/client", CLIENT)
    app.router.add_static("/pages", HERE / "page")
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}/pages"
    await runner.cleanup()


@pytest_asyncio.fixture
async def chrome(chromium: str, tmp_path: Path) -> AsyncIterator[Browser]:
    async with browser(chromium, tmp_path / "profile") as running:
        yield running


async def open_module(chrome: Browser, pages: str, cluster: LocalCluster) -> Tab:
    tab = await chrome.open(f"{pages}/module.html?ws={quote(cluster.url('ws'))}")
    await tab.until("window.ready")
    await tab.evaluate("window.done")
    return tab


async def converse(chrome: Browser, pages: str, cluster: LocalCluster) -> Tab:
    """Have the page do all that it does; it ends with a kick."""
    tab = await open_module(chrome, pages, cluster)
    await tab.evaluate("client.notify('Parlour.leave', 'bye')")
    await tab.until("client.closed")
    assert await tab.evaluate(WRONG) == []
    assert await tab.evaluate(ITEMS) == [
        f'request: {{"text":"{TEXT}"}}',
        'error: [true,409,"PARLOUR-FULL","full"]',
        f'notify and push: "{TEXT}"',
        "1000 at once: 1000",
        "kick: bye",
        "close: closed by the server: bye",
    ]
    return tab


async def test_a_page_that_imports_the_module_asks_hears_and_is_refused(
    chrome: Browser, pages: str, cluster: LocalCluster, tmp_path: Path
) -> None:
    tab = await converse(chrome, pages, cluster)
    shot = tmp_path / "module.png"
    shot.write_bytes(await tab.screenshot())


async def test_a_page_does_the_same_by_tls(
    chrome: Browser, pages: str, secure: LocalCluster
) -> None:
    assert secure.url("ws").startswith("wss://")
    await converse(chrome, pages, secure)


async def test_a_page_comes_back_when_its_gate_is_replaced(
    chrome: Browser, pages: str, cluster: LocalCluster
) -> None:
    tab = await open_module(chrome, pages, cluster)
    await cluster.gates[0].stop()
    await tab.until("client.state !== 'working'")
    await cluster.start(Role.GATE)
    assert await tab.evaluate("client.request('Parlour.echo', '😀')") == "😀"
    items = await tab.evaluate(ITEMS)
    assert items[4:6] == ["kick: the server is going away", "reconnecting: attempt 1"]
    assert items[-1] == "reconnected"
    assert await tab.evaluate(WRONG) == []


async def test_a_page_written_for_nano_changes_its_script_tag_only(
    chrome: Browser, pages: str, cluster: LocalCluster
) -> None:
    port = urlsplit(cluster.url("ws")).port
    tab = await chrome.open(f"{pages}/starx.html?{port}")
    await tab.until("document.querySelectorAll('li').length === 6")
    assert await tab.evaluate(ITEMS) == [
        "init",
        f"request: {TEXT}",
        f"push: {TEXT}",
        "error: PARLOUR-FULL",
        "kick: bye",
        "disconnect",
    ]
