"""The pages of nano's examples, as they come with its Go module."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

from tests.js.browser import CURE, Browser, Tab, browser, find_chromium

__all__ = ["OURS", "SCRIPTS", "NanoPages", "nano_examples", "nano_pages"]

HERE: Final = Path(__file__).parent
GO_MODULE: Final = HERE.parent / "peers"  # its go.mod pins the version of nano
STARX: Final = HERE.parents[1] / "clients" / "js"
VUE: Final = "http://cdnjs.cloudflare.com/ajax/libs/vue/1.0.26/vue.min.js"
SCRIPTS: Final = (
    '<script src="protocol.js" type="text/javascript"></script>\n'
    '<script src="starx-wsclient.js" type="text/javascript"></script>\n'
)
OURS: Final = '<script src="/clients/starx.js"></script>\n'


def nano_examples() -> Path:
    """The folder of nano's examples."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is missing, which fetches nano's pages: `make tools`")
    done = subprocess.run(
        [go, "mod", "download", "-json", "github.com/lonng/nano"],
        cwd=GO_MODULE,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return Path(json.loads(done.stdout)["Dir"]) / "examples"


class NanoPages:
    """A Chromium in which a page's host names and ports lead to where tests want."""

    def __init__(self, chrome: Browser, address: str) -> None:
        self._chrome = chrome
        self._address = address

    async def open(self, page: str = "theirs") -> Tab:
        """Open the page as it is, or with the script tag of our client (``ours``)."""
        tab = await self._chrome.open(f"{self._address}/{page}/index.html")
        await tab.until("window.v && window.starx !== undefined")
        return tab


@asynccontextmanager
async def nano_pages(
    folder: Path, profile: Path, ports: Mapping[int, int]
) -> AsyncIterator[NanoPages]:
    """Serve the page in *folder*, whose *ports* are other ones here.

    All else of it is as it came, but for Vue, which is not fetched from far away.
    """
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(CURE)
    original = (folder / "index.html").read_text()
    assert VUE in original
    assert SCRIPTS in original

    async def theirs(_: web.Request) -> web.Response:
        return _html(original.replace(VUE, "/tests/vue.js"))

    async def ours(_: web.Request) -> web.Response:
        return _html(original.replace(VUE, "/tests/vue.js").replace(SCRIPTS, OURS))

    app = web.Application()
    app.router.add_get("/theirs/index.html", theirs)
    app.router.add_get("/ours/index.html", ours)
    app.router.add_static("/theirs", folder)
    app.router.add_static("/clients", STARX)
    app.router.add_static("/tests", HERE / "foreign")
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address = f"127.0.0.1:{runner.addresses[0][1]}"
        rules = [f"MAP 127.0.0.1:{it} 127.0.0.1:{to}" for it, to in ports.items()]
        flag = f"--host-resolver-rules={','.join(rules)}"
        async with browser(chromium, profile, flag) as chrome:
            yield NanoPages(chrome, f"http://{address}")
    finally:
        await runner.cleanup()


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html")
