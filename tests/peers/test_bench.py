"""The bench measures: answers are counted on both sides, and ratios printed.

How fast anything is, is nothing that a test may judge.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.peers, pytest.mark.process]

ROOT = Path(__file__).parents[2]


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


@pytest.mark.slow
@pytest.mark.usefixtures("peer_program")
def test_every_row_is_answered_by_both_sides_and_compared(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    short = ["--rounds", "1", "--seconds", "0.3", "--warmup", "0.1"]
    done = bench(*short, "--output", str(output))
    assert done.returncode == 0, done.stdout + done.stderr

    found = json.loads(output.read_text())
    names = [row["name"] for row in found["rows"]]
    assert names == ["node-50", "node-1000", "cluster-50"]
    for row in found["rows"]:
        assert row["ours"]["rounds"][0]["answers"] > 0
        assert row["go"]["rounds"][0]["answers"] > 0
        assert row["ours"]["faults"] == 0
        assert f"{row['ratio']:.2f}" in done.stdout
        assert row["title"] in done.stdout
    if len(os.sched_getaffinity(0)) > 1:
        assert "load on core" in found["machine"]["layout"]


def test_an_unknown_row_is_refused_with_those_that_there_are() -> None:
    done = bench("--rows", "warp")
    assert done.returncode == 2
    assert "no row 'warp'; there are node-50, node-1000, cluster-50" in done.stderr
