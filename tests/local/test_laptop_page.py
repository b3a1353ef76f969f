"""The commands of docs/laptop.md do what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nano.local.life import LONGEST_PAUSE, SHORTEST_PAUSE
from nano.local.ports import free_ports
from nano.local.record import LARGEST

from .test_up import SECONDS

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

PAGE = (Path(__file__).parents[2] / "docs" / "laptop.md").read_text()
HOME = "/home/ann/greeting"
PORT = "3250"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def steps() -> list[tuple[str, str]]:
    """Every command of the page, with what it shows."""
    found = []
    for block in blocks("console"):
        for step in block.removeprefix("$ ").split("\n$ "):
            command, _, shown = step.partition("\n")
            found.append((command, shown))
    return found


class Terminal:
    """A folder with the page's files, and a shell in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = str(free_ports(1)[0])
        (folder / "greeting.py").write_text(blocks("python")[0])
        manifest = blocks("yaml")[0].replace(PORT, self.port)
        (folder / "cluster.yaml").write_text(manifest)
        scripts = Path(sys.executable).parent
        self._env = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"}

    def type(self, command: str) -> str:
        """Run a command of the page; return what is shown, as the page has it."""
        done = subprocess.run(
            ["bash", "-c", command.replace(PORT, self.port)],
            cwd=self.folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2 * SECONDS,
            check=False,
        )
        shown = done.stdout.replace(str(self.folder), HOME)
        return shown.replace(f":{self.port}", f":{PORT}")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    yield made
    made.type("nanoctl down")


def shape(text: str) -> str:
    """*text* without what is different each time: times, numbers, widths."""
    text = re.sub(r"(?:\d+(?:\.\d+)? (?:s|min|h|d)\b ?)+", "TIME ", text)
    text = re.sub(r"(pid) \d+|(127\.0\.0\.1:)2\d{4}", r"\1\2N", text)
    text = re.sub(r"^(\S+ +(?:master|backend|gate)) +\d+ ", r"\1 N ", text, flags=re.M)
    return "\n".join(re.sub(" +", " ", line).rstrip() for line in text.splitlines())


def test_the_commands_of_the_page_do_what_it_shows(terminal: Terminal) -> None:
    shown = steps()
    assert len(shown) == 12
    for command, expected in shown:
        assert shape(terminal.type(command)) == shape(expected), command


def test_the_figures_are_those_of_the_source() -> None:
    assert f"after {SHORTEST_PAUSE:g} seconds the first time" in PAGE
    assert f"after {LONGEST_PAUSE:g} at most" in PAGE
    assert f"anew at {LARGEST // 2**20} MiB" in PAGE
