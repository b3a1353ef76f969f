"""docs/cluster.md says what there is, and all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nano.cluster.peerstates import GRACE, SUSPICION, PeerState
from nano_manifest.settings import SETTINGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cluster.md").read_text()
SOURCES = [path.read_text() for path in (ROOT / "node/src/nano/cluster").glob("*.py")]


def test_every_state_is_explained() -> None:
    states = [state.value for state in PeerState]
    rows = re.findall(r"^\| (\w+) \| ", PAGE, re.MULTILINE)
    assert [row for row in rows if row in states] == states


def test_every_setting_that_it_names_exists_with_its_default() -> None:
    rows = re.findall(r"^\| `spec\.settings\.(\w+)` \| (\d+) \|", PAGE, re.MULTILINE)
    defaults = {setting.field: setting.default for setting in SETTINGS}
    assert len(rows) == 3
    for field, default in rows:
        assert defaults[field] == float(default)
    assert defaults["peerGraceSeconds"] == GRACE
    assert f"silent for {SUSPICION:g} s" in PAGE


@pytest.mark.parametrize("stage", ["link", "answer"])
def test_every_reason_to_drop_is_named(stage: str) -> None:
    found = {
        reason
        for source in SOURCES
        for reason in re.findall(rf'dropped\["{stage}", "([\w-]+)"\]', source)
    }
    (row,) = re.findall(rf'total\{{stage="{stage}"\}}` \| (.*) \|$', PAGE, re.MULTILINE)
    named = set(re.findall(r"`([\w-]+)`", row))
    assert named == found
