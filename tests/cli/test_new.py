"""`nanoctl new`: what it makes runs, as its README says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from nano.cli import main
from nano.local.ports import free_ports
from nano_manifest import load
from tests.js.browser import CURE, Browser, Tab, browser, find_chromium

SECONDS = 60.0
CLIENT = Path(__file__).parents[2] / "clients" / "js" / "src"


def made(folder: Path, name: str = "guest-book") -> Path:
    result = CliRunner().invoke(main, ["new", "--in", str(folder), name])
    assert result.exit_code == 0, result.output
    assert f"Try: nanoctl dev -f {folder / name / 'cluster.yaml'}" in result.output
    return folder / name


def test_a_project_has_what_one_needs(tmp_path: Path) -> None:
    project = made(tmp_path)
    assert sorted(it.name for it in project.iterdir()) == [
        "Dockerfile",
        "README.md",
        "cluster.yaml",
        "guest_book.py",
        "public",
        "pyproject.toml",
        "test_guest_book.py",
    ]
    (backend,) = load(project / "cluster.yaml").spec.backends
    assert backend.components == ["guest_book:GuestBookService"]
    dockerfile = (project / "Dockerfile").read_text()
    assert "FROM ${BASE_IMAGE}\nCOPY guest_book.py /app/\n" in dockerfile


def test_its_page_has_the_client_of_javascript(tmp_path: Path) -> None:
    page = made(tmp_path) / "public"
    assert sorted(it.name for it in page.iterdir()) == [
        "index.html",
        "nano",
        "page.css",
        "page.js",
    ]
    copied = {it.name: it.read_bytes() for it in (page / "nano").iterdir()}
    sources = {it.name: it.read_bytes() for it in CLIENT.glob("*.js")}
    assert sources.pop("starx.js")  # for pages that were written for nano
    assert copied == sources
    script = (page / "page.js").read_text()
    assert "GuestBookService.join" in script
    assert "`${said.from}: ${said.text}`" in script


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("Guests", "is no name: small letters"),
        ("a" * 41, "is no name"),
        ("-a", "No such option"),
        ("1st", "is no name"),
        ("class", "a word of Python's"),
        ("asyncio", "there is a Python module 'asyncio'"),
        ("nano", "there is a Python module 'nano'"),
        ("taken", "exists; take another name"),
    ],
)
def test_a_name_that_cannot_be_is_refused(
    tmp_path: Path, name: str, problem: str
) -> None:
    (tmp_path / "taken").mkdir()
    result = CliRunner().invoke(main, ["new", "--in", str(tmp_path), name])
    assert result.exit_code == 2
    assert problem in result.output
    assert [it.name for it in tmp_path.iterdir()] == ["taken"]


@pytest.mark.process
def test_the_projects_own_test_passes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error"],
        cwd=made(tmp_path),
        env={**os.environ, "PYTEST_ADDOPTS": "-p no:cacheprovider"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.process
def test_the_project_is_clean_for_its_owners_tools(tmp_path: Path) -> None:
    project = made(tmp_path)
    for command in (["ruff", "check"], ["ruff", "format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", *command, "--isolated", "."],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.process
def test_the_cluster_comes_up_and_answers(tmp_path: Path) -> None:
    project = made(tmp_path)
    manifest = project / "cluster.yaml"
    (port,) = free_ports(1)
    manifest.write_text(manifest.read_text().replace("3250", str(port)))
    up = begun("up", "-f", str(manifest))
    try:
        wait_until_ready(up)
        asked = subprocess.run(
            [
                *(sys.executable, "-m", "nano.cli"),
                *("request", "-s", f"ws://127.0.0.1:{port}"),
                *("GuestBookService.join", '{"name": "ann"}'),
            ],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert asked.returncode == 0, asked.stderr
        assert json.loads(asked.stdout) == {"members": ["ann"]}
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=SECONDS)
        assert up.returncode == 0
    finally:
        up.kill()
        up.communicate()


@pytest.mark.process
@pytest.mark.timeout(240)
async def test_two_windows_talk_on_its_page(tmp_path: Path) -> None:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip(CURE)
    project = made(tmp_path)
    manifest = project / "cluster.yaml"
    (port,) = free_ports(1)
    manifest.write_text(manifest.read_text().replace("3250", str(port)))
    dev = begun("dev", "-f", str(manifest), "--page-port", "0")
    try:
        said = await asyncio.to_thread(wait_until_ready, dev, rb"page: (\S+)\n")
        found = re.search(r"page: (\S+)\n", said)
        assert found is not None
        async with browser(chromium, tmp_path / "profile") as chrome:
            ann = await come_in(chrome, found[1], "ann")
            bob = await come_in(chrome, found[1], "bob <b>")
            await ann.until("document.querySelector('#members').textContent.length > 4")
            await bob.evaluate(
                "document.querySelector('#text').value = 'hello';"
                "document.querySelector('#say button').click()"
            )
            last = "document.querySelector('#said li:last-child')?.textContent"
            for tab in (ann, bob):
                await tab.until(f"{last} === 'bob <b>: hello'")
            await bob.evaluate("window.old = true; location.reload()")
            await ann.until(f"{last} === 'bob <b> has gone'")
            # the page, too, is taken up when it is saved
            index = project / "public" / "index.html"
            index.write_text(index.read_text().replace("guest-book", "changed"))
            await ann.until("document.title === 'changed'")
        dev.send_signal(signal.SIGINT)
        await asyncio.to_thread(dev.communicate, timeout=SECONDS)
        assert dev.returncode == 0
    finally:
        dev.kill()
        dev.communicate()


async def come_in(chrome: Browser, url: str, name: str) -> Tab:
    """A window of who has joined."""
    tab = await chrome.open(url)
    await tab.until("document.querySelector('#state')?.textContent === 'connected'")
    await tab.evaluate(
        f"document.querySelector('#name').value = '{name}';"
        "document.querySelector('#door button').click()"
    )
    await tab.until("document.body.dataset.screen === 'room'")
    return tab


def begun(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "nano.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    )


def wait_until_ready(
    up: subprocess.Popen[bytes], pattern: bytes = b"Ctrl-C stops all of it"
) -> str:
    """Read what the supervisor says until it is done; return it."""
    assert up.stdout is not None
    deadline = time.monotonic() + SECONDS
    said = b""
    while not re.search(pattern, said):
        left = max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select([up.stdout], [], [], left)
        assert readable, said.decode()
        some = os.read(up.stdout.fileno(), 65_536)
        assert some, said.decode()
        said += some
    return said.decode()
