"""What docs/from-nano.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nano.errors
from nano import Component, Group, NodeInfo, Router, Session, Timer

PAGE = (Path(__file__).parents[2] / "docs" / "from-nano.md").read_text()
OURS = {
    "session.router": Router,
    "session": Session,
    "group": Group,
    "node": NodeInfo,
    "timer": Timer,
    "nano.errors": nano.errors,
    "nano": nano,
}
NAMES = sorted(
    {
        (owner, name)
        for row in PAGE.splitlines()
        if row.startswith("|")
        for cell in [row.split("|")[2]]
        for owner, name in re.findall(
            r"\b(session\.router|session|group|node|timer|nano\.errors|nano)\.(\w+)",
            cell,
        )
        if (owner, name) != ("nano", "errors")
    }
)
HOOKS = re.findall(
    r"`(start|started|stopping|stop|session_opened|session_closed|name_func|handshake)`",
    PAGE,
)


@pytest.mark.parametrize(("owner", "name"), NAMES)
def test_a_name_on_the_page_exists(owner: str, name: str) -> None:
    found = hasattr(OURS[owner], name)
    assert (
        found
        or name in getattr(OURS[owner], "__annotations__", {})
        or name in (getattr(OURS[owner], "__slots__", ()))
    )


def test_the_page_names_all_of_them() -> None:
    assert len(NAMES) >= 35
    assert len(set(HOOKS)) == 8
    assert all(hasattr(Component, name) for name in HOOKS)
