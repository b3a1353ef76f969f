"""Who follows docs/tutorial.md gets there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from nano.cli import main
from nano.local.ports import free_ports
from nano.testing import LocalCluster
from nano_manifest import load

from .test_repl import nanoctl

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text()
SECONDS = 60.0


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _modules_are_looked_for_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])  # a node puts its folder there


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project, as it is after the fifth step."""
    result = CliRunner().invoke(main, ["new", "--in", str(tmp_path), "guestbook"])
    assert result.exit_code == 0, result.output
    component, test = blocks("python")
    (manifest,) = blocks("yaml")
    folder = tmp_path / "guestbook"
    (folder / "guestbook.py").write_text(component)
    (folder / "test_guestbook.py").write_text(test)
    (folder / "cluster.yaml").write_text(manifest)
    return folder


@pytest.mark.process
def test_the_test_of_the_page_passes(project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error"],
        cwd=project,
        env={**os.environ, "PYTEST_ADDOPTS": "-p no:cacheprovider"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.process
async def test_what_is_typed_is_answered_as_the_page_says(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["new", "--in", str(tmp_path), "guestbook"])
    assert result.exit_code == 0, result.output
    folder = tmp_path / "guestbook"
    said = await typed(folder, blocks("text")[0])
    assert said == [
        '{"members":["ann"]}',
        '< onMessage {"from":"ann","text":"hello"}',
    ]


@pytest.mark.process
async def test_the_book_is_written_and_read(project: Path) -> None:
    said = await typed(project, blocks("text")[1])
    assert said[0] == '{"members":["ann"],"pages":[]}'
    assert sorted(said[1:]) == ["1", '< onWrite {"from":"ann","text":"hello"}']


async def typed(folder: Path, lines: str) -> list[str]:
    """Start the cluster of *folder*, type *lines*, and return what is shown."""
    manifest = load(folder / "cluster.yaml")
    before = sys.modules.pop("guestbook", None)
    try:
        async with (
            asyncio.timeout(SECONDS),
            LocalCluster(manifest, app_dir=str(folder)) as cluster,
        ):
            code, out, err = await nanoctl("repl", "-s", cluster.url("ws"), stdin=lines)
    finally:
        sys.modules.pop("guestbook", None)
        if before is not None:
            sys.modules["guestbook"] = before
    assert (code, err) == (0, "")
    return out.splitlines()


def test_every_command_of_the_page_exists() -> None:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    ours = [shlex.split(it)[2:] for it in lines if it.startswith("$ nanoctl ")]
    assert len(ours) >= 6
    for name, *args in ours:
        command = main.commands[name]
        known = {option for it in command.params for option in it.opts}
        assert {it for it in args if it.startswith("-")} <= known, (name, args)


@pytest.mark.process
def test_the_page_speaks_as_the_component_does(project: Path) -> None:
    (line,) = re.findall(r"^\$ (sed .*)$", PAGE, re.MULTILINE)
    subprocess.run(shlex.split(line), cwd=project, timeout=SECONDS, check=True)
    script = (project / "public" / "page.js").read_text()
    component = blocks("python")[0]
    assert 'client.on("onWrite", ' in script
    assert 'publish("onWrite", ' in component
    assert "onMessage" not in script
    for name in re.findall(r'"GuestbookService\.(\w+)"', script):
        assert f"    async def {name}(" in component


@pytest.mark.process
@pytest.mark.timeout(240)
def test_the_cluster_is_checked_loaded_and_spoken_to(project: Path) -> None:
    (port,) = free_ports(1)
    manifest = project / "cluster.yaml"
    manifest.write_text(manifest.read_text().replace("3250", str(port)))
    run_here = partial(run_in, project)
    run_here("nanoctl check cluster.yaml")
    run_here("nanoctl up -d")
    try:
        (load,) = re.findall(r"^\$ (nanoctl load .*)$", PAGE, re.MULTILINE)
        load = load.replace("3250", str(port)).replace("--duration 5", "--duration 0.5")
        assert "failures  none" in run_here(load)
        nodes = json.loads(run_here("nanoctl status --json"))["nodes"]
        socket = next(it["control"] for it in nodes if it["role"] == "gate")
        (push,) = re.findall(r"^\$ (nanoctl control .*)$", PAGE, re.MULTILINE)
        told = json.loads(run_here(push.replace("PATH", socket)))
        assert (len(told["gates"]), told["silent"]) == (2, [])
    finally:
        run_here("nanoctl down")


def run_in(folder: Path, command: str) -> str:
    """Run a command of the page, and return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "nano.cli", *shlex.split(command)[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
