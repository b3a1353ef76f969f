"""Who follows docs/tutorial.md gets there."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from nano.cli import main
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
