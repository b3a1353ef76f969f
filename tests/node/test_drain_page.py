"""docs/drain.md says what there is, and its component works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from nano.cluster.moves import HOLD_AT, LONGEST, MOST_PARKED, MoveEvent
from nano.node.departure import PATIENCE, Stage
from nano.runtime import handovers
from nano.runtime.handovers import LARGEST_STATE
from nano.testing import MemoryCluster
from nano_manifest import Backend, Gates, Listener, Metadata, NanoCluster, Spec
from nano_manifest.settings import SETTINGS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "drain.md").read_text()
WORDS = " ".join(PAGE.split())


async def test_the_pages_hands_go_where_the_player_goes(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "drain_page.py").write_text(block)
    manifest = NanoCluster(
        metadata=Metadata(name="page"),
        spec=Spec(
            gates=Gates(
                replicas=1,
                listeners=[Listener(name="tcp", transport="tcp", port=3250)],
            ),
            backends=[
                Backend(
                    name="tables", replicas=2, components=["drain_page:TableService"]
                )
            ],
        ),
    )
    async with MemoryCluster(manifest, app_dir=str(tmp_path)) as cluster:
        ann = await cluster.connect()
        one, two = cluster.backends["tables"]
        assert await ann.request("TableService.draw", 7) == [7]
        first = one if one.sessions(1) else two
        other = two if first is one else one
        assert await ann.request("TableService.move", other.address) == first.address
        assert await ann.request("TableService.draw", 8) == [7, 8]
        assert (first.sessions(1), len(other.sessions(9))) == ([], 1)
        other.drain()
        await other.drained()
        assert await ann.request("TableService.draw", 9) == [7, 8, 9]
        assert other.sessions(1) == []
        (gate,) = cluster.gates
        name = "nano_session_moves_total"
        assert cluster.count(gate, name, outcome="handed-over") == 2


def test_every_outcome_of_a_move_is_named() -> None:
    for event in MoveEvent:
        assert f'outcome="{event.value}"' in WORDS or f"`{event.value}`" in WORDS


def test_every_reason_to_drop_is_named() -> None:
    source = (ROOT / "node/src/nano/cluster/mover.py").read_text()
    found = set(re.findall(r'dropped\["move", "([\w-]+)"\]', source))
    (row,) = re.findall(
        r'The reasons of `nano_dropped_total\{stage="move"\}` (.*?)\. ', WORDS + " "
    )
    assert set(re.findall(r"`([\w-]+)`", row)) == found


def test_every_stage_is_named() -> None:
    (row,) = re.findall(r"the stage as `draining`: (.*?), and `null`", WORDS)
    assert re.findall(r"`(\w+)`", row) == [stage.value for stage in Stage]


def test_every_setting_that_it_names_exists_with_its_default() -> None:
    rows = re.findall(r"^\| `spec\.settings\.(\w+)` \| (\d+) \|", PAGE, re.MULTILINE)
    defaults = {setting.field: setting.default for setting in SETTINGS}
    assert len(rows) == 3
    for field, default in rows:
        assert defaults[field] == float(default)


def test_every_limit_is_the_true_one() -> None:
    assert f"at most {LARGEST_STATE // 1024} KiB" in WORDS
    assert f"longer than {handovers.TIME:g} s" in WORDS
    assert f"within {LONGEST:g} s" in WORDS
    assert f"more than {HOLD_AT} messages" in WORDS
    assert f"more than {MOST_PARKED} messages" in WORDS
    assert (PATIENCE, "two seconds at most" in WORDS) == (2.0, True)
