"""All pages together: their links lead somewhere, and their commands and manifests are.

What a page's programs do is tested beside the code that they use.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from nano.cli import main as nanoctl
from nano.cli.plugin import main as kubectl_nano
from nano_manifest import from_object

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "examples/**/*.md", "clients/js/*.md")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
)
PROGRAMS = {"nanoctl": nanoctl, "kubectl nano": kubectl_nano}
COMMAND = re.compile(
    r"^(?:\$ |    )(?:\$ )?((?:nanoctl|kubectl nano) (?:.*\\\n)*.*)", re.MULTILINE
)
INLINE = re.compile(r"`((?:nanoctl|kubectl nano) [^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a link to a heading of *page* may end in, as GitHub makes it."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    heads = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", head.lower()) for head in heads)
    return {it.strip().replace(" ", "-") for it in words}


def broken(page: Path) -> Iterator[str]:
    for link in LINK.findall(page.read_text()):
        place, _, anchor = link.partition("#")
        if "://" in link or place.startswith("mailto:"):
            continue
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_manifest_is_a_good_one(page: Path) -> None:
    for text in blocks(page, "yaml"):
        for document in yaml.safe_load_all(text):
            if document.get("kind") == "NanoCluster":
                from_object(document)


def said(page: Path) -> list[list[str]]:
    """The commands of ours that *page* lets its readers type, in words."""
    text = page.read_text()
    found = COMMAND.findall(text) + INLINE.findall(text)
    return [shlex.split(line.replace("\\\n", " "), comments=True) for line in found]


def check(words: list[str]) -> None:
    """See that there is such a command, with such options."""
    program = "nanoctl" if words[0] == "nanoctl" else "kubectl nano"
    command: click.Command = PROGRAMS[program]
    rest = words[len(program.split()) :]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        if rest[0] == "COMMAND":  # any
            return
        found = command.commands.get(rest.pop(0))
        assert found is not None, words
        command = found
    known = {option for it in command.params for option in it.opts} | {"-h", "--help"}
    typed = {it.partition("=")[0] for it in rest if re.match(r"--?[a-zA-Z]", it)}
    assert typed <= known | {"--version"}, (words, typed - known)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_exists_with_its_options(page: Path) -> None:
    for words in said(page):
        check(words)


def test_there_are_commands_to_check() -> None:
    assert sum(len(said(page)) for page in PAGES) > 30
