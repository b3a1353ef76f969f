"""What the pages about the JavaScript client show works as shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nano.testing import LocalCluster
from nano_manifest import load

from .nodejs import NodeJs

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "clients" / "js"
ECHO = ROOT / "examples" / "echo"
README = MODULE / "README.md"
PAGE = ROOT / "docs" / "javascript.md"


def shown(page: Path) -> str:
    (program,) = re.findall(r"^```js\n(.*?)^```", page.read_text(), re.M | re.S)
    return str(program)


async def run_shown(page: Path, node: NodeJs, folder: Path) -> list[str]:
    """Run the program that *page* shows against the echo example."""
    program = shown(page)
    (folder / "node_modules").mkdir()
    link = folder / "node_modules" / "nanocluster"
    link.symlink_to(MODULE, target_is_directory=True)
    manifest = load(ECHO / "cluster.yaml")
    async with LocalCluster(manifest, app_dir=str(ECHO)) as cluster:
        script = folder / "program.mjs"
        script.write_text(program.replace("ws://127.0.0.1:3250", cluster.url("ws")))
        return (await node.run(script)).splitlines()


@pytest.mark.process
async def test_the_program_of_the_readme_says_what_it_should(
    node: NodeJs, tmp_path: Path
) -> None:
    said = await run_shown(README, node, tmp_path)
    assert said == ["answer: hello 😀", "error: 404 NANO-404", "push: HELLO"]


@pytest.mark.process
async def test_the_program_of_the_page_connects(node: NodeJs, tmp_path: Path) -> None:
    assert await run_shown(PAGE, node, tmp_path) == ["working"]


@pytest.mark.parametrize("module", ["options", "environment"])
def test_the_page_has_every_option(module: str) -> None:
    types = (MODULE / "types" / f"{module}.d.ts").read_text()
    name = {"options": "Options", "environment": "Environment"}[module]
    (body,) = re.findall(rf"export type {name} = {{(.*?)^}};", types, re.M | re.S)
    options = set(re.findall(r"^    (\w+)\??:", body, re.M))
    assert len(options) >= 3
    table = {
        option
        for row in re.findall(r"^\| (`[^|]*) \|", PAGE.read_text(), re.M)
        for option in re.findall(r"`(\w+)`", row)
    }
    assert options <= table


def test_the_page_has_every_event() -> None:
    types = (MODULE / "types" / "options.d.ts").read_text()
    (body,) = re.findall(r"export type Events = {(.*?)^};", types, re.M | re.S)
    events = re.findall(r"^    (\w+):", body, re.M)
    assert events
    page = PAGE.read_text()
    assert [event for event in events if f"| `{event}` |" not in page] == []


@pytest.mark.parametrize("page", [README, PAGE], ids=["readme", "page"])
def test_every_file_that_is_linked_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
