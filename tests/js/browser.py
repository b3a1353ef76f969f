"""Chromium without a window, steered over its own protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

__all__ = ["CURE", "Browser", "Tab", "browser", "find_chromium"]

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
CURE: Final = "Chromium is missing: run `make tools`, or install the package chromium"
SECONDS: Final = 60.0  # for anything that is waited for; the machine may be busy
FLAGS: Final = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=800,640",
    "--remote-debugging-port=0",
)
UNTIL: Final = """new Promise((resolve) => {
  const timer = setInterval(() => {
    const value = %s;
    if (value) resolve(value, clearInterval(timer));
  }, 20);
})"""
NAVIGATED: Final = "Inspected target navigated"
ANNOUNCEMENT: Final = b"DevTools listening on "


class BrowserError(Exception):
    """The page threw, or Chromium refused a command."""


def find_chromium() -> str | None:
    """Return the machine's Chromium, if it has one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A running Chromium; made by :func:`browser`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last = 0

    async def command(
        self, method: str, session: str | None = None, **parameters: Any
    ) -> Any:
        """Give one command and return its result; commands are given one by one."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        async with asyncio.timeout(SECONDS):
            await self._socket.send(json.dumps(message))
            while True:
                answer = json.loads(await self._socket.recv())
                if answer.get("id") == self._last:
                    break
        if "error" in answer:
            raise BrowserError(answer["error"]["message"])
        return answer["result"]

    async def open(self, url: str) -> Tab:
        """Open *url* in a tab of its own, which believes any certificate."""
        blank = await self.command("Target.createTarget", url="about:blank")
        target = blank["targetId"]
        attached = await self.command(
            "Target.attachToTarget", targetId=target, flatten=True
        )
        session = attached["sessionId"]
        await self.command("Security.setIgnoreCertificateErrors", session, ignore=True)
        await self.command("Page.navigate", session, url=url)
        return Tab(self, session)


class Tab:
    """One page."""

    def __init__(self, owner: Browser, session: str) -> None:
        self._owner = owner
        self._session = session

    async def evaluate(self, expression: str) -> Any:
        """Return what *expression*, or the promise that it is, comes to."""
        result = await self._owner.command(
            "Runtime.evaluate",
            self._session,
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise BrowserError(details.get("exception", details).get("description"))
        return result["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until *expression* is true, here or on the next page; return it."""
        while True:
            try:
                return await self.evaluate(UNTIL % expression)
            except BrowserError as error:
                if NAVIGATED not in str(error):
                    raise

    async def screenshot(self) -> bytes:
        """Return what the page shows, as PNG."""
        shot = await self._owner.command("Page.captureScreenshot", self._session)
        return base64.b64decode(shot["data"])


@asynccontextmanager
async def browser(path: str, folder: Path, *flags: str) -> AsyncIterator[Browser]:
    """Run the Chromium at *path*, with its files in *folder*, and more *flags*."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    process = await asyncio.create_subprocess_exec(
        path,
        *FLAGS,
        *flags,
        *sandbox,
        f"--user-data-dir={folder}",
        "about:blank",
        env={**os.environ, "HOME": str(folder)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        address = await _announced(process)
        async with connect(address, max_size=None, proxy=None) as socket:
            running = Browser(socket)
            yield running
            await running.command("Browser.close")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def _announced(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    said = b""
    async with asyncio.timeout(SECONDS):
        while line := await process.stderr.readline():
            if line.startswith(ANNOUNCEMENT):
                return line.removeprefix(ANNOUNCEMENT).decode().strip()
            said += line
    raise BrowserError(f"Chromium did not start:\n{said.decode(errors='replace')}")
